"""How words go: items with all that was made of them, or a whole vault by destroying its key. Counted, then checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from tacita.access.principal import Principal
from tacita.errors import CryptoError, NotFound, StoreError
from tacita.flows import receipts, vectors
from tacita.flows.engine import DeletionReason, Engine, State, Vault, event_seqs, moment, subject_of, under_hold
from tacita.flows.ids import format_id, no_such_item
from tacita.flows.recall import in_scope, row_of
from tacita.items import DeleteReceipt, EraseReceipt, Restrictions, Scope
from tacita.vault.events import Event, ItemDeleted, Restricted
from tacita.vault.vault import Change

Restriction = Literal["hold", "freeze"]
Choose = Callable[[State], Iterable[bytes]]
"""Which items are to go, on the latest state. May raise."""


def delete(engine: Engine, principal: Principal, scope: Scope, item_id: bytes) -> DeleteReceipt:
    """Remove an item and what was derived from it: snapshot, ciphertext of every version, and the places in RAM.

    Raises NotFound, Held, and StoreError when the store still holds any of it afterwards.
    """
    vault = engine.find(scope)
    if vault is None:
        raise no_such_item()

    def choose(state: State) -> list[bytes]:
        row_of(state, scope, item_id)
        return [item_id]

    return remove(engine, principal, vault, "delete", choose)


def purge_origin(engine: Engine, principal: Principal, scope: Scope, origin: str) -> DeleteReceipt | None:
    """Remove everything of a scope that came through a channel, and what was made of it; None if nothing did.

    Raises Held, StoreError as `delete`.
    """
    vault = engine.find(scope)
    if vault is None:
        return None

    def choose(state: State) -> list[bytes]:
        number = state.number_of(origin)
        if number is None:
            return []
        mask = in_scope(state, scope) & (state.rows["channel"] == number)
        return list(dict.fromkeys(state.ids[row] for row in mask.nonzero()[0].tolist()))

    with vault.lock:
        if not choose(vault.state):
            return None
    return remove(engine, principal, vault, "purge", choose, reason="origin")


def remove(
    engine: Engine,
    principal: Principal,
    vault: Vault,
    operation: str,
    choose: Choose,
    *,
    reason: DeletionReason = "deleted",
) -> DeleteReceipt:
    """Remove the chosen items and their descendants in one transaction, check that they are gone, sign what was done."""
    with vault.lock:
        # What is refused is refused before anything is touched.
        tuple(choose(vault.state))
        under_hold(vault.state)
        exposed = vectors.required(engine)
        if exposed is not None:
            # First, because it is the one that may be out of reach: then nothing was deleted, and it can be tried again.
            going = vault.state.with_descendants(choose(vault.state))
            exposed.withdraw(vault, exposed.tags_of(vault, vault.state, going))
    now = engine.clock()
    vault_id = vault.keys.vault_id
    parts = engine.store.drop_snapshots(vault_id)

    def decide(state: State) -> Change[tuple[list[bytes], list[int], list[bytes]]]:
        under_hold(state)
        gone = state.with_descendants(choose(state))
        tags = [] if exposed is None else exposed.tags_of(vault, state, gone)
        events: list[Event] = []
        purged: list[int] = []
        for each in gone:
            seqs = event_seqs(state, state.by_id[each])
            purged += seqs
            events.append(
                ItemDeleted(
                    at=now,
                    actor=principal.actor,
                    purpose=principal.purpose,
                    id=each,
                    purged=tuple(seqs),
                    reason=reason,
                )
            )
        return Change((gone, purged, tags), events, purged)

    gone, purged, tags = vault.transact(decide)
    with vault.lock:
        left = sum(item_id in vault.state.by_id for item_id in gone)
    return checked(engine, principal, vault, operation, now, ids=gone, purged=purged, parts=parts, left=left, tags=tags)


def checked(
    engine: Engine,
    principal: Principal,
    vault: Vault,
    operation: str,
    at: int,
    *,
    ids: Sequence[bytes],
    purged: Sequence[int],
    parts: int,
    left: int,
    tags: Sequence[bytes] = (),
) -> DeleteReceipt:
    """Read again what was to go, sign and audit it. Raises StoreError when any of it is left, `left` items in RAM.

    `tags` name what an engine outside held of it.
    """
    vault_id = vault.keys.vault_id
    after = {
        "items": left,
        "events": sum(row.sealed is not None for row in engine.store.fetch(vault_id, purged)),
        "snapshots": int(engine.store.read_snapshot(vault_id) is not None),
    }
    named = tuple(map(format_id, ids))
    before = {"items": len(ids), "events": len(purged), "snapshot_parts": parts}
    if engine.exposed is not None:
        before["vectors"] = len(tags)
        after["vectors"] = engine.exposed.left(vault, tags)
    proof = receipts.issue(engine, operation, vault_id, at, ids=named, before=before, after=after)
    engine.audit.record(principal.actor, operation, vault_id=vault_id, items=len(ids), purpose=principal.purpose)
    return DeleteReceipt(ids=named, events_purged=len(purged), snapshot_parts_dropped=parts, at=moment(at), proof=proof)


def erase(engine: Engine, principal: Principal, scope: Scope) -> EraseReceipt:
    """Destroy the subject's vault key, then its rows. Old backups of the data stay noise.

    Raises Held under a legal hold, StoreError when a key or a row is still there afterwards.
    """
    subject = subject_of(scope)
    vault_id = engine.vault_id(scope)
    try:
        vault = engine.vaults.find(scope.tenant, subject)
        items = 0 if vault is None else len(vault.state.by_id)
        if vault is not None:
            with vault.lock:
                under_hold(vault.state)
    except CryptoError as error:
        if error.retryable:
            raise  # its key's provider is down: there may be a legal hold
        # A vault that no longer opens can still be erased; only the count of its items is lost.
        items = None
    exposed = vectors.required(engine)
    now = engine.clock()
    # The key first: what is outside can be named without it, by whoever erases again if the engine is out of reach.
    destroyed, dropped = engine.vaults.erase(scope.tenant, subject)
    if engine.mirror is not None:
        engine.mirror.forget(vault_id)
    before = {
        "keys": int(destroyed),
        "events": dropped.events,
        "snapshot_parts": dropped.snapshot_parts,
        "items": items,
    }
    after = {
        "keys": int(engine.keys.ring.get(vault_id) is not None),
        "vaults": int(engine.store.head(vault_id) is not None),
    }
    if exposed is not None:
        try:
            before["vectors"] = exposed.count(vault_id)
            after["vectors"] = exposed.drop(vault_id)
        except StoreError as error:
            engine.audit.record(principal.actor, "erase", error.code, vault_id=vault_id, purpose=principal.purpose)
            engine.audit.flush()
            raise StoreError(
                f"vault {vault_id.hex()[:12]}: its key is destroyed, but the vector index {exposed.index.name} "
                "cannot be asked and may hold its vectors; erase again",
                retryable=True,
            ) from None
    proof = receipts.issue(engine, "erase", vault_id, now, ids=(), before=before, after=after)
    engine.audit.record(principal.actor, "erase", vault_id=vault_id, items=items or 0, purpose=principal.purpose)
    engine.audit.flush()
    return EraseReceipt(
        keys_destroyed=int(destroyed),
        events_dropped=dropped.events,
        snapshot_parts_dropped=dropped.snapshot_parts,
        items=items,
        at=moment(now),
        proof=proof,
    )


def restrict(
    engine: Engine, principal: Principal, scope: Scope, kind: Restriction, on: bool | None, reason: str | None
) -> Restrictions:
    """Begin or end a legal hold or a freeze of a whole subject, or only say what there is.

    Raises NotFound when nothing is known of the subject.
    """
    vault = engine.find(scope)
    if vault is None:
        raise NotFound("nothing is known of this subject")

    def decide(state: State) -> Change[None]:
        now = state.rare.restricted.get(kind)
        if on is None or (now == (reason or "") if on else now is None):
            return Change(None)
        event = Restricted(
            at=engine.clock(), actor=principal.actor, purpose=principal.purpose, kind=kind, on=bool(on), reason=reason
        )
        return Change(None, [event])

    vault.transact(decide)
    with vault.lock:
        restricted = vault.state.rare.restricted
        return Restrictions(hold=restricted.get("hold"), freeze=restricted.get("freeze"))
