"""A home chooses its root key once, says so, and never again."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from tests.unit.keys.test_others import Keyring

from tacita import ConfigError, KeyUnavailable, Memory, TacitaError

OPEN = """
import sys
from tacita import Memory
with Memory(sys.argv[1], embedder="none") as memory:
    print("ready", flush=True)
    sys.stdin.readline()
    memory.add(f"said by {sys.argv[2]}", user_id=sys.argv[2])
    memory.add(f"shared by {sys.argv[2]}", user_id="both")
"""


def opened(home: Path, **options: str) -> Memory:
    return Memory(home, embedder="none", **options)


def record(home: Path) -> dict[str, str]:
    kept: dict[str, str] = json.loads((home / "home.json").read_text())
    return kept


def test_without_a_keyring_it_is_a_private_file_and_said_aloud(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with opened(home) as memory:
        told = memory.describe()
    assert "on the same disk as the data" in caplog.text
    assert told["key_on_same_disk"] is True
    assert told["files_private"] is True
    assert (home / "keys" / "root.key").stat().st_mode & 0o777 == 0o600
    assert record(home)["keys"] == "file:root.key"
    caplog.clear()
    opened(home).close()
    assert caplog.text == "", "it is said at first use, and by `doctor`"


@pytest.fixture
def desktop() -> Iterator[Keyring]:
    before = keyring.get_keyring()
    backend = Keyring()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


def test_where_a_keyring_works_the_key_lives_there(home: Path, desktop: Keyring) -> None:
    with opened(home) as memory:
        memory.add("kept", user_id="ana")
    assert len(desktop.kept) == 1
    assert record(home)["keys"].startswith("keyring:tacita/root-")
    assert not (home / "keys" / "root.key").exists()
    with opened(home) as memory:
        assert memory.get_all(user_id="ana").total == 1
    desktop.kept.clear()
    with pytest.raises(KeyUnavailable):
        opened(home)


def test_a_keyring_that_forgets_is_not_chosen(home: Path, desktop: Keyring) -> None:
    desktop.forgets = True
    opened(home).close()
    assert record(home)["keys"] == "file:root.key"


def test_a_keyring_that_appears_later_changes_nothing(home: Path) -> None:
    opened(home).close()
    before, kept = keyring.get_keyring(), Keyring()
    keyring.set_keyring(kept)
    try:
        opened(home).close()
    finally:
        keyring.set_keyring(before)
    assert not kept.kept
    assert record(home)["keys"] == "file:root.key"


@pytest.mark.parametrize("lost", ["keys/root.key", "keys/ring.db", "home.json"])
def test_what_is_lost_is_never_made_anew(home: Path, lost: str) -> None:
    with opened(home) as memory:
        memory.add("kept", user_id="ana")
    saved = (home / lost).read_bytes()
    (home / lost).unlink()
    for _ in range(2):
        with pytest.raises(KeyUnavailable, match="bring"):
            opened(home)
    assert not (home / lost).exists()
    (home / lost).write_bytes(saved)
    (home / lost).chmod(0o600)
    with opened(home) as memory:
        assert memory.get_all(user_id="ana").total == 1


def test_another_root_key_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST", "11" * 32)
    monkeypatch.setenv("SECOND", "22" * 32)
    opened(home, keys="env:FIRST").close()
    with pytest.raises(ConfigError, match="root key is env:"):
        opened(home, keys="env:SECOND")
    monkeypatch.setenv("MOVED", "11" * 32)
    opened(home, keys="env:MOVED").close()


@pytest.mark.parametrize("damage", ["", "{}", "[1", '{"format": 2, "created": "", "keys": "", "provider": ""}'])
def test_a_damaged_record_is_an_error(home: Path, damage: str) -> None:
    opened(home).close()
    (home / "home.json").write_text(damage)
    with pytest.raises(ConfigError, match=r"home\.json"):
        opened(home)


def test_folders_that_others_can_enter_and_symlinks_are_refused(home: Path, tmp_path: Path) -> None:
    opened(home).close()
    (home / "data").chmod(0o755)
    with pytest.raises(TacitaError, match="chmod"):
        opened(home)
    (home / "data").chmod(0o700)
    (tmp_path / "link").symlink_to(home)
    with pytest.raises(TacitaError, match="symlink"):
        opened(tmp_path / "link")


def test_the_keys_folder_may_be_moved_to_another_disk(home: Path, tmp_path: Path) -> None:
    with opened(home) as memory:
        memory.add("kept", user_id="ana")
    (home / "keys").rename(tmp_path / "elsewhere")
    (home / "keys").symlink_to(tmp_path / "elsewhere")
    with opened(home) as memory:
        assert memory.get_all(user_id="ana").total == 1


def test_processes_that_race_for_a_new_home_share_it(home: Path) -> None:
    names = ["ana", "rui", "ines"]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(home), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in started:
        _, errors = process.communicate("\n", timeout=60)
        assert process.returncode == 0, errors
    with opened(home) as memory:
        assert {memory.get_all(user_id=name).items[0].text for name in names} == {f"said by {name}" for name in names}
        assert memory.get_all(user_id="both").total == 3
        assert memory.verify().ok


def test_a_passphrase_may_come_from_a_file(home: Path, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("synthetic words for a test\nand a second line\n")
    secret.chmod(0o600)
    opened(home, keys=f"passphrase:file:{secret}").close()
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        opened(home, keys=f"passphrase:file:{secret}")
    secret.write_bytes(b"\xff\xfe\x00")
    secret.chmod(0o600)
    with pytest.raises(ConfigError, match="does not hold text"):
        opened(home, keys=f"passphrase:file:{secret}")
