"""SQLite files that somebody else wrote into: bytes changed in their pages, and rows changed by SQL."""

from __future__ import annotations

import functools
import sqlite3
from pathlib import Path
from typing import Any, Final

from fuzzing import vaults
from fuzzing.kit import Refused, Target, attempt, from_msgpack, msgpack_seeds, require, skips_unreadable
from fuzzing.stored import FOLDER
from fuzzing.vaults import EVENTS, KEYS
from tacita.errors import CryptoError, StoreError, Tampered
from tacita.hazmat import SecretKey
from tacita.keys._local import LocalProvider
from tacita.sealed import Anchor, RingEntry, SealedEvent
from tacita.stores.memory_ring import MemoryKeyRing
from tacita.stores.sqlite import SqliteLogStore
from tacita.stores.sqlite_ring import SqliteKeyRing
from tacita.vault.keyring import Keys


@functools.cache
def _database() -> bytes:
    """A genuine log with three events and a snapshot."""
    path = FOLDER / "seed.db"
    path.unlink(missing_ok=True)
    made = SqliteLogStore(path)
    source, _, _ = vaults.sealed_vault(vaults.encoded(EVENTS[:3]))
    rows = [SealedEvent(row.item_tag, row.sealed or b"", row.digest) for row in source.read(KEYS.vault_id)]
    made.append(KEYS.vault_id, 0, rows, epoch=KEYS.epoch)
    vaults.put_snapshot(made, 3, b"x" * 900)
    made.close()
    return _checkpointed(path)


def _placed(raw: bytes) -> Path:
    path = FOLDER / "log.db"
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(raw)
    return path


def file_bytes(data: bytes) -> None:
    """Pieces put over the file: three bytes say where, one how long, then what."""
    raw = bytearray(_database())
    while len(data) > 4:
        at, count = int.from_bytes(data[:3]) % len(raw), data[3] % 64
        piece = data[4 : 4 + count]
        raw[at : at + len(piece)] = piece
        data = data[4 + count :]
    _read(_placed(bytes(raw)), genuine=bytes(raw) == _database())


def rows(value: Any) -> None:
    """Fields of a log changed by SQL, as (table, column, row, value): what no constraint forbids may stand in them."""
    if isinstance(value, list):
        path = _placed(_database())
        _change(path, value)
        _read(path, genuine=not value)


def ring_rows(value: Any) -> None:
    """The same for a key ring."""
    if not isinstance(value, list):
        return
    path = _placed(_ring_database())
    _change(path, value)
    ring = attempt(lambda: SqliteKeyRing(path), StoreError)
    require(not isinstance(ring, Refused) or bool(value), "an unchanged ring opens")
    if isinstance(ring, Refused):
        return
    try:
        keys = attempt(lambda: Keys(ring, _ROOT), CryptoError, StoreError)
        entries = attempt(lambda: list(ring.entries()), StoreError, Tampered)
        attempt(lambda: ring.shredded(KEYS.vault_id), StoreError)
        if not isinstance(keys, Refused) and not isinstance(entries, Refused):
            for entry in entries:
                attempt(lambda entry=entry: keys.whose(entry), Tampered)  # type: ignore[misc]
                attempt(lambda entry=entry: keys.find("t", entry.vault_id), CryptoError)  # type: ignore[misc]
        anchor = Anchor(3, b"c" * 32)
        attempt(lambda: ring.advance(keys_id(), anchor), StoreError, CryptoError)
        attempt(lambda: ring.shred(keys_id()), StoreError)
    finally:
        attempt(ring.close, StoreError)


_ROOT: Final = LocalProvider(SecretKey(b"p" * 32), scheme="fuzz", where="here")


@functools.cache
def _ring_made() -> tuple[bytes, bytes]:
    path = FOLDER / "ring.db"
    path.unlink(missing_ok=True)
    ring = SqliteKeyRing(path)
    found, _ = Keys(ring, _ROOT).create("t", "user", "ana")
    ring.close()
    return found.vault_id, _checkpointed(path)


def keys_id() -> bytes:
    """The vault of which the ring has a key."""
    return _ring_made()[0]


def _ring_database() -> bytes:
    return _ring_made()[1]


def _checkpointed(path: Path) -> bytes:
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return path.read_bytes()


def _change(path: Path, value: list[Any]) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        for each in value[:8]:
            if isinstance(each, list) and len(each) == 4 and all(type(part) is int for part in each[:3]):
                _update(db, tables, each)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()


def _update(db: sqlite3.Connection, tables: list[str], change: list[Any]) -> None:
    table = tables[change[0] % len(tables)]
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    column = columns[change[1] % len(columns)]
    keys = [key for (key,) in db.execute(f"SELECT {columns[0]} FROM {table}")]
    if not keys:
        return
    try:
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {columns[0]} = ?", (change[3], keys[change[2] % len(keys)]))
    except (sqlite3.Error, OverflowError, UnicodeEncodeError):
        return  # a constraint, or no value of SQLite's


def _read(path: Path, *, genuine: bool) -> None:
    """Everything that reads: each answers, or raises StoreError or Tampered."""
    store = attempt(lambda: SqliteLogStore(path), StoreError)
    require(not (genuine and isinstance(store, Refused)), "an unchanged file opens")
    if isinstance(store, Refused):
        return
    try:
        ring = MemoryKeyRing()
        ring.create(RingEntry(KEYS.vault_id, 1, "p", b"w", b"l", Anchor(0, KEYS.genesis)))
        attempt(lambda: list(store.vaults()), StoreError, Tampered)
        attempt(store.size, StoreError)
        attempt(lambda: store.head(KEYS.vault_id), StoreError, Tampered)
        vault = attempt(lambda: vaults.opened(store, ring, Anchor(0, KEYS.genesis)), StoreError, Tampered)
        require(not (genuine and isinstance(vault, Refused)), "an unchanged vault opens")
        attempt(lambda: [len(row.digest) for row in store.fetch(KEYS.vault_id, [1, 2, 9])], StoreError, Tampered)
        attempt(lambda: store.drop_snapshots(KEYS.vault_id), StoreError)
        attempt(lambda: store.drop(KEYS.vault_id, epoch=KEYS.epoch), StoreError)
    finally:
        attempt(store.close, StoreError)


_CHANGES: Final = (
    [],
    *([[table, column, 0, value]] for table in range(4) for column in range(6) for value in (7, "x", b"y", 2**40)),
)
TARGETS: Final = (
    Target(
        "sqlite-file",
        "A log file with changed bytes is a StoreError or Tampered, wherever it is read",
        file_bytes,
        lambda: iter([b"", b"\0\0\x10\1\0", b"\0\x10\1\4abcd", b"\0\x20\x10\x08abcdefgh"]),
    ),
    Target(
        "sqlite-rows",
        "A log whose rows somebody changed by SQL is a StoreError or Tampered, wherever it is read",
        skips_unreadable(rows, from_msgpack),
        msgpack_seeds(*_CHANGES),
        "msgpack",
    ),
    Target(
        "ring-rows",
        "A key ring whose rows somebody changed by SQL is a typed error, wherever it is read",
        skips_unreadable(ring_rows, from_msgpack),
        msgpack_seeds(*_CHANGES),
        "msgpack",
    ),
)
