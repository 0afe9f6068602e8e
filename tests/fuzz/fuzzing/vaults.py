"""Vaults for targets: fixed keys, so that a seed of one run opens in the next, and stores that take hostile rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from tacita.flows.engine import INDEX, Vault
from tacita.hazmat import SecretKey
from tacita.sealed import Anchor, RingEntry, SealedPart
from tacita.stores.memory import MemoryLogStore
from tacita.stores.memory_ring import MemoryKeyRing
from tacita.vault.format import VaultKeys, seal_event, seal_part
from tacita.vault.log import SealedLog
from tacita.vault.vault import OpenVault

KEYS: Final = VaultKeys.derive(SecretKey(b"k" * 32), tenant="t", vault_id=b"v" * 32, version=1)
SNAPSHOT: Final = b"s" * 16
ID: Final = (b"a" * 16, b"b" * 16, b"c" * 16)


def sealed_vault(bodies: Sequence[bytes]) -> tuple[MemoryLogStore, MemoryKeyRing, Anchor]:
    """A genuine log of bodies that nobody looked at, in a store and a ring of its own."""
    store, ring = MemoryLogStore(), MemoryKeyRing()
    ring.create(RingEntry(KEYS.vault_id, 1, "p", b"w", b"l", Anchor(0, KEYS.genesis)))
    log = SealedLog(store, ring, KEYS)
    if bodies:
        log.append([(KEYS.item_tag(b""), body) for body in bodies])
    return store, ring, Anchor(log.seq, log.chain(log.seq))


def opened(store: MemoryLogStore, ring: MemoryKeyRing, anchor: Anchor) -> Vault:
    """The vault of a store, as the engine opens it."""
    return OpenVault(store, ring, (KEYS, anchor), INDEX, lambda: (KEYS, anchor))


def put_snapshot(store: MemoryLogStore, upto_seq: int, plaintext: bytes, size: int = 1 << 20) -> None:
    """A snapshot of this plaintext, sealed as it must be."""
    pieces = [plaintext[at : at + size] for at in range(0, len(plaintext), size)] or [b""]
    store.write_snapshot(KEYS.vault_id, upto_seq, _parts(upto_seq, pieces))


def _parts(upto_seq: int, pieces: list[bytes]) -> Iterator[SealedPart]:
    for number, piece in enumerate(pieces):
        yield seal_part(KEYS, SNAPSHOT, upto_seq, number, piece)


def genuine_event(body: bytes, seq: int = 1) -> bytes:
    """A sealed event in its place behind the vault's beginning."""
    return seal_event(KEYS, seq, KEYS.genesis, KEYS.item_tag(b""), body).sealed


def item(number: int = 0, **changed: Any) -> dict[str, Any]:
    """An item as an event holds it."""
    made = {"id": ID[number], "text": "Ana likes tea.", "timestamp": 10**15, "channel": "user", "trust": 2}
    return {**made, "kind": "message", "role": "user", "user_id": "ana", **changed}


def event(tag: str, **fields: Any) -> dict[str, Any]:
    """An event as a plain map."""
    return {"e": tag, "at": 10**15, "actor": "local", **fields}


EVENTS: Final[tuple[dict[str, Any], ...]] = (
    event(
        "added",
        item=item(
            metadata={"place": "home", "n": 1},
            labels=["person"],
            expires_at=4 * 10**15,
            attachments=[{"type": "image"}],
            embedding={"model": "m", "dimensions": 2, "data": b"\x00\x3c\x00\x00\x00\x3c\x00\x00"},
            idempotency=b"i" * 16,
            fingerprint=b"f" * 16,
        ),
    ),
    event("added", item=item(1, kind="fact", sources=[ID[0]], derivation={"subject": "Ana", "spans": [[0, 0, 3]]})),
    event("added", item=item(2, held="injection", review_by=3 * 10**15)),
    event("updated", item=item(0, text="Ana likes coffee.", run_id="r", agent_id="bot", name="Ana")),
    event(
        "reembedded",
        id=ID[0],
        seq=4,
        embedding={"model": "m", "dimensions": 2, "data": b"\x0e\x40\x00\x00", "bits": 12},
    ),
    event("superseded", id=ID[1], by=ID[0], until=2 * 10**15, reason="refines"),
    event("released", id=ID[2], digest=b"d" * 32),
    event("extract", ids=[ID[0], ID[2]], purpose="care"),
    event("extracted", ids=[ID[0]], facts=1, dropped={"echo": 1}, attempts=2, final=False),
    event("consent", models=True),
    event("restricted", kind="freeze", on=True, reason="law"),
    event("restricted", kind="freeze", on=False),
    event("rekeyed", version=2, seq=12, chain=b"c" * 32, content_key=b"k" * 32),
    event("isolated", lost=[]),
    event("deleted", id=ID[2], purged=[]),
    event("audited", entries=[{"at": 1, "actor": "a", "operation": "read", "outcome": "ok", "vault": b"v" * 32}]),
)
"""One of each, in an order that folds but for the last, which belongs into an audit log."""


def encoded(values: Sequence[Any]) -> list[bytes]:
    """Each value as MessagePack; bytes stay as they are, for bodies that are no MessagePack."""
    return [value if isinstance(value, bytes) else msgspec.msgpack.encode(value) for value in values]
