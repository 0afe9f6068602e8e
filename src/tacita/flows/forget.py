"""How words go: one item with all its versions, or a whole vault by destroying its key. Counted, then checked."""

from __future__ import annotations

from tacita.access.principal import Principal
from tacita.errors import CryptoError, StoreError
from tacita.flows.engine import Engine, State, event_seqs, moment, subject_of
from tacita.flows.ids import format_id, no_such_item
from tacita.flows.recall import row_of
from tacita.items import DeleteReceipt, EraseReceipt, Scope
from tacita.vault.events import ItemDeleted
from tacita.vault.vault import Change


def delete(engine: Engine, principal: Principal, scope: Scope, item_id: bytes) -> DeleteReceipt:
    """Remove an item and what was derived from it: snapshot, ciphertext of every version, and the places in RAM.

    Raises StoreError when the store still holds any of it afterwards: nothing is reported deleted that still exists.
    """
    vault = engine.find(scope)
    if vault is None:
        raise no_such_item()
    with vault.lock:
        row_of(vault.state, scope, item_id)
    now = engine.clock()
    parts = engine.store.drop_snapshots(vault.keys.vault_id)

    def decide(state: State) -> Change[tuple[list[bytes], list[int]]]:
        row_of(state, scope, item_id)
        gone = with_descendants(state, item_id)
        events, purged = [], []
        for each in gone:
            seqs = event_seqs(state, state.by_id[each])
            purged += seqs
            events.append(
                ItemDeleted(at=now, actor=principal.actor, purpose=principal.purpose, id=each, purged=tuple(seqs))
            )
        return Change((gone, purged), events, purged)

    gone, purged = vault.transact(decide)
    remaining = [row.seq for row in engine.store.fetch(vault.keys.vault_id, purged) if row.sealed is not None]
    if remaining or engine.store.read_snapshot(vault.keys.vault_id) is not None:
        raise StoreError(f"vault {vault.keys.name}: {len(remaining)} events of a deleted item are still stored")
    engine.audit.record(
        principal.actor, "delete", vault_id=vault.keys.vault_id, items=len(gone), purpose=principal.purpose
    )
    return DeleteReceipt(
        ids=tuple(map(format_id, gone)), events_purged=len(purged), snapshot_parts_dropped=parts, at=moment(now)
    )


def with_descendants(state: State, item_id: bytes) -> list[bytes]:
    """An item and everything that was derived from it, directly or through others."""
    children: dict[bytes, list[bytes]] = {}
    for row, sources in state.rare.sources.items():
        for source in sources:
            children.setdefault(source, []).append(state.ids[row])
    found = {item_id: None}
    waiting = [item_id]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found and child in state.by_id:
                found[child] = None
                waiting.append(child)
    return list(found)


def erase(engine: Engine, principal: Principal, scope: Scope) -> EraseReceipt:
    """Destroy the subject's vault key, then its rows. Old backups of the data stay noise.

    Raises StoreError when a key or a row is still there afterwards.
    """
    subject = subject_of(scope)
    vault_id = engine.vault_id(scope)
    try:
        vault = engine.vaults.find(scope.tenant, subject)
        items = 0 if vault is None else len(vault.state.by_id)
    except CryptoError:
        # A vault that no longer opens can still be erased; only the count of its items is lost.
        items = None
    destroyed, dropped = engine.vaults.erase(scope.tenant, subject)
    if engine.keys.ring.get(vault_id) is not None or engine.store.head(vault_id) is not None:
        raise StoreError(f"vault {vault_id.hex()[:12]}: written anew while it was being erased; erase it again")
    engine.audit.record(principal.actor, "erase", vault_id=vault_id, items=items or 0, purpose=principal.purpose)
    engine.audit.flush()
    return EraseReceipt(
        keys_destroyed=int(destroyed),
        events_dropped=dropped.events,
        snapshot_parts_dropped=dropped.snapshot_parts,
        items=items,
        at=moment(engine.clock()),
    )
