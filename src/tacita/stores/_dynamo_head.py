"""The head of a vault in a DynamoDB table: read, compared and changed. Pure: requests are made, none is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from tacita.errors import HeadMoved, InvalidInput, Tampered
from tacita.patterns import lazy_pattern
from tacita.sealed import EPOCH_BYTES, UNKNOWN_EPOCH, VaultHead
from tacita.stores._dynamo import Item
from tacita.stores._dynamo_layout import HEAD, ID_BYTES, blob, key, number, shelf

PURGE: Final = b"P"
LIFE: Final = b"L"
SNAPSHOT: Final = b"S"
"""Kinds of debts."""
_NAME: Final = lazy_pattern(r"#[a-z]+")


class Head(msgspec.Struct, frozen=True):
    """What the head of a vault says. `debts` are things that are gone already, and still to be deleted."""

    vault_id: bytes
    seq: int
    format: int
    epoch: bytes
    life: bytes
    purged: int
    snapshot: bytes
    upto: int
    parts: int
    drops: int
    debts: tuple[bytes, ...]

    @property
    def there(self) -> bool:
        """Whether there is a vault; what is left of a dropped one is none."""
        return self.seq > 0

    @property
    def public(self) -> VaultHead:
        """As the port tells it."""
        return VaultHead(self.vault_id, self.format, self.seq, self.epoch)

    def is_of(self, epoch: bytes, unknown: bytes) -> bool:
        """Whether the log is of this epoch, or from before there were any."""
        return self.epoch in (epoch, unknown)


def read_head(vault_id: bytes, item: Item | None) -> Head:
    """The head from its item, or that of no vault."""
    found = item or {}
    head = Head(
        vault_id,
        number(found, "seq"),
        number(found, "format"),
        blob(found, "epoch"),
        blob(found, "life"),
        number(found, "purged"),
        blob(found, "snapshot"),
        number(found, "upto"),
        number(found, "parts"),
        number(found, "drops"),
        tuple(sorted(found.get("debts", {}).get("BS", ()))),
    )
    if head.there and (len(head.epoch) != EPOCH_BYTES or len(head.life) != ID_BYTES or head.seq >> 32):
        raise Tampered("the list of vaults was changed: it holds values that were never written")
    return head


def update(
    where: Item,
    *,
    when: str,
    given: Item,
    put: Item | None = None,
    remove: Sequence[str] = (),
    debts: Sequence[bytes] = (),
) -> Item:
    """A conditional change of one item. In `when`, `#x` is an attribute and `:x` a value of `given`."""
    parts = []
    values = dict(given)
    if put:
        parts.append("SET " + ", ".join(f"#{name} = :put_{name}" for name in put))
        values |= {f":put_{name}": value for name, value in put.items()}
    if remove:
        parts.append("REMOVE " + ", ".join(f"#{name}" for name in remove))
    if debts:
        parts.append("ADD #debts :debts")
        values[":debts"] = {"BS": list(debts)}
    expression = " ".join(parts)
    request: Item = {"Key": where, "UpdateExpression": expression, "ConditionExpression": when}
    # All by placeholder: many plain words are reserved.
    request["ExpressionAttributeNames"] = {name: name[1:] for name in _NAME.findall(f"{expression} {when}")}
    if values:
        request["ExpressionAttributeValues"] = values
    return request


def check_head(head: Head, expected_seq: int, epoch: bytes, format: int) -> None:
    """Raises HeadMoved or InvalidInput when an append does not fit."""
    if head.seq != expected_seq or (head.there and not head.is_of(epoch, UNKNOWN_EPOCH)):
        raise HeadMoved(f"the vault's head is not {expected_seq} of this epoch")
    if head.there and head.format != format:
        raise InvalidInput(f"the vault's log has format {head.format}, not {format}")


def check_same(head: Head, expected: VaultHead) -> None:
    """Raises HeadMoved when a vault is not as expected."""
    if head.public != expected if head.there else expected.seq:
        raise HeadMoved(f"the vault's head is not {expected.seq} of this epoch")


def said(seq: int, format: int, epoch: bytes, life: bytes) -> Item:
    """What a head says of its log."""
    return {"seq": {"N": str(seq)}, "format": {"N": str(format)}, "epoch": {"B": epoch}, "life": {"B": life}}


def seen(head: Head) -> Item:
    """The condition that a head is as it was seen, for `update`."""
    if not head.there:
        return {"when": "attribute_not_exists(#seq)", "given": {}}
    given: Item = {f":{name}": value for name, value in said(head.seq, head.format, head.epoch, head.life).items()}
    when = " AND ".join(f"#{name[1:]} = {name}" for name in given)
    if head.snapshot:
        return {"when": f"{when} AND #snapshot = :snapshot", "given": given | {":snapshot": {"B": head.snapshot}}}
    return {"when": f"{when} AND attribute_not_exists(#snapshot)", "given": given}


def snapshot_debt(head: Head) -> list[bytes]:
    """The snapshot that a change makes unreachable, if there is one."""
    return [SNAPSHOT + head.snapshot] if head.snapshot else []


def moving(
    vault_id: bytes, head: Head | None, before: int, seq: int, epoch: bytes, format: int, life: bytes, purge: bytes
) -> list[Item]:
    """The part of an append's transaction that moves the head."""
    now = said(seq, format, epoch, life)
    if before == 0:
        change = update(key(vault_id, HEAD), when="attribute_not_exists(#seq)", given={}, put=now)
        return [{"Update": change}, {"Put": {"Item": key(shelf(vault_id), vault_id)}}]
    if purge and head is not None:
        change = update(
            key(vault_id, HEAD),
            **seen(head),
            put=now | {"purged": {"N": str(seq)}},
            remove=("snapshot", "upto", "parts"),
            debts=[PURGE + purge, *snapshot_debt(head)],
        )
        return [{"Update": change}]
    when = "#seq = :before AND #life = :life AND #format = :format AND (#epoch = :epoch OR #epoch = :unknown)"
    given = {f":{name}": now[name] for name in ("life", "format", "epoch")}
    given |= {":before": {"N": str(before)}, ":unknown": {"B": UNKNOWN_EPOCH}}
    change = update(key(vault_id, HEAD), when=when, given=given, put={name: now[name] for name in ("seq", "epoch")})
    return [{"Update": change}]
