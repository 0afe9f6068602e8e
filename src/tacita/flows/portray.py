"""Rolling profiles and summaries: written anew from what stands, gone with what they rest on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacita.access.principal import Principal
from tacita.errors import InvalidInput, TacitaError
from tacita.flows.engine import Engine, State, Vault, moment, whole
from tacita.flows.ids import new_id
from tacita.flows.infer import process, restored
from tacita.flows.recall import item_at, select
from tacita.flows.remember import embed
from tacita.flows.telling import pseudonyms_of, tell
from tacita.hazmat import random_bytes
from tacita.items import ID_FIELDS, Extraction, Item, Kind, Message, Scope, Trust
from tacita.pipeline import portrait
from tacita.pipeline.facts import Known
from tacita.pipeline.portrait import Line
from tacita.pipeline.prompt import KnownLine
from tacita.pipeline.reconcile import derived_trust
from tacita.pipeline.reply import read
from tacita.ports.models import checked_complete
from tacita.vault.events import Derivation, Event, ItemAdded, ItemRecord, ItemSuperseded
from tacita.vault.vault import Change

_SOURCES: Final = 200
_CHARS: Final = 24_000
"""At most so many items, or characters of them, are told for one portrait: the latest ones."""

log = logging.getLogger("tacita.extraction")


class Portrait(msgspec.Struct, frozen=True):
    """One kind of text about many items."""

    kind: Kind
    instructions: str
    title: str
    """What the prompt calls its sources, and the letter of their labels."""
    of: tuple[Kind, ...]
    labelled: bool
    """Whether there is one for each scope, and not one for a subject."""

    def scope(self, scope: Scope) -> Scope:
        """The scope that it tells about."""
        return scope if self.labelled else whole(scope)


PROFILE: Final = Portrait(Kind.PROFILE, portrait.PROFILE, "FACTS", (Kind.FACT, Kind.PROCEDURE), labelled=False)
SUMMARY: Final = Portrait(Kind.SUMMARY, portrait.SUMMARY, "MESSAGES", (Kind.MESSAGE,), labelled=True)


def current(engine: Engine, principal: Principal, scope: Scope, what: Portrait) -> Item | None:
    """The portrait as it stands; None if there is none, or if something that it rests on was forgotten since."""
    vault = engine.readable(principal, scope)
    if vault is None:
        return None
    with vault.lock:
        row = _row(vault.state, what, what.scope(scope))
        item = None if row is None else item_at(vault.state, row)
    engine.read_entry(principal, what.kind.value, vault, int(item is not None))
    return item


def renew(engine: Engine, principal: Principal, scope: Scope, what: Portrait) -> Item | None:
    """Have the model write a portrait anew; None if nothing trusted is known, or none of its lines holds.

    Raises ModelError and AccessDenied, with the earlier one left as it is.
    """
    model = engine.model
    if model is None:
        raise InvalidInput(f"a {what.kind} needs a language model, and none is configured; see docs/how-to/models.md")
    scope = what.scope(scope)
    vault = engine.find(scope)
    if vault is None:
        return None
    with vault.lock:
        labelled = _sources(vault.state, what, scope)
    if not labelled:
        return None
    stand_ins = pseudonyms_of(engine, vault.keys.vault_id)
    boundary = random_bytes(12).hex()

    def compose(told: Sequence[str]) -> str:
        shown = zip(labelled.items(), told, strict=True)
        lines = [KnownLine(label, f"{moment(each.said_at):%Y-%m-%d}", text) for (label, each), text in shown]
        return portrait.data(what.title, lines, boundary)

    told = tell(
        engine,
        principal,
        vault,
        model.name,
        what.kind.value,
        [each.text for each in labelled.values()],
        pseudonyms=stand_ins,
        instructions=what.instructions,
        compose=compose,
    )
    answer = read(checked_complete(model, told))
    lines, _ = portrait.check([restored(each, stand_ins) for each in answer.facts], labelled)
    return _append(engine, principal, scope, vault, what, lines) if lines else None


def draw(
    engine: Engine,
    principal: Principal,
    scope: Scope,
    *,
    only: Collection[bytes] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Extraction:
    """`infer.process`, and then whatever profile or summary there is and has fallen behind is written anew.

    One that cannot be renewed stays as it is, and the log says so: the facts are safe.
    """
    drawn = process(engine, principal, scope, only=only, stop=stop)
    if drawn.failure is None and engine.renew_after and not stop():
        for what, due in _behind(engine, scope):
            try:
                renew(engine, principal, due, what)
            except TacitaError as error:
                log.error("a %s cannot be renewed (%s)", what.kind.value, error.code)
    return drawn


def _behind(engine: Engine, scope: Scope) -> list[tuple[Portrait, Scope]]:
    """Portraits of a vault after which `engine.renew_after` items came that they could tell of."""
    vault = engine.find(scope)
    if vault is None:
        return []
    found = []
    with vault.lock:
        state = vault.state
        for what in (PROFILE, SUMMARY):
            number = state.number_of(what.kind.value)
            for row in () if number is None else np.flatnonzero(state.current() & (state.rows["kind"] == number)):
                labels = {field: state.name_of(int(state.rows[field][row])) for _, field in ID_FIELDS}
                of = Scope(tenant=scope.tenant, **labels)
                since = state.rows["seq"][_candidates(state, what, of)] > state.rows["seq"][row]
                if int(since.sum()) >= engine.renew_after:
                    found.append((what, of))
    return found


def _append(
    engine: Engine, principal: Principal, scope: Scope, vault: Vault, what: Portrait, lines: Sequence[Line]
) -> Item | None:
    now = engine.clock()
    text = "\n".join(line.text for line in lines)
    (embedding,) = embed(engine, principal, vault, [Message(role="user", text=text)])

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
            channel=what.kind.value,
            trust=int(derived_trust(trusts)),
            kind=what.kind.value,
            role="assistant",
            sources=tuple(sources),
            derivation=Derivation(type=what.kind.value),
            embedding=embedding,
            expires_at=min([each for each in expiries if each], default=None),
            user_id=scope.user_id,
            agent_id=scope.agent_id,
            app_id=scope.app_id,
            run_id=scope.run_id,
        )
        events: list[Event] = [
            ItemAdded(at=now, actor=principal.actor, purpose=principal.purpose, item=record),
        ]
        row = _row(state, what, scope)
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


def _sources(state: State, what: Portrait, scope: Scope) -> dict[str, Known]:
    """What may be told, by its label in the prompt, in order of time."""
    rows = _candidates(state, what, scope)
    latest = sorted(rows.tolist(), key=lambda row: int(state.rows["timestamp"][row]))[-_SOURCES:]
    size = 0
    for number, row in enumerate(reversed(latest)):
        size += len(state.texts[row])
        if size > _CHARS and number:
            latest = latest[-number:]
            break
    letter = what.title[0].lower()
    found = {f"{letter}{number}": _known(state, row, what) for number, row in enumerate(latest, 1)}
    earlier = _row(state, what, scope) if what.labelled and len(latest) < len(rows) else None
    # What no longer fits is told by the summary that there is.
    return found if earlier is None else {"s1": _known(state, earlier, what), **found}


def _candidates(state: State, what: Portrait, scope: Scope) -> NDArray[np.int64]:
    """Rows that a portrait may tell of: never untrusted ones, and not the host's own instructions."""
    mask = select(state, scope, None)
    rows = state.rows
    kinds = [number for kind in what.of if (number := state.number_of(kind.value)) is not None]
    hosts = [number for role in ("system", "developer") if (number := state.number_of(role)) is not None]
    return np.flatnonzero(
        (state.current() if mask is None else mask)
        & np.isin(rows["kind"], kinds)
        & (rows["trust"] > int(Trust.UNTRUSTED))
        & ~np.isin(rows["role"], hosts)
    )


def _known(state: State, row: int, what: Portrait) -> Known:
    values = state.rows[row]
    text = state.texts[row]
    if what.labelled and state.name_of(int(values["kind"])) == Kind.MESSAGE.value:
        # Who said it is half of what it says.
        text = f"{state.name_of(int(values['name'])) or state.name_of(int(values['role']))}: {text}"
    return Known(state.ids[row], text, int(values["timestamp"]), Trust(int(values["trust"])))


def _row(state: State, what: Portrait, scope: Scope) -> int | None:
    """The current portrait of exactly this scope."""
    kind = state.number_of(what.kind.value)
    if kind is None:
        return None
    labels = [(field, getattr(scope, field)) for _, field in ID_FIELDS]
    for row in np.flatnonzero(state.current() & (state.rows["kind"] == kind))[::-1].tolist():
        if all(state.name_of(int(state.rows[field][row])) == value for field, value in labels):
            return int(row)
    return None
