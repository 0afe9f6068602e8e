"""The open vaults of a process: found by subject, opened once, evicted by bytes, least recently used first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from tacita.errors import KeyUnavailable, TacitaError
from tacita.items import Subject
from tacita.ports.log import LogStore
from tacita.sealed import Anchor, DropCounts
from tacita.vault import rekey
from tacita.vault.fold import DerivedIndex
from tacita.vault.format import VaultKeys
from tacita.vault.keeper import Held, Keeper
from tacita.vault.keyring import Keys
from tacita.vault.vault import IndexKind, OpenVault

Index = TypeVar("Index", bound=DerivedIndex)

_RECOUNT_EVERY = 256
"""Uses of a vault between two estimates of its size: counting walks its texts."""


@dataclass(slots=True)
class _Slot(Generic[Index]):
    lock: Lock
    vault: OpenVault[Index] | None = None
    nbytes: int = 0
    uses: int = 0


class Vaults(Generic[Index]):
    """Opens vaults and keeps them open, up to `capacity` bytes. Thread-safe."""

    def __init__(self, store: LogStore, keys: Keys, index_kind: IndexKind[Index], *, capacity: int) -> None:
        self.store = store
        self.keys = keys
        self._index_kind = index_kind
        self._capacity = capacity
        self.on_open: Callable[[bytes], None] = lambda _vault_id: None
        """Told of every vault whose key was used to open it."""
        self.on_write: Callable[[OpenVault[Index]], None] | None = None
        """Told after something was written to a vault."""
        self._slots: OrderedDict[bytes, _Slot[Index]] = OrderedDict()
        self._lock = Lock()
        self._keeper = Keeper(keys, self._open_vaults, self._let_go)

    def find(self, tenant: str, subject: Subject) -> OpenVault[Index] | None:
        """The subject's vault, caught up with the store; None if there is none. Never makes one.

        Raises KeyUnavailable when the store holds rows whose key the ring does not know, Tampered as `OpenVault`.
        """
        return self._get(tenant, subject, create=False)

    def get(self, tenant: str, subject: Subject) -> OpenVault[Index]:
        """The subject's vault, made if there is none."""
        vault = self._get(tenant, subject, create=True)
        assert vault is not None
        return vault

    def _get(self, tenant: str, subject: Subject, *, create: bool) -> OpenVault[Index] | None:
        vault_id = self.keys.vault_id(tenant, subject.kind, subject.id)
        # Sooner than the store itself refuses: what begins now has time to be written down in the audit log.
        self.store.fence.begin()
        with self._lock:
            slot = self._slots.get(vault_id)
            if slot is None:
                slot = self._slots[vault_id] = _Slot(Lock())
            self._slots.move_to_end(vault_id)
        with slot.lock:
            vault = slot.vault
            if vault is not None and not self._may_use(vault, slot):
                vault = slot.vault = None
            if vault is not None:
                try:
                    with vault.lock:
                        vault.refresh()
                except KeyUnavailable:
                    # Erased by another process. Whoever asks next finds nothing, or a new vault under a new key.
                    vault = slot.vault = None
                    slot.nbytes = 0
            if vault is None:
                vault = slot.vault = self._open(tenant, subject, vault_id, create=create)
                if vault is not None:
                    vault.save_snapshot()
            slot.uses += 1
            if vault is not None and slot.uses % _RECOUNT_EVERY == 1:
                slot.nbytes = vault.nbytes()
        if slot.uses % _RECOUNT_EVERY == 1:
            self._evict(keep=vault_id)
        return vault

    def _may_use(self, vault: OpenVault[Index], slot: _Slot[Index]) -> bool:
        """Whether the vault's key may still be used. Its provider is asked when the time is over, and only then.

        Raises KeyUnavailable, WrongKey, and lets go of the vault.
        """
        lease = vault.keys.lease
        if lease is None:
            return True
        lease.used = True
        if self.keys.clock() < lease.until:
            lease.uses.cache_hits += 1
            return True
        try:
            return self.keys.confirm(vault.keys)
        except TacitaError:
            slot.vault, slot.nbytes = None, 0
            raise

    def _open_vaults(self) -> list[Held]:
        with self._lock:
            return [slot.vault for slot in self._slots.values() if slot.vault is not None]

    def _let_go(self, vault: Held) -> None:
        with self._lock:
            slot = self._slots.get(vault.keys.vault_id)
        # Somebody who uses it at this moment has asked, or will ask the next time.
        if slot is not None and slot.lock.acquire(blocking=False):
            try:
                if slot.vault is vault:
                    slot.vault, slot.nbytes = None, 0
            finally:
                slot.lock.release()

    def _open(self, tenant: str, subject: Subject, vault_id: bytes, *, create: bool) -> OpenVault[Index] | None:
        def find() -> tuple[VaultKeys, Anchor] | None:
            return rekey.find(self.store, self.keys, tenant, vault_id)

        found = find()
        if found is None:
            if (left := self.store.head(vault_id)) is not None:
                if not self.keys.ring.shredded(vault_id):
                    raise KeyUnavailable(
                        f"vault {vault_id.hex()[:12]}: the store has its rows but the key ring has no key for it; "
                        "was the data restored without its key ring?"
                    )
                # An erasure was cut short after its key was destroyed, or an old backup brought the noise back.
                self.store.drop(vault_id, epoch=left.epoch)
            if not create:
                return None
            found = self.keys.create(tenant, subject.kind, subject.id)
        vault = OpenVault(self.store, self.keys.ring, found, self._index_kind, find)
        vault.on_write = self.on_write
        if found[0].lease is not None:
            self._keeper.wake()
        self.on_open(vault_id)
        return vault

    def _evict(self, *, keep: bytes) -> None:
        with self._lock:
            total = sum(slot.nbytes for slot in self._slots.values())
            evicted = []
            for vault_id, slot in list(self._slots.items()):
                if slot.vault is None and vault_id != keep and not slot.lock.locked():
                    del self._slots[vault_id]
                elif total > self._capacity and vault_id != keep:
                    total -= slot.nbytes
                    del self._slots[vault_id]
                    evicted.append(slot)
        for slot in evicted:
            with slot.lock:
                if slot.vault is not None:
                    slot.vault.save_snapshot()

    def erase(self, tenant: str, subject: Subject) -> tuple[bool, DropCounts]:
        """Destroy the vault's key, then its rows. (whether there was a key, what was dropped)."""
        vault_id = self.keys.vault_id(tenant, subject.kind, subject.id)
        head = self.store.head(vault_id)
        shredded = self.keys.ring.shred(vault_id)
        dropped = DropCounts(0, 0)
        while head is not None:
            dropped = self.store.drop(vault_id, epoch=head.epoch)
            head = self.store.head(vault_id)
            if self.keys.ring.get(vault_id) is not None:
                # Made anew already. What was there is gone: whoever makes a vault removes the noise first.
                break
        # A vault without rows as well: a key that was destroyed after all had been moved elsewhere is still there.
        self.store.fence.finish()
        with self._lock:
            self._slots.pop(vault_id, None)
        return shredded, dropped

    def forget_open(self, vault_id: bytes) -> None:
        """Drop the vault from RAM; the next use opens it again."""
        with self._lock:
            self._slots.pop(vault_id, None)

    def open_bytes(self) -> tuple[int, int]:
        """(how many vaults are open, their bytes as last counted)."""
        with self._lock:
            return sum(slot.vault is not None for slot in self._slots.values()), sum(
                slot.nbytes for slot in self._slots.values()
            )

    def close(self) -> None:
        """Save snapshots that are worth it and let go of all vaults."""
        self._keeper.close()
        with self._lock:
            slots, self._slots = list(self._slots.values()), OrderedDict()
        for slot in slots:
            with slot.lock:
                if slot.vault is not None:
                    slot.vault.save_snapshot()
                    slot.vault = None
