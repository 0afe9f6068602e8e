"""How a vault's log lies in a DynamoDB table: places, packed rows, the head. Pure.

All of a vault is under one partition key, in order of `place`:

    00                                the head: what there is of a vault is what its head says
    01 attempt                        a note that something is being staged, and since when
    02 segment last-seq               a pack: consecutive events up to this one; or a link to another segment
    03 segment seq chunk              a piece of an event too large for one item
    04 snapshot part chunk            a piece of a snapshot's part
    05 attempt number                 which events a purge removes

The rows of a log are one segment, its life, which `replace` and `drop` change. A large append is a segment of its own,
written where nobody looks and linked by the transaction that moves the head. So whatever is not reached from the head is not
there: what an interrupted writer leaves is noise until it is swept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from tacita.errors import Tampered
from tacita.sealed import DIGEST_BYTES, ITEM_TAG_BYTES, PurgedEvent, SealedEvent, SealedRow
from tacita.stores._dynamo_table import PARTITION, PLACE

Item = dict[str, Any]

HEAD: Final = b"\x00"
NOTE: Final = b"\x01"
PACK: Final = b"\x02"
CHUNK: Final = b"\x03"
PART: Final = b"\x04"
LIST: Final = b"\x05"
PACK_BYTES: Final = 280_000
"""Of the 400 KB that an item may have. Not more, because emulators count the base64 of the bytes."""
ID_BYTES: Final = 16
_META: Final = ITEM_TAG_BYTES + DIGEST_BYTES
_SHELVES: Final = 16


def key(vault_id: bytes, place: bytes) -> Item:
    """The key of an item."""
    return {PARTITION: {"B": vault_id}, PLACE: {"B": place}}


def key_of(item: Item) -> Item:
    """The key of an item that was read."""
    return {PARTITION: item[PARTITION], PLACE: item[PLACE]}


def pack_place(segment: bytes, last: int) -> bytes:
    return PACK + segment + last.to_bytes(4)


def piece_place(kind: bytes, owner: bytes, number: int, chunk: int) -> bytes:
    return kind + owner + number.to_bytes(4) + chunk.to_bytes(2)


def shelf(vault_id: bytes) -> bytes:
    """The partition in which this vault is listed: sixteen of them, in order of vault ids."""
    return b"shelf" + bytes([vault_id[0] * _SHELVES >> 8])


def shelves() -> Iterator[bytes]:
    return (b"shelf" + bytes([number]) for number in range(_SHELVES))


def number(item: Item, name: str) -> int:
    """A numeric attribute, 0 without. Raises Tampered."""
    try:
        return int(item.get(name, {}).get("N", "0"))
    except ValueError:
        raise Tampered("a table was changed: it holds values that were never written") from None


def blob(item: Item, name: str) -> bytes:
    """A binary attribute, empty without."""
    return bytes(item.get(name, {}).get("B", b""))


Event = SealedEvent | PurgedEvent


class Pack(msgspec.Struct, frozen=True):
    """Consecutive events of one item; `pieces` is how many others hold the ciphertext of the only one, if any do."""

    last: int
    events: tuple[Event, ...]
    pieces: int = 0

    @property
    def first(self) -> int:
        return self.last - len(self.events) + 1


def packs(after: int, events: Sequence[Event]) -> list[Pack]:
    """Events in as few items as can hold them."""
    found: list[Pack] = []
    batch: list[Event] = []
    size = 0
    for number, event in enumerate(events, 1):
        length = _META + 4 + len(_sealed(event))
        if batch and size + length > PACK_BYTES:
            found.append(Pack(after + number - 1, tuple(batch)))
            batch, size = [], 0
        if length > PACK_BYTES:
            found.append(Pack(after + number, (event,), -(-len(_sealed(event)) // PACK_BYTES)))
        else:
            batch.append(event)
            size += length
    if batch:
        found.append(Pack(after + len(events), tuple(batch)))
    return found


def _sealed(event: Event) -> bytes:
    return event.sealed if isinstance(event, SealedEvent) else b""


def pack_item(vault_id: bytes, segment: bytes, pack: Pack, by: bytes) -> Item:
    """A pack as an item. `by` names the attempt that wrote it."""
    item = {**key(vault_id, pack_place(segment, pack.last)), "count": {"N": str(len(pack.events))}, "by": {"B": by}}
    body = bytearray()
    for event in pack.events:
        sealed = b"" if pack.pieces else _sealed(event)
        body += event.item_tag + event.digest + len(sealed).to_bytes(4) + sealed
    item["body"] = {"B": bytes(body)}
    item["rev"] = {"N": "0"}
    if pack.pieces:
        item |= {"pieces": {"N": str(pack.pieces)}, "owner": {"B": by}}
    return item


def piece_items(vault_id: bytes, pack: Pack, by: bytes) -> Iterator[Item]:
    """The items that hold the ciphertext of an event that one cannot hold."""
    for chunk in range(pack.pieces):
        piece = _sealed(pack.events[0])[chunk * PACK_BYTES : (chunk + 1) * PACK_BYTES]
        yield {**key(vault_id, piece_place(CHUNK, by, pack.last, chunk)), "body": {"B": piece}}


class StoredPack(msgspec.Struct, frozen=True):
    """A pack as it was read: untrusted."""

    segment: bytes
    last: int
    rows: tuple[SealedRow, ...]
    rev: int
    hole: int
    """The head after the last purge that removed something here."""
    pieces: int
    owner: bytes


def read_pack(item: Item) -> StoredPack:
    """The rows of a pack. Raises Tampered when it is none."""
    place, body, count = blob(item, PLACE), blob(item, "body"), number(item, "count")
    last = int.from_bytes(place[-4:])
    rows = []
    at = 0
    for seq in range(last - count + 1, last + 1):
        size = int.from_bytes(body[at + _META : at + _META + 4])
        end = at + _META + 4 + size
        if end > len(body):
            raise Tampered("a log was changed: it holds rows that were never written")
        sealed = body[at + _META + 4 : end] or None
        rows.append(SealedRow(seq, body[at : at + ITEM_TAG_BYTES], sealed, body[at + ITEM_TAG_BYTES : at + _META]))
        at = end
    if at != len(body) or not 0 < count <= last or len(place) != 1 + ID_BYTES + 4:
        raise Tampered("a log was changed: it holds rows that were never written")
    return StoredPack(
        place[1:-4],
        last,
        tuple(rows),
        number(item, "rev"),
        number(item, "hole"),
        number(item, "pieces"),
        blob(item, "owner"),
    )


def purged_body(pack: StoredPack, holes: frozenset[int] | set[int]) -> bytes:
    """The body of a pack without the ciphertext of these events."""
    body = bytearray()
    for row in pack.rows:
        sealed = b"" if row.seq in holes or row.sealed is None else row.sealed
        body += row.item_tag + row.digest + len(sealed).to_bytes(4) + sealed
    return bytes(body)
