"""Our own stores under the public contracts, and what is particular to files."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from tests.support import Support

from tacita.errors import StoreError
from tacita.ports.keys import KeyRing
from tacita.ports.log import LogStore
from tacita.stores.memory import MemoryLogStore
from tacita.stores.memory_ring import MemoryKeyRing
from tacita.stores.sqlite import SqliteLogStore
from tacita.stores.sqlite_ring import SqliteKeyRing
from tacita.testing.log_contract import A, E, LogStoreContract, event
from tacita.testing.ring_contract import KeyRingContract, entry


class TestSqliteLogStore(LogStoreContract):
    supports = Support("stores", ("sqlite",), f"SQLite {sqlite3.sqlite_version}", "live")

    def make(self, folder: Path) -> LogStore:
        return SqliteLogStore(folder / "log.db")


class TestMemoryLogStore(LogStoreContract):
    supports = Support("stores", ("memory",), "this process's RAM", "live")
    persistent = False

    def make(self, folder: Path) -> LogStore:
        return MemoryLogStore()


class TestSqliteKeyRing(KeyRingContract):
    supports = Support("rings", ("sqlite",), f"SQLite {sqlite3.sqlite_version}", "live")

    def make(self, folder: Path) -> KeyRing:
        return SqliteKeyRing(folder / "ring.db")


class TestMemoryKeyRing(KeyRingContract):
    supports = Support("rings", ("memory",), "this process's RAM", "live")
    persistent = False

    def make(self, folder: Path) -> KeyRing:
        return MemoryKeyRing()


def files_hold(folder: Path, needle: bytes) -> bool:
    return any(needle in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_purged_and_dropped_bytes_leave_the_files(tmp_path: Path) -> None:
    store = SqliteLogStore(tmp_path / "s" / "log.db")
    store.append(A, 0, [event(111_111), event(222_222)], epoch=E)
    assert files_hold(tmp_path, b"111111111111")
    store.append(A, 2, [event(3)], purge=[1], epoch=E)
    assert not files_hold(tmp_path, b"111111111111")
    assert files_hold(tmp_path, b"222222222222")
    store.drop(A, epoch=E)
    assert not files_hold(tmp_path, b"222222222222")
    store.close()


def test_a_shredded_key_leaves_the_files(tmp_path: Path) -> None:
    ring = SqliteKeyRing(tmp_path / "r" / "ring.db")
    ring.create(entry(A, b"the wrapped key bytes"))
    assert files_hold(tmp_path, b"the wrapped key bytes")
    ring.shred(A)
    assert not files_hold(tmp_path, b"the wrapped key bytes")
    ring.close()


def test_files_are_private_even_with_umask_0(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = SqliteLogStore(tmp_path / "s" / "log.db")
        store.append(A, 0, [event(1)], epoch=E)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "s").iterdir()}
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    store.close()


def test_what_is_not_ours_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir(mode=0o700)
    (folder / "elsewhere.db").touch(mode=0o600)
    (folder / "link.db").symlink_to(folder / "elsewhere.db")
    with pytest.raises(StoreError, match="symlink"):
        SqliteLogStore(folder / "link.db")
    (folder / "open.db").touch()
    (folder / "open.db").chmod(0o644)
    with pytest.raises(StoreError, match="chmod"):
        SqliteLogStore(folder / "open.db")
    other = sqlite3.connect(folder / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.close()
    (folder / "other.db").chmod(0o600)
    with pytest.raises(StoreError, match="another application"):
        SqliteLogStore(folder / "other.db")
    broken = folder / "broken.db"
    broken.write_bytes(b"not a database at all" * 100)
    broken.chmod(0o600)
    with pytest.raises(StoreError):
        SqliteLogStore(broken)
    assert broken.read_bytes().startswith(b"not a database")
