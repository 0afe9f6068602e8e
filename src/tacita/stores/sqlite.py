"""The SQLite log store: one file, clustered by vault and sequence number, so that a vault is one range scan."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from tacita.errors import HeadMoved
from tacita.ports.log import LogStore
from tacita.sealed import DropCounts, SealedEvent, SealedPart, SealedRow, VaultHead
from tacita.stores._sqlite import Database, mapped

VERSION = 1
# log.key = vault number << 32 | seq: the table itself is ordered by vault and seq, without a second index.
# AUTOINCREMENT keeps the number of a dropped vault from ever being used again.
SCHEMA = """
CREATE TABLE vaults (no INTEGER PRIMARY KEY AUTOINCREMENT, vault_id BLOB NOT NULL UNIQUE,
                     format INTEGER NOT NULL, head_seq INTEGER NOT NULL);
CREATE TABLE log (key INTEGER PRIMARY KEY, item_tag BLOB NOT NULL, sealed BLOB, digest BLOB NOT NULL);
CREATE TABLE snapshots (no INTEGER NOT NULL, part INTEGER NOT NULL, upto_seq INTEGER NOT NULL, sealed BLOB NOT NULL,
                        PRIMARY KEY (no, part))
"""
_FETCH_CHUNK = 500
_READ_CHUNK = 512


class SqliteLogStore(LogStore):
    """Sealed logs in `path` (a file), WAL, synchronous=FULL. Shared by any number of processes of one machine.

    Raises StoreError when the file or its folder is not private, not ours or damaged.
    """

    scheme = "sqlite"

    def __init__(self, path: Path) -> None:
        self._db = Database(path, schema=SCHEMA, version=VERSION)

    @property
    def path(self) -> Path:
        return self._db.path

    def _head(self, vault_id: bytes) -> VaultHead | None:
        with mapped("head"):
            row = (
                self._db.connection()
                .execute("SELECT format, head_seq FROM vaults WHERE vault_id=?", (vault_id,))
                .fetchone()
            )
        return None if row is None else VaultHead(vault_id, row[0], row[1])

    def _append(
        self, vault_id: bytes, expected_seq: int, events: Sequence[SealedEvent], purge: Sequence[int], format: int
    ) -> None:
        head = expected_seq + len(events)
        with self._db.transaction("append") as db:
            number, found = self._number(db, vault_id)
            if found != expected_seq:
                raise HeadMoved(f"the vault's head is {found}, not {expected_seq}")
            if number is None:
                cursor = db.execute(
                    "INSERT INTO vaults (vault_id, format, head_seq) VALUES (?,?,?)", (vault_id, format, head)
                )
                number = cursor.lastrowid
                assert number is not None
            else:
                db.execute("UPDATE vaults SET head_seq=? WHERE no=?", (head, number))
            base = number << 32
            if purge:
                db.execute("DELETE FROM snapshots WHERE no=?", (number,))
                db.executemany("UPDATE log SET sealed=NULL WHERE key=?", [(base | seq,) for seq in purge])
            db.executemany(
                "INSERT INTO log VALUES (?,?,?,?)",
                [
                    (base | seq, one.item_tag, one.sealed, one.digest)
                    for seq, one in enumerate(events, expected_seq + 1)
                ],
            )
        if purge:
            self._db.scrub_wal()

    @staticmethod
    def _number(db: sqlite3.Connection, vault_id: bytes) -> tuple[int | None, int]:
        row = db.execute("SELECT no, head_seq FROM vaults WHERE vault_id=?", (vault_id,)).fetchone()
        return (None, 0) if row is None else (row[0], row[1])

    def _read(self, vault_id: bytes, after: int) -> Iterator[SealedRow]:
        with mapped("read"):
            number, head = self._number(self._db.connection(), vault_id)
        if number is None or head <= after:
            return
        if head - after <= _READ_CHUNK:
            # A short tail comes in one statement, which is a consistent view by itself.
            with mapped("read"):
                rows = self._db.connection().execute(_SCAN, (number << 32 | after, (number + 1) << 32)).fetchall()
            yield from (SealedRow(key & 0xFFFFFFFF, tag, sealed, digest) for key, tag, sealed, digest in rows)
            return
        # A spare connection: its read transaction is the consistent view, which other uses of this thread's own
        # connection must not end. It goes back when the generator ends, also when the caller abandons it.
        with self._db.borrowed() as db, mapped("read"):
            for key, tag, sealed, digest in db.execute(_SCAN, (number << 32 | after, (number + 1) << 32)):
                yield SealedRow(key & 0xFFFFFFFF, tag, sealed, digest)

    def _fetch(self, vault_id: bytes, seqs: Sequence[int]) -> list[SealedRow]:
        rows: list[SealedRow] = []
        wanted = sorted(set(seqs))
        with mapped("fetch"):
            db = self._db.connection()
            number, _ = self._number(db, vault_id)
            for start in range(0, len(wanted) if number is not None else 0, _FETCH_CHUNK):
                keys = [(number or 0) << 32 | seq for seq in wanted[start : start + _FETCH_CHUNK]]
                marks = ",".join("?" * len(keys))
                found = db.execute(
                    f"SELECT key, item_tag, sealed, digest FROM log WHERE key IN ({marks}) ORDER BY key", keys
                )
                rows += [SealedRow(key & 0xFFFFFFFF, tag, sealed, digest) for key, tag, sealed, digest in found]
        return rows

    def _drop(self, vault_id: bytes) -> DropCounts:
        with self._db.transaction("drop") as db:
            number, _ = self._number(db, vault_id)
            if number is None:
                return DropCounts(0, 0)
            parts = db.execute("DELETE FROM snapshots WHERE no=?", (number,)).rowcount
            events = db.execute(
                "DELETE FROM log WHERE key > ? AND key < ?", (number << 32, (number + 1) << 32)
            ).rowcount
            db.execute("DELETE FROM vaults WHERE no=?", (number,))
        self._db.scrub_wal()
        return DropCounts(events, parts)

    def _vaults(self) -> Iterator[VaultHead]:
        with mapped("vaults"):
            found = self._db.connection().execute("SELECT vault_id, format, head_seq FROM vaults ORDER BY vault_id")
            heads = [VaultHead(*row) for row in found.fetchall()]
        return iter(heads)

    def _write_snapshot(self, vault_id: bytes, upto_seq: int, parts: Iterator[SealedPart]) -> None:
        # Sealed before the transaction begins: a writer must not wait for cryptography.
        sealed = [(part.part, part.sealed) for part in parts]
        with self._db.transaction("snapshot") as db:
            number, _ = self._number(db, vault_id)
            if number is None:
                return
            stored = db.execute("SELECT max(upto_seq) FROM snapshots WHERE no=?", (number,)).fetchone()[0]
            if stored is not None and stored >= upto_seq:
                return
            db.execute("DELETE FROM snapshots WHERE no=?", (number,))
            db.executemany(
                "INSERT INTO snapshots (no, part, upto_seq, sealed) VALUES (?,?,?,?)",
                [(number, part, upto_seq, body) for part, body in sealed],
            )

    def _read_snapshot(self, vault_id: bytes) -> tuple[int, Iterator[SealedPart]] | None:
        with mapped("snapshot"):
            number, _ = self._number(self._db.connection(), vault_id)
            if number is None:
                return None
            row = self._db.connection().execute("SELECT max(upto_seq) FROM snapshots WHERE no=?", (number,)).fetchone()
        return None if row[0] is None else (row[0], self._parts(number, row[0]))

    def _parts(self, number: int, upto_seq: int) -> Iterator[SealedPart]:
        query = "SELECT part, sealed FROM snapshots WHERE no=? AND upto_seq=? ORDER BY part"
        with self._db.borrowed() as db, mapped("snapshot"):
            for part, sealed in db.execute(query, (number, upto_seq)):
                yield SealedPart(part, sealed)

    def _drop_snapshots(self, vault_id: bytes) -> int:
        with self._db.transaction("drop snapshots") as db:
            number, _ = self._number(db, vault_id)
            if number is None:
                return 0
            dropped = db.execute("DELETE FROM snapshots WHERE no=?", (number,)).rowcount
        if dropped:
            self._db.scrub_wal()
        return dropped

    def _size(self) -> int:
        return self._db.size()

    def close(self) -> None:
        self._db.close()


_SCAN = "SELECT key, item_tag, sealed, digest FROM log WHERE key > ? AND key < ? ORDER BY key"
