"""The SQLite key ring: wrapped keys and anchors in a small file of its own, away from the data."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from tacita.errors import Conflict, KeyUnavailable, Tampered
from tacita.ports.keys import KeyRing, checked_vault_id
from tacita.sealed import Anchor, RingEntry
from tacita.stores._sqlite import Database, mapped

VERSION = 1
APPLICATION_ID = 0x54434B52
# A tombstone is a row whose wrapped key is NULL.
SCHEMA = """
CREATE TABLE keys (vault_id BLOB PRIMARY KEY, key_version INTEGER NOT NULL, provider TEXT NOT NULL, wrapped BLOB,
                   label BLOB NOT NULL, seq INTEGER NOT NULL, chain BLOB NOT NULL);
CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL)
"""
_COLUMNS = "vault_id, key_version, provider, wrapped, label, seq, chain"


class SqliteKeyRing(KeyRing):
    """A key ring in `path` (a file). Keys are written with synchronous=FULL; anchors with NORMAL.

    An anchor that lags behind after a power failure only narrows what a rollback check can see; a key that is lost is a
    vault that is lost.
    """

    def __init__(self, path: Path) -> None:
        self._db = Database(path, schema=SCHEMA, version=VERSION, application_id=APPLICATION_ID)
        with mapped("open"):
            self._anchors = self._db.extra_connection(synchronous="NORMAL")
        self._anchors_lock = threading.Lock()

    @property
    def path(self) -> Path:
        return self._db.path

    def setting(self, name: str) -> bytes | None:
        with mapped("setting"):
            row = self._db.connection().execute("SELECT value FROM settings WHERE name=?", (name,)).fetchone()
        return None if row is None else row[0]

    def put_setting_once(self, name: str, value: bytes) -> bytes:
        with self._db.transaction("put setting") as db:
            db.execute("INSERT OR IGNORE INTO settings VALUES (?,?)", (name, value))
            kept: bytes = db.execute("SELECT value FROM settings WHERE name=?", (name,)).fetchone()[0]
        return kept

    def get(self, vault_id: bytes) -> RingEntry | None:
        with mapped("get key"):
            row = (
                self._db.connection()
                .execute(
                    f"SELECT {_COLUMNS} FROM keys WHERE vault_id=? AND wrapped IS NOT NULL",
                    (checked_vault_id(vault_id),),
                )
                .fetchone()
            )
        return None if row is None else _entry(row)

    def shredded(self, vault_id: bytes) -> bool:
        with mapped("get key"):
            row = (
                self._db.connection()
                .execute("SELECT wrapped FROM keys WHERE vault_id=?", (checked_vault_id(vault_id),))
                .fetchone()
            )
        return row is not None and row[0] is None

    def create(self, entry: RingEntry) -> None:
        with self._db.transaction("create key") as db:
            row = db.execute("SELECT wrapped FROM keys WHERE vault_id=?", (entry.vault_id,)).fetchone()
            if row is not None and row[0] is not None:
                raise Conflict("the vault has a key already")
            db.execute(
                f"INSERT OR REPLACE INTO keys ({_COLUMNS}) VALUES (?,?,?,?,?,?,?)",
                (
                    checked_vault_id(entry.vault_id),
                    entry.key_version,
                    entry.provider,
                    entry.wrapped,
                    entry.label,
                    entry.anchor.seq,
                    entry.anchor.chain,
                ),
            )

    def advance(self, vault_id: bytes, anchor: Anchor) -> None:
        self._db.connection()  # refuses after close and in a forked child
        with self._anchors_lock, mapped("advance anchor"):
            moved = self._anchors.execute(
                "UPDATE keys SET seq=?, chain=? WHERE vault_id=? AND seq<? AND wrapped IS NOT NULL",
                (anchor.seq, anchor.chain, checked_vault_id(vault_id), anchor.seq),
            ).rowcount
            if moved:
                return
            row = self._anchors.execute(
                "SELECT seq, chain FROM keys WHERE vault_id=? AND wrapped IS NOT NULL", (vault_id,)
            ).fetchone()
        if row is None:
            raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: its key was destroyed")
        if row[0] == anchor.seq and row[1] != anchor.chain:
            raise Tampered(f"vault {vault_id.hex()[:12]} seq {anchor.seq}: two histories claim this place")

    def shred(self, vault_id: bytes) -> bool:
        with self._db.transaction("shred key") as db:
            changed = db.execute(
                "UPDATE keys SET wrapped=NULL, label=x'', chain=x'' WHERE vault_id=? AND wrapped IS NOT NULL",
                (checked_vault_id(vault_id),),
            ).rowcount
        self._db.scrub_wal()
        return changed > 0

    def entries(self) -> Iterator[RingEntry]:
        with mapped("list keys"):
            rows = (
                self._db.connection()
                .execute(f"SELECT {_COLUMNS} FROM keys WHERE wrapped IS NOT NULL ORDER BY vault_id")
                .fetchall()
            )
        return map(_entry, rows)

    def close(self) -> None:
        self._db.close()


def _entry(row: sqlite3.Row | tuple[bytes, int, str, bytes, bytes, int, bytes]) -> RingEntry:
    vault_id, key_version, provider, wrapped, label, seq, chain = row
    return RingEntry(vault_id, key_version, provider, wrapped, label, Anchor(seq, chain))
