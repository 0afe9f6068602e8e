"""A log store whose vaults are not where the key ring remembers them: found, and accepted only when the operator says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import msgspec

from tacita.errors import KeyUnavailable, Tampered
from tacita.hazmat import equal
from tacita.ports.log import LogStore
from tacita.sealed import Anchor
from tacita.vault import rekey
from tacita.vault.keyring import Keys
from tacita.vault.log import SealedLog


class Departure(msgspec.Struct, frozen=True):
    """A vault that ends before its anchor, or goes on from a moment before it in another way."""

    vault_id: bytes
    ends: Anchor
    """Where the store's genuine history of it ends."""


RootKey = tuple[str, str]
"""A tenant, and the id of a root key of its own."""


def out_of_reach(keys: Keys) -> Counter[RootKey]:
    """Tenants' own root keys that are revoked or do not answer, and how many vaults are under each. Asks once for each."""
    missing: Counter[RootKey] = Counter()
    answered: set[RootKey] = set()
    for entry in keys.ring.entries():
        root = (keys.whose(entry)[0], entry.provider)
        if root in answered or not keys.is_tenants(entry):
            continue
        if root not in missing:
            try:
                keys.find(root[0], entry.vault_id)
                answered.add(root)
                continue
            except KeyUnavailable:
                missing[root] = 0
        missing[root] += 1
    return missing


def departures(store: LogStore, keys: Keys, besides: Collection[RootKey] = ()) -> list[Departure]:
    """Vaults of the ring that the store does not continue. Opens every event on the way, but of vaults under `besides`.

    Raises Tampered when something in the store is not genuine, KeyUnavailable when a key cannot be asked for.
    """
    found = []
    for entry in keys.ring.entries():
        tenant, _, _ = keys.whose(entry)
        if (tenant, entry.provider) in besides and keys.is_tenants(entry):
            continue
        opened = rekey.find(store, keys, tenant, entry.vault_id)
        if opened is None:
            continue  # erased meanwhile
        log = SealedLog(store, keys.ring, opened[0])
        for _ in log.tail():
            pass
        head = store.head(entry.vault_id)
        if head is not None and head.seq != log.seq:
            # Else nobody could ever write to it again.
            raise Tampered(
                f"vault {opened[0].name}: the store says that it ends at {head.seq}, and it ends at {log.seq}"
            )
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
