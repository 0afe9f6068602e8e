"""Quarantine: what waits for somebody to look at it, and what that somebody decides."""

from __future__ import annotations

import msgspec

from tacita.access.principal import Principal
from tacita.errors import Conflict
from tacita.flows.engine import Engine, State, event_seqs, under_hold
from tacita.flows.ids import no_such_item
from tacita.flows.recall import item_at, row_of
from tacita.hazmat import equal, sha256
from tacita.items import Item, Quarantined, Scope
from tacita.vault.events import ExtractionRequested, ItemDeleted, ItemReleased
from tacita.vault.vault import Change


def waiting(engine: Engine, principal: Principal, scope: Scope) -> list[Quarantined]:
    """Everything of a scope that is in quarantine, oldest first."""
    vault = engine.readable(principal, scope)
    if vault is None:
        return []
    found: list[Quarantined] = []
    with vault.lock:
        state = vault.state
        for item_id, reason in state.rare.held.items():
            item = item_at(state, row_of(state, scope, item_id, held=True))
            found.append(Quarantined(item=item, reason=reason, digest=digest(item).hex()))
    engine.read_entry(principal, "quarantine", vault, len(found))
    return sorted(found, key=lambda each: each.item.created_at)


def digest(item: Item) -> bytes:
    """SHA-256 of all that a reviewer is shown of an item."""
    return sha256(msgspec.msgpack.encode(item.to_dict(), order="sorted"))


def review(engine: Engine, principal: Principal, scope: Scope, item_id: bytes, *, approve: bool, shown: str) -> None:
    """Let an item go, or remove it for good.

    Raises NotFound when it is not in quarantine, Conflict when it is not what was shown.
    """
    vault = engine.readable(principal, scope)
    if vault is None:
        raise no_such_item()

    def decide(state: State) -> Change[None]:
        row = row_of(state, scope, item_id, held=True)
        seen = digest(item_at(state, row))
        if not equal(seen.hex().encode(), shown.lower().encode("utf-8", "replace")):
            raise Conflict("this item is not what was shown; list the quarantine again and look at it")
        now = engine.clock()
        if approve:
            released = ItemReleased(at=now, actor=principal.actor, purpose=principal.purpose, id=item_id, digest=seen)
            asked = ExtractionRequested(at=now, actor=principal.actor, purpose=principal.purpose, ids=(item_id,))
            return Change(None, [released, asked] if engine.model is not None else [released])
        under_hold(state)
        seqs = event_seqs(state, row)
        gone = ItemDeleted(
            at=now, actor=principal.actor, purpose=principal.purpose, id=item_id, purged=tuple(seqs), reason="rejected"
        )
        return Change(None, [gone], seqs)

    if not approve:
        engine.store.drop_snapshots(vault.keys.vault_id)
    vault.transact(decide)
    outcome = "approved" if approve else "rejected"
    engine.audit.record(
        principal.actor, "review", outcome, vault_id=vault.keys.vault_id, items=1, purpose=principal.purpose
    )
