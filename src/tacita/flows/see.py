"""How pictures that messages name become words: fetched from allowed hosts, described by a model, kept as derived items.

What is on a picture is nobody's word: its description is untrusted, whoever sent it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tacita.access.principal import Principal
from tacita.disclosed import Picture
from tacita.errors import AccessDenied
from tacita.flows.engine import Engine, State, Vault
from tacita.flows.ids import format_id, new_id
from tacita.flows.remember import embed, guarded_message, held_back
from tacita.flows.telling import pseudonyms_of, tell
from tacita.items import ID_FIELDS, Derived, Kind, Message, Scope, Trust
from tacita.pipeline import pictures
from tacita.pipeline.pictures import Reference
from tacita.pipeline.reconcile import derived_trust
from tacita.ports.models import LanguageModel, checked_complete
from tacita.vault.events import Derivation, ItemAdded, ItemRecord
from tacita.vault.fold import NEVER
from tacita.vault.vault import Change

TYPE = "picture"


def describe(
    engine: Engine, principal: Principal, vault: Vault, tenant: str, ids: Sequence[bytes]
) -> tuple[list[Derived], Counter[str]]:
    """Describe the pictures of some items that have no description yet, and count those that cannot be.

    Raises ModelError and AccessDenied from the model; what was described before stays. `picture_refused`: an address
    that is not allowed, or what is no picture.
    """
    model = engine.vision
    lost: Counter[str] = Counter()
    made: list[Derived] = []
    if model is None:
        return made, lost
    for item_id in ids:
        for place, reference in _undescribed(vault, item_id):
            seen = _seen(engine, reference)
            if seen is None:
                lost["picture_refused"] += 1
                continue
            said = _ask(engine, principal, vault, model, seen)
            if not said or said == pictures.NOTHING:
                lost["picture_unclear"] += 1
                continue
            kept = _append(engine, principal, vault, tenant, item_id, place, said)
            if kept is None:
                lost["picture_held"] += 1
            else:
                made.append(kept)
    return made, lost


def _undescribed(vault: Vault, item_id: bytes) -> list[tuple[int, Reference]]:
    """(which of the item's pictures, where it is), without those whose descriptions are there."""
    with vault.lock:
        state = vault.state
        row = state.by_id.get(item_id)
        attached = () if row is None else state.rare.attachments.get(row, ())
        if not attached:
            return []
        done = {
            derivation.subject
            for child, sources in state.rare.sources.items()
            if item_id in sources and (derivation := state.rare.derivations.get(child)) and derivation.type == TYPE
        }
    return [(number, each) for number, each in enumerate(pictures.references(attached), 1) if _name(number) not in done]


def _name(place: int) -> str:
    return f"picture {place}"


def _seen(engine: Engine, reference: Reference) -> Picture | None:
    """The picture itself; None if it may not be fetched or is none. Raises ModelError when it cannot be got now."""
    data = reference.data
    if data is None:
        if engine.pictures is None or reference.url is None:
            return None
        try:
            data = engine.pictures.fetch(reference.url)
        except AccessDenied:
            return None
    kind = pictures.media_type(data)
    return None if kind is None else Picture(kind, data)


def _ask(engine: Engine, principal: Principal, vault: Vault, model: LanguageModel, seen: Picture) -> str:
    told = tell(
        engine,
        principal,
        vault,
        model.name,
        TYPE,
        [""],
        pseudonyms=pseudonyms_of(engine, vault.keys.vault_id),
        instructions=pictures.INSTRUCTIONS,
        compose=lambda _: "The picture:",
        pictures=[seen],
    )
    return checked_complete(model, told).encode("utf-8", "ignore").decode().strip()


def _append(
    engine: Engine, principal: Principal, vault: Vault, tenant: str, item_id: bytes, place: int, said: str
) -> Derived | None:
    """Keep a description behind the guard; None if it is held for a review, or its message was forgotten meanwhile."""
    with vault.lock:
        row = vault.state.by_id.get(item_id)
        if row is None:
            return None
        values = vault.state.rows[row].copy()
        labels = {field: vault.state.name_of(int(values[field])) for _, field in ID_FIELDS}
    message, found, held = guarded_message(
        engine, Scope(tenant=tenant, **labels), 0, Message(role="tool", text=said), None
    )
    (embedding,) = embed(engine, principal, vault, [message])
    now = engine.clock()
    record = ItemRecord(
        id=new_id(now),
        text=message.text,
        timestamp=int(values["timestamp"]),
        channel=TYPE,
        trust=int(derived_trust([Trust(int(values["trust"])), Trust.UNTRUSTED])),
        kind=Kind.FACT.value,
        role="tool",
        labels=found,
        sources=(item_id,),
        derivation=Derivation(type=TYPE, subject=_name(place)),
        embedding=embedding,
        expires_at=None if int(values["expires_at"]) == NEVER else int(values["expires_at"]),
        user_id=labels["user_id"],
        agent_id=labels["agent_id"],
        app_id=labels["app_id"],
        run_id=labels["run_id"],
    )
    record = held_back(engine.policy, record, now, by_policy=held)

    def decide(state: State) -> Change[bool]:
        if item_id not in state.by_id:
            return Change(False)
        return Change(True, [ItemAdded(at=now, actor=principal.actor, purpose=principal.purpose, item=record)])

    if not vault.transact(decide) or record.held is not None:
        return None
    return Derived(id=format_id(record.id), text=record.text, event="added", citations=(format_id(item_id),))
