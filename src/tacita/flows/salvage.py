"""What can still be read of a vault that is refused because it was damaged: for the operator's eyes, not for use.

An event opens only in its own place behind its own history, so whatever comes out was written by Tacita. What does not
open is named. It may have been a deletion, a consent or a restriction: what is salvaged may say more than it should.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tacita.access.principal import Principal
from tacita.errors import Tampered
from tacita.flows.engine import Engine, moment, subject_of
from tacita.flows.ids import format_id
from tacita.items import Scope
from tacita.sealed import DIGEST_BYTES, Anchor, SealedRow
from tacita.vault import rekey, snapshot
from tacita.vault.events import Event, ItemAdded, ItemDeleted, ItemRecord, ItemUpdated, decode
from tacita.vault.format import VaultKeys, digest, next_chain, open_event

_HISTORIES: Final = 16
"""So many possible histories before an event are tried."""


def salvage(engine: Engine, principal: Principal, scope: Scope) -> Iterator[dict[str, Any]]:
    """A header with the sequence numbers that are lost, then the last readable version of each item that is left."""
    vault_id = engine.vault_id(scope)
    found = keys_of(engine, scope)
    items: dict[bytes, tuple[int, ItemRecord]] = {}
    lost: list[int] = []
    read = 0
    if found is not None:
        keys, anchor = found
        for row, event in readable_events(engine, keys):
            if row.sealed is None:
                continue
            read += 1
            if event is None:
                lost.append(row.seq)
            elif isinstance(event, ItemAdded | ItemUpdated):
                items[event.item.id] = row.seq, event.item
            elif isinstance(event, ItemDeleted):
                items.pop(event.id, None)
        last = engine.store.head(vault_id)
        lost += range((last.seq if last else 0) + 1, anchor.seq + 1)
    engine.audit.record(principal.actor, "salvage", vault_id=vault_id, items=len(items), purpose=principal.purpose)
    yield {
        "tacita_salvage": 1,
        "subject": subject_of(scope).to_dict(),
        "items": len(items),
        "events": read,
        "lost": sorted(set(lost)),
    }
    for seq, item in items.values():
        yield {
            "id": format_id(item.id),
            "seq": seq,
            "text": item.text,
            "kind": item.kind,
            "role": item.role,
            "name": item.name,
            "channel": item.channel,
            "timestamp": moment(item.timestamp).isoformat(),
            "metadata": item.metadata,
            "quarantined": item.held,
            "agent_id": item.agent_id,
            "app_id": item.app_id,
            "run_id": item.run_id,
        }


def keys_of(engine: Engine, scope: Scope) -> tuple[VaultKeys, Anchor] | None:
    """The keys of a vault that may be damaged, and its anchor."""
    vault_id = engine.vault_id(scope)
    try:
        return rekey.find(engine.store, engine.keys, scope.tenant, vault_id)
    except Tampered:
        return engine.keys.find(scope.tenant, vault_id)


def readable_events(engine: Engine, keys: VaultKeys) -> Iterator[tuple[SealedRow, Event | None]]:
    """Each row that is there with its event, None for one that does not open."""
    known = _known_chains(engine, keys)
    chains = [keys.genesis]
    expected = 1
    for row in engine.store.read(keys.vault_id):
        if row.seq != expected:
            # Rows are missing, and with them what came before this one; a snapshot may know it.
            chains = []
        before = known.get(row.seq - 1)
        chains = chains if before is None or before in chains else [before, *chains]
        event, chains = _opened(keys, row, chains)
        expected = row.seq + 1
        yield row, event


def _opened(keys: VaultKeys, row: SealedRow, chains: list[bytes]) -> tuple[Event | None, list[bytes]]:
    """The event of a row, and the chain values that may follow it."""
    if row.sealed is None:
        return None, [next_chain(keys, chain, row.seq, row.digest) for chain in chains]
    own = digest(row.item_tag, row.sealed)
    # Either what is sealed was damaged, or its digest, or its tag: the next event tells which.
    digests = list(dict.fromkeys((row.digest, own)))
    for chain in chains:
        try:
            body = open_event(keys, chain, SealedRow(row.seq, row.item_tag, row.sealed, own))
            return decode(body), [next_chain(keys, chain, row.seq, each) for each in digests]
        except Tampered:
            continue
    return None, [next_chain(keys, chain, row.seq, each) for chain in chains for each in digests][:_HISTORIES]


def _known_chains(engine: Engine, keys: VaultKeys) -> dict[int, bytes]:
    loaded = snapshot.read(engine.store, keys, engine.index_kind.load, index_version=engine.index_kind.version)
    if loaded is None:
        return {}
    chains = bytes(loaded[0])
    return {seq: chains[at : at + DIGEST_BYTES] for seq, at in enumerate(range(0, len(chains), DIGEST_BYTES))}
