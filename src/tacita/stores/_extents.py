"""Ciphertext in extents: pieces of 4 to 64 KiB, each for one vault, filled from front to back and erased in place.

An extent is one long row whose ciphertext lies wholly on overflow pages (`_overflow` says why). Events lie in it one
behind the other in order of their sequence numbers; `entries` says where. Nothing here begins or ends a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from tacita.errors import Tampered
from tacita.sealed import PurgedEvent, SealedEvent, SealedRow
from tacita.stores._overflow import Overflow

SCHEMA = (
    # key = vault number << 32 | seq, so that a vault is one range without a second index. start is NULL once purged.
    """CREATE TABLE entries (key INTEGER PRIMARY KEY, item_tag BLOB NOT NULL, digest BLOB NOT NULL,
                             extent INTEGER NOT NULL, start INTEGER, length INTEGER)""",
    # key = vault number << 32 | extent; an extent has the sequence number of the first event that was put into it.
    "CREATE TABLE extents (key INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    # The log as one would draw it, for people with a SQL prompt. Nothing in Tacita reads it.
    """CREATE VIEW log (key, item_tag, sealed, digest) AS
       SELECT key, item_tag, (SELECT substr(body, start + 1, length) FROM extents
                              WHERE extents.key = entries.key >> 32 << 32 | extent), digest FROM entries""",
)
_PAGES = 16
"""Overflow pages of the largest extent, unless one event needs more. Purged space returns when a whole extent is."""
_CHUNK = 512
_COLUMNS = "key, item_tag, digest, extent, start, length"
_Entry = tuple[int, bytes, bytes, int, int | None, int | None]
_extent = itemgetter(3)


def append(
    db: sqlite3.Connection, overflow: Overflow, no: int, head: int, events: Sequence[SealedEvent | PurgedEvent]
) -> None:
    """Write events `head + 1 ...` of vault `no` into its last extent as far as there is room, then into new ones."""
    base = no << 32
    extent, used, size = _last_extent(db, base, head)
    begin, pieces, is_new = used, list[bytes](), False
    remaining = sum(len(event.sealed) for event in events if isinstance(event, SealedEvent))
    entries = list[tuple[int, bytes, bytes, int, int | None, int | None]]()
    for seq, event in enumerate(events, head + 1):
        if isinstance(event, PurgedEvent):
            entries.append((base | seq, event.item_tag, event.digest, extent, None, None))
            continue
        length = len(event.sealed)
        if used + length > size:
            _write(db, base | extent, begin, pieces, size if is_new else None)
            # One page more than the last one, so that a small vault wastes little and a large one is read in one go.
            pages = min(_PAGES, max(size // overflow.chunk + 1, overflow.pages(remaining)))
            size = overflow.lead + overflow.space(max(pages, overflow.pages(length)))
            extent, begin, used, pieces, is_new = seq, overflow.lead, overflow.lead, [], True
        pieces.append(event.sealed)
        entries.append((base | seq, event.item_tag, event.digest, extent, used, length))
        used += length
        remaining -= length
    _write(db, base | extent, begin, pieces, size if is_new else None)
    db.executemany(f"INSERT INTO entries ({_COLUMNS}) VALUES (?,?,?,?,?,?)", entries)


def _last_extent(db: sqlite3.Connection, base: int, head: int) -> tuple[int, int, int]:
    """(extent, bytes used, size) where the vault's last event lies; no room at all where there is none."""
    found = db.execute(
        "SELECT extent, start + length, length(body) FROM entries JOIN extents ON extents.key = ? | extent"
        " WHERE entries.key = ? AND start NOT NULL",
        (base, base | head),
    ).fetchone()
    return (0, 0, 0) if found is None else found


def _write(db: sqlite3.Connection, key: int, begin: int, pieces: list[bytes], new_size: int | None) -> None:
    if not pieces:
        return
    if new_size is not None:
        body = b"".join((bytes(begin), *pieces)).ljust(new_size, b"\0")
        db.execute("INSERT INTO extents (key, body) VALUES (?,?)", (key, body))
        return
    # In place: an UPDATE would rewrite the whole extent.
    with db.blobopen("extents", "body", key) as blob:
        blob.seek(begin)
        blob.write(b"".join(pieces))


def scan(db: sqlite3.Connection, no: int, after: int) -> Iterator[list[SealedRow]]:
    """Rows with `seq > after` in order, a list for each few hundred."""
    cursor = db.execute(
        f"SELECT {_COLUMNS} FROM entries WHERE key > ? AND key < ? ORDER BY key",
        (no << 32 | max(after, 0), (no + 1) << 32),
    )
    while entries := cursor.fetchmany(_CHUNK):
        for entry in entries:
            _check(entry)
        yield list(_rows(db, no, entries))


def fetch(db: sqlite3.Connection, no: int, seqs: Sequence[int]) -> list[SealedRow]:
    """The named rows that exist, ascending."""
    return [row for entries in _find(db, no, seqs) for row in _rows(db, no, entries)]


def _find(db: sqlite3.Connection, no: int, seqs: Sequence[int]) -> Iterator[list[_Entry]]:
    wanted = [no << 32 | seq for seq in sorted(set(seqs)) if 0 < seq < 1 << 32]
    for begin in range(0, len(wanted), _CHUNK):
        keys = wanted[begin : begin + _CHUNK]
        marks = ",".join("?" * len(keys))
        found = db.execute(f"SELECT {_COLUMNS} FROM entries WHERE key IN ({marks}) ORDER BY key", keys).fetchall()
        for entry in found:
            _check(entry)
        yield found


def _is_place(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 30


def _check(entry: _Entry) -> None:
    """Raises Tampered for a row that was not written here: SQLite lets anybody put any value into any column."""
    key, item_tag, digest, extent, start, length = entry
    sound = type(item_tag) is bytes and type(digest) is bytes and type(extent) is int and 0 <= extent < 1 << 32
    if not sound or not (start is None or (_is_place(start) and _is_place(length))):
        raise Tampered(f"seq {key & 0xFFFFFFFF}: the row was changed, it holds values that were never written")


def _rows(db: sqlite3.Connection, no: int, entries: Sequence[_Entry]) -> Iterator[SealedRow]:
    for extent, group in groupby(entries, _extent):
        of_extent = list(group)
        places = [(start, start + (length or 0)) for *_, start, length in of_extent if start is not None]
        first, data = 0, b""
        if places:
            # Neighbours lie side by side: one read fetches them all.
            first = places[0][0]
            with db.blobopen("extents", "body", no << 32 | extent, readonly=True) as blob:
                if 0 <= first <= len(blob):  # else the file was tampered with: empty bytes open for nobody
                    blob.seek(first)
                    data = blob.read(max(end for _, end in places) - first)
        for key, item_tag, digest, _, start, length in of_extent:
            sealed = None if start is None else data[start - first : start - first + (length or 0)]
            yield SealedRow(key & 0xFFFFFFFF, item_tag, sealed, digest)


def purge(db: sqlite3.Connection, no: int, seqs: Sequence[int]) -> None:
    """Overwrite the ciphertext of the named rows with zeros; give back extents in which nothing else is left."""
    for entries in _find(db, no, seqs):
        for extent, group in groupby(entries, _extent):
            live = [(key, start, length or 0) for key, _, _, _, start, length in group if start is not None]
            if not live:
                continue
            with db.blobopen("extents", "body", no << 32 | extent) as blob:
                for _, start, length in live:
                    blob.seek(start)
                    blob.write(bytes(length))
            db.executemany(
                "UPDATE entries SET start = NULL, length = NULL WHERE key = ?", [(key,) for key, _, _ in live]
            )
            _free_if_empty(db, no << 32 | extent)


def _free_if_empty(db: sqlite3.Connection, key: int) -> None:
    # The extent's events run from its own number to the next extent that is still there.
    following = db.execute("SELECT min(key) FROM extents WHERE key > ?", (key,)).fetchone()[0]
    end = min(following or 1 << 63, (key >> 32) + 1 << 32)
    used = "SELECT EXISTS (SELECT 1 FROM entries WHERE key >= ? AND key < ? AND start NOT NULL)"
    if not db.execute(used, (key, end)).fetchone()[0]:
        db.execute("DELETE FROM extents WHERE key = ?", (key,))


def drop(db: sqlite3.Connection, no: int) -> int:
    """Remove everything of the vault; how many rows there were."""
    bounds = (no << 32, (no + 1) << 32)
    db.execute("DELETE FROM extents WHERE key >= ? AND key < ?", bounds)
    return db.execute("DELETE FROM entries WHERE key >= ? AND key < ?", bounds).rowcount
