"""Snapshots, written a few parts at a time beside the old one and put in its place in one step.

So a large snapshot neither fills RAM nor keeps other writers waiting while its parts are being sealed. One that was
folded before a purge is refused: it would bring back what the purge removed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice

from tacita.sealed import SealedPart
from tacita.stores._overflow import Overflow
from tacita.stores._sqlite import Database

SCHEMA = (
    # `writing` numbers the attempts to write a snapshot of the vault; vaults.snapshot names the one that counts.
    """CREATE TABLE parts (no INTEGER NOT NULL, writing INTEGER NOT NULL, part INTEGER NOT NULL,
                           upto_seq INTEGER NOT NULL, start INTEGER NOT NULL, body BLOB NOT NULL,
                           PRIMARY KEY (no, writing, part))""",
    """CREATE VIEW snapshots (no, part, upto_seq, sealed) AS
       SELECT no, part, upto_seq, substr(body, start + 1) FROM parts JOIN vaults USING (no)
       WHERE writing = vaults.snapshot""",
)
_AT_A_TIME = 4


class _Overtaken(Exception):
    """The snapshot is no longer wanted: a purge, a drop or a newer one came first."""


def write(database: Database, vault_id: bytes, upto_seq: int, parts: Iterator[SealedPart]) -> None:
    """Replace the vault's snapshot, unless what is there is newer or `upto_seq` lies before the last purge."""
    place: tuple[int, int] | None = None
    count = 0
    try:
        batch = list(islice(parts, _AT_A_TIME))
        while True:
            # Drawn before the transaction begins: nobody is to wait for cryptography, nor a nested call for us.
            following = list(islice(parts, _AT_A_TIME))
            with database.transaction("write snapshot") as db:
                no = _wanted(db, vault_id, upto_seq, place)
                if place is None:
                    place = no, _begin(db, no)
                _insert(db, database.overflow, place, upto_seq, batch)
                count += len(batch)
                if not following:
                    _finish(db, place, count)
                    return
            batch = following
    except _Overtaken:
        _abandon(database, place)
    except BaseException:
        _abandon(database, place)
        raise


def _wanted(db: sqlite3.Connection, vault_id: bytes, upto_seq: int, place: tuple[int, int] | None) -> int:
    found = db.execute(
        """SELECT no, purged_seq <= :upto AND head_seq >= :upto AND NOT EXISTS (
                      SELECT 1 FROM parts WHERE parts.no = vaults.no AND writing = snapshot AND upto_seq > :upto)
           FROM vaults WHERE vault_id = :id""",
        {"id": vault_id, "upto": upto_seq},
    ).fetchone()
    if found is None or not found[1] or (place is not None and found[0] != place[0]):
        raise _Overtaken
    no: int = found[0]
    return no


def _begin(db: sqlite3.Connection, no: int) -> int:
    # Never the same number twice: a writer that was overtaken must not add to another one's parts.
    db.execute("UPDATE vaults SET writings = writings + 1 WHERE no = ?", (no,))
    writing: int = db.execute("SELECT writings FROM vaults WHERE no = ?", (no,)).fetchone()[0]
    return writing


def _insert(
    db: sqlite3.Connection, overflow: Overflow, place: tuple[int, int], upto_seq: int, parts: list[SealedPart]
) -> None:
    rows = []
    for part in parts:
        start = overflow.filler(len(part.sealed) + 10)
        rows.append((*place, part.part, upto_seq, start, bytes(start) + part.sealed))
    db.executemany("INSERT INTO parts (no, writing, part, upto_seq, start, body) VALUES (?,?,?,?,?,?)", rows)


def _finish(db: sqlite3.Connection, place: tuple[int, int], count: int) -> None:
    # Another writer's finish, a purge or drop_snapshots has removed parts of ours.
    if db.execute("SELECT count(*) FROM parts WHERE no = ? AND writing = ?", place).fetchone()[0] != count:
        raise _Overtaken
    db.execute("DELETE FROM parts WHERE no = ? AND writing <> ?", place)
    db.execute("UPDATE vaults SET snapshot = ? WHERE no = ?", (place[1], place[0]))


def _abandon(database: Database, place: tuple[int, int] | None) -> None:
    if place is not None:
        with database.transaction("abandon snapshot") as db:
            db.execute("DELETE FROM parts WHERE no = ? AND writing = ?", place)


def read(database: Database, vault_id: bytes) -> Iterator[SealedPart | int]:
    """First `upto_seq`, then the parts in order, all from one view; nothing at all if there is no snapshot."""
    with database.reading("read snapshot") as db:
        found = db.execute("SELECT no, snapshot FROM vaults WHERE vault_id = ?", (vault_id,)).fetchone()
        if found is None or found[1] is None:
            return
        query = "SELECT upto_seq, part, start, body FROM parts WHERE no = ? AND writing = ? ORDER BY part"
        for position, (upto_seq, part, start, body) in enumerate(db.execute(query, found)):
            if not position:
                yield upto_seq
            yield SealedPart(part, body[start:])


def drop(db: sqlite3.Connection, no: int) -> int:
    """Remove the vault's snapshot and every unfinished one; how many parts the former had."""
    count: int = db.execute(
        "SELECT count(*) FROM parts JOIN vaults USING (no) WHERE no = ? AND writing = vaults.snapshot", (no,)
    ).fetchone()[0]
    if db.execute("DELETE FROM parts WHERE no = ?", (no,)).rowcount:
        db.execute("UPDATE vaults SET snapshot = NULL WHERE no = ?", (no,))
    return count
