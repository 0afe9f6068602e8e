"""A log store that is older than its key ring remembers: found, and accepted only when the operator says so."""

from __future__ import annotations

from tacita.errors import Tampered
from tacita.hazmat import equal
from tacita.ports.log import LogStore
from tacita.sealed import Anchor, RingEntry
from tacita.vault.keyring import Keys
from tacita.vault.log import SealedLog


def behind(store: LogStore, keys: Keys) -> list[RingEntry]:
    """Entries of the ring whose vaults the store does not hold up to their anchor."""
    found = []
    for entry in keys.ring.entries():
        head = store.head(entry.vault_id)
        if (head.seq if head else 0) < entry.anchor.seq:
            found.append(entry)
    return found


def accept(store: LogStore, keys: Keys, entry: RingEntry) -> None:
    """Move a vault's anchor back to where the store ends, if all that is there is genuine. Raises Tampered."""
    tenant, _, _ = keys.whose(entry)
    opened = keys.find(tenant, entry.vault_id)
    if opened is None:
        return  # erased meanwhile
    log = SealedLog(store, keys.ring, opened[0])
    for _ in log.tail():
        pass
    keys.ring.rewind(entry.vault_id, Anchor(log.seq, log.chain(log.seq)))


def drop_erased(store: LogStore, keys: Keys) -> int:
    """Remove the rows of vaults whose keys were destroyed. Returns how many there were."""
    erased = [head.vault_id for head in store.vaults() if keys.ring.shredded(head.vault_id)]
    for vault_id in erased:
        store.drop(vault_id)
    return len(erased)


def check_continues(store: LogStore, keys: Keys) -> None:
    """Raises Tampered when a vault of the store is not the one that its anchor was taken of."""
    for entry in keys.ring.entries():
        head = store.head(entry.vault_id)
        if head is None or head.seq < entry.anchor.seq:
            continue
        tenant, _, _ = keys.whose(entry)
        opened = keys.find(tenant, entry.vault_id)
        if opened is None:
            continue
        log = SealedLog(store, keys.ring, opened[0])
        for _ in log.tail():
            pass
        if not equal(log.chain(entry.anchor.seq), entry.anchor.chain):
            raise Tampered(f"vault {log.keys.name} seq {entry.anchor.seq}: its history is not the one the ring knows")
