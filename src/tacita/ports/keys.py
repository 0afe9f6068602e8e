"""The key ports: a provider that wraps and unwraps vault keys, and a ring that keeps the wrapped ones.

The ring is a second, small store with its own home and its own backup rule. Whoever copies the data without it has noise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tacita.errors import StoreError
from tacita.hazmat import SecretKey
from tacita.sealed import VAULT_ID_BYTES, Anchor, RingEntry


class KeyContext(msgspec.Struct, frozen=True):
    """What a wrapped key is for. Authenticated by the provider: a key wrapped for one vault opens for no other."""

    tenant: str
    vault_id: bytes
    version: int

    def encode(self) -> bytes:
        """Length-prefixed, so that no two contexts share an encoding."""
        tenant = self.tenant.encode()
        return b"".join(
            (len(tenant).to_bytes(4), tenant, len(self.vault_id).to_bytes(4), self.vault_id, self.version.to_bytes(4))
        )


class KeyProvider(ABC):
    """Holds a root key, or talks to something that does. It never sees data, only vault keys."""

    id: str
    """Names this root key for ever, e.g. `file:3f2a91c0`; recorded beside each key it wraps."""

    where: str
    """Where the root key lives, for people: shown by `doctor`, never secret."""

    elsewhere: bool = False
    """Whether a service holds the root key and may say no tomorrow. It is then asked again, for every vault that stays open:
    see the setting `key_cache`."""

    hosts: tuple[str, ...] = ()
    """The hosts that it contacts."""

    @abstractmethod
    def wrap(self, key: SecretKey, context: KeyContext) -> bytes:
        """Encrypt `key` so that only this provider opens it again, and only for `context`."""

    @abstractmethod
    def unwrap(self, blob: bytes, context: KeyContext) -> SecretKey:
        """The inverse. Raises WrongKey if blob or context are not this provider's, KeyUnavailable if it cannot tell."""

    def known_as(self, provider_id: str) -> KeyProvider | None:
        """The provider of this id: this one, or one that it took over from; None if it knows no such."""
        return self if provider_id == self.id else None

    def of_tenant(self, tenant: str) -> KeyProvider:  # noqa: ARG002  for those that tell tenants apart
        """The provider under which a tenant's vault keys are to be: this one, unless the tenant has one of its own.

        Raises KeyUnavailable when the tenant's is out of reach.
        """
        return self

    def keeps_own(self, tenant: str) -> bool:  # noqa: ARG002
        """Whether a tenant's vault keys are to be under a root key of its own. Asks nobody."""
        return False

    def knows(self, tenant: str) -> bool:  # noqa: ARG002
        """Whether a tenant has, or had, a root key of its own. Asks nobody."""
        return False

    def renewed(self, blob: bytes, context: KeyContext) -> bytes:
        """A wrapped key under the newest version of the same root key. Some services do that without showing the key."""
        return self.wrap(self.unwrap(blob, context), context)

    def close(self) -> None:  # noqa: B027  most providers hold nothing open
        """Release what the provider holds."""


class KeyRing(ABC):
    """Wrapped vault keys and anchors. Thread-safe, shared by processes; every failure is a `StoreError`.

    A vault is in one of three states: absent (never seen), present (an entry), shredded (a tombstone without key
    material). The tombstone stays until the key is created anew, so that rows left over by an interrupted erasure, or
    brought back by an old backup, are told apart from data whose ring went missing.
    """

    name: str = ""
    """Which ring it is, for messages and for telling two apart; never secret. Empty: it has no name."""

    @abstractmethod
    def setting(self, name: str) -> bytes | None:
        """A small value kept with the keys (the wrapped catalog key, the store's identity)."""

    @abstractmethod
    def put_setting_once(self, name: str, value: bytes) -> bytes:
        """Keep `value` durably unless `name` is already set; return what is kept (the winner of a race)."""

    @abstractmethod
    def drop_setting(self, name: str) -> None:
        """Remove a setting durably, its bytes included. Harmless when there is none."""

    @abstractmethod
    def swap_setting(self, name: str, expected: bytes | None, value: bytes) -> bool:
        """Put `value` in the place of `expected` (None: of nothing) durably and in one step; whether `value` is kept now.

        At no moment is there neither. What was there before is gone, its bytes included.
        """

    @abstractmethod
    def settings(self) -> Iterator[tuple[str, bytes]]:
        """Every setting, in order of its name."""

    @abstractmethod
    def rewrap(self, pairs: Sequence[tuple[RingEntry, RingEntry]]) -> int:
        """Put the second entry of each pair in the place of the first, durably; how many.

        Only wrapped key and provider change. A pair whose first entry is no longer what is kept is left as it is.
        Each pair is a transaction, or several are one: if it is cut short, some pairs are done and the others as they were,
        and both open.
        """

    @abstractmethod
    def get(self, vault_id: bytes) -> RingEntry | None:
        """The entry of a vault, or None if it is absent or shredded."""

    @abstractmethod
    def shredded(self, vault_id: bytes) -> bool:
        """True if the vault's key was destroyed and not created anew."""

    @abstractmethod
    def create(self, entry: RingEntry) -> None:
        """Keep a new entry, durable before this returns; it may replace a tombstone. Raises Conflict if one is there."""

    @abstractmethod
    def advance(self, vault_id: bytes, anchor: Anchor) -> None:
        """Move the anchor forward; an anchor that is not ahead of the kept one is ignored.

        Raises KeyUnavailable when the vault is absent or was shredded meanwhile.
        """

    def settle(self) -> None:  # noqa: B027  for rings whose `advance` is durable by itself, nothing
        """Make every anchor durable that `advance` has merely written."""

    @abstractmethod
    def rewind(self, vault_id: bytes, anchor: Anchor) -> None:
        """Move the anchor to where an older copy of the data ends, durably. The operator's decision, never ours.

        Raises KeyUnavailable when the vault is absent or was shredded.
        """

    @abstractmethod
    def successor(self, vault_id: bytes) -> RingEntry | None:
        """The key that is to follow the vault's present one, or None."""

    @abstractmethod
    def successors(self) -> Iterator[RingEntry]:
        """Every key that is to follow another, in order of vault id."""

    @abstractmethod
    def prepare(self, entry: RingEntry) -> RingEntry:
        """Keep the successor of a present key durably, unless there is one; return what is kept. Its anchor is not.

        Raises KeyUnavailable when the vault is absent, was shredded, or has another key version than the one before.
        """

    @abstractmethod
    def promote(self, vault_id: bytes, key_version: int, anchor: Anchor) -> bool:
        """Put the successor and its anchor in the place of the present key, of which no byte is left, durably.

        False, and nothing changes, when there is no successor of this version or the anchor is not ahead of the kept one.
        """

    @abstractmethod
    def shred(self, vault_id: bytes) -> bool:
        """Destroy the wrapped key, its successor too, and leave a tombstone, durable before this returns.

        False if there was no key.
        """

    @abstractmethod
    def bury(self, vault_id: bytes) -> None:
        """Leave a tombstone for a vault that was erased elsewhere, durably. Harmless when there is one.

        Raises Conflict when the vault has a key here.
        """

    @abstractmethod
    def tombstones(self) -> Iterator[bytes]:
        """Every vault whose key was destroyed and not created anew, in order of vault id."""

    def backup(self, path: Path) -> None:  # noqa: ARG002  for those that can
        """As `LogStore.backup`."""
        raise StoreError("this key ring is backed up with its own tools")

    @abstractmethod
    def entries(self) -> Iterator[RingEntry]:
        """Every entry, in order of vault id."""

    @abstractmethod
    def close(self) -> None:
        """Release every resource. Closing twice is harmless."""


class AnchorPlace(ABC):
    """Where anchors are remembered outside the home, as bytes. Every failure is a `StoreError`."""

    name: str
    """For messages and `doctor`; never secret."""

    @abstractmethod
    def read(self) -> bytes | None:
        """What was last written, None if nothing was."""

    @abstractmethod
    def write(self, body: bytes) -> None:
        """Keep this instead, atomically, durable before this returns."""


def checked_vault_id(vault_id: bytes) -> bytes:
    """For ring implementations: a vault id is exactly 32 bytes."""
    if type(vault_id) is not bytes or len(vault_id) != VAULT_ID_BYTES:
        raise TypeError("a vault id is exactly 32 bytes")
    return vault_id
