"""An old copy of the data does not bring an erased subject back, nor mix with the one who came after."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tacita import CryptoError, KeyUnavailable, Memory, Tampered

OPEN = Callable[..., Memory]


def backup(database: Path, to: Path) -> Path:
    source, target = sqlite3.connect(database), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()
    return to


def put_back(database: Path, old: Path) -> None:
    for path in database.parent.glob("log.db*"):
        path.unlink()
    shutil.copy(old, database)
    database.chmod(0o600)


def test_backup_after_erase_stays_noise(opened: OPEN, database: Path, tmp_path: Path) -> None:
    memory = opened()
    memory.add("alice's old secret", user_id="alice")
    memory.add("bob stays", user_id="bob")
    old = backup(database, tmp_path / "old.db")
    memory.erase(user_id="alice")
    memory.close()
    put_back(database, old)
    again = opened()
    assert again.get_all(user_id="alice").total == 0
    assert again.search("secret", user_id="alice").hits == ()
    assert [item.text for item in again.get_all(user_id="bob").items] == ["bob stays"]
    with pytest.raises(Tampered, match=r"audit log .* rolled back"):
        again.close()


def test_verify_reports_a_rolled_back_audit_log(opened: OPEN, database: Path, tmp_path: Path) -> None:
    memory = opened()
    memory.add("alice", user_id="alice")
    old = backup(database, tmp_path / "old.db")
    memory.search("alice", user_id="alice")
    memory.close()
    put_back(database, old)
    again = opened()
    try:
        again.search("alice", user_id="alice")
        assert not again.verify().ok
    finally:
        with pytest.raises(Tampered):
            again.close()


def test_backup_after_erase_and_new_start(opened: OPEN, database: Path, tmp_path: Path) -> None:
    memory = opened()
    memory.add(["alice's old secret"] * 5, user_id="alice")
    memory.add("bob stays", user_id="bob")
    old = backup(database, tmp_path / "old.db")
    memory.erase(user_id="alice")
    memory.add("alice starts anew", user_id="alice")
    memory.close()
    put_back(database, old)
    again = opened()
    with pytest.raises(CryptoError) as caught:
        again.get_all(user_id="alice")
    assert "secret" not in str(caught.value)
    assert again.get_all(user_id="bob").total == 1
    # The key is destroyed; that it cannot go on record, because the audit log was rolled back too, is said.
    with pytest.raises(Tampered, match=r"audit log .* rolled back"):
        again.erase(user_id="alice")
    again.add("alice starts a third time", user_id="alice")
    assert [item.text for item in again.get_all(user_id="alice").items] == ["alice starts a third time"]
    with pytest.raises(Tampered, match=r"audit log .* rolled back"):
        again.close()


def test_erased_elsewhere_is_erased_here(opened: OPEN) -> None:
    one, two = opened(), opened()
    one.add("alice was here", user_id="alice")
    assert two.get_all(user_id="alice").total == 1
    one.erase(user_id="alice")
    assert two.get_all(user_id="alice").total == 0
    two.add("alice again", user_id="alice")
    assert [item.text for item in one.get_all(user_id="alice").items] == ["alice again"]
    assert one.verify().ok


def test_erased_elsewhere_and_as_many_said_anew_is_another_life(opened: OPEN) -> None:
    mine, other = opened(), opened()
    mine.add(["old one", "old two"], user_id="ana")
    assert mine.get_all(user_id="ana").total == 2
    other.erase(user_id="ana")
    other.add(["new one", "new two"], user_id="ana")
    # The log ends at the same number as before: what lies in RAM must not be taken for it.
    assert {item.text for item in mine.get_all(user_id="ana").items} == {"new one", "new two"}
    other.erase(user_id="ana")
    other.add(["newer one", "newer two"], user_id="ana")
    mine.add("mine", user_id="ana")
    assert {item.text for item in other.get_all(user_id="ana").items} == {"newer one", "newer two", "mine"}
    assert mine.verify().ok
    mine.close()
    other.close()


def test_data_without_its_key_ring_is_refused(opened: OPEN, home: Path) -> None:
    memory = opened()
    memory.add("alice was here", user_id="alice")
    memory.close()
    for path in (home / "keys").glob("ring.db*"):
        path.unlink()
    with pytest.raises(KeyUnavailable, match="ring"):
        opened()
