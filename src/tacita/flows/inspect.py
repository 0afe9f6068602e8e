"""Looking after a home: verify what is stored, count it, export a subject, renew vectors."""

from __future__ import annotations

import heapq
import logging
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from tacita.access.principal import Principal
from tacita.errors import CryptoError, KeyUnavailable, Tampered
from tacita.flows import remember
from tacita.flows.engine import Engine, Vault, moment, subject_of
from tacita.flows.ids import format_id
from tacita.flows.recall import in_scope, items_at, select
from tacita.flows.rollback import drop_erased
from tacita.hazmat import equal
from tacita.items import Scope, Stats, Subject, SweepReport, VaultProblem, VerifyReport
from tacita.sealed import Anchor, RingEntry
from tacita.vault import rekey, snapshot
from tacita.vault.events import Event, Isolated, ItemAdded, ItemUpdated, decode
from tacita.vault.fold import VaultState
from tacita.vault.format import VaultKeys
from tacita.vault.log import SealedLog

log = logging.getLogger("tacita.verify")

Progress = Callable[[int, int | None], None]
AUDIT_KIND = "audit"
EXPORT_BATCH = 256


def no_progress(done: int, total: int | None) -> None:
    """For callers that do not care."""


def verify(
    engine: Engine, scope: Scope | None, progress: Progress = no_progress, *, deep: bool = False
) -> VerifyReport:
    """Open every event of every vault (or of one), follow the chains, compare anchors, snapshots, counts.

    With `deep`, what a snapshot holds is compared with what the log folds to, item by item.

    One broken vault does not stop the walk; each problem names its vault and seq.
    """
    wanted = None if scope is None else engine.vault_id(scope)
    entries = [entry for entry in engine.keys.ring.entries() if wanted in (None, entry.vault_id)]
    problems: list[VaultProblem] = []
    counts: Counter[str] = Counter()
    try:
        engine.audit.flush()
    except CryptoError as error:
        # The audit log itself was tampered with; the walk below meets it again, and the other vaults are still read.
        log.warning("verify: the audit log does not take entries (%s)", error.code)
    for number, entry in enumerate(entries):
        progress(number, len(entries))
        try:
            tenant, kind, _ = engine.keys.whose(entry)

            def read(keys: VaultKeys, anchor: Anchor, kind: str = kind) -> Counter[str]:
                return _verify_vault(engine, kind, keys, anchor, deep=deep)

            counts += rekey.steadily(engine.store, engine.keys, tenant, entry.vault_id, read) or Counter()
        except CryptoError as error:
            problems.append(problem_of(entry.vault_id, error))
    if wanted is None:
        known = {entry.vault_id for entry in entries}
        for head in engine.store.vaults():
            if head.vault_id not in known and engine.keys.ring.get(head.vault_id) is None:
                erased = engine.keys.ring.shredded(head.vault_id)
                reason = (
                    "rows of an erased vault, which `tacita sweep` removes"
                    if erased
                    else "rows without a key in the ring"
                )
                problems.append(VaultProblem(vault=head.vault_id.hex()[:12], seq=None, problem=reason))
    progress(len(entries), len(entries))
    return VerifyReport(
        vaults=len(entries),
        events=counts["events"],
        purged=counts["purged"],
        snapshots=counts["snapshots"],
        isolated=counts["isolated"],
        problems=tuple(problems),
    )


def problem_of(vault_id: bytes, error: CryptoError) -> VaultProblem:
    """What `verify` says of a vault that is not as it must be."""
    words = str(error).split()
    seq = next((words[i + 1].rstrip(":") for i, word in enumerate(words[:-1]) if word == "seq"), "")
    return VaultProblem(vault=vault_id.hex()[:12], seq=int(seq) if seq.isdigit() else None, problem=str(error))


def _verify_vault(engine: Engine, kind: str, keys: VaultKeys, anchor: Anchor, *, deep: bool) -> Counter[str]:
    stored = engine.store.read_snapshot(keys.vault_id)
    log, counts, folded = _verify_log(engine, kind, keys, anchor, stored[0] if deep and stored else None)
    _verify_snapshot(engine, keys, log, folded, counts)
    return counts


def _verify_log(
    engine: Engine, kind: str, keys: VaultKeys, anchor: Anchor, upto_seq: int | None
) -> tuple[SealedLog, Counter[str], _Folded | None]:
    """The log read to its end, what was counted, and what it folds to at `upto_seq`."""
    counts: Counter[str] = Counter()
    folded: _Folded | None = None
    log = SealedLog(engine.store, engine.keys.ring, keys)
    state = VaultState(engine.index_kind.empty())
    holes: set[int] = set()
    explained: set[int] = set()
    for row, body in log.tail():
        counts["events"] += 1
        if body is None:
            counts["purged"] += 1
            holes.add(row.seq)
            continue
        event = decode(body)
        if isinstance(event, Isolated):
            counts["isolated"] += len(event.lost)
        if kind != AUDIT_KIND:
            explained.update(state.apply(row.seq, event))
            if row.seq == upto_seq:
                folded = _folded(state)
    try:
        state.check_explained()
    except Tampered as error:
        raise Tampered(f"vault {keys.name} {error}") from None
    log.check_anchor(anchor)
    if holes != explained:
        seq = min(holes ^ explained)
        reason = "gone and no deletion says why" if seq in holes else "still there although it was purged"
        raise Tampered(f"vault {keys.name} seq {seq}: ciphertext is {reason}")
    return log, counts, folded


def snapshot_is_sound(engine: Engine, kind: str, keys: VaultKeys, anchor: Anchor) -> bool:
    """Whether a vault's snapshot, if it has one, is of its log. Raises Tampered when the log itself is not sound."""
    stored = engine.store.read_snapshot(keys.vault_id)
    log, _, folded = _verify_log(engine, kind, keys, anchor, stored[0] if stored else None)
    try:
        _verify_snapshot(engine, keys, log, folded, Counter())
    except Tampered:
        return False
    return True


_Folded = tuple[bytes, list[str], list[bytes], bytes]


def _folded(state: VaultState[Any]) -> _Folded:
    """What a snapshot is made of, but for the arrays of the search index."""
    return state.rows.tobytes(), list(state.texts), list(state.ids), msgspec.msgpack.encode(state.columns())


def _verify_snapshot(
    engine: Engine, keys: VaultKeys, log: SealedLog, folded: _Folded | None, counts: Counter[str]
) -> None:
    stored = engine.store.read_snapshot(keys.vault_id)
    if stored is None:
        return
    counts["snapshots"] += 1
    loaded = snapshot.read(engine.store, keys, engine.index_kind.load, index_version=engine.index_kind.version)
    if loaded is None:
        raise Tampered(f"vault {keys.name}: its snapshot does not open; it will be rebuilt from the log")
    if not equal(bytes(log.chains[: len(loaded[0])]), bytes(loaded[0])):
        raise Tampered(f"vault {keys.name}: its snapshot is of another history")
    if folded is not None and _folded(loaded[1]) != folded:
        raise Tampered(f"vault {keys.name}: its snapshot does not hold what the log says")


def stats(engine: Engine, scope: Scope | None) -> Stats:
    """Counts for one subject, or for every vault of the home (which opens them one after the other)."""
    kinds: Counter[str] = Counter()
    vaults = items = events = without = pending = most_sealed = unavailable = 0
    for each in [scope] if scope is not None else every_subject(engine):
        try:
            vault = engine.find(each)
        except KeyUnavailable:
            if scope is not None:
                raise
            unavailable += 1  # a tenant's own affair: the others are counted
            continue
        if vault is None:
            continue
        with vault.lock:
            state = vault.state
            mask = select(state, each, None)
            current = state.rows[state.current() if mask is None else mask]
            vaults += 1
            items += len(current)
            events += vault.seq
            most_sealed = max(most_sealed, vault.seq)
            pending += len(state.rare.pending)
            kinds.update(state.names[number] or "" for number in current["kind"].tolist())
            if engine.embedder is not None:
                number = state.number_of(engine.embedder.name)
                without += int((current["model"] != (-1 if number is None else number)).sum())
        # Here and below: else it would be in use while the next one is opened.
        del vault, state
    open_vaults, open_bytes = engine.vaults.open_bytes()
    return Stats(
        vaults=vaults,
        items=items,
        events=events,
        by_kind=dict(kinds),
        stored_bytes=engine.store.size(),
        open_vaults=open_vaults,
        open_bytes=open_bytes,
        embedder="none" if engine.embedder is None else engine.embedder.name,
        without_vectors=without,
        pending=pending,
        most_sealed=most_sealed,
        root_key_uses=dict(engine.keys.uses.total),
        key_providers={name: uses.to_dict() for name, uses in list(engine.keys.uses.of.items())},
        unavailable=unavailable,
        open_waits=engine.vaults.room.waits,
        open_refusals=engine.vaults.room.refusals,
    )


def unfinished(engine: Engine, stop: Callable[[], bool]) -> Iterator[Scope]:
    """Subjects with messages from which facts are still to be drawn. Opens every vault once, until `stop` says so."""
    for scope in every_subject(engine):
        if stop():
            return
        try:
            vault = engine.find(scope)
        except KeyUnavailable as error:
            log.warning("messages of a vault wait for its key (%s)", error.code)
            continue
        waits = vault is not None and bool(vault.state.rare.pending)
        del vault
        if waits:
            yield scope


def subjects_of(engine: Engine, tenant: str) -> list[Scope]:
    """Every subject of a tenant."""
    return [scope for scope in every_subject(engine) if scope.tenant == tenant]


def every_subject(engine: Engine) -> Iterator[Scope]:
    """Every subject of the home."""
    for entry in engine.keys.ring.entries():
        tenant, kind, subject_id = engine.keys.whose(entry)
        if kind != AUDIT_KIND:
            yield Scope(tenant=tenant, **{f"{kind}_id": subject_id})


def sweep(engine: Engine, principal: Principal, progress: Progress = no_progress) -> SweepReport:
    """Delete what has expired in every vault, finish erasures that were interrupted, say what a legal hold keeps."""
    subjects = list(every_subject(engine))
    deleted = held = unavailable = 0
    if leftovers := drop_erased(engine.store, engine.keys):
        engine.audit.record(principal.actor, "sweep", items=leftovers, purpose=principal.purpose)
    for number, scope in enumerate(subjects):
        progress(number, len(subjects))
        try:
            vault = engine.vaults.find(scope.tenant, subject_of(scope))
        except KeyUnavailable:
            unavailable += 1  # a tenant's own affair: the others are swept
            continue
        if vault is None:
            continue
        if gone := engine.sweep(vault):
            deleted += gone
            engine.audit.record(
                principal.actor, "sweep", vault_id=vault.keys.vault_id, items=gone, purpose=principal.purpose
            )
        held += engine.overdue(vault) > 0
        del vault
    progress(len(subjects), len(subjects))
    return SweepReport(vaults=len(subjects), deleted=deleted, held=held, leftovers=leftovers, unavailable=unavailable)


def audit_trail(engine: Engine, principal: Principal) -> Iterator[dict[str, Any]]:
    """The audit log and every write, which is its own entry, of the principal's tenant, in order of time."""
    streams: list[Iterable[dict[str, Any]]] = [
        [
            {
                "at": moment(entry.at).isoformat(),
                "actor": entry.actor,
                "operation": entry.operation,
                "outcome": entry.outcome,
                "vault": None if entry.vault is None else entry.vault.hex()[:12],
                "items": entry.items,
                "purpose": entry.purpose,
            }
            for entry in engine.audit.entries()
        ]
    ]
    engine.read_entry(principal, "audit", None, 0)
    for ring_entry in engine.keys.ring.entries():
        tenant, kind, _ = engine.keys.whose(ring_entry)
        if tenant == principal.tenant and kind != AUDIT_KIND:
            streams.append(_writes_of(engine, ring_entry, tenant))
    return heapq.merge(*streams, key=operator.itemgetter("at"))


def _writes_of(engine: Engine, entry: RingEntry, tenant: str) -> list[dict[str, Any]]:
    """The writes of one vault; for a damaged one an entry that says so: the others' are told all the same."""
    try:
        found = rekey.steadily(
            engine.store, engine.keys, tenant, entry.vault_id, lambda *found: _writes(engine, *found)
        )
        return found or []
    except CryptoError as error:
        return [
            {
                "at": moment(engine.clock()).isoformat(),
                "actor": "tacita",
                "operation": "audit",
                "outcome": error.code,
                "vault": entry.vault_id.hex()[:12],
                "items": 0,
                "purpose": None,
            }
        ]


def _writes(engine: Engine, keys: VaultKeys, anchor: Anchor) -> list[dict[str, Any]]:
    told = []
    log = SealedLog(engine.store, engine.keys.ring, keys)
    for _, body in log.tail():
        if body is None:
            continue
        event = decode(body)
        told.append(
            {
                "at": moment(event.at).isoformat(),
                "actor": event.actor,
                "operation": str(event.__struct_config__.tag),
                "outcome": "ok",
                "vault": keys.name,
                "items": 1,
                "purpose": event.purpose,
            }
        )
    log.check_anchor(anchor)
    return told


def export(engine: Engine, principal: Principal, scope: Scope) -> Iterator[dict[str, Any]]:
    """A header record, then every item of the scope, outdated ones too, oldest first, each with its history."""
    subject: Subject = subject_of(scope)
    now = engine.clock()
    vault = engine.find(scope)
    ids: list[bytes] = []
    if vault is not None:
        with vault.lock:
            state = vault.state
            held = [row for row in np.flatnonzero(in_scope(state, scope)) if state.by_id[state.ids[row]] == row]
            ids = [state.ids[row] for row in sorted(held, key=lambda row: int(state.rows["timestamp"][row]))]
    engine.read_entry(principal, "export", vault, len(ids))
    yield {
        "tacita_export": 1,
        "subject": subject.to_dict(),
        "exported_at": moment(now).isoformat(),
        "items": len(ids),
    }
    for start in range(0, len(ids), EXPORT_BATCH):
        assert vault is not None
        with vault.lock:
            yielded = _exported(vault, ids[start : start + EXPORT_BATCH])
        yield from yielded


def _exported(vault: Vault, ids: Sequence[bytes]) -> list[dict[str, Any]]:
    """Some items as plain dicts, each with its history; those that went meanwhile are left out. Hold the lock."""
    state = vault.state
    versions = {item_id: state.versions(state.by_id[item_id])[::-1] for item_id in ids if item_id in state.by_id}
    # One read of the log for all of them.
    events = vault.events([int(state.rows["seq"][row]) for rows in versions.values() for row in rows])
    found = []
    for (item_id, rows), item in zip(
        versions.items(), items_at(state, np.array([rows[-1] for rows in versions.values()], np.int64)), strict=True
    ):
        history = [_told(events.get(int(state.rows["seq"][row]))) for row in rows]
        ended = state.rare.superseded.get(item_id)
        if ended is not None:
            history.append({"event": ended[2], "by": format_id(ended[1])})
        held = state.rare.held.get(item_id)
        found.append({**item.to_dict(), "quarantined": held, "history": [each for each in history if each]})
    return found


def _told(event: Event | None) -> dict[str, Any]:
    """One version in an item's history."""
    if not isinstance(event, ItemAdded | ItemUpdated):
        return {}
    return {
        "event": "added" if isinstance(event, ItemAdded) else "updated",
        "at": moment(event.at).isoformat(),
        "actor": event.actor,
        "purpose": event.purpose,
        "text": event.item.text,
        "metadata": event.item.metadata,
    }


def reindex(engine: Engine, principal: Principal, progress: Progress = no_progress) -> int:
    """Vectors of the present model for every item that lacks them. Returns how many were made."""
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        progress(done, None)

    for scope in every_subject(engine):
        vault = engine.find(scope)
        if vault is not None and remember.reembed(engine, principal, vault, progress=count):
            engine.vaults.forget_open(vault.keys.vault_id)
        del vault
    return done
