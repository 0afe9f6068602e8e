"""The PostgreSQL log store: one schema, shared by the threads, processes and machines of a deployment.

Every statement but the list of vaults touches one `vault_id`, so that column can distribute the tables over many servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from psycopg import Rollback

from tacita.errors import HeadMoved, InvalidInput, StoreError
from tacita.hazmat import random_bytes
from tacita.ports.log import LogStore
from tacita.sealed import (
    UNKNOWN_EPOCH,
    CopyCounts,
    DropCounts,
    PurgedEvent,
    SealedEvent,
    SealedPart,
    SealedRow,
    VaultHead,
)
from tacita.stores import _postgres_rows as rows
from tacita.stores._copies import follow_copy, write_copy
from tacita.stores._postgres import Database, Moment
from tacita.stores._postgres_pool import Secret
from tacita.stores._postgres_session import Connection
from tacita.stores.postgres_setup import DATA
from tacita.stores.sqlite import update_copy

_FEW: Final = 32
"""Rows that are fetched at once before a cursor is opened: a tail is mostly shorter."""
_AT_A_TIME: Final = 4
"""Snapshot parts that are in RAM."""


class PostgresLogStore(LogStore):
    """Sealed logs in a PostgreSQL schema that `postgres_setup` made: `postgres://ROLE@HOST/DATABASE?password=env:NAME`.

    An append is on the server's disk before it returns, and on that of synchronous standbys if the server has such. A
    purged or dropped row is out of reach for queries at once; where its bytes stay, and for how long, is in
    docs/how-to/postgres.md.

    Raises StoreError when the database cannot be used (see `Database`), ConfigError for the URI.
    """

    scheme = "postgres"

    def __init__(self, uri: str, secrets: Callable[[str], Secret]) -> None:
        self._db = Database(uri, secrets, DATA)
        self._schema = self._db.address.schema
        self.name = self._db.address.name

    def __repr__(self) -> str:
        return f"<PostgresLogStore {self._db.address.name}>"

    def _head(self, vault_id: bytes) -> VaultHead | None:
        query = rows.HEAD.format(schema=self._schema)
        found = self._db.row("head", query, (vault_id,))
        return None if found is None else VaultHead(vault_id, *found)

    def _append(
        self,
        vault_id: bytes,
        expected_seq: int,
        events: Sequence[SealedEvent],
        epoch: bytes,
        purge: Sequence[int],
        format: int,
    ) -> None:
        expected, head = VaultHead(vault_id, format, expected_seq, epoch), expected_seq + len(events)
        # One statement is one transaction in one round trip; a purge must look again after it has the vault's row.
        single = not purge and rows.is_small(events)

        def work(db: Connection) -> bool:
            if single:
                if not rows.append_at_once(db, self._schema, expected, events):
                    raise self._moved(db, expected)
                return True
            if not rows.move_head(db, self._schema, expected, head, purged=bool(purge)):
                raise self._moved(db, expected)
            if purge:
                db.execute(f"DELETE FROM {self._schema}.snapshots WHERE vault_id = %b", (vault_id,))
                query = f"UPDATE {self._schema}.log SET sealed = NULL WHERE vault_id = %b AND seq = ANY(%s)"
                db.execute(query, (vault_id, list(purge)))
            rows.copy(db, self._schema, vault_id, expected_seq, events)
            return True

        self._db.write("append", work, lambda db: self._is_there(db, vault_id, head, events[-1], epoch), single=single)

    def _moved(self, db: Connection, expected: VaultHead) -> HeadMoved | InvalidInput:
        query = f"SELECT format FROM {self._schema}.vaults WHERE vault_id = %b AND head_seq = %s AND epoch = %b"
        found = db.execute(query, (expected.vault_id, expected.seq, expected.epoch)).fetchone()
        if found is not None and found[0] != expected.format:
            return InvalidInput(f"the vault's log has format {found[0]}, not {expected.format}")
        return HeadMoved(f"the vault's head is not {expected.seq} of this epoch")

    def _is_there(
        self,
        db: Connection,
        vault_id: bytes,
        head: int,
        last: SealedEvent | PurgedEvent,
        epoch: bytes,
        *,
        before: bytes | None = None,
    ) -> bool | None:
        """True if this very event, whose digest no other has, is where it was to be written; None if it is not."""
        query = f"""SELECT epoch, digest FROM {self._schema}.vaults LEFT JOIN {self._schema}.log
                        ON log.vault_id = vaults.vault_id AND seq = %s WHERE vaults.vault_id = %b"""
        found = db.execute(query, (head, vault_id), binary=True).fetchone()
        if found is None or found[0] == UNKNOWN_EPOCH:
            return None
        if found[0] == epoch:
            return True if found[1] == last.digest else None
        if before is not None and found[0] == before:
            return None
        # Sealed anew meanwhile by somebody else, perhaps with what we wrote.
        raise StoreError("the log is of another epoch")

    def _replace(
        self, vault_id: bytes, expected: VaultHead, events: Sequence[SealedEvent | PurgedEvent], epoch: bytes
    ) -> None:
        def work(db: Connection) -> bool:
            if not rows.replace_head(db, self._schema, expected, len(events), epoch):
                raise HeadMoved(f"the vault's head is not {expected.seq} of this epoch")
            self._remove(db, vault_id)
            rows.copy(db, self._schema, vault_id, 0, events)
            return True

        def settled(db: Connection) -> bool | None:
            return self._is_there(db, vault_id, len(events), events[-1], epoch, before=expected.epoch)

        self._db.write("replace", work, settled)

    def _remove(self, db: Connection, vault_id: bytes) -> DropCounts:
        parts = db.execute(f"DELETE FROM {self._schema}.snapshots WHERE vault_id = %b", (vault_id,)).rowcount
        return DropCounts(
            db.execute(f"DELETE FROM {self._schema}.log WHERE vault_id = %b", (vault_id,)).rowcount, parts
        )

    def _read(self, vault_id: bytes, after: int) -> Iterator[SealedRow]:
        query = f"""SELECT seq, item_tag, sealed, digest FROM {self._schema}.log
                    WHERE vault_id = %b AND seq > %s ORDER BY seq"""
        values = (vault_id, max(after, 0))
        first = self._db.rows("read", f"{query} LIMIT {_FEW + 1}", values)
        if len(first) <= _FEW:
            yield from (SealedRow(*row) for row in first)
            return
        # Begun anew, so that all of it is of one view.
        for row in self._db.stream("read", query, values):
            yield SealedRow(*row)

    def _fetch(self, vault_id: bytes, seqs: Sequence[int]) -> list[SealedRow]:
        query = f"""SELECT seq, item_tag, sealed, digest FROM {self._schema}.log
                    WHERE vault_id = %b AND seq = ANY(%s) ORDER BY seq"""
        return [SealedRow(*row) for row in self._db.rows("fetch", query, (vault_id, list(set(seqs))))]

    def _drop(self, vault_id: bytes, epoch: bytes) -> DropCounts:
        counts = DropCounts(0, 0)

        def work(db: Connection) -> DropCounts:
            nonlocal counts
            query = f"DELETE FROM {self._schema}.vaults WHERE vault_id = %b AND epoch IN (%b, %b)"
            if db.execute(query, (vault_id, epoch, UNKNOWN_EPOCH)).rowcount:
                counts = self._remove(db, vault_id)
            return counts

        def settled(db: Connection) -> DropCounts | None:
            query = f"SELECT 1 FROM {self._schema}.vaults WHERE vault_id = %b AND epoch IN (%b, %b)"
            return counts if db.execute(query, (vault_id, epoch, UNKNOWN_EPOCH)).fetchone() is None else None

        return self._db.write("drop", work, settled)

    def _vaults(self) -> Iterator[VaultHead]:
        query = f"SELECT vault_id, format, head_seq, epoch FROM {self._schema}.vaults"
        return (VaultHead(*row) for row in self._db.pages("list vaults", query))

    def _write_snapshot(self, vault_id: bytes, upto_seq: int, parts: Iterator[SealedPart]) -> None:
        place = (vault_id, random_bytes(16))
        wanted = """vault_id = %b AND purged_seq <= %s AND head_seq >= %s
                    AND (snapshot_seq IS NULL OR snapshot_seq <= %s)"""
        condition = (vault_id, upto_seq, upto_seq, upto_seq)

        ahead = next(parts, None)
        asked = f"SELECT 1 FROM {self._schema}.vaults WHERE {wanted}"
        if ahead is None or not self._db.row("write snapshot", asked, condition):
            return

        with self._db.connection("write snapshot") as db, db.transaction():
            # No row that others look at is touched before the end, so nobody waits while the parts are being sealed.
            insert = f"INSERT INTO {self._schema}.snapshots (vault_id, writing, part, sealed) VALUES (%b, %b, %s, %b)"
            while ahead is not None:
                db.execute(insert, (*place, ahead.part, ahead.sealed))
                ahead = next(parts, None)
            update = f"UPDATE {self._schema}.vaults SET snapshot = %b, snapshot_seq = %s WHERE {wanted}"
            if not db.execute(update, (place[1], upto_seq, *condition)).rowcount:
                raise Rollback  # a purge, a drop or a newer one came first
            db.execute(f"DELETE FROM {self._schema}.snapshots WHERE vault_id = %b AND writing <> %b", place)

    def _read_snapshot(self, vault_id: bytes) -> tuple[int, Iterator[SealedPart]] | None:
        query = f"""SELECT snapshot_seq, part, sealed FROM {self._schema}.vaults JOIN {self._schema}.snapshots
                        ON snapshots.vault_id = vaults.vault_id AND writing = snapshot
                    WHERE vaults.vault_id = %b ORDER BY part"""
        found = self._db.stream("read snapshot", query, (vault_id,), at_first=_AT_A_TIME)
        # Begun here and not at the first part: both must be of one view.
        first = next(found, None)
        return None if first is None else (first[0], _parts(first, found))

    def _drop_snapshots(self, vault_id: bytes) -> int:
        def work(db: Connection) -> int:
            # First, so that a writer of a snapshot is either seen below or refused at its end.
            query = f"UPDATE {self._schema}.vaults SET snapshot = NULL, snapshot_seq = NULL WHERE vault_id = %b"
            db.execute(query, (vault_id,))
            return db.execute(f"DELETE FROM {self._schema}.snapshots WHERE vault_id = %b", (vault_id,)).rowcount

        return self._db.write("drop snapshots", work)

    def backup(self, path: Path) -> None:
        with self._db.moment("backup") as moment:
            write_copy(_AtOneMoment(moment), path)

    def follow_copy(self, path: Path) -> CopyCounts:
        return follow_copy(self, path)

    def update_copy(self, path: Path) -> CopyCounts:
        return update_copy(self, path)

    def _size(self) -> int:
        query = """SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
                   WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p')"""
        found = self._db.row("size", query, (self._schema,))
        return 0 if found is None else found[0]

    def close(self) -> None:
        self._db.close()


class _AtOneMoment(PostgresLogStore):
    """The store as of one moment, for reading, through one connection."""

    def __init__(self, moment: Moment) -> None:
        self._db = moment
        self._schema = moment.address.schema


def _parts(first: tuple[Any, ...], others: Iterator[tuple[Any, ...]]) -> Iterator[SealedPart]:
    yield SealedPart(first[1], first[2])
    for _, part, sealed in others:
        yield SealedPart(part, sealed)
