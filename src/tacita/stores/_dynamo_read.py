"""Reading a vault's log out of a DynamoDB table as of one moment, while others write, purge, replace and drop.

There are no views in DynamoDB, so one is made: rows come up to the head that was seen first. A pack that lost ciphertext says
at which head that was; when that is later than the view, the view grows to it, so that a hole never comes without the event
that explains it. A list of what a purge that is not finished removes counts as done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from tacita.errors import HeadMoved, Tampered
from tacita.sealed import SealedRow
from tacita.stores._dynamo import Item, Table
from tacita.stores._dynamo_head import PURGE, Head, read_head
from tacita.stores._dynamo_layout import (
    CHUNK,
    HEAD,
    LIST,
    StoredPack,
    blob,
    key,
    number,
    pack_place,
    piece_place,
    read_pack,
)
from tacita.stores._dynamo_table import PARTITION, PLACE, under

_LAST: Final = (1 << 32) - 1
_LOOKS: Final = 5
_NEAR: Final = 50
"""Rows that are this near to each other are read in one go."""


class Holes(msgspec.Struct, frozen=True):
    """What purges that are not finished remove: as good as gone. By sequence number, the head after the purge."""

    by_seq: dict[int, int]

    def of(self, row: SealedRow) -> tuple[SealedRow, int]:
        """The row as it will be, and the head after its purge or 0."""
        hole = self.by_seq.get(row.seq, 0)
        return (msgspec.structs.replace(row, sealed=None), hole) if hole else (row, 0)


class Reader:
    """Reads the vaults of one table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def head(self, vault_id: bytes) -> Head:
        """The head as it is now; of a vault that does not exist, one that is not there."""
        return read_head(vault_id, self._table.get("head", key(vault_id, HEAD)))

    def holes(self, head: Head) -> Holes:
        """What the head's unfinished purges remove."""
        found: dict[int, int] = {}
        for debt in head.debts:
            if debt[:1] == PURGE:
                for seq, at in purge_list(self._table, head.vault_id, debt[1:]):
                    found[seq] = at
        return Holes(found)

    def rows(self, vault_id: bytes, after: int) -> Iterator[SealedRow]:
        """Every row after this one, as of one moment."""
        head = self.head(vault_id)
        if not head.there or head.seq <= after:
            return
        holes = self.holes(head)
        upto, at, looks = head.seq, max(after, 0), 0
        while at < upto:
            before = at
            for row, hole in self._scan(head, at, holes):
                upto = max(upto, hole)
                if row.seq > upto or (row.seq > at + 1 and looks < _LOOKS):
                    break
                if row.seq > at:
                    yield row
                    at = row.seq
            if at < upto:
                # Replaced or dropped, or a transaction becomes visible item by item: what is missing is about to come.
                self._same_life(head)
                looks = 0 if at > before else looks + 1
                if looks > _LOOKS:
                    return  # rows are missing, and whoever reads notices
                time.sleep(0.01 * looks)

    def _scan(self, head: Head, after: int, holes: Holes) -> Iterator[tuple[SealedRow, int]]:
        for pack in self.packs(head, after):
            for row, hole in self._opened(head, pack, holes):
                yield row, max(hole, pack.hole)

    def _same_life(self, head: Head) -> Head:
        now = self.head(head.vault_id)
        if now.life != head.life:
            raise HeadMoved("the log was replaced or dropped while it was read")
        return now

    def packs(self, head: Head, after: int, *, page: int = 0) -> Iterator[StoredPack]:
        """The packs of a log that hold something after this one, in order."""
        for item in self._segment(head.vault_id, head.life, after, page):
            if "link" in item:
                for linked in self._segment(head.vault_id, bytes(item["link"]["B"]), after, page):
                    yield read_pack(linked)
            else:
                yield read_pack(item)

    def _segment(self, vault_id: bytes, segment: bytes, after: int, page: int) -> Iterator[Item]:
        values = {
            ":vault": {"B": vault_id},
            ":first": {"B": pack_place(segment, min(after + 1, _LAST))},
            ":last": {"B": pack_place(segment, _LAST)},
        }
        condition = "#vault = :vault AND #place BETWEEN :first AND :last"
        names = {"#vault": PARTITION, "#place": PLACE}
        return self._table.query("read", condition, values, page=page, ExpressionAttributeNames=names)

    def _opened(self, head: Head, pack: StoredPack, holes: Holes) -> Iterator[tuple[SealedRow, int]]:
        for row in pack.rows:
            row, hole = holes.of(row)
            if pack.pieces and not hole:
                row, hole = self._whole(head, pack, row)
            yield row, hole

    def _whole(self, head: Head, pack: StoredPack, row: SealedRow) -> tuple[SealedRow, int]:
        """An event whose ciphertext is in items of its own; purged, perhaps, since its pack was read."""
        for _ in range(_LOOKS):
            sealed = self._pieces(head.vault_id, pack)
            if sealed is not None:
                return msgspec.structs.replace(row, sealed=sealed), 0
            now = self._same_life(head)
            purged, hole = self.holes(now).of(row)
            if hole:
                return purged, hole
            item = self._table.get("read", key(head.vault_id, pack_place(pack.segment, pack.last)))
            pack = read_pack(item) if item is not None else pack
            if not pack.pieces:
                return msgspec.structs.replace(row, sealed=None), pack.hole
        raise Tampered(f"vault {head.vault_id.hex()[:12]} seq {row.seq}: a piece of this event is missing")

    def _pieces(self, vault_id: bytes, pack: StoredPack) -> bytes | None:
        places = [piece_place(CHUNK, pack.owner, pack.last, chunk) for chunk in range(pack.pieces)]
        items = self._table.get_all("read", [key(vault_id, place) for place in places])
        by_place = {bytes(item[PLACE]["B"]): bytes(item["body"]["B"]) for item in items}
        return b"".join(by_place[place] for place in places) if len(by_place) == len(places) else None

    def fetch(self, vault_id: bytes, seqs: Sequence[int]) -> list[SealedRow]:
        """Single rows, in order."""
        wanted = sorted({seq for seq in seqs if 0 < seq <= _LAST})
        head = self.head(vault_id)
        while True:
            found = self._picked(head, wanted) if head.there else []
            now = self.head(vault_id)
            if now.life == head.life:
                return found
            head = now

    def _picked(self, head: Head, wanted: Sequence[int]) -> list[SealedRow]:
        holes = self.holes(head)
        found: list[SealedRow] = []
        at = 0
        while at < len(wanted):
            near = next((n for n in range(at + 1, len(wanted)) if wanted[n] - wanted[n - 1] > _NEAR), len(wanted))
            run = set(wanted[at:near])
            last = wanted[near - 1]
            for pack in self.packs(head, wanted[at] - 1, page=min(1 + last - wanted[at], 1000)):
                picked = msgspec.structs.replace(pack, rows=tuple(row for row in pack.rows if row.seq in run))
                found += [row for row, _ in self._opened(head, picked, holes)]
                if pack.last >= last:
                    break
            at = near
        return found


def purge_list(table: Table, vault_id: bytes, attempt: bytes) -> Iterator[tuple[int, int]]:
    """(sequence number, head after the purge) of every row that a purge removes."""
    for item in under(table, "read", vault_id, LIST + attempt):
        body, head = blob(item, "body"), number(item, "head")
        for start in range(0, len(body), 4):
            yield int.from_bytes(body[start : start + 4]), head
