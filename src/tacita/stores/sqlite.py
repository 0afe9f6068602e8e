"""The SQLite log store: one private file, shared by the threads and processes of one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from tacita.errors import HeadMoved, InvalidInput, Tampered
from tacita.ports.log import LogStore
from tacita.sealed import (
    EPOCH_BYTES,
    UNKNOWN_EPOCH,
    VAULT_ID_BYTES,
    CopyCounts,
    DropCounts,
    PurgedEvent,
    SealedEvent,
    SealedPart,
    SealedRow,
    VaultHead,
)
from tacita.stores import _extents, _parts
from tacita.stores._layout import Layout
from tacita.stores._sqlite import WAIT_SECONDS, Database
from tacita.stores.following import follow

LAYOUT = Layout(
    kind="Tacita log",
    application_id=0x54434954,  # TCIT
    version=2,
    page_size=4096,
    schema=(
        # AUTOINCREMENT: the number of a dropped vault is never used again. 31 bits, because keys have 63.
        """CREATE TABLE vaults (no INTEGER PRIMARY KEY AUTOINCREMENT CHECK (no < 2147483648),
                                vault_id BLOB NOT NULL UNIQUE, format INTEGER NOT NULL, head_seq INTEGER NOT NULL,
                                purged_seq INTEGER NOT NULL DEFAULT 0, writings INTEGER NOT NULL DEFAULT 0,
                                snapshot INTEGER,
                                epoch BLOB NOT NULL DEFAULT x'00000000000000000000000000000000')""",
        *_extents.SCHEMA,
        *_parts.SCHEMA,
    ),
    upgrades=(
        # The default is `UNKNOWN_EPOCH`.
        ("ALTER TABLE vaults ADD COLUMN epoch BLOB NOT NULL DEFAULT x'00000000000000000000000000000000'",),
    ),
)
_PAGE = 1000


class SqliteLogStore(LogStore):
    """Sealed logs in the file `path`: WAL, every append on disk before it returns.

    `wait` is for how many seconds an operation waits for other writers, and a deletion for readers. A deletion (drop,
    drop_snapshots, append with purge) has removed the bytes from the write-ahead log too when it returns; so the
    thread that deletes must have ended its own reads. When it raises a retryable StoreError after that wait, the
    deletion is committed but its traces are not gone: any later deletion, here or elsewhere, finishes it.

    Raises StoreError when the file or its folder is not private, not ours or damaged.
    """

    scheme = "sqlite"

    def __init__(self, path: Path, *, wait: float = WAIT_SECONDS, is_copy: bool = False) -> None:
        """With `is_copy` the file is there already and its folder may be open to others, as that of a backup may."""
        self._db = Database(path, LAYOUT, wait=wait, anywhere=is_copy)
        self.name = f"sqlite {self._db.path}"

    @property
    def path(self) -> Path:
        """The file. Beside it lie `-wal` and `-shm` while it is open."""
        return self._db.path

    def _head(self, vault_id: bytes) -> VaultHead | None:
        row = self._db.row("head", "SELECT format, head_seq, epoch FROM vaults WHERE vault_id = ?", (vault_id,))
        return None if row is None else _checked(vault_id, *row)

    def _append(
        self,
        vault_id: bytes,
        expected_seq: int,
        events: Sequence[SealedEvent],
        epoch: bytes,
        purge: Sequence[int],
        format: int,
    ) -> None:
        head = expected_seq + len(events)
        with self._db.transaction("append") as db:
            query = "SELECT no, format, head_seq, epoch FROM vaults WHERE vault_id = ?"
            row = db.execute(query, (vault_id,)).fetchone()
            no, stored_format, stored_head, stored_epoch = row or (None, format, 0, epoch)
            if stored_head != expected_seq or stored_epoch not in (epoch, UNKNOWN_EPOCH):
                raise HeadMoved(f"the vault's head is not {expected_seq} of this epoch")
            if stored_format != format:
                raise InvalidInput(f"the vault's log has format {stored_format}, not {format}")
            if no is None:
                no = _add_vault(db, VaultHead(vault_id, format, head, epoch))
            else:
                db.execute("UPDATE vaults SET head_seq = ?, epoch = ? WHERE no = ?", (head, epoch, no))
            if purge:
                _parts.drop(db, no)
                _extents.purge(db, no, purge)
                db.execute("UPDATE vaults SET purged_seq = ? WHERE no = ?", (head, no))
            _extents.append(db, self._db.overflow, no, expected_seq, events)
        if purge:
            self._db.scrub()

    def _replace(
        self, vault_id: bytes, expected: VaultHead, events: Sequence[SealedEvent | PurgedEvent], epoch: bytes
    ) -> None:
        with self._db.transaction("replace") as db:
            query = "SELECT no, format, head_seq, epoch FROM vaults WHERE vault_id = ?"
            row = db.execute(query, (vault_id,)).fetchone()
            if VaultHead(vault_id, *row[1:]) != expected if row else expected.seq:
                raise HeadMoved(f"the vault's head is not {expected.seq} of this epoch")
            if row is not None:
                _remove_vault(db, row[0])
            no = _add_vault(db, VaultHead(vault_id, expected.format, len(events), epoch))
            # Snapshots that were folded from the other log come too late.
            db.execute("UPDATE vaults SET purged_seq = head_seq WHERE no = ?", (no,))
            _extents.append(db, self._db.overflow, no, 0, events)
        self._db.scrub()

    def _read(self, vault_id: bytes, after: int) -> Iterator[SealedRow]:
        # Readers ask for the tail all the time, and mostly there is none: one statement answers that.
        row = self._db.row("read", "SELECT no FROM vaults WHERE vault_id = ? AND head_seq > ?", (vault_id, after))
        if row is None:
            return
        with self._db.reading("read") as db:
            chunks = _extents.scan(db, row[0], after)
            ahead = next(chunks, [])
            for chunk in chunks:
                yield from ahead
                self._db.check_usable()
                ahead = chunk
        # The last chunk, which most often is the only one, comes when the view is given back: it holds up no deletion.
        yield from ahead

    def _fetch(self, vault_id: bytes, seqs: Sequence[int]) -> list[SealedRow]:
        with self._db.reading("fetch") as db:
            row = db.execute("SELECT no FROM vaults WHERE vault_id = ?", (vault_id,)).fetchone()
            return [] if row is None else _extents.fetch(db, row[0], seqs)

    def _drop(self, vault_id: bytes, epoch: bytes) -> DropCounts:
        counts = DropCounts(0, 0)
        with self._db.transaction("drop") as db:
            query = "SELECT no FROM vaults WHERE vault_id = ? AND epoch IN (?, ?)"
            row = db.execute(query, (vault_id, epoch, UNKNOWN_EPOCH)).fetchone()
            if row is not None:
                counts = _remove_vault(db, row[0])
        if row is not None or self._db.unscrubbed:
            self._db.scrub()
        return counts

    def _vaults(self) -> Iterator[VaultHead]:
        # A page at a time: the caller may do anything in between, and a view must not stay open that long.
        last = b""
        while True:
            with self._db.connection("list vaults") as db:
                query = (
                    "SELECT vault_id, format, head_seq, epoch FROM vaults WHERE vault_id > ? ORDER BY vault_id LIMIT ?"
                )
                page = db.execute(query, (last, _PAGE)).fetchall()
            yield from (_checked(*row) for row in page)
            if len(page) < _PAGE:
                return
            last = page[-1][0]

    def _write_snapshot(self, vault_id: bytes, upto_seq: int, parts: Iterator[SealedPart]) -> None:
        _parts.write(self._db, vault_id, upto_seq, parts)

    def _read_snapshot(self, vault_id: bytes) -> tuple[int, Iterator[SealedPart]] | None:
        found = _parts.read(self._db, vault_id)
        # Begun here and not at the first part: both must be of one view.
        upto_seq = next(found, None)
        return None if upto_seq is None else (cast(int, upto_seq), cast(Iterator[SealedPart], found))

    def _drop_snapshots(self, vault_id: bytes) -> int:
        dropped = 0
        with self._db.transaction("drop snapshots") as db:
            row = db.execute("SELECT no FROM vaults WHERE vault_id = ?", (vault_id,)).fetchone()
            if row is not None:
                dropped = _parts.drop(db, row[0])
        if dropped or self._db.unscrubbed:
            self._db.scrub()
        return dropped

    def backup(self, path: Path) -> None:
        self._db.copy_to(path)

    def update_copy(self, path: Path) -> CopyCounts:
        return update_copy(self, path)

    def _size(self) -> int:
        return self._db.size()

    def close(self) -> None:
        self._db.close()


def update_copy(source: LogStore, path: Path) -> CopyCounts:
    """Bring a file that `backup` wrote to what `source` holds now. Raises InvalidInput when there is none."""
    if not path.is_file() or path.is_symlink():
        raise InvalidInput(f"{path} is no copy that could be brought up to date: make one first")
    with closing(SqliteLogStore(path, is_copy=True)) as copy:
        return follow(copy, source)


def _add_vault(db: sqlite3.Connection, head: VaultHead) -> int:
    insert = "INSERT INTO vaults (vault_id, format, head_seq, epoch) VALUES (?,?,?,?)"
    return cast(int, db.execute(insert, (head.vault_id, head.format, head.seq, head.epoch)).lastrowid)


def _remove_vault(db: sqlite3.Connection, no: int) -> DropCounts:
    parts = _parts.drop(db, no)
    counts = DropCounts(_extents.drop(db, no), parts)
    db.execute("DELETE FROM vaults WHERE no = ?", (no,))
    return counts


def _checked(vault_id: Any, format: Any, seq: Any, epoch: Any) -> VaultHead:
    # SQLite lets anybody put any value into any column.
    if (
        type(vault_id) is not bytes
        or len(vault_id) != VAULT_ID_BYTES
        or type(format) is not int
        or type(seq) is not int
        or type(epoch) is not bytes
        or len(epoch) != EPOCH_BYTES
    ):
        raise Tampered("the list of vaults was changed: it holds values of other types")
    return VaultHead(vault_id, format, seq, epoch)
