"""The head of a vault's log, moved by compare-and-set in one statement each, and the rows that come with it.

In READ COMMITTED an UPDATE that waited for another writer looks at the row again before it changes it, and an INSERT that
waited sees the row that was made meanwhile. So each of these statements has one winner without any lock of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tacita.sealed import UNKNOWN_EPOCH, PurgedEvent, SealedEvent, VaultHead
from tacita.stores._postgres_session import Connection

HEAD: Final = """SELECT format, head_seq, epoch,
                         (SELECT digest FROM {schema}.log WHERE log.vault_id = vaults.vault_id AND log.seq = vaults.head_seq)
                  FROM {schema}.vaults WHERE vault_id = %b"""
"""A vault's head with the last digest, for a failover to an asynchronous standby goes back in time while we look.

No join: beside many small vaults the planner takes every vault for a small one, and reads all of its log to find one row.
"""
_SMALL_EVENTS: Final = 256
_SMALL_BYTES: Final = 2 * 1024 * 1024
_COPY_ROWS: Final = 5_000
_COPY_BYTES: Final = 16 * 1024 * 1024
"""What goes in one COPY, so that each is far from the time-out of a statement."""
_INSERT: Final = "INSERT INTO {schema}.log (vault_id, seq, item_tag, sealed, digest)"
_NEW: Final = """INSERT INTO {schema}.vaults (vault_id, format, head_seq, epoch, purged_seq) VALUES (%b, %s, %s, %b, %s)
                 ON CONFLICT (vault_id) DO NOTHING"""
_MOVE: Final = """UPDATE {schema}.vaults SET head_seq = %s, epoch = %b
                  WHERE vault_id = %b AND head_seq = %s AND format = %s AND epoch IN (%b, %b)"""
_MOVE_PURGED: Final = _MOVE.replace(
    "epoch = %b\n", "epoch = %b, purged_seq = %s, snapshot = NULL, snapshot_seq = NULL\n"
)
_REPLACE: Final = """UPDATE {schema}.vaults
                     SET head_seq = %s, epoch = %b, purged_seq = %s, snapshot = NULL, snapshot_seq = NULL
                     WHERE vault_id = %b AND head_seq = %s AND format = %s AND epoch = %b"""


def is_small(events: Sequence[SealedEvent]) -> bool:
    """Whether events go into one statement; else they are copied."""
    return len(events) <= _SMALL_EVENTS and sum(len(event.sealed) for event in events) <= _SMALL_BYTES


def append_at_once(db: Connection, schema: str, expected: VaultHead, events: Sequence[SealedEvent]) -> bool:
    """Move the head and write the events in one statement. False, and nothing is written, when the head is another."""
    statement, values = _moved(schema, expected, expected.seq + len(events))
    of_rows: tuple[Any, ...]
    if len(events) == 1:
        rows, of_rows = "SELECT vault_id, %s, %b, %b, %b FROM moved", _values(expected.seq + 1, events[0])
    else:
        rows = """SELECT vault_id, %s + n, tag, sealed, digest FROM moved,
                  unnest(%b::bytea[], %b::bytea[], %b::bytea[]) WITH ORDINALITY AS e (tag, sealed, digest, n)"""
        of_rows = (
            expected.seq,
            [event.item_tag for event in events],
            [event.sealed for event in events],
            [event.digest for event in events],
        )
    query = f"WITH moved AS ({statement} RETURNING vault_id) {_INSERT} {rows}".format(schema=schema)
    return db.execute(query, (*values, *of_rows)).rowcount > 0


def move_head(db: Connection, schema: str, expected: VaultHead, head: int, *, purged: bool) -> bool:
    """Move the head, and keep the vault's row for this transaction. False when the head is another."""
    statement, values = _moved(schema, expected, head, purged=purged)
    return db.execute(statement, values).rowcount > 0


def _moved(schema: str, expected: VaultHead, head: int, *, purged: bool = False) -> tuple[str, tuple[Any, ...]]:
    vault_id, epoch = expected.vault_id, expected.epoch
    if not expected.seq:
        return _NEW.format(schema=schema), (vault_id, expected.format, head, epoch, 0)
    condition = (vault_id, expected.seq, expected.format, epoch, UNKNOWN_EPOCH)
    if purged:
        return _MOVE_PURGED.format(schema=schema), (head, epoch, head, *condition)
    return _MOVE.format(schema=schema), (head, epoch, *condition)


def replace_head(db: Connection, schema: str, expected: VaultHead, head: int, epoch: bytes) -> bool:
    """Give the vault another head and epoch. False when its head is not exactly the expected one."""
    if not expected.seq:
        new = (expected.vault_id, expected.format, head, epoch, head)
        return db.execute(_NEW.format(schema=schema), new).rowcount > 0
    values = (head, epoch, head, expected.vault_id, expected.seq, expected.format, expected.epoch)
    return db.execute(_REPLACE.format(schema=schema), values).rowcount > 0


def copy(db: Connection, schema: str, vault_id: bytes, after: int, events: Sequence[SealedEvent | PurgedEvent]) -> None:
    """Write events `after + 1 ...` of a vault whose head was moved in this transaction."""
    if len(events) == 1:
        values = (vault_id, *_values(after + 1, events[0]))
        db.execute(f"{_INSERT} VALUES (%b, %s, %b, %b, %b)".format(schema=schema), values)
        return
    statement = f"COPY {schema}.log (vault_id, seq, item_tag, sealed, digest) FROM STDIN (FORMAT BINARY)"
    seq = after
    for batch in _batches(events):
        with db.cursor() as cursor, cursor.copy(statement) as writer:
            writer.set_types(["bytea", "int8", "bytea", "bytea", "bytea"])
            for event in batch:
                seq += 1
                writer.write_row((vault_id, *_values(seq, event)))


def _batches(events: Sequence[SealedEvent | PurgedEvent]) -> Iterator[Sequence[SealedEvent | PurgedEvent]]:
    begin = size = 0
    for position, event in enumerate(events):
        size += len(event.sealed) if isinstance(event, SealedEvent) else 0
        if size > _COPY_BYTES or position - begin == _COPY_ROWS:
            yield events[begin : position + 1]
            begin, size = position + 1, 0
    if begin < len(events):
        yield events[begin:]


def _values(seq: int, event: SealedEvent | PurgedEvent) -> tuple[int, bytes, bytes | None, bytes]:
    return seq, event.item_tag, event.sealed if isinstance(event, SealedEvent) else None, event.digest
