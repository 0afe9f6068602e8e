"""What is deleted is in no file any more: not in the database, not in its free pages, not in the write-ahead log."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tacita import Memory, NotFound

OPEN = Callable[..., Memory]
FOUND = Callable[[Path, bytes], list[str]]


def ciphertexts(database: Path) -> dict[int, bytes]:
    """Sealed bytes by row key; the middle of each is enough to look for."""
    db = sqlite3.connect(database)
    rows = dict(db.execute("SELECT key, sealed FROM log WHERE sealed IS NOT NULL").fetchall())
    db.close()
    return rows


def middle(sealed: bytes) -> bytes:
    return sealed[80:112]


def test_delete_purges_every_version(opened: OPEN, database: Path, tmp_path: Path, found_in: FOUND) -> None:
    memory = opened()
    keep = memory.add("kept", user_id="alice").results[0].id
    item = memory.add("first words " * 500, user_id="alice").results[0].id
    memory.update(item, "second words", user_id="alice")
    memory.update(item, metadata={"a": 1}, user_id="alice")
    rows = ciphertexts(database)
    number = memory.history(item, user_id="alice")
    doomed = [rows[1 << 32 | change.seq] for change in number]
    assert all(found_in(tmp_path, middle(sealed)) for sealed in doomed)
    receipt = memory.delete(item, user_id="alice")
    assert (receipt.ids, receipt.events_purged) == ((item,), 3)
    for sealed in doomed:
        assert found_in(tmp_path, middle(sealed)) == []
        assert found_in(tmp_path, sealed[-24:]) == []
    for look in (memory.get, memory.history, memory.delete):
        with pytest.raises(NotFound):
            look(item, user_id="alice")
    assert memory.get(keep, user_id="alice").text == "kept"
    assert memory.verify().ok
    memory.close()
    again = opened()
    assert [one.id for one in again.get_all(user_id="alice").items] == [keep]
    assert again.search("words", user_id="alice", as_of="2100-01-01").hits[0].id == keep
    assert again.verify().ok


def test_delete_drops_snapshots(opened: OPEN, database: Path, home: Path, found_in: FOUND) -> None:
    memory = opened()
    memory.add([f"note {n}" for n in range(600)], user_id="alice")
    memory.close()
    db = sqlite3.connect(database)
    parts = [row[0] for row in db.execute("SELECT sealed FROM snapshots")]
    db.close()
    assert parts
    memory = opened()
    item = memory.get_all(user_id="alice").items[0].id
    assert memory.delete(item, user_id="alice").snapshot_parts_dropped == len(parts)
    assert all(found_in(home, middle(part)) == [] for part in parts)


def test_deleted_text_leaves_ram(opened: OPEN) -> None:
    memory = opened()
    item = memory.add("platypusmarmalade", user_id="alice").results[0].id
    subject = memory.search("platypusmarmalade", user_id="alice").hits[0].subject
    memory.delete(item, user_id="alice")
    vault = memory._engine.vaults.find(memory._principal.tenant, subject)
    assert vault is not None
    assert "platypusmarmalade" not in vault.state.texts
    assert memory.search("platypusmarmalade", user_id="alice").hits == ()


def test_erase_leaves_neither_rows_nor_key(
    opened: OPEN, database: Path, home: Path, tmp_path: Path, found_in: FOUND
) -> None:
    memory = opened()
    memory.add(["alice one " * 300, "alice two"], user_id="alice")
    memory.add("bob one", user_id="bob")
    rows = [sealed for key, sealed in ciphertexts(database).items() if key >> 32 == 1]
    ring = sqlite3.connect(home / "keys" / "ring.db")
    vault_id = memory._engine.keys.vault_id(memory._principal.tenant, "user", "alice")
    wrapped = ring.execute("SELECT wrapped FROM keys WHERE vault_id=?", (vault_id,)).fetchone()[0]
    ring.close()
    assert found_in(home, wrapped[-32:])
    receipt = memory.erase(user_id="alice")
    assert (receipt.keys_destroyed, receipt.events_dropped, receipt.items) == (1, 2, 2)
    assert found_in(home, wrapped[-32:]) == []
    assert all(found_in(home, middle(sealed)) == [] for sealed in rows)
    assert memory.get_all(user_id="alice").total == 0
    assert memory.get_all(user_id="bob").total == 1
    nothing = memory.erase(user_id="alice")
    assert (nothing.keys_destroyed, nothing.events_dropped) == (0, 0)
    assert memory.verify().ok


def test_idempotency_does_not_remember_what_was_deleted(opened: OPEN) -> None:
    memory = opened()
    item = memory.add("once", user_id="alice", idempotency_key="k").results[0].id
    memory.delete(item, user_id="alice")
    assert memory.add("other", user_id="alice", idempotency_key="k").results[0].event == "added"


def test_delete_by_another_process_object_is_seen(opened: OPEN) -> None:
    one, two = opened(), opened()
    item = one.add("shared", user_id="alice").results[0].id
    assert two.get(item, user_id="alice").text == "shared"
    one.delete(item, user_id="alice")
    assert two.search("shared", user_id="alice").hits == ()
    with pytest.raises(NotFound):
        two.get(item, user_id="alice")
