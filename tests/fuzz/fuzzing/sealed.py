"""Sealed bytes that somebody changed, and genuine seals around plaintext that nobody of ours wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np

from fuzzing import vaults
from fuzzing.kit import Refused, Target, attempt, from_msgpack, msgpack_seeds, require, skips_unreadable
from fuzzing.vaults import EVENTS, KEYS
from tacita.errors import Tampered
from tacita.flows.engine import INDEX, Vault, event_seqs
from tacita.flows.recall import items_at
from tacita.sealed import SealedPart, SealedRow
from tacita.vault import snapshot
from tacita.vault.events import decode, encode
from tacita.vault.format import digest, open_event, open_part

_BODIES: Final = (b"", b"body", bytes(300))
_GENUINE: Final = {vaults.genuine_event(body): body for body in _BODIES}
_GENUINE_PARTS: Final = {vaults.seal_part(KEYS, vaults.SNAPSHOT, 7, 0, body).sealed: body for body in _BODIES}

_SNAPSHOT_OF: Final = EVENTS[:-2]
"""Without the deletion: a state with dead rows has no snapshot."""


def event_bytes(data: bytes) -> None:
    """Any bytes in the place of a sealed event, with a digest made for them as an attacker would."""
    tag = KEYS.item_tag(b"")
    body = attempt(lambda: open_event(KEYS, KEYS.genesis, SealedRow(1, tag, data, digest(tag, data))), Tampered)
    require(isinstance(body, Refused) or _GENUINE.get(data) == body, "only what was sealed opens")


def part_bytes(data: bytes) -> None:
    """Any bytes in the place of a snapshot part."""
    found = attempt(lambda: open_part(KEYS, 7, SealedPart(0, data)), Tampered)
    require(isinstance(found, Refused) or _GENUINE_PARTS.get(data) == found[1], "only what was sealed opens")


def event_body(data: bytes) -> None:
    """Any plaintext inside a genuine seal: sealing gives it back, decoding takes events and nothing else."""
    tag = KEYS.item_tag(b"")
    sealed = vaults.genuine_event(data)
    body = open_event(KEYS, KEYS.genesis, SealedRow(1, tag, sealed, digest(tag, sealed)))
    require(body == data, "what was sealed is what opens")
    event = attempt(lambda: decode(body), Tampered)
    if not isinstance(event, Refused):
        require(decode(encode(event)) == event, "decode is the inverse of encode")


def fold(values: Any) -> None:
    """A log of hostile events under genuine seals: opened and readable in every way, or Tampered."""
    if not isinstance(values, list):
        return
    store, ring, anchor = vaults.sealed_vault(vaults.encoded(values[:64]))
    vault = attempt(lambda: vaults.opened(store, ring, anchor), Tampered)
    if isinstance(vault, Refused):
        return
    before = read_all(vault)
    if vault.save_snapshot(after=0):
        again = vaults.opened(store, ring, anchor)
        require(read_all(again) == before, "a snapshot holds what the log folds to")


def read_all(vault: Vault) -> list[bytes]:
    """Every item in every form in which flows read it, encoded, for NaN is not equal to itself.

    Nothing that was accepted may fail here.
    """
    state = vault.state
    current = [row for row in state.by_id.values() if state.rows["alive"][row]]
    for row in current:
        event_seqs(state, row)
        state.metadata_of(row)
    state.metadata_column("place")
    state.with_descendants(list(state.by_id))
    require(vault.nbytes() > 0, "a vault has a size")
    return [msgspec.msgpack.encode(item) for item in items_at(state, np.array(current, np.int64))]


def snapshot_body(values: Any) -> None:
    """A genuine seal around hostile columns and arrays: None, or a state that can be read and written on."""
    if not (isinstance(values, list) and len(values) == 3 and isinstance(values[2], bytes)):
        return
    size, manifest, arrays = values
    head = msgspec.msgpack.encode(manifest)
    length = len(head) if not isinstance(size, int) or size < 0 else size
    store, ring, anchor = vaults.sealed_vault(vaults.encoded(_SNAPSHOT_OF))
    plaintext = length.to_bytes(8) + head + arrays
    vaults.put_snapshot(store, anchor.seq, plaintext, 1 << 20 if len(plaintext) % 2 else 97)
    loaded = snapshot.read(store, KEYS, INDEX.load, index_version=INDEX.version)
    if loaded is None:
        return
    vault = attempt(lambda: vaults.opened(store, ring, anchor), Tampered)
    if not isinstance(vault, Refused):
        read_all(vault)
        vault.state.apply(
            anchor.seq + 1, decode(msgspec.msgpack.encode(vaults.event("deleted", id=b"z" * 16, purged=[])))
        )
        vault.state.settle()


def _snapshot_seeds() -> Iterator[bytes]:
    store, ring, anchor = vaults.sealed_vault(vaults.encoded(_SNAPSHOT_OF))
    vault = vaults.opened(store, ring, anchor)
    vault.save_snapshot(after=0)
    found = store.read_snapshot(KEYS.vault_id)
    assert found is not None
    plaintext = b"".join(open_part(KEYS, found[0], part)[1] for part in found[1])
    size = int.from_bytes(plaintext[:8])
    manifest = msgspec.msgpack.decode(plaintext[8 : 8 + size])
    yield msgspec.msgpack.encode([-1, manifest, plaintext[8 + size :]])


TARGETS: Final = (
    Target(
        "event-bytes",
        "Changed sealed events are refused as Tampered; only the genuine ones open",
        event_bytes,
        lambda: iter(_GENUINE),
    ),
    Target(
        "part-bytes",
        "Changed snapshot parts are refused as Tampered; only the genuine ones open",
        part_bytes,
        lambda: iter(_GENUINE_PARTS),
    ),
    Target(
        "event-body",
        "Sealing gives any body back; what is no event is Tampered, an event survives encoding",
        event_body,
        msgpack_seeds(*EVENTS),
        "msgpack",
    ),
    Target(
        "fold",
        "Genuinely sealed hostile events are Tampered, or a vault that can be read, snapshot and opened again",
        skips_unreadable(fold, from_msgpack),
        msgpack_seeds(list(EVENTS[:-1]), list(EVENTS), EVENTS[:1], [EVENTS[0], EVENTS[3]], []),
        "msgpack",
    ),
    Target(
        "snapshot-body",
        "A genuinely sealed hostile snapshot is None or a state that can be read, never an error",
        skips_unreadable(snapshot_body, from_msgpack),
        _snapshot_seeds,
        "msgpack",
        max_len=16_384,
    ),
)
