"""What comes back from stores elsewhere: rows of Redis, items of DynamoDB, and the mark of a migration."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from fuzzing.kit import Refused, Target, attempt, from_msgpack, msgpack_seeds, require, skips_unreadable
from tacita.errors import Tampered
from tacita.sealed import Anchor, PurgedEvent, RingEntry, SealedEvent, SealedRow, VaultHead
from tacita.stores import _dynamo_head, _dynamo_layout, _redis_rows, dynamodb_ring, redis, redis_ring
from tacita.vault.moved import Mark

_VAULT: Final = bytes(range(32))
_WIRE: Final = {"N": str, "S": str, "B": bytes}


def redis_values(value: Any) -> None:
    """Whatever a Redis server holds: Tampered, or a row, head or key of the right types."""
    if not isinstance(value, list):
        return
    found: list[bytes | None] = [each if isinstance(each, bytes) else None for each in value]
    raw = found[0] if found and found[0] is not None else b""
    row = attempt(lambda: _redis_rows.decode(1, raw), Tampered)
    if not isinstance(row, Refused):
        _is_row(row[0])
        require(0 <= row[1] < 1 << 32, "a head")
    listed = attempt(lambda: _redis_rows.vault_id(raw), Tampered)
    require(isinstance(listed, Refused) or listed.hex().encode() == raw, "a vault has one name")
    head = attempt(lambda: redis._checked(_VAULT, _some(found, 3), raw), Tampered)
    if isinstance(head, VaultHead):
        require(0 <= head.seq < 1 << 32 and len(head.epoch) == 16, "a head")
    _is_entry(attempt(lambda: redis_ring._entry(_VAULT, _some(found, 6)), Tampered))


def dynamo_items(value: Any) -> None:
    """Whatever a table holds, of the types that DynamoDB has: Tampered, or a pack, head or key of the right types."""
    if not isinstance(value, dict):
        return
    item: Any = {
        str(name): {kind: inner}
        for name, each in value.items()
        if isinstance(each, list) and len(each) == 2
        for kind, inner in [each]
        if isinstance(kind, str) and isinstance(inner, _WIRE.get(kind, type(None)))
    }
    pack = attempt(lambda: _dynamo_layout.read_pack(item), Tampered)
    if not isinstance(pack, Refused):
        for row in pack.rows:
            _is_row(row)
        body = _dynamo_layout.purged_body(pack, frozenset())
        require(body == item["body"]["B"], "what is read is what is there")
    head = attempt(lambda: _dynamo_head.read_head(_VAULT, item), Tampered)
    if not isinstance(head, Refused) and head.there:
        require(len(head.public.epoch) == 16 and head.public.seq < 1 << 32, "a head")
    for which in ("", "next_"):
        _is_entry(attempt(lambda which=which: dynamodb_ring._entry(_VAULT, item, which), Tampered))  # type: ignore[misc]


def mark(data: bytes) -> None:
    """What a ring says of a migration: Tampered, or a mark that is read again as it was and says who may use what."""
    found = attempt(lambda: Mark.decode(data), Tampered)
    if isinstance(found, Refused):
        return
    require(Mark.decode(found.encode()) == found, "a mark is read as it was written")
    require(
        found.stage in ("copying", "settled") or bool(found.refuses("postgres somewhere")),
        "a place is the memory or not",
    )


def _some(values: list[bytes | None], count: int) -> list[bytes | None]:
    return (values + [None] * count)[:count]


def _is_row(row: SealedRow) -> None:
    require(len(row.item_tag) == 16 and len(row.digest) == 32 and row.seq > 0, "a row")
    require(row.sealed is None or bool(row.sealed), "a hole or a sealed event")


def _is_entry(entry: RingEntry | Refused | None) -> None:
    if isinstance(entry, RingEntry):
        require(isinstance(entry.provider, str) and isinstance(entry.wrapped, bytes), "a wrapped key")
        require(isinstance(entry.anchor, Anchor) and isinstance(entry.key_version, int), "a wrapped key")


def _row(event: SealedEvent | PurgedEvent) -> bytes:
    return _redis_rows.encode(event)


_EVENT: Final = SealedEvent(b"t" * 16, b"sealed bytes", b"d" * 32)
_PACK: Final = _dynamo_layout.pack_item(_VAULT, b"s" * 16, _dynamo_layout.packs(0, [_EVENT, _EVENT])[0], b"b" * 16)


def _flat(item: Any) -> dict[str, list[Any]]:
    return {name: list(next(iter(value.items()))) for name, value in item.items()}


_ENTRY: Final = {
    name: value
    for prefix in ("", "next_")
    for name, value in {
        f"{prefix}version": ["N", "3"],
        f"{prefix}provider": ["S", "file:ab"],
        f"{prefix}wrapped": ["B", b"w" * 40],
        f"{prefix}label": ["B", b"l"],
    }.items()
} | {"seq": ["N", "7"], "chain": ["B", b"c" * 32]}
_HEAD: Final = {
    **{name: ["N", "5"] for name in ("seq", "format", "purged", "upto", "parts", "drops")},
    **{name: ["B", b"x" * 16] for name in ("epoch", "life", "snapshot")},
}

TARGETS: Final = (
    Target(
        "redis-values",
        "Whatever a Redis server holds is Tampered, or a row, a head or a wrapped key",
        skips_unreadable(redis_values, from_msgpack),
        msgpack_seeds(
            [_row(_EVENT)],
            [_row(PurgedEvent(b"t" * 16, b"d" * 32))],
            [b"1", b"12", b"e" * 16],
            [b"1", b"9" * 5_000, b"e" * 16],
            [b"3", b"file:ab", b"wrapped", b"label", b"7", b"c" * 32],
            [_VAULT.hex().encode()],
        ),
        "msgpack",
    ),
    Target(
        "dynamo-items",
        "Whatever a table holds is Tampered, or a pack of rows, a head or a wrapped key",
        skips_unreadable(dynamo_items, from_msgpack),
        msgpack_seeds(_flat(_PACK), _HEAD, _ENTRY),
        "msgpack",
    ),
    Target(
        "migration-mark",
        "What a ring says of a migration is Tampered, or a mark that says who may use what",
        mark,
        lambda: iter(
            msgspec.json.encode(Mark(id="ab" * 16, stage=stage, log="sqlite /x", ring=ring, at=at))
            for stage in ("arriving", "copying", "closed", "moved", "shredded", "settled")
            for ring, at in (("", ""), ("postgres r", "sqlite /x"))
        ),
        "json",
    ),
)
