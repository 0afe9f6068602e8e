"""A log store whose vaults are not where the key ring remembers them: found, and accepted only when the operator says so."""

from __future__ import annotations

from dataclasses import dataclass

from tacita.hazmat import equal
from tacita.ports.log import LogStore
from tacita.sealed import Anchor
from tacita.vault import rekey
from tacita.vault.keyring import Keys
from tacita.vault.log import SealedLog


@dataclass(frozen=True, slots=True)
class Departure:
    """A vault that ends before its anchor, or goes on from a moment before it in another way."""

    vault_id: bytes
    ends: Anchor
    """Where the store's genuine history of it ends."""


def departures(store: LogStore, keys: Keys) -> list[Departure]:
    """Vaults of the ring that the store does not continue. Opens every event on the way.

    Raises Tampered when something in the store is not genuine.
    """
    found = []
    for entry in keys.ring.entries():
        tenant, _, _ = keys.whose(entry)
        opened = rekey.find(store, keys, tenant, entry.vault_id)
        if opened is None:
            continue  # erased meanwhile
        log = SealedLog(store, keys.ring, opened[0])
        for _ in log.tail():
            pass
        anchor = opened[1]
        if log.seq < anchor.seq or not equal(log.chain(anchor.seq), anchor.chain):
            found.append(Departure(entry.vault_id, Anchor(log.seq, log.chain(log.seq))))
    return found


def accept(keys: Keys, departure: Departure) -> None:
    """Let the ring remember a vault as the store has it."""
    keys.ring.rewind(departure.vault_id, departure.ends)


def drop_erased(store: LogStore, keys: Keys) -> int:
    """Remove the rows of vaults whose keys were destroyed. Returns how many there were."""
    erased = [head for head in store.vaults() if keys.ring.shredded(head.vault_id)]
    for head in erased:
        store.drop(head.vault_id, epoch=head.epoch)
    return len(erased)
