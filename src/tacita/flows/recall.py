"""How words are found again: scope, filters and validity first, then the ranking, then items and an audit entry."""

from __future__ import annotations

import base64
import binascii
import functools
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from tacita.access.principal import Principal
from tacita.errors import InvalidInput, KeyUnavailable
from tacita.flows.engine import Engine, State, Vault, microseconds, moment, subject_of
from tacita.flows.filters import Group, Mask, evaluate
from tacita.flows.ids import format_id, no_such_item
from tacita.flows.ranking import ranked as ranking_of
from tacita.flows.rerank import LOOKED_AT, reranked
from tacita.flows.source import Source
from tacita.flows.telling import embedded
from tacita.items import (
    ID_FIELDS,
    Change,
    Derivation,
    Hit,
    Item,
    Kind,
    Page,
    Scope,
    SearchResult,
    Signal,
    Trust,
    lowest_trust,
)
from tacita.ports.models import checked_embed
from tacita.retrieval.search import Query, Ranked, prepare, rank
from tacita.vault.events import ItemAdded, ItemSuperseded, ItemUpdated
from tacita.vault.fold import NEVER

Order = Literal["newest", "oldest"]
KEPT: Final = 1_024
"""Items of a vault that are kept as callers see them: what is found once is often found again."""
_CURSOR = struct.Struct(">qI")
# Calling an enum costs twenty times as much, for every hit.
_KINDS: dict[str | None, Kind] = {kind.value: kind for kind in Kind}
_TRUSTS = {trust.value: trust for trust in Trust}


def search(
    engine: Engine,
    principal: Principal,
    scopes: Sequence[Scope],
    query: str,
    *,
    filters: Group | None = None,
    top_k: int = 10,
    threshold: float | None = None,
    as_of: datetime | None = None,
    reference_time: datetime | None = None,
    explain: bool = False,
    operation: str = "search",
) -> SearchResult:
    """The best items for `query` over the named vaults. Each vault is searched on its own, then the hits are merged."""
    embedder = engine.embedder
    near: dict[str, NDArray[np.float32]] = {}
    model = "" if embedder is None else embedder.name
    now = engine.clock()
    reference = now if reference_time is None else microseconds(reference_time)
    hits: list[Hit] = []
    warnings: list[str] = []
    without = 0
    # What is looked at again is cut afterwards: the number that was asked for, and the score.
    wanted = top_k if engine.reranker is None else max(top_k, LOOKED_AT)
    floor = threshold if engine.reranker is None else None
    for scope in scopes:
        vault = engine.readable(principal, scope)
        found: list[Hit] = []
        if vault is not None:
            with vault.lock:
                asked = prepare(query, reference_time=reference, names=vault.state.index.names)
            vector = None
            if engine.remote is not None:
                # It is told the question once for each vault: consent and stand-ins are a vault's own.
                vector = embedded(engine, principal, vault, [asked.topic])[0]
            elif engine.local is not None:
                if asked.topic not in near:
                    near[asked.topic] = checked_embed(engine.local, [asked.topic])[0]
                vector = near[asked.topic]
            prepared = asked.near(vector, model)
            with vault.lock:

                def ranking(
                    outside: Source | None, vault: Vault = vault, scope: Scope = scope, prepared: Query = prepared
                ) -> Ranked:
                    mask = select(vault.state, scope, filters, as_of=as_of)
                    return rank(
                        vault.state.index,
                        prepared,
                        allowed=mask,
                        top_k=wanted,
                        threshold=floor,
                        explain=explain,
                        outside=outside,
                    )

                ranked, said = ranking_of(engine, vault, prepared, ranking)
                del ranking
                found = _hits(vault.state, scope, ranked)
                without += ranked.without_vectors
                warnings += said
            if engine.reranker is not None:
                found, warning = reranked(engine, principal, vault, query, found)
                warnings += [warning] if warning else []
                found = [hit for hit in found if threshold is None or hit.score >= threshold][:top_k]
        engine.read_entry(principal, operation, vault, len(found))
        hits += found
        # Else it would be in use while the next one is opened, which may wait for the room that it takes.
        del vault
    kept = tuple(hits) if len(scopes) == 1 else _merged(hits)[:top_k]
    return SearchResult(
        hits=kept, taint=lowest_trust(kept), warnings=(*_warnings(engine, without), *dict.fromkeys(warnings))
    )


def _merged(hits: list[Hit]) -> tuple[Hit, ...]:
    """The hits of several scopes, best first; these may overlap: a subject twice, or with and without a label."""
    unique: dict[str, Hit] = {}
    for hit in sorted(hits, key=lambda hit: -hit.score):
        unique.setdefault(hit.item.id, hit)
    return tuple(unique.values())


def _warnings(engine: Engine, without: int) -> tuple[str, ...]:
    if engine.embedder is None:
        return ("searched by words only: there is no embedder",)
    if without:
        return (f"{without} items have no vectors of {engine.embedder.name}: run `tacita reindex`",)
    return ()


def _hits(state: State, scope: Scope, ranked: Ranked) -> list[Hit]:
    subject = subject_of(scope)
    signals: Sequence[tuple[Signal, ...]] = [()] * len(ranked.rows)
    if ranked.signals is not None:
        signals = [
            tuple(
                Signal(name=one.name, value=one.value, rank=one.rank, weight=one.weight, contribution=one.contribution)
                for one in each
            )
            for each in ranked.signals
        ]
    return [
        Hit(item=item, score=score, subject=subject, signals=each)
        for item, score, each in zip(items_at(state, ranked.rows), ranked.scores.tolist(), signals, strict=True)
    ]


def select(state: State, scope: Scope, filters: Group | None, *, as_of: datetime | None = None) -> Mask | None:
    """Rows that a read in this scope may see, None for all that are current. The scope is ANDed last."""
    labels = _labels(scope)
    if filters is None and as_of is None and not labels and not state.replaced and not state.rare.held:
        return None
    rows = state.rows
    if as_of is None:
        mask = state.current()
    else:
        instant = microseconds(as_of)
        valid_from = np.where(rows["version"] == 1, rows["timestamp"], rows["updated_at"])
        mask = (
            rows["alive"]
            & ~rows["held"]
            & (valid_from <= instant)
            & ((rows["valid_to"] == NEVER) | (rows["valid_to"] > instant))
        )
    if filters is not None:
        mask &= evaluate(filters, state)
    for field, value in labels:
        number = state.number_of(value)
        mask &= np.zeros(len(rows), np.bool_) if number is None else rows[field] == number
    return mask


def in_scope(state: State, scope: Scope) -> Mask:
    """Every row of a scope: older versions, what no longer holds and what is in quarantine included."""
    mask: Mask = state.rows["alive"].copy()
    for field, value in scope.ids.items():
        number = state.number_of(value)
        mask &= state.rows[field] == (-1 if number is None else number)
    return mask


@functools.lru_cache(maxsize=1_024)
def _labels(scope: Scope) -> tuple[tuple[str, str], ...]:
    """The ids of a scope beside its subject: they narrow."""
    subject = subject_of(scope)
    own = next(field for kind, field in ID_FIELDS if kind == subject.kind)
    return tuple((field, value) for field, value in scope.ids.items() if field != own)


def row_of(state: State, scope: Scope, item_id: bytes, *, held: bool = False) -> int:
    """The current row of an item that the scope holds. Raises NotFound, the same for a foreign and a missing id.

    Args:
        held: whether it is to be in quarantine; else one in quarantine counts as missing.
    """
    row = state.by_id.get(item_id)
    if row is None or (item_id in state.rare.held) is not held:
        raise no_such_item()
    for field, value in _labels(scope):
        if state.name_of(int(state.rows[field][row])) != value:
            raise no_such_item()
    return row


def item_at(state: State, row: int) -> Item:
    """The item version in a row."""
    return items_at(state, np.array([row]))[0]


def items_at(state: State, rows: NDArray[np.int64]) -> list[Item]:
    """The item versions in some rows."""
    items, made, metadata_of = [], state.made, state.metadata_of
    for row in rows.tolist():
        item = made.get(row)
        if item is None:
            if len(made) >= KEPT:
                made.clear()
            item = made[row] = _item(state, row)
        # Never twice the same: a caller may change it.
        items.append(structs.replace(item, metadata=metadata_of(row)))
    return items


def _item(state: State, row: int) -> Item:
    """The item version in a row, without its metadata."""
    names, rare = state.names, state.rare
    (
        timestamp, created_at, updated_at, expires_at, valid_to, _, _, user_id, agent_id, app_id, run_id,
        name, role, channel, _, kind, version, trust, _, _,
    ) = state.values_of([row])[0]  # fmt: skip
    created = moment(created_at)
    # In the order of the fields: by keyword it takes ten times as long.
    return Item(
        format_id(state.ids[row]),
        state.texts[row],
        _KINDS[names[kind]],
        names[role] or "",
        names[name],
        names[user_id],
        names[agent_id],
        names[app_id],
        names[run_id],
        {},
        rare.attachments.get(row, ()),
        created if timestamp == created_at else moment(timestamp),
        created,
        created if updated_at == created_at else moment(updated_at),
        None if expires_at == NEVER else moment(expires_at),
        None if valid_to == NEVER else moment(valid_to),
        version,
        names[channel] or "",
        _TRUSTS[trust],
        tuple(map(format_id, rare.sources.get(row, ()))),
        _derivation(state, row) if row in rare.derivations else None,
        rare.labels.get(row, ()),
    )


def _derivation(state: State, row: int) -> Derivation:
    held = state.rare.derivations[row]
    sources = state.rare.sources.get(row, ())
    by = state.rare.superseded.get(state.ids[row])
    return Derivation(
        type=held.type,
        subject=held.subject,
        categories=held.categories,
        confidence=held.confidence,
        spans=tuple((format_id(sources[source]), start, end) for source, start, end in held.spans),
        superseded_by=None if by is None else format_id(by[1]),
    )


def get(engine: Engine, principal: Principal, scope: Scope, item_id: bytes) -> Item:
    """One item as it stands now."""
    vault = engine.readable(principal, scope)
    if vault is None:
        raise no_such_item()
    with vault.lock:
        item = item_at(vault.state, row_of(vault.state, scope, item_id))
    engine.read_entry(principal, "get", vault, 1)
    return item


def get_all(
    engine: Engine,
    principal: Principal,
    scope: Scope,
    *,
    filters: Group | None,
    limit: int,
    cursor: str | None,
    order: Order,
    operation: str = "get_all",
) -> Page:
    """One page of the scope's items by (timestamp, seq). The cursor names the last item seen, so pages never shift."""
    after = None if cursor is None else _decode_cursor(cursor)
    vault = engine.readable(principal, scope)
    if vault is None:
        engine.read_entry(principal, operation, None, 0)
        return Page(items=(), next_cursor=None, total=0)
    with vault.lock:
        state = vault.state
        mask = select(state, scope, filters)
        candidates = np.flatnonzero(state.current() if mask is None else mask)
        rows = state.rows[candidates]
        ordered = np.lexsort((rows["seq"], rows["timestamp"]))
        if order == "newest":
            ordered = ordered[::-1]
        if after is not None:
            times, seqs = rows["timestamp"][ordered], rows["seq"][ordered]
            later = (times > after[0]) | ((times == after[0]) & (seqs > after[1]))
            earlier = (times < after[0]) | ((times == after[0]) & (seqs < after[1]))
            ordered = ordered[earlier if order == "newest" else later]
        chosen = candidates[ordered[:limit]]
        items = tuple(items_at(state, chosen))
        more = len(ordered) > limit
        last = state.rows[chosen[-1]] if len(chosen) else None
        next_cursor = _encode_cursor(int(last["timestamp"]), int(last["seq"])) if more and last is not None else None
    engine.read_entry(principal, operation, vault, len(items))
    return Page(items=items, next_cursor=next_cursor, total=len(candidates))


def _encode_cursor(timestamp: int, seq: int) -> str:
    return base64.urlsafe_b64encode(_CURSOR.pack(timestamp, seq)).decode()


def _decode_cursor(cursor: object) -> tuple[int, int]:
    packed = b""
    if isinstance(cursor, str) and cursor.isascii():
        try:
            packed = base64.urlsafe_b64decode(cursor)
        except (binascii.Error, ValueError):
            packed = b""
    if len(packed) != _CURSOR.size:
        raise InvalidInput("cursor is not one that get_all returned")
    timestamp, seq = _CURSOR.unpack(packed)
    return timestamp, seq


def history(engine: Engine, principal: Principal, scope: Scope, item_id: bytes) -> list[Change]:
    """Every version of an item, oldest first, opened from the sealed log again."""
    vault = engine.readable(principal, scope)
    if vault is None:
        raise no_such_item()
    with vault.lock:
        state = vault.state
        rows = state.versions(row_of(state, scope, item_id))[::-1]
        seqs = [int(state.rows["seq"][row]) for row in rows]
        events = vault.events(seqs)
    changes: list[Change] = []
    for version, seq in enumerate(seqs, 1):
        event = events[seq]
        if not isinstance(event, ItemAdded | ItemUpdated):
            raise KeyUnavailable(f"vault {vault.keys.name} seq {seq}: not a version of an item")
        changes.append(
            Change(
                event="added" if isinstance(event, ItemAdded) else "updated",
                at=moment(event.at),
                actor=event.actor,
                text=event.item.text,
                metadata=event.item.metadata,
                version=version,
                seq=seq,
            )
        )
    superseded = vault.state.rare.superseded.get(item_id)
    if superseded is not None:
        end = vault.events([superseded[0]]).get(superseded[0])
        if isinstance(end, ItemSuperseded):
            changes.append(
                Change(
                    event="superseded",
                    at=moment(end.at),
                    actor=end.actor,
                    text=None,
                    metadata=None,
                    version=len(seqs),
                    seq=superseded[0],
                )
            )
    engine.read_entry(principal, "history", vault, len(changes))
    return changes
