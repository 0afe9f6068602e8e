"""A rolling profile: written anew from the facts that stand, gone with the facts that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from tacita.access.principal import Principal
from tacita.errors import InvalidInput
from tacita.flows.engine import Engine, State, Vault, moment, subject_of
from tacita.flows.ids import new_id
from tacita.flows.infer import restored
from tacita.flows.recall import item_at
from tacita.flows.remember import embed
from tacita.flows.telling import pseudonyms_of, tell
from tacita.hazmat import random_bytes
from tacita.items import Item, Kind, Message, Scope, Trust
from tacita.pipeline import profile
from tacita.pipeline.facts import Known
from tacita.pipeline.prompt import KnownLine
from tacita.pipeline.reconcile import derived_trust
from tacita.pipeline.reply import read
from tacita.ports.models import checked_complete
from tacita.vault.events import Derivation, Event, ItemAdded, ItemRecord, ItemSuperseded
from tacita.vault.vault import Change

_FACTS: Final = 200
"""A profile is written from at most so many facts, the latest ones."""


def current(engine: Engine, principal: Principal, scope: Scope) -> Item | None:
    """The profile of a subject as it stands; None if there is none, or if a fact of it was forgotten since."""
    vault = engine.find(scope)
    if vault is None:
        return None
    with vault.lock:
        row = _row(vault.state)
        item = None if row is None else item_at(vault.state, row)
    engine.read_entry(principal, "profile", vault, int(item is not None))
    return item


def renew(engine: Engine, principal: Principal, scope: Scope) -> Item | None:
    """Have the model write the profile anew; None if no trusted fact is known, or none of its lines holds.

    Raises ModelError and AccessDenied, with the earlier profile left as it is.
    """
    model = engine.model
    if model is None:
        raise InvalidInput("a profile needs a language model, and none is configured; see docs/how-to/models.md")
    vault = engine.find(scope)
    known = [] if vault is None else _facts(vault)
    if vault is None or not known:
        return None
    labelled = {f"f{number}": each for number, each in enumerate(known, 1)}
    stand_ins = pseudonyms_of(engine, vault.keys.vault_id)
    boundary = random_bytes(12).hex()

    def compose(told: Sequence[str]) -> str:
        shown = zip(labelled.items(), told, strict=True)
        return profile.data(
            [KnownLine(label, f"{moment(each.said_at):%Y-%m-%d}", text) for (label, each), text in shown], boundary
        )

    told = tell(
        engine,
        principal,
        vault,
        model.name,
        "profile",
        [each.text for each in known],
        pseudonyms=stand_ins,
        instructions=profile.INSTRUCTIONS,
        compose=compose,
    )
    answer = read(checked_complete(model, told))
    lines, _ = profile.check([restored(each, stand_ins) for each in answer.facts], labelled)
    return _append(engine, principal, scope, vault, lines) if lines else None


def _append(
    engine: Engine, principal: Principal, scope: Scope, vault: Vault, lines: Sequence[profile.Line]
) -> Item | None:
    now = engine.clock()
    text = "\n".join(line.text for line in lines)
    (embedding,) = embed(engine, principal, vault, [Message(role="user", text=text)])
    subject = subject_of(scope)

    def decide(state: State) -> Change[bytes | None]:
        sources = dict.fromkeys(source.id for line in lines for source in line.sources)
        if not all(source in state.by_id for source in sources):
            # Something was forgotten while the model was writing. What it wrote may tell of it.
            return Change(None)
        trusts = [source.trust for line in lines for source in line.sources]
        expiries = [int(state.rows["expires_at"][state.by_id[source]]) for source in sources]
        record = ItemRecord(
            id=new_id(now),
            text=text,
            timestamp=now,
            channel="profile",
            trust=int(derived_trust(trusts)),
            kind=Kind.PROFILE.value,
            role="assistant",
            sources=tuple(sources),
            derivation=Derivation(type="profile"),
            embedding=embedding,
            expires_at=min([each for each in expiries if each], default=None),
            **{f"{subject.kind}_id": subject.id},  # type: ignore[arg-type]
        )
        events: list[Event] = [
            ItemAdded(at=now, actor=principal.actor, purpose=principal.purpose, item=record),
        ]
        row = _row(state)
        if row is not None:
            events.append(
                ItemSuperseded(
                    at=now, actor=principal.actor, id=state.ids[row], by=record.id, until=now, reason="supersedes"
                )
            )
        return Change(record.id, events)

    made = vault.transact(decide)
    if made is None:
        return None
    with vault.lock:
        return item_at(vault.state, vault.state.by_id[made])


def _facts(vault: Vault) -> list[Known]:
    """Current facts that may be told as a profile: never untrusted ones."""
    with vault.lock:
        state = vault.state
        kinds = [number for kind in (Kind.FACT, Kind.PROCEDURE) if (number := state.number_of(kind.value)) is not None]
        rows = state.rows
        chosen = state.current() & np.isin(rows["kind"], kinds) & (rows["trust"] > int(Trust.UNTRUSTED))
        latest = sorted(np.flatnonzero(chosen).tolist(), key=lambda row: int(rows["timestamp"][row]))[-_FACTS:]
        return [
            Known(state.ids[row], state.texts[row], int(rows["timestamp"][row]), Trust(int(rows["trust"][row])))
            for row in latest
        ]


def _row(state: State) -> int | None:
    kind = state.number_of(Kind.PROFILE.value)
    if kind is None:
        return None
    rows = np.flatnonzero(state.current() & (state.rows["kind"] == kind))
    return int(rows[-1]) if len(rows) else None
