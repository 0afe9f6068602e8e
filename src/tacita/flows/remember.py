"""How words get in: check, embed, seal, append. Also a new version of an item, and new vectors for old ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import numpy as np

from tacita.access.principal import Principal
from tacita.discreet import Discreet
from tacita.errors import Blocked, Conflict, InvalidInput
from tacita.flows.engine import Engine, State, Vault, microseconds, subject_of
from tacita.flows.ids import format_id, new_ids, no_such_item
from tacita.flows.recall import item_at, row_of
from tacita.flows.telling import embedded, pseudonyms_of
from tacita.hazmat import equal
from tacita.items import Added, AddResult, Item, Kind, Message, Metadata, Scope, Trust
from tacita.packing import packed
from tacita.pipeline.pictures import references
from tacita.privacy.injection import signs, suspicious
from tacita.privacy.policy import Guarded, Policy, guard
from tacita.retrieval.segment import message_text, segments
from tacita.vault.events import (
    Embedding,
    Event,
    ExtractionRequested,
    ItemAdded,
    ItemRecord,
    ItemReembedded,
    ItemUpdated,
)
from tacita.vault.vault import Change

IMPORT = "import"
QUARANTINE = 30 * 24 * 3600 * 1_000_000
"""Microseconds after which nobody has looked at an item in quarantine, and it goes."""
_MESSAGE = Kind.MESSAGE.value
_CHANNELS = {
    "user": ("user", Trust.USER),
    "assistant": ("assistant", Trust.ASSISTANT),
    "system": ("system", Trust.USER),
    "developer": ("system", Trust.USER),
    "tool": ("tool", Trust.UNTRUSTED),
    "function": ("tool", Trust.UNTRUSTED),
}


class Prepared(Discreet, frozen=True, eq=False):
    """Messages as they will be kept. Nothing of them is written or told to anybody."""

    scope: Scope
    vault: Vault
    guarded: list[tuple[Message, tuple[str, ...], bool]]
    """Each with the types of personal data that were found, and whether it is held back."""
    tags: list[tuple[bytes, bytes] | None]
    new: list[int]
    """Numbers of those that the vault did not hold."""
    channel: str | None

    def __repr__(self) -> str:
        return f"<Prepared {len(self.guarded)} messages>"


def add(
    engine: Engine,
    principal: Principal,
    scope: Scope,
    messages: Sequence[Message],
    *,
    expires_at: datetime | None = None,
    channel: str | None = None,
    extract: bool = False,
) -> AddResult:
    """Keep messages verbatim, all in one transaction. Durable when this returns.

    With `extract`, the same transaction notes that facts are wanted from them.

    A message whose idempotency key the vault already holds is left as it is; Conflict if its content differs.
    """
    expiry = None if expires_at is None else microseconds(expires_at)
    if expiry is not None and expiry <= engine.clock():
        raise InvalidInput("expires_at must lie in the future")
    prepared = prepare(engine, scope, messages, channel=channel)
    made = vectors(engine, principal, prepared)
    return write(engine, principal, prepared, made, expiry=expiry, extract=extract)


def prepare(engine: Engine, scope: Scope, messages: Sequence[Message], *, channel: str | None = None) -> Prepared:
    """What the guard leaves of messages, and which of them are new. Makes the vault if there is none."""
    guarded = [guarded_message(engine, scope, number, message, channel) for number, message in enumerate(messages)]
    messages = [message for message, _, _ in guarded]
    vault = engine.vaults.get(scope.tenant, subject_of(scope))
    tags = [_tags(vault, message) for message in messages]
    with vault.lock:
        known = [tag is not None and tag[0] in vault.state.rare.idempotency for tag in tags]
    new = [number for number, is_known in enumerate(known) if not is_known]
    return Prepared(scope, vault, guarded, tags, new, channel)


def vectors(engine: Engine, principal: Principal, prepared: Prepared) -> dict[int, Embedding | None]:
    """Of each new message, by its number. The part of an add that takes time."""
    messages = [prepared.guarded[number][0] for number in prepared.new]
    return dict(zip(prepared.new, embed(engine, principal, prepared.vault, messages), strict=True))


def write(
    engine: Engine,
    principal: Principal,
    prepared: Prepared,
    embeddings: dict[int, Embedding | None],
    *,
    expiry: int | None = None,
    extract: bool = False,
) -> AddResult:
    """Seal and append what was prepared, in one transaction. Durable when this returns."""
    vault = prepared.vault
    now = engine.clock()
    ids = new_ids(now, len(prepared.guarded))

    def decide(state: State) -> Change[AddResult]:
        events: list[ItemAdded] = []
        results: list[Added] = []
        seen: dict[bytes, tuple[bytes, bytes]] = {}
        for number, ((message, labels, held), tag) in enumerate(zip(prepared.guarded, prepared.tags, strict=True)):
            if tag is not None:
                earlier = state.rare.idempotency.get(tag[0]) or seen.get(tag[0])
                if earlier is not None:
                    if not equal(earlier[1], tag[1]):
                        raise Conflict(f"message {number}: its idempotency key was used for other content")
                    results.append(Added(id=format_id(earlier[0]), event="unchanged"))
                    continue
            if number not in embeddings:
                # It was there when we looked and was deleted since: embed it after all.
                embeddings[number] = embed(engine, principal, vault, [message])[0]
            record = _record(prepared, ids[number], message, embeddings[number], now, expiry, tag, labels)
            record = held_back(engine.policy, record, now, by_policy=held)
            if tag is not None:
                seen[tag[0]] = (record.id, tag[1])
            events.append(ItemAdded(at=now, actor=principal.actor, purpose=principal.purpose, item=record))
            results.append(Added(id=format_id(record.id), event="added" if record.held is None else "quarantined"))
        written: list[Event] = [*events]
        asked = tuple(event.item.id for event in events if _tells(engine, event.item))
        if extract and asked:
            written.append(ExtractionRequested(at=now, actor=principal.actor, purpose=principal.purpose, ids=asked))
        return Change(AddResult(results=tuple(results)), written)

    return vault.transact(decide, caught_up=True)


def _tells(engine: Engine, item: ItemRecord) -> bool:
    """Whether facts may stand in it: the host's own instructions are none about anybody."""
    says = bool(item.text.strip()) or (engine.vision is not None and bool(references(item.attachments)))
    return says and item.role not in ("system", "developer") and item.held is None


def held_back(policy: Policy, record: ItemRecord, now: int, *, by_policy: bool) -> ItemRecord:
    """The record, in quarantine if the policy says so, or if its channel is not trusted and it wants to instruct."""
    ends = now + QUARANTINE
    if by_policy:
        return msgspec.structs.replace(record, held="policy", review_by=ends)
    found = signs(record.text) if policy.marks_instructions and record.trust <= Trust.IMPORTED else ()
    if not suspicious(found, trusted=False):
        return record
    labels = tuple(sorted({*record.labels, *(f"instruction-{name}" for name in found)}))
    if record.trust > Trust.UNTRUSTED:
        return msgspec.structs.replace(record, labels=labels)
    return msgspec.structs.replace(record, labels=labels, held="instruction", review_by=ends)


def update(
    engine: Engine,
    principal: Principal,
    scope: Scope,
    item_id: bytes,
    *,
    text: str | None,
    metadata: Metadata | None,
) -> Item:
    """A new version of an item; the old one stays readable for the past."""
    vault = engine.readable(principal, scope)
    if vault is None:
        raise no_such_item()
    with vault.lock:
        item = item_at(vault.state, row_of(vault.state, scope, item_id))
    message = Message(role=item.role, text=text or "", name=item.name, metadata=metadata or {})
    message, found, held = guarded_message(engine, scope, 0, message, item.channel)
    labels = tuple(sorted({*found, *_staying(engine, item, text, metadata)}))
    if held or _instructs(engine.policy, item.trust, message.text):
        # Into quarantine it cannot go: its older version has been read already.
        raise Blocked("the guard would hold this text for a review; add it as an item of its own instead")
    embedding = None if text is None else embed(engine, principal, vault, [message])[0]
    now = engine.clock()

    def decide(state: State) -> Change[None]:
        row = row_of(state, scope, item_id)
        record = current_record(vault, state, row)
        changes: dict[str, Any] = {
            "idempotency": None,
            "fingerprint": None,
            "labels": labels,
            "held": None,
            "review_by": None,
        }
        if text is not None:
            changes |= {"text": message.text, "embedding": embedding}
        if metadata is not None:
            changes["metadata"] = message.metadata
        item = msgspec.structs.replace(record, **changes)
        return Change(None, [ItemUpdated(at=now, actor=principal.actor, purpose=principal.purpose, item=item)])

    vault.transact(decide)
    with vault.lock:
        return item_at(vault.state, row_of(vault.state, scope, item_id))


def _staying(engine: Engine, item: Item, text: str | None, metadata: Metadata | None) -> set[str]:
    """Labels for the part of an item that an update does not give."""
    if text is None:
        return set(item.labels)
    if metadata is None and item.metadata:
        return {one.type for one in engine.find_personal(msgspec.json.encode(item.metadata).decode())}
    return set()


def reembed(
    engine: Engine, principal: Principal, vault: Vault, *, batch: int = 64, progress: Callable[[int], None]
) -> int:
    """Give every item whose vectors are of another model new ones. Resumable: what is done stays done."""
    embedder = engine.embedder
    if embedder is None:
        raise InvalidInput("there is no embedder to reindex with; name one with --embedder")
    done = 0
    while True:
        with vault.lock:
            vault.refresh()
            todo = stale_rows(vault.state, embedder.name)[:batch]
            work = [
                (vault.state.ids[row], int(vault.state.rows["seq"][row]), _as_message(vault.state, row)) for row in todo
            ]
        if not work:
            return done
        embeddings = embed(engine, principal, vault, [message for _, _, message in work])
        now = engine.clock()
        events = [
            ItemReembedded(at=now, actor=principal.actor, id=item_id, seq=seq, embedding=embedding)
            for (item_id, seq, _), embedding in zip(work, embeddings, strict=True)
            if embedding is not None
        ]
        vault.transact(partial(_still_there, events))
        done += len(work)
        progress(len(work))


def _still_there(events: Sequence[ItemReembedded], state: State) -> Change[None]:
    return Change(None, [event for event in events if event.id in state.by_id])


def stale_rows(state: State, model: str) -> list[int]:
    """Rows, old versions included, whose vectors are missing or of another model."""
    number = state.number_of(model)
    rows = state.rows
    stale = rows["alive"] & (rows["model"] != number) if number is not None else rows["alive"]
    return [int(row) for row in np.flatnonzero(stale)]


def embed(engine: Engine, principal: Principal, vault: Vault, messages: Sequence[Message]) -> list[Embedding | None]:
    """The vectors of each message and of its sentence segments, in one batch for all."""
    embedder = engine.embedder
    if embedder is None or not messages:
        return [None] * len(messages)
    texts: list[str] = []
    spans = []
    for message in messages:
        whole = message_text(message.text, message.name)
        parts = segments(message.text, message.name)
        parts = [] if len(parts) < 2 else parts
        spans.append((len(texts), len(texts) + 1 + len(parts)))
        texts += [whole, *parts]
    rows = packed(embedded(engine, principal, vault, texts))
    model, dimensions = embedder.name, embedder.dimensions
    return [
        Embedding(model=model, dimensions=dimensions, data=rows[start:end].tobytes(), bits=12) for start, end in spans
    ]


def _record(
    prepared: Prepared,
    item_id: bytes,
    message: Message,
    embedding: Embedding | None,
    now: int,
    expiry: int | None,
    tag: tuple[bytes, bytes] | None,
    labels: tuple[str, ...],
) -> ItemRecord:
    scope, channel = prepared.scope, prepared.channel
    source, trust = _CHANNELS[message.role]
    if source == "tool" and message.name:
        source = f"tool:{message.name}"
    if channel is not None:
        # An import vouches for no role: whoever wrote the file wrote the roles too.
        source, trust = channel, min(trust, Trust.IMPORTED)
    return ItemRecord(
        item_id,
        message.text,
        now if message.timestamp is None else microseconds(message.timestamp),
        source,
        int(trust),
        _MESSAGE,
        message.role,
        message.name,
        scope.user_id,
        scope.agent_id,
        scope.app_id,
        scope.run_id,
        message.metadata,
        message.attachments,
        labels,
        expires_at=expiry,
        embedding=embedding,
        idempotency=tag[0] if tag else None,
        fingerprint=tag[1] if tag else None,
    )


def guarded_message(
    engine: Engine, scope: Scope, number: int, message: Message, channel: str | None
) -> tuple[Message, tuple[str, ...], bool]:
    """The message as the policy lets it pass, metadata included, the types that were found, and whether it is held."""
    if not message.metadata and not engine.find_personal(message.text):
        return message, (), False
    source = _CHANNELS[message.role][0] if channel is None else channel
    check = partial(
        guard,
        engine.policy,
        where=f"message {number}: ",
        channel=source,
        stand_in=lambda kind, value: pseudonyms_of(engine, engine.vault_id(scope)).stand_in(kind, value),
        find=engine.find_personal,
    )
    text = check(message.text)
    if not message.metadata and not text.labels:
        return message, (), False
    metadata, found, held = _guarded_json(check, message.metadata)
    if text.text is not message.text or metadata != message.metadata:
        message = msgspec.structs.replace(message, text=text.text, metadata=metadata)
    return message, tuple(sorted({*text.labels, *found})) if found else text.labels, text.held or held


def _guarded_json(check: Callable[[str], Guarded], value: Any) -> tuple[Any, set[str], bool]:
    """The same for every string of a JSON value."""
    if isinstance(value, str):
        guarded = check(value)
        return guarded.text, set(guarded.labels), guarded.held
    if isinstance(value, dict):
        inner = {key: _guarded_json(check, each) for key, each in value.items()}
        found = set[str]().union(*(labels for _, labels, _ in inner.values()))
        return {key: each for key, (each, _, _) in inner.items()}, found, any(held for _, _, held in inner.values())
    if isinstance(value, list):
        listed = [_guarded_json(check, each) for each in value]
        found = set[str]().union(*(labels for _, labels, _ in listed))
        return [each for each, _, _ in listed], found, any(held for _, _, held in listed)
    return value, set(), False


def _instructs(policy: Policy, trust: Trust, text: str) -> bool:
    """Whether untrusted text wants to instruct its reader."""
    return policy.marks_instructions and trust == Trust.UNTRUSTED and suspicious(signs(text), trusted=False)


def _tags(vault: Vault, message: Message) -> tuple[bytes, bytes] | None:
    """Keyed tags of a message's idempotency key and of what came with it."""
    if message.idempotency_key is None:
        return None
    content = msgspec.msgpack.encode((message.role, message.text, message.name, message.metadata, message.attachments))
    return (
        vault.content_tag(b"idempotency", message.idempotency_key.encode()),
        vault.content_tag(b"fingerprint", content),
    )


def current_record(vault: Vault, state: State, row: int) -> ItemRecord:
    """The sealed record behind a row, with the vectors that it has now."""
    seqs = [int(state.rows["seq"][row]), *state.rare.reembedded.get(row, [])]
    events = vault.events(seqs)
    event = events[seqs[0]]
    if not isinstance(event, ItemAdded | ItemUpdated):
        raise no_such_item()
    record = event.item
    for seq in seqs[1:]:
        later = events.get(seq)
        if isinstance(later, ItemReembedded):
            record = msgspec.structs.replace(record, embedding=later.embedding)
    return record


def _as_message(state: State, row: int) -> Message:
    return Message(role="user", text=state.texts[row], name=state.name_of(int(state.rows["name"][row])))
