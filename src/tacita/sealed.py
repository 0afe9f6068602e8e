"""Values that hold ciphertext, tags and digests only: all that a store or a key ring ever sees.

No cryptography is imported here and nothing in here can open anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import msgspec

from tacita.discreet import Discreet

VAULT_ID_BYTES = 32
ITEM_TAG_BYTES = 16
DIGEST_BYTES = 32
EPOCH_BYTES = 16
UNKNOWN_EPOCH = bytes(EPOCH_BYTES)
"""Of a log from before there were epochs: the next append says which it is."""


@final
class SealedEvent(Discreet, frozen=True):
    """One sealed event on its way into a store. Only `vault.format.seal_event` makes these."""

    item_tag: bytes
    """16 bytes: keyed tag of the item that the event is about."""
    sealed: bytes
    """Header, salt, commitment, ciphertext and tag: see docs/explanation/wire-format.md."""
    digest: bytes
    """SHA-256 of `item_tag | sealed`, kept when the ciphertext is purged so that the chain still verifies."""

    def __repr__(self) -> str:
        return f"<SealedEvent {len(self.sealed)} bytes>"


@final
class PurgedEvent(msgspec.Struct, frozen=True):
    """The place of an event whose ciphertext was purged, when a log is put in the place of another."""

    item_tag: bytes
    digest: bytes


@final
class SealedRow(Discreet, frozen=True):
    """One row as a store returned it. Untrusted until it has been opened and its chain verified."""

    seq: int
    item_tag: bytes
    sealed: bytes | None
    """None when the ciphertext was purged."""
    digest: bytes

    def __repr__(self) -> str:
        return f"<SealedRow seq={self.seq} {'purged' if self.sealed is None else len(self.sealed)} bytes>"


def moved(row: SealedRow) -> SealedEvent | PurgedEvent:
    """A row of one store on its way into another one, as it is."""
    if row.sealed is None:
        return PurgedEvent(row.item_tag, row.digest)
    return SealedEvent(row.item_tag, row.sealed, row.digest)


@final
class SealedPart(Discreet, frozen=True):
    """One sealed part of a snapshot, in order from 0."""

    part: int
    sealed: bytes

    def __repr__(self) -> str:
        return f"<SealedPart {self.part} {len(self.sealed)} bytes>"


@final
@dataclass(frozen=True, slots=True)
class VaultHead:
    """What a store knows about a vault: its id, the format of its log, the last sequence number, and the epoch."""

    vault_id: bytes
    format: int
    seq: int
    epoch: bytes
    """16 bytes: a keyed name of the vault key under which the log is sealed. Another key, another epoch."""
    # A dataclass for this: a `msgspec.Struct` compares all of its fields.
    digest: bytes | None = field(default=None, compare=False)
    """Of the last event, from a store that may go back in time while it is in use, such as one with standbys: the number
    alone does not tell a history from another one that has come as far since. Not every store
    tells it: heads are equal without."""


@final
class DropCounts(msgspec.Struct, frozen=True):
    """What a store removed when a vault was dropped."""

    events: int
    snapshot_parts: int


@final
class CopyCounts(msgspec.Struct, frozen=True):
    """What was done to bring a copy to what a store holds, in vaults."""

    unchanged: int
    written: int
    dropped: int


@final
class Anchor(msgspec.Struct, frozen=True):
    """The last known sequence number and chain value of a vault, kept apart from the data."""

    seq: int
    chain: bytes


@final
class RingEntry(Discreet, frozen=True):
    """What the key ring holds for one vault. `wrapped` opens only with the key provider named `provider`."""

    vault_id: bytes
    key_version: int
    provider: str
    wrapped: bytes
    label: bytes
    """Sealed under the catalog key: whose vault this is, so that an operator can list and rotate."""
    anchor: Anchor

    def __repr__(self) -> str:
        return f"<RingEntry key_version={self.key_version} provider={self.provider} seq={self.anchor.seq}>"
