"""What the power-failure simulation (`tests/survival/test_power_failure.py`) once found, each in its smallest form."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tacita import Memory, WrongKey
from tacita.hazmat import SecretKey
from tacita.stores.anchor_file import FilePlace
from tacita.stores.memory_ring import MemoryKeyRing
from tacita.vault.mirror import AnchorMirror


def opened(home: Path) -> Memory:
    return Memory.from_config({"home": str(home), "embedder": "none", "anchors": str(home.with_name("anchors.json"))})


def test_an_erased_subject_who_came_back_is_no_rollback_to_the_next_process(home: Path) -> None:
    first = opened(home)
    for number in range(3):
        first.add(f"before {number}", user_id="ana")
    first.remember_anchors()
    first.erase(user_id="ana")
    first.add("after", user_id="ana")
    # The first process has not closed: it may as well have died here.
    with opened(home) as second:
        assert [item.text for item in second.get_all(user_id="ana").items] == ["after"]
    first.close()


def test_an_erasure_that_was_cut_short_is_not_held_against_who_comes_back(home: Path) -> None:
    first = opened(home)
    first.add(["one", "two"], user_id="ana")
    first.remember_anchors()
    entry = next(entry for entry in first._engine.keys.ring.entries() if first._engine.keys.whose(entry)[1] == "user")
    first._engine.keys.ring.shred(entry.vault_id)
    second = opened(home)
    second.add("after", user_id="ana")
    with opened(home) as third:
        assert [item.text for item in third.get_all(user_id="ana").items] == ["after"]
    second.close()
    first.close()


def test_the_ring_is_durable_before_its_anchors_are_remembered_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "anchors.json"
    settled = []

    class Ring(MemoryKeyRing):
        def settle(self) -> None:
            settled.append(not path.exists())

    AnchorMirror(FilePlace(path), SecretKey.generate()).write(Ring(), 1)
    assert settled == [True]
    assert path.exists()


def test_the_record_of_the_root_key_is_durable_under_its_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, replace = os.fsync, os.replace
    steps: list[str] = []

    def synced(handle: int) -> None:
        fsync(handle)
        status = os.fstat(handle)
        steps.append("folder" if stat.S_ISDIR(status.st_mode) and status.st_ino == home.stat().st_ino else "other")

    def replaced(old: Path, new: Path) -> None:
        replace(old, new)
        steps.append(Path(new).name)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    opened(home).close()
    at = steps.index("home.json")
    assert steps[at + 1] == "folder"
    assert steps[:at].count("folder") >= 2, "the folders `data` and `keys` are durable too"


def test_a_root_key_that_says_anything_is_never_replaced(home: Path) -> None:
    (home / "keys").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    (home / "keys" / "root.key").touch(0o600)
    (home / "keys" / "root.key").write_text("half a key")
    with pytest.raises(WrongKey):
        opened(home)
    assert (home / "keys" / "root.key").read_text() == "half a key"


def test_a_root_key_that_was_emptied_later_is_never_replaced(home: Path) -> None:
    opened(home).close()
    (home / "keys" / "root.key").write_bytes(b"")
    with pytest.raises(WrongKey):
        opened(home)
    assert (home / "keys" / "root.key").read_bytes() == b""
