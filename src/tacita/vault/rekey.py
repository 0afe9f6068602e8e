"""Another key for a vault: its whole log sealed anew under it, beside live readers and writers, and finished after a kill.

1. The new key is durable in the ring, as the successor of the present one.
2. The log, sealed anew and ending with `Rekeyed`, takes the old one's place in the store, if nobody wrote meanwhile.
3. The successor takes the present key's place in the ring, of which no byte is left.

Between 2 and 3 the store is of an epoch that the ring does not hold yet: whoever finds that does step 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import msgspec

from tacita import hazmat
from tacita.errors import HeadMoved, KeyUnavailable, Tampered
from tacita.ports.log import LogStore
from tacita.sealed import UNKNOWN_EPOCH, Anchor, PurgedEvent, SealedEvent, VaultHead
from tacita.vault.events import Event, Isolated, ItemDeleted, Rekeyed, about, decode, encode
from tacita.vault.format import VaultKeys, digest, next_chain, seal_event
from tacita.vault.keyring import Keys
from tacita.vault.log import SealedLog

Result = TypeVar("Result")

_ATTEMPTS = 100
"""So often a log is sealed anew while others keep writing to it."""


def find(store: LogStore, keys: Keys, tenant: str, vault_id: bytes) -> tuple[VaultKeys, Anchor] | None:
    """The keys and the anchor under which a vault's log is now; None if it has none (never made, or shredded).

    Raises Tampered when the store's log is of an epoch that the ring does not know.
    """
    while True:
        found = keys.find(tenant, vault_id)
        head = store.head(vault_id)
        if found is None or head is None or head.epoch in (found[0].epoch, UNKNOWN_EPOCH):
            return found
        successor = keys.successor(tenant, vault_id)
        if successor is not None and successor.epoch == head.epoch:
            _promote(store, keys, found[1], successor)
            continue
        again = keys.find(tenant, vault_id)
        if again is not None and again[0].epoch == found[0].epoch:
            raise Tampered(
                f"vault {found[0].name} seq {head.seq}: its log is sealed under a key that the "
                "key ring does not hold: an old copy from before `rotate --deep`, or not genuine"
            )


def steadily(
    store: LogStore, keys: Keys, tenant: str, vault_id: bytes, read: Callable[[VaultKeys, Anchor], Result]
) -> Result | None:
    """What `read` makes of a log, again if that was sealed anew meanwhile; None for a vault without keys."""
    while True:
        found = find(store, keys, tenant, vault_id)
        if found is None:
            return None
        try:
            return read(*found)
        except Tampered:
            try:
                current = SealedLog(store, keys.ring, found[0]).is_current()
            except KeyUnavailable:
                return None  # erased while it was read
            if current:
                raise


def _promote(store: LogStore, keys: Keys, anchor: Anchor, successor: VaultKeys) -> None:
    """Let the successor take over, after its log was read as a whole: it goes on from where the ring's anchor is."""
    log = SealedLog(store, keys.ring, successor)
    begins: tuple[int, Rekeyed] | None = None
    for row, body in log.tail():
        event = None if body is None else decode(body)
        if isinstance(event, Rekeyed) and event.version == successor.version:
            begins = row.seq, event
    if begins is None or begins[1].seq != begins[0] - 1:
        raise Tampered(f"vault {successor.name} seq {log.seq}: its log was sealed anew, but not to the end")
    of = begins[1]
    if of.seq < anchor.seq or (of.seq == anchor.seq and not hazmat.equal(of.chain, anchor.chain)):
        raise Tampered(f"vault {successor.name} seq {anchor.seq}: what was sealed anew is not what the key ring knows")
    keys.ring.promote(successor.vault_id, successor.version, Anchor(log.seq, log.chain(log.seq)))


def rekey(store: LogStore, keys: Keys, tenant: str, vault_id: bytes, *, at: int, actor: str) -> bool:
    """Seal a vault's log under a new key, of which the old one knows nothing. False if there is no log.

    Takes the RAM of the whole log twice. Raises Tampered when the log is not genuine, and leaves it as it is; HeadMoved
    (retryable) when others kept writing.
    """
    for _ in range(_ATTEMPTS):
        found = find(store, keys, tenant, vault_id)
        head = store.head(vault_id)
        if found is None or head is None:
            return False
        old, anchor = found
        log = SealedLog(store, keys.ring, old)
        try:
            places = _places(log)
        except Tampered:
            if store.head(vault_id) != head:  # somebody else sealed it anew while we read
                continue
            raise
        log.check_anchor(anchor)
        ends = Anchor(log.seq, log.chain(log.seq))
        try:
            put_anew(store, keys, old, replace(head, seq=log.seq), ends, places, at=at, actor=actor)
        except HeadMoved:
            continue
        except KeyUnavailable:
            present = keys.ring.get(vault_id)
            if present is not None and present.key_version == old.version:
                raise  # the provider does not wrap
            continue  # erased, or sealed anew by somebody else
        return True
    raise HeadMoved(f"vault {vault_id.hex()[:12]}: other writers kept being first; try again")


def put_anew(
    store: LogStore,
    keys: Keys,
    old: VaultKeys,
    expected: VaultHead,
    ends: Anchor,
    places: Sequence[Place],
    *,
    at: int,
    actor: str,
) -> None:
    """Put a log that is sealed under the vault's next key in the place of the one that it has.

    `ends` is where the history ended of which `places` are made: not before the anchor.

    Raises HeadMoved when the log is not as expected any more, KeyUnavailable when the vault was erased.
    """
    new = keys.prepare_successor(old.tenant, old.vault_id, old.version + 1)
    last = Rekeyed(
        at=at,
        actor=actor,
        version=new.version,
        seq=len(places),
        chain=ends.chain,
        content_key=_content_key(places, old),
    )
    sealed = _sealed_anew(new, [*places, Place(b"", encode(last))])
    store.replace(old.vault_id, expected, sealed, epoch=new.epoch)
    find(store, keys, old.tenant, old.vault_id)


class Place(msgspec.Struct):
    """One place in a log: what it is about, and its event; None where that was purged or given up."""

    item_id: bytes
    body: bytes | None
    event: Event | None = None


def _places(log: SealedLog) -> list[Place]:
    places = []
    purged: dict[int, bytes] = {}
    for row, body in log.tail():
        event = None if body is None else decode(body)
        if isinstance(event, ItemDeleted):
            purged.update(dict.fromkeys(event.purged, event.id))
        elif isinstance(event, Isolated):
            purged.update(dict.fromkeys(event.lost, b""))
        kept = event if isinstance(event, Rekeyed) else None
        places.append(Place(b"" if event is None else about(event), body, kept))
        if body is None:
            places[-1].item_id = row.seq.to_bytes(8)
    for seq, place in enumerate(places, 1):
        if place.body is None:
            if seq not in purged:
                raise Tampered(f"vault {log.keys.name} seq {seq}: ciphertext is gone and no deletion says why")
            place.item_id = purged[seq]
    return places


def _content_key(places: Sequence[Place], old: VaultKeys) -> bytes:
    before = [place.event.content_key for place in places if isinstance(place.event, Rekeyed)]
    return before[-1] if before else old.content_key


def _sealed_anew(keys: VaultKeys, places: Sequence[Place]) -> list[SealedEvent | PurgedEvent]:
    sealed: list[SealedEvent | PurgedEvent] = []
    previous = keys.genesis
    for seq, place in enumerate(places, 1):
        tag = keys.item_tag(place.item_id)
        if place.body is None:
            event: SealedEvent | PurgedEvent = PurgedEvent(tag, digest(tag, hazmat.random_bytes(32)))
        else:
            event = seal_event(keys, seq, previous, tag, place.body)
            place.body = b""  # the log is in RAM twice, not three times
        sealed.append(event)
        previous = next_chain(keys, previous, seq, event.digest)
    return sealed
