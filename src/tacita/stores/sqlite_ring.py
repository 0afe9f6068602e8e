"""The SQLite key ring: wrapped keys and anchors in a small private file of its own, away from the data."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tacita.errors import Conflict, KeyUnavailable, Tampered
from tacita.ports.keys import KeyRing, checked_vault_id
from tacita.sealed import VAULT_ID_BYTES, Anchor, RingEntry
from tacita.stores._layout import Layout, mapped
from tacita.stores._sqlite import WAIT_SECONDS, Database

_KEYS = """(vault_id BLOB PRIMARY KEY NOT NULL, filler BLOB NOT NULL, key_version INTEGER NOT NULL,
          provider TEXT NOT NULL, label BLOB NOT NULL, wrapped BLOB NOT NULL)"""
_SUCCESSORS = f"CREATE TABLE successors {_KEYS}"
_COLUMNS = "vault_id, filler, key_version, provider, label, wrapped"
LAYOUT = Layout(
    kind="Tacita key ring",
    application_id=0x54434B52,  # TCKR
    version=2,
    page_size=512,  # one overflow page for one key: see below
    schema=(
        # `filler` pushes what follows it onto an overflow page, which is zeroed as a whole when the key is shredded
        # (`_overflow` says why that matters). So nothing in a row of keys may ever change: anchors are apart.
        f"CREATE TABLE keys {_KEYS}",
        _SUCCESSORS,
        """CREATE TABLE anchors (vault_id BLOB PRIMARY KEY NOT NULL, seq INTEGER NOT NULL, chain BLOB NOT NULL)
           WITHOUT ROWID""",
        "CREATE TABLE tombstones (vault_id BLOB PRIMARY KEY NOT NULL) WITHOUT ROWID",
        "CREATE TABLE settings (name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL)",
    ),
    upgrades=((_SUCCESSORS,),),
)
_PAGE = 1000
_TYPES = (bytes, int, str, bytes, bytes, int, bytes)
"""Of what `_SELECT` gives."""
_SELECT = "SELECT vault_id, key_version, provider, wrapped, label, seq, chain FROM keys JOIN anchors USING (vault_id)"
_SELECT_SUCCESSORS = _SELECT.replace("keys", "successors")


class SqliteKeyRing(KeyRing):
    """A key ring in the file `path`. A key is on disk before `create` returns, and off it before `shred` returns.

    An anchor is merely written: it survives the death of the process, but a power failure may take back the last ones.
    That is safe. A ring that lags behind the data only fails to notice a rollback to one of these last moments; a key
    that is lost is a vault that is lost.

    Raises StoreError when the file or its folder is not private, not ours or damaged.
    """

    def __init__(self, path: Path, *, wait: float = WAIT_SECONDS) -> None:
        self._db = Database(path, LAYOUT, wait=wait)
        # NORMAL: no fsync at commit. Only anchors go this way; everything else has FULL, whose fsync takes along
        # whatever was written to the write-ahead log before.
        self._anchors = self._db.dedicated(synchronous="NORMAL")
        self._anchors_lock = threading.Lock()
        self.name = f"sqlite {self._db.path}"

    @property
    def path(self) -> Path:
        """The file. Beside it lie `-wal` and `-shm` while it is open."""
        return self._db.path

    def setting(self, name: str) -> bytes | None:
        with self._db.connection("read setting") as db:
            row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return None if row is None else _value(row[0])

    def put_setting_once(self, name: str, value: bytes) -> bytes:
        with self._db.transaction("put setting") as db:
            db.execute("INSERT INTO settings (name, value) VALUES (?,?) ON CONFLICT DO NOTHING", (name, value))
            kept = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()[0]
        return _value(kept)

    def drop_setting(self, name: str) -> None:
        with self._db.transaction("drop setting") as db:
            db.execute("DELETE FROM settings WHERE name = ?", (name,))
        self._db.scrub()

    def swap_setting(self, name: str, expected: bytes | None, value: bytes) -> bool:
        with self._db.transaction("swap setting") as db:
            row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
            kept = None if row is None else _value(row[0])
            if kept != expected:
                return kept == value
            db.execute("DELETE FROM settings WHERE name = ?", (name,))
            db.execute("INSERT INTO settings (name, value) VALUES (?,?)", (name, value))
        self._db.scrub()
        return True

    def settings(self) -> Iterator[tuple[str, bytes]]:
        with self._db.connection("list settings") as db:
            found = db.execute("SELECT name, value FROM settings ORDER BY name").fetchall()
        return iter([(str(name), _value(value)) for name, value in found])

    def rewrap(self, pairs: Sequence[tuple[RingEntry, RingEntry]]) -> int:
        done = 0
        with self._db.transaction("rewrap keys") as db:
            for old, new in pairs:
                vault_id = checked_vault_id(old.vault_id)
                # Removed and put in anew: nothing in a row of `keys` ever changes in place.
                gone = db.execute(
                    "DELETE FROM keys WHERE vault_id = ? AND wrapped = ?", (vault_id, old.wrapped)
                ).rowcount
                if gone:
                    self._insert(db, new)
                    done += 1
        if done:
            self._db.scrub()
        return done

    def _insert(self, db: sqlite3.Connection, entry: RingEntry, table: str = "keys") -> None:
        others = len(entry.vault_id) + 4 + len(entry.provider.encode()) + len(entry.label) + len(entry.wrapped)
        filler = bytes(self._db.overflow.filler(others))
        db.execute(
            f"INSERT INTO {table} ({_COLUMNS}) VALUES (?,?,?,?,?,?)",
            (entry.vault_id, filler, entry.key_version, entry.provider, entry.label, entry.wrapped),
        )

    def get(self, vault_id: bytes) -> RingEntry | None:
        with self._db.connection("get key") as db:
            row = db.execute(f"{_SELECT} WHERE vault_id = ?", (checked_vault_id(vault_id),)).fetchone()
        return None if row is None else _entry(row)

    def shredded(self, vault_id: bytes) -> bool:
        with self._db.connection("get key") as db:
            query = "SELECT EXISTS (SELECT 1 FROM tombstones WHERE vault_id = ?)"
            return bool(db.execute(query, (checked_vault_id(vault_id),)).fetchone()[0])

    def create(self, entry: RingEntry) -> None:
        vault_id = checked_vault_id(entry.vault_id)
        with self._db.transaction("create key") as db:
            if db.execute("SELECT 1 FROM keys WHERE vault_id = ?", (vault_id,)).fetchone():
                raise Conflict(f"vault {vault_id.hex()[:12]} has a key already")
            db.execute("DELETE FROM tombstones WHERE vault_id = ?", (vault_id,))
            self._insert(db, entry)
            db.execute("INSERT INTO anchors VALUES (?,?,?)", (vault_id, entry.anchor.seq, entry.anchor.chain))

    def advance(self, vault_id: bytes, anchor: Anchor) -> None:
        checked_vault_id(vault_id)
        self._db.check_usable()
        with self._anchors_lock, mapped(self.path, "advance anchor"):
            if self._anchors.execute(
                "UPDATE anchors SET seq = ?, chain = ? WHERE vault_id = ? AND seq < ?",
                (anchor.seq, anchor.chain, vault_id, anchor.seq),
            ).rowcount:
                return
            query = "SELECT seq, chain FROM anchors WHERE vault_id = ?"
            kept = self._anchors.execute(query, (vault_id,)).fetchone()
        if kept is None:
            raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: it has no key, or its key was destroyed")
        if kept[0] == anchor.seq and kept[1] != anchor.chain:
            raise Tampered(f"vault {vault_id.hex()[:12]} seq {anchor.seq}: two histories claim this place")

    def settle(self) -> None:
        self._db.settle()

    def rewind(self, vault_id: bytes, anchor: Anchor) -> None:
        with self._db.transaction("rewind anchor") as db:
            query = "UPDATE anchors SET seq = ?, chain = ? WHERE vault_id = ?"
            if not db.execute(query, (anchor.seq, anchor.chain, checked_vault_id(vault_id))).rowcount:
                raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: it has no key, or its key was destroyed")

    def backup(self, path: Path) -> None:
        self._db.copy_to(path)

    def successor(self, vault_id: bytes) -> RingEntry | None:
        with self._db.connection("get successor") as db:
            row = db.execute(f"{_SELECT_SUCCESSORS} WHERE vault_id = ?", (checked_vault_id(vault_id),)).fetchone()
        return None if row is None else _entry(row)

    def successors(self) -> Iterator[RingEntry]:
        return self._pages(_SELECT_SUCCESSORS)

    def prepare(self, entry: RingEntry) -> RingEntry:
        vault_id = checked_vault_id(entry.vault_id)
        with self._db.transaction("prepare key") as db:
            query = "SELECT EXISTS (SELECT 1 FROM keys WHERE vault_id = ? AND key_version = ?)"
            if not db.execute(query, (vault_id, entry.key_version - 1)).fetchone()[0]:
                raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: no key that this one could follow")
            if db.execute("SELECT 1 FROM successors WHERE vault_id = ?", (vault_id,)).fetchone() is None:
                self._insert(db, entry, "successors")
            return _entry(db.execute(f"{_SELECT_SUCCESSORS} WHERE vault_id = ?", (vault_id,)).fetchone())

    def promote(self, vault_id: bytes, key_version: int, anchor: Anchor) -> bool:
        with self._db.transaction("promote key") as db:
            query = """SELECT EXISTS (SELECT 1 FROM successors JOIN anchors USING (vault_id)
                                      WHERE vault_id = ? AND key_version = ? AND seq < ?)"""
            if not db.execute(query, (checked_vault_id(vault_id), key_version, anchor.seq)).fetchone()[0]:
                return False
            db.execute("DELETE FROM keys WHERE vault_id = ?", (vault_id,))
            db.execute(
                f"INSERT INTO keys ({_COLUMNS}) SELECT {_COLUMNS} FROM successors WHERE vault_id = ?", (vault_id,)
            )
            db.execute("DELETE FROM successors WHERE vault_id = ?", (vault_id,))
            db.execute("UPDATE anchors SET seq = ?, chain = ? WHERE vault_id = ?", (anchor.seq, anchor.chain, vault_id))
        self._db.scrub()
        return True

    def shred(self, vault_id: bytes) -> bool:
        checked_vault_id(vault_id)
        with self._db.transaction("shred key") as db:
            found = db.execute("DELETE FROM keys WHERE vault_id = ?", (vault_id,)).rowcount > 0
            if found:
                db.execute("DELETE FROM successors WHERE vault_id = ?", (vault_id,))
                db.execute("DELETE FROM anchors WHERE vault_id = ?", (vault_id,))
                db.execute("INSERT INTO tombstones VALUES (?)", (vault_id,))
        if found or self._db.unscrubbed:
            self._db.scrub()
        return found

    def bury(self, vault_id: bytes) -> None:
        with self._db.transaction("bury key") as db:
            query = "SELECT EXISTS (SELECT 1 FROM keys WHERE vault_id = ?)"
            if db.execute(query, (checked_vault_id(vault_id),)).fetchone()[0]:
                raise Conflict(f"vault {vault_id.hex()[:12]} has a key")
            db.execute("INSERT INTO tombstones VALUES (?) ON CONFLICT DO NOTHING", (vault_id,))

    def tombstones(self) -> Iterator[bytes]:
        return (checked_vault_id(row[0]) for row in self._rows("SELECT vault_id FROM tombstones"))

    def entries(self) -> Iterator[RingEntry]:
        return self._pages(_SELECT)

    def _pages(self, select: str) -> Iterator[RingEntry]:
        return map(_entry, self._rows(select))

    def _rows(self, select: str) -> Iterator[tuple[Any, ...]]:
        # A page at a time: the caller may do anything in between, and a view must not stay open that long.
        last = b""
        while True:
            with self._db.connection("list keys") as db:
                page = db.execute(f"{select} WHERE vault_id > ? ORDER BY vault_id LIMIT ?", (last, _PAGE)).fetchall()
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1][0]

    def close(self) -> None:
        self._db.release(self._anchors)
        self._db.close()


def _value(kept: object) -> bytes:
    if not isinstance(kept, bytes):
        raise Tampered("the key ring was changed: a setting is of another type")
    return kept


def _entry(row: tuple[Any, ...]) -> RingEntry:
    # SQLite lets anybody put any value into any column.
    if tuple(map(type, row)) != _TYPES:
        raise Tampered("the key ring was changed: it holds values that were never written")
    vault_id, key_version, provider, wrapped, label, seq, chain = row
    if len(vault_id) != VAULT_ID_BYTES or not (0 <= key_version < 1 << 32 and 0 <= seq < 1 << 32):
        raise Tampered("the key ring was changed: it holds values that were never written")
    return RingEntry(vault_id, key_version, provider, wrapped, label, Anchor(seq, chain))
