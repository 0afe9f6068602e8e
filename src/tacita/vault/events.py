"""What can happen to a vault, and its encoding: the plaintext inside a sealed event.

Events are MessagePack maps with a tag `e`. Decoding is strict: an unknown field or tag is refused, so an older
program never reads half of what a newer one wrote.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tacita.errors import Tampered

ITEM_ID_BYTES = 16
SupersedeReason = Literal["refines", "supersedes", "contradicts", "duplicate"]

# What decoding holds every event to: nothing that folds may fail later, when it is read or shown.
ItemId = Annotated[bytes, Meta(min_length=ITEM_ID_BYTES, max_length=ITEM_ID_BYTES)]
Moment = Annotated[int, Meta(ge=-62_135_596_800_000_000, le=253_402_300_799_999_999)]
"""Microseconds since 1970, in the years 1 to 9999."""
Count = Annotated[int, Meta(ge=0)]
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]


# gc=False: events are trees of plain values and never part of a cycle, and a bulk add makes thousands of them.
class _Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> Any:
        return iter(())


class Embedding(_Record, frozen=True, kw_only=True):
    """Vectors of one text: the message first, then its sentence segments if there are several."""

    model: str
    """Name of the embedder that made them; vectors of two models are never compared."""
    dimensions: Annotated[int, Meta(ge=1)]
    data: bytes
    """Row after row, as `bits` says."""
    bits: Literal[12, 16] = 16
    """12: as `packing` packs them. 16: little-endian float16, as they were written before it did."""


class Derivation(_Record, frozen=True, kw_only=True):
    """What a derived item says about itself."""

    type: str = "fact"
    """fact, preference, event, relation, plan, ..."""
    subject: str | None = None
    """Who or what it is about."""
    categories: tuple[str, ...] = ()
    confidence: float | None = None
    """0 to 1, as the model put it: no probability."""
    spans: tuple[tuple[Count, Count, Count], ...] = ()
    """(which source, start, end): the characters of that source which say it."""


# Not kw_only: an import makes thousands, and so many keyword arguments cost ten times as much as the record.
class ItemRecord(_Record, frozen=True):
    """One version of an item. Times are microseconds since 1970 in UTC; ids are 16 raw bytes."""

    id: ItemId
    text: str
    timestamp: Moment
    channel: str
    trust: Annotated[int, Meta(ge=0, le=3)]
    kind: str = "message"
    role: str = "user"
    name: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None
    metadata: dict[str, Any] = {}
    attachments: tuple[dict[str, Any], ...] = ()
    labels: tuple[str, ...] = ()
    """Types of personal data and secrets that the guard found."""
    held: str | None = None
    """Why it is in quarantine: kept, but neither found nor told until somebody has looked at it."""
    review_by: Moment | None = None
    """When it goes if nobody has looked at it."""
    expires_at: Moment | None = None
    sources: tuple[ItemId, ...] = ()
    """Ids of the items it was derived from."""
    derivation: Derivation | None = None
    embedding: Embedding | None = None
    idempotency: bytes | None = None
    """Keyed tag of the caller's idempotency key; never the key itself."""
    fingerprint: bytes | None = None
    """Keyed tag of the content that came with that key."""


class _Event(_Record, frozen=True, kw_only=True, tag_field="e"):
    at: Moment
    actor: str
    purpose: str | None = None


class ItemAdded(_Event, frozen=True, kw_only=True, tag="added"):
    item: ItemRecord


class ItemUpdated(_Event, frozen=True, kw_only=True, tag="updated"):
    """A new version replaces the current one, which stays readable for the past."""

    item: ItemRecord


class ItemDeleted(_Event, frozen=True, kw_only=True, tag="deleted"):
    """The item is gone; `purged` names the rows whose ciphertext went in the same transaction."""

    id: ItemId
    purged: tuple[int, ...]
    reason: Literal["deleted", "expired", "rejected", "origin", "forgotten", "redacted"] = "deleted"


class ItemReembedded(_Event, frozen=True, kw_only=True, tag="reembedded"):
    """New vectors for the version that was written at `seq`."""

    id: ItemId
    seq: int
    embedding: Embedding


class ItemSuperseded(_Event, frozen=True, kw_only=True, tag="superseded"):
    """Another item took its place: it is no longer current, and stays readable for the past."""

    id: ItemId
    by: ItemId
    until: Moment
    """The moment from which it no longer holds."""
    reason: SupersedeReason


class ItemReleased(_Event, frozen=True, kw_only=True, tag="released"):
    """Somebody looked at an item in quarantine and let it go. `digest` is of the bytes that were shown."""

    id: ItemId
    digest: bytes


class ExtractionRequested(_Event, frozen=True, kw_only=True, tag="extract"):
    """Facts are wanted from these items. Sealed in the log, so that nothing is lost when the model is down."""

    ids: tuple[ItemId, ...]


class ExtractionEnded(_Event, frozen=True, kw_only=True, tag="extracted"):
    """Facts were drawn from these items, or it was given up. Counts and codes only."""

    ids: tuple[ItemId, ...]
    facts: int = 0
    dropped: dict[str, int] = {}
    failure: str | None = None
    attempts: int = 1
    final: bool = True
    """False: it will be tried again."""


class ConsentSet(_Event, frozen=True, kw_only=True, tag="consent"):
    """Whether this subject agrees that models elsewhere are told about it."""

    models: bool


class Restricted(_Event, frozen=True, kw_only=True, tag="restricted"):
    """A legal hold (nothing may be deleted) or a freeze (nothing may be read or told) began or ended."""

    kind: Literal["hold", "freeze"]
    on: bool
    reason: str | None = None


class Rekeyed(_Event, frozen=True, kw_only=True, tag="rekeyed"):
    """Everything before was sealed anew under another vault key. The first event that only the new key has ever sealed."""

    version: Count
    """Of the new key."""
    seq: Count
    """Where the log ended that was sealed anew, and its last chain value."""
    chain: Digest
    content_key: Digest
    """Under which the tags of content in this vault's events are."""


class Isolated(_Event, frozen=True, kw_only=True, tag="isolated"):
    """The operator gave up events that could not be read any more, so that the rest of the vault can be used again."""

    lost: tuple[Count, ...]
    """Their sequence numbers. No later event is about one of them."""


class AuditEntry(_Record, frozen=True, kw_only=True):
    """Who did what, when and why, in an audit log. Never content."""

    at: Moment
    actor: str
    operation: str
    outcome: str
    vault: bytes | None = None
    items: int = 0
    purpose: str | None = None


class Audited(_Event, frozen=True, kw_only=True, tag="audited"):
    """A batch of audit entries, in a tenant's audit log."""

    entries: tuple[AuditEntry, ...]


Event = (
    ItemAdded
    | ItemUpdated
    | ItemDeleted
    | ItemReembedded
    | ItemSuperseded
    | ItemReleased
    | ExtractionRequested
    | ExtractionEnded
    | ConsentSet
    | Restricted
    | Rekeyed
    | Isolated
    | Audited
)

AUDIT_TAG = b"audit"


def about(event: Event) -> bytes:
    """The id of the item that an event is about; empty if it is about the vault as a whole."""
    match event:
        case ItemAdded(item=item) | ItemUpdated(item=item):
            return item.id
        case ItemDeleted(id=id) | ItemReembedded(id=id) | ItemSuperseded(id=id) | ItemReleased(id=id):
            return id
        case Audited():
            return AUDIT_TAG
        case _:
            return b""


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


def encode(event: Event) -> bytes:
    """The event as MessagePack."""
    return _encoder.encode(event)


def decode(body: bytes) -> Event:
    """The inverse of `encode`. Raises Tampered, without content, when the bytes are no event of this format."""
    try:
        return _decoder.decode(body)
    except (ValueError, RecursionError):  # ValueError: bytes that are no UTF-8 where a text must be
        raise Tampered("an event opened but is not of a known form; was it written by a newer version?") from None
