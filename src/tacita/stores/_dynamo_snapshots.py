"""Snapshots in a DynamoDB table: parts staged under an attempt, then the head's pointer moved to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tacita.errors import HeadMoved
from tacita.sealed import SealedPart
from tacita.stores import _dynamo_debts
from tacita.stores._dynamo import Item, Refused, Table
from tacita.stores._dynamo_attempt import Attempt, sweep
from tacita.stores._dynamo_head import SNAPSHOT, Head, update
from tacita.stores._dynamo_layout import HEAD, PACK_BYTES, PART, blob, key, number, piece_place
from tacita.stores._dynamo_read import Reader
from tacita.stores._dynamo_table import PLACE, under

_TRIES: Final = 8


class Snapshots:
    """The snapshots of the vaults of one table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._reader = Reader(table)

    def write(self, vault_id: bytes, upto_seq: int, parts: Iterator[SealedPart]) -> None:
        """As the port says. Overtaken by a purge, a drop or a newer one, it is removed again."""
        head = self._reader.head(vault_id)
        if not _wanted(head, upto_seq):
            return
        sweep(self._table, vault_id)
        attempt = Attempt(self._table, vault_id)
        count = 0
        try:
            for part in parts:
                attempt.stage("write snapshot", _items(vault_id, attempt.id, part))
                count += 1
        except BaseException:
            attempt.abandon()
            raise
        if not count:
            return
        put = {"snapshot": {"B": attempt.id}, "upto": {"N": str(upto_seq)}, "parts": {"N": str(count)}}
        when = "#life = :life AND #seq >= :upto AND (attribute_not_exists(#purged) OR #purged <= :upto)"
        given: Item = {":life": {"B": head.life}, ":upto": put["upto"]}
        # Those that were dropped since we began were dropped for a reason that holds for this one, too.
        when += " AND #drops = :drops" if head.drops else " AND attribute_not_exists(#drops)"
        given |= {":drops": {"N": str(head.drops)}} if head.drops else {}
        when += " AND #snapshot = :snapshot" if head.snapshot else " AND attribute_not_exists(#snapshot)"
        given |= {":snapshot": {"B": head.snapshot}} if head.snapshot else {}
        debts = [SNAPSHOT + head.snapshot] if head.snapshot else []
        change = update(key(vault_id, HEAD), when=when, given=given, put=put, debts=debts)
        try:
            self._table.transact("write snapshot", attempt.id, [{"Update": change}, *attempt.ends()])
        except Refused as refused:
            if not refused.uncertain or self._reader.head(vault_id).snapshot != attempt.id:
                attempt.abandon()
                return
        if debts:
            _dynamo_debts.pay(self._table, vault_id)

    def read(self, vault_id: bytes) -> tuple[int, Iterator[SealedPart]] | None:
        """As the port says. The parts end early when the snapshot is replaced or dropped meanwhile."""
        head = self._reader.head(vault_id)
        return (head.upto, self._parts(vault_id, head.snapshot)) if head.there and head.snapshot else None

    def _parts(self, vault_id: bytes, snapshot: bytes) -> Iterator[SealedPart]:
        body, at_part, left = bytearray(), -1, 0
        for item in under(self._table, "read snapshot", vault_id, PART + snapshot):
            place = blob(item, PLACE)
            at, chunk = int.from_bytes(place[-6:-2]), int.from_bytes(place[-2:])
            if chunk == 0:
                body, at_part, left = bytearray(), at, number(item, "pieces")
            if at != at_part:
                return
            body += blob(item, "body")
            left -= 1
            if left == 0:
                yield SealedPart(at_part, bytes(body))

    def drop(self, vault_id: bytes) -> int:
        """As the port says."""
        for _ in range(_TRIES):
            head = self._reader.head(vault_id)
            if not head.there:
                return 0
            when = "#life = :life AND " + (
                "#snapshot = :snapshot" if head.snapshot else "attribute_not_exists(#snapshot)"
            )
            given: Item = {":life": {"B": head.life}}
            given |= {":snapshot": {"B": head.snapshot}} if head.snapshot else {}
            change = update(
                key(vault_id, HEAD),
                when=when,
                given=given,
                put={"drops": {"N": str(head.drops + 1)}},
                remove=("snapshot", "upto", "parts") if head.snapshot else (),
                debts=[SNAPSHOT + head.snapshot] if head.snapshot else (),
            )
            try:
                self._table.ask("drop snapshots", "update_item", **change)
            except Refused as refused:
                now = self._reader.head(vault_id)
                if not refused.uncertain or now.snapshot == head.snapshot:
                    continue
            if head.debts or head.snapshot:
                _dynamo_debts.pay(self._table, vault_id)
            return head.parts
        raise HeadMoved("snapshots of this vault kept being written; none was dropped")


def _wanted(head: Head, upto_seq: int) -> bool:
    return head.there and max(head.purged, head.upto) <= upto_seq <= head.seq


def _items(vault_id: bytes, attempt: bytes, part: SealedPart) -> Iterator[Item]:
    pieces = max(1, -(-len(part.sealed) // PACK_BYTES))
    for chunk in range(pieces):
        body = part.sealed[chunk * PACK_BYTES : (chunk + 1) * PACK_BYTES]
        place = piece_place(PART, attempt, part.part, chunk)
        yield {**key(vault_id, place), "body": {"B": body}, "pieces": {"N": str(pieces)}}
