"""How facts are drawn from messages that are kept already. Whatever the model does, the messages stay.

Pending work is part of the vault's own sealed log: it survives restarts, and forgetting a message forgets its work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacita.access.principal import Principal
from tacita.errors import ConfigError, Held, InvalidInput, ProviderError, TacitaError
from tacita.flows.engine import Engine, State, Vault, moment, whole
from tacita.flows.ids import format_id, new_id
from tacita.flows.ranking import ranked as ranking_of
from tacita.flows.recall import select
from tacita.flows.remember import embed
from tacita.flows.see import describe
from tacita.flows.source import Source as VectorSource
from tacita.flows.telling import pseudonyms_of, tell
from tacita.hazmat import random_bytes
from tacita.items import Derived, Extraction, Kind, Message, Scope, Trust
from tacita.pipeline import prompt, reply
from tacita.pipeline.facts import Fact, Known, Source, check
from tacita.pipeline.reconcile import Decision, derived_trust, reconcile
from tacita.ports.models import checked_complete
from tacita.privacy.pseudonyms import Pseudonyms
from tacita.retrieval.search import Query, Ranked, prepare, rank
from tacita.vault.events import (
    Derivation,
    Event,
    ExtractionEnded,
    ItemAdded,
    ItemRecord,
    ItemSuperseded,
)
from tacita.vault.fold import NEVER
from tacita.vault.vault import Change

ATTEMPTS: Final = 5
"""Tries before messages are left without facts."""
_MESSAGES: Final = 20
_CHARS: Final = 12_000
"""One prompt holds at most so many messages, or characters of them."""
_DERIVED: Final = (Kind.FACT, Kind.PROCEDURE)
_TOGETHER: Final = 10
"""Messages for which related facts are looked up at once."""
_WORDS: Final = 32
"""And the words that they are looked up with, beside their vectors."""
_KNOWN: Final = 12
"""Known facts that a prompt shows."""


class _Work(msgspec.Struct, frozen=True):
    """One prompt's worth of messages."""

    sources: dict[str, Source]
    records: dict[bytes, tuple[str, dict[str, str | None], int]]
    """Id -> (channel, labels of its scope, expiry)."""
    roles: dict[bytes, str]
    known: dict[str, Known]
    purpose: str | None
    """What they were added for. It is told for this, whoever comes to do it."""
    attempts: int
    """Which try this is."""

    @property
    def ids(self) -> tuple[bytes, ...]:
        return tuple(source.id for source in self.sources.values())


def process(
    engine: Engine,
    principal: Principal,
    scope: Scope,
    *,
    only: Collection[bytes] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Extraction:
    """Draw facts from what is pending in a vault, one model call for each few messages.

    Never raises for what a model does: a failure is told in the result, and the work stays pending until it was tried
    `ATTEMPTS` times.

    Args:
        only: these items, instead of all that are pending.
        stop: asked before each call; what is left then stays pending.
    """
    if engine.model is None:
        raise InvalidInput("facts need a language model, and none is configured; see docs/how-to/models.md")
    vault = engine.find(scope)
    if vault is None:
        return Extraction()
    facts: list[Derived] = []
    dropped: Counter[str] = Counter()
    failure: str | None = None
    reason: str | None = None
    tried: set[bytes] = set()
    while not stop():
        work = _next(engine, vault, scope, tried, only)
        if work is None:
            break
        tried.update(work.ids)
        asking = msgspec.structs.replace(principal, purpose=work.purpose)
        try:
            seen, unseen = _see(engine, asking, vault, scope, work)
            made, lost = _draw(engine, asking, vault, work)
            made, lost = seen + made, unseen + lost
        except (ConfigError, Held) as error:
            # A missing key, a refused one, or a freeze: no fault of these messages, so no attempt is counted.
            failure, reason = error.code, str(error)
            break
        except TacitaError as error:
            failure, reason = error.code, str(error)
            _failed(engine, principal, vault, work, error)
            continue
        facts += made
        dropped += lost
        if any(lost[code] for code in ("no_json", "wrong_shape")):
            failure = "no_json" if lost["no_json"] else "wrong_shape"
            reason = f"model {engine.model.name} gave no answer that can be read"
    with vault.lock:
        pending = len(vault.state.rare.pending)
    return Extraction(facts=tuple(facts), dropped=dict(dropped), pending=pending, failure=failure, reason=reason)


def _see(
    engine: Engine, principal: Principal, vault: Vault, scope: Scope, work: _Work
) -> tuple[list[Derived], Counter[str]]:
    """The pictures of these messages. Facts wait for them, but not for ever: in the last attempt they go on without."""
    try:
        return describe(engine, principal, vault, scope.tenant, work.ids)
    except ProviderError:
        if work.attempts < ATTEMPTS:
            raise
        return [], Counter(picture_failed=1)


def combined(extractions: Sequence[Extraction]) -> Extraction:
    """Several extractions told as one."""
    dropped: Counter[str] = Counter()
    for each in extractions:
        dropped.update(each.dropped)
    return Extraction(
        facts=tuple(fact for each in extractions for fact in each.facts),
        dropped=dict(dropped),
        pending=sum(each.pending for each in extractions),
        failure=next((each.failure for each in extractions if each.failure), None),
        reason=next((each.reason for each in extractions if each.reason), None),
    )


def _next(
    engine: Engine, vault: Vault, scope: Scope, tried: set[bytes], only: Collection[bytes] | None
) -> _Work | None:
    with vault.lock:
        state = vault.state
        chosen: list[int] = []
        size = 0
        purpose: str | None = None
        attempts = 0
        for item_id, (tries, asked_for) in state.rare.pending.items():
            if item_id in tried or (only is not None and item_id not in only):
                continue
            if not chosen:
                purpose = asked_for
            elif asked_for != purpose:
                continue
            row = state.by_id[item_id]
            size += len(state.texts[row])
            if chosen and (len(chosen) == _MESSAGES or size > _CHARS):
                break
            chosen.append(row)
            attempts = max(attempts, tries + 1)
        if not chosen:
            return None
        sources, records, roles = {}, {}, {}
        for number, row in enumerate(chosen, 1):
            values = state.rows[row]
            item_id = state.ids[row]
            sources[f"m{number}"] = Source(
                item_id,
                state.texts[row],
                int(values["timestamp"]),
                Trust(int(values["trust"])),
                state.name_of(int(values["name"])),
            )
            scoped = {field: state.name_of(int(values[field])) for field in ("user_id", "agent_id", "app_id", "run_id")}
            records[item_id] = (state.name_of(int(values["channel"])) or "", scoped, int(values["expires_at"]))
            roles[item_id] = state.name_of(int(values["role"])) or "user"
        known = {f"f{number}": each for number, each in enumerate(_related(engine, vault, scope, chosen), 1)}
    return _Work(sources, records, roles, known, purpose, attempts)


def _related(engine: Engine, vault: Vault, scope: Scope, rows: Sequence[int]) -> list[Known]:
    """Facts of the same vault that are most like the messages. Exact, and never another vault's."""
    state = vault.state
    kinds = [number for each in _DERIVED if (number := state.number_of(each.value)) is not None]
    if not kinds:
        return []
    model = "" if engine.embedder is None else engine.embedder.name
    best: dict[int, float] = {}
    for start in range(0, len(rows), _TOGETHER):
        few = rows[start : start + _TOGETHER]
        query = prepare(
            _telling(state.texts[row] for row in few),
            _mean(engine, vault, few, model),
            model,
            names=state.index.names,
            question=False,
        )

        def ranking(outside: VectorSource | None, query: Query = query) -> Ranked:
            mask = select(vault.state, whole(scope), None)
            allowed = (vault.state.current() if mask is None else mask) & np.isin(vault.state.rows["kind"], kinds)
            return rank(vault.state.index, query, allowed=allowed, top_k=_KNOWN, outside=outside)

        ranked, _ = ranking_of(engine, vault, query, ranking)
        for found, score in zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True):
            best[found] = max(score, best.get(found, 0.0))
    chosen = sorted(best, key=lambda row: -best[row])[:_KNOWN]
    return [
        Known(state.ids[row], state.texts[row], _said_at(state, row), Trust(int(state.rows["trust"][row])))
        for row in chosen
    ]


def _telling(texts: Iterable[str]) -> str:
    """The longest words of some texts. Long ones are rare ones, and the time of a search grows with their number."""
    return " ".join(
        sorted({word for text in texts for word in text.split()}, key=lambda word: (-len(word), word))[:_WORDS]
    )


def _said_at(state: State, row: int) -> int:
    """When the message of a fact was said. Not the date that the fact names: one far ahead would never be outdated."""
    sources = state.rare.sources.get(row, ())
    said = [state.by_id[source] for source in sources if source in state.by_id]
    return int(state.rows["timestamp"][said[0] if said else row])


def _mean(engine: Engine, vault: Vault, rows: Sequence[int], model: str) -> NDArray[np.float32] | None:
    """The direction of a few messages' vectors together; None if none has one."""
    if engine.exposed is not None:
        held = engine.exposed.vectors(vault, rows)
    else:
        held = [vector for row in rows if (vector := vault.state.index.vector(row, model)) is not None]
    if not held:
        return None
    summed = np.sum(np.stack(held), axis=0, dtype=np.float32)
    unit: NDArray[np.float32] = np.divide(summed, max(float(np.linalg.norm(summed)), 1e-6), dtype=np.float32)
    return unit


def _draw(engine: Engine, principal: Principal, vault: Vault, work: _Work) -> tuple[list[Derived], Counter[str]]:
    """One call: ask, read, check, reconcile, append."""
    model = engine.model
    assert model is not None
    stand_ins = pseudonyms_of(engine, vault.keys.vault_id)
    # A message that is a picture and nothing else says no words.
    sources = [(label, source) for label, source in work.sources.items() if source.text.strip()]
    known = list(work.known.items())
    if not sources:
        return _append(engine, principal, vault, work, [], Counter(), readable=True), Counter()
    boundary = random_bytes(12).hex()

    def compose(told: Sequence[str]) -> str:
        words = iter(told)
        messages = [
            prompt.SourceLine(label, _time(source.said_at), work.roles[source.id], next(words) or None, next(words))
            for label, source in sources
        ]
        facts = [prompt.KnownLine(label, _time(each.said_at), next(words)) for label, each in known]
        return prompt.data(messages, facts, boundary)

    texts: list[str] = []
    for _, source in sources:
        texts += [source.name or "", source.text]
    texts += [each.text for _, each in known]
    told = tell(
        engine,
        principal,
        vault,
        model.name,
        "extract",
        texts,
        pseudonyms=stand_ins,
        instructions=prompt.instructions(engine.guidance),
        compose=compose,
    )
    answer = reply.read(checked_complete(model, told))
    raw = [restored(each, stand_ins) for each in answer.facts]
    facts, dropped = check(raw, work.sources, work.known, categories=engine.guidance.categories)
    decisions, refused = reconcile(facts, list(work.known.values()))
    lost = answer.problems + dropped + refused
    return _append(engine, principal, vault, work, decisions, lost, readable=answer.readable), lost


def _time(microseconds: int) -> str:
    return f"{moment(microseconds):%Y-%m-%d %H:%M, %A}"


def restored(value: Any, stand_ins: Pseudonyms) -> Any:
    """A JSON value with the stand-ins in its strings turned back."""
    if isinstance(value, str):
        return stand_ins.restore(value)
    if isinstance(value, dict):
        return {key: restored(each, stand_ins) for key, each in value.items()}
    if isinstance(value, list):
        return [restored(each, stand_ins) for each in value]
    return value


def _append(
    engine: Engine,
    principal: Principal,
    vault: Vault,
    work: _Work,
    decisions: Sequence[Decision],
    lost: Counter[str],
    *,
    readable: bool,
) -> list[Derived]:
    now = engine.clock()
    kept = [each for each in decisions if each.action == "add"]
    embeddings = embed(engine, principal, vault, [Message(role="user", text=each.fact.text) for each in kept])
    records = [_record(now, each.fact, work, embedding) for each, embedding in zip(kept, embeddings, strict=True)]

    def decide(state: State) -> Change[list[Derived]]:
        events: list[Event] = []
        results: list[Derived] = []
        if not any(item_id in state.rare.pending for item_id in work.ids):
            # Another process was first, or all of it was forgotten.
            return Change(results)
        for each, record in zip(kept, records, strict=True):
            if each.fact.source.id not in state.by_id:
                # Forgotten while the model was thinking: so is what it said about it.
                continue
            replaces = each.replaces if each.replaces is not None and _is_current(state, each.replaces.id) else None
            by = each.replaced_by if each.replaced_by is not None and each.replaced_by.id in state.by_id else None
            events.append(ItemAdded(at=now, actor=principal.actor, purpose=principal.purpose, item=record))
            if replaces is not None:
                began = int(state.rows["timestamp"][state.by_id[replaces.id]])
                until = max(each.fact.valid_from, began + 1)
                events.append(_superseded(now, principal, replaces.id, record.id, until, each))
            elif by is not None:
                events.append(
                    _superseded(now, principal, record.id, by.id, max(by.said_at, record.timestamp + 1), each)
                )
            elif each.fact.valid_to is not None and each.fact.valid_to <= now:
                until = max(each.fact.valid_to, record.timestamp + 1)
                events.append(_superseded(now, principal, record.id, record.id, until, each))
            results.append(
                Derived(
                    id=format_id(record.id),
                    text=record.text,
                    event="outdated"
                    if by is not None
                    else "added"
                    if replaces is None or each.reason == "new"
                    else each.reason,
                    replaced=None if replaces is None else format_id(replaces.id),
                    citations=tuple(map(format_id, record.sources)),
                )
            )
        results += [
            Derived(id=None, text=each.fact.text, event="duplicate", citations=(format_id(each.fact.source.id),))
            for each in decisions
            if each.action == "skip"
        ]
        events.append(
            ExtractionEnded(
                at=now,
                actor=principal.actor,
                ids=work.ids,
                facts=len(kept),
                dropped={code: count for code, count in lost.items() if count},
                failure=None if readable else "answer",
                attempts=work.attempts,
                final=readable or work.attempts >= ATTEMPTS,
            )
        )
        return Change(results, events)

    return vault.transact(decide)


def _superseded(
    now: int, principal: Principal, item_id: bytes, by: bytes, until: int, decision: Decision
) -> ItemSuperseded:
    reason = "supersedes" if decision.reason == "new" else decision.reason
    return ItemSuperseded(at=now, actor=principal.actor, id=item_id, by=by, until=until, reason=reason)


def _is_current(state: State, item_id: bytes) -> bool:
    row = state.by_id.get(item_id)
    return row is not None and int(state.rows["valid_to"][row]) == NEVER


def _record(now: int, fact: Fact, work: _Work, embedding: Any) -> ItemRecord:
    channel, scoped, expiry = work.records[fact.source.id]
    # Never above any parent: the message that it cites, and the fact that it changes.
    parents = [fact.source.trust] if fact.of is None else [fact.source.trust, fact.of.trust]
    trust = derived_trust(parents)
    # How things are to be done is for the user to say, and for nobody else.
    procedure = fact.kind == "procedure" and trust == Trust.USER and channel == "user"
    return ItemRecord(
        id=new_id(now),
        text=fact.text,
        timestamp=fact.valid_from,
        channel=channel,
        trust=int(trust),
        kind=Kind.PROCEDURE.value if procedure else Kind.FACT.value,
        role=work.roles[fact.source.id],
        sources=(fact.source.id,),
        derivation=Derivation(
            type=fact.kind if procedure or fact.kind != "procedure" else "fact",
            subject=fact.subject,
            categories=fact.categories,
            confidence=fact.confidence,
            spans=((0, *fact.span),),
        ),
        embedding=embedding,
        # What was derived lives no longer than what it was derived from.
        expires_at=None if expiry == NEVER else expiry,
        user_id=scoped["user_id"],
        agent_id=scoped["agent_id"],
        app_id=scoped["app_id"],
        run_id=scoped["run_id"],
    )


def _failed(engine: Engine, principal: Principal, vault: Vault, work: _Work, error: TacitaError) -> None:
    """One more attempt is over. The work stays, unless trying again cannot help."""
    event = ExtractionEnded(
        at=engine.clock(),
        actor=principal.actor,
        ids=work.ids,
        failure=error.code,
        attempts=work.attempts,
        final=work.attempts >= ATTEMPTS or error.code in ("access_denied", "blocked"),
    )
    vault.transact(lambda _: Change(None, [event]))
