"""The open vaults of a process: found by subject, opened once when there is room, let go of least recently used first."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock
from typing import Generic, TypeVar
from weakref import ReferenceType, finalize, ref

from tacita.errors import KeyUnavailable, TacitaError, Tampered
from tacita.items import Subject
from tacita.ports.log import LogStore
from tacita.sealed import Anchor, DropCounts
from tacita.vault import rekey
from tacita.vault.fold import DerivedIndex
from tacita.vault.format import VaultKeys
from tacita.vault.keeper import Held, Keeper
from tacita.vault.keyring import Keys
from tacita.vault.log import SealedLog
from tacita.vault.room import Room, Share
from tacita.vault.vault import IndexKind, OpenVault

Index = TypeVar("Index", bound=DerivedIndex)

_RECOUNT_EVERY = 256
"""Uses of a vault between two estimates of its size: counting walks its texts."""
_VAULT_BYTES = 1 << 16
"""What a vault takes in RAM beside its events."""
_EVENT_BYTES = 3_072
"""What an event takes in RAM, until large vaults that were opened have shown it."""
_LARGE = 256
"""Events of a vault from whose size something can be learned about others."""
_LEARNED = 16
"""Over how many such vaults the average runs."""
_OPENING = 1.5
"""How much more than its size a vault takes while it is opened: rows that were read, a snapshot that is written."""

log = logging.getLogger("tacita.vaults")


class _Slot(Generic[Index]):
    """The place of one vault, so that two who want it at a time find the same one."""

    __slots__ = ("asking", "lock", "share", "vault")

    def __init__(self) -> None:
        self.lock = Lock()
        """Held by the one who opens it or catches up."""
        self.asking = 0
        """How many are about to use it."""
        self.vault: ReferenceType[OpenVault[Index]] | None = None
        """Weak, so that a vault is in RAM as long as it is kept for later or used by somebody, and found while it is."""
        self.share: Share | None = None

    def living(self) -> OpenVault[Index] | None:
        return None if self.vault is None else self.vault()


class Vaults(Generic[Index]):
    """Opens vaults and keeps them open, up to `capacity` bytes. Thread-safe.

    A vault is in use for as long as somebody refers to what `find` or `get` gave. Who wants another one therefore lets go
    of it first, or waits for itself.
    """

    def __init__(
        self,
        store: LogStore,
        keys: Keys,
        index_kind: IndexKind[Index],
        *,
        capacity: int,
        patience: float = 10.0,
    ) -> None:
        """`patience` is how many seconds one waits until the users of other vaults leave room."""
        self.store = store
        self.keys = keys
        self._index_kind = index_kind
        self.on_open: Callable[[bytes], None] = lambda _vault_id: None
        """Told of every vault whose key was used to open it."""
        self.on_write: Callable[[OpenVault[Index]], None] | None = None
        """Told after something was written to a vault."""
        self.room = Room(capacity, patience, self._let_go_oldest)
        self._slots: dict[bytes, _Slot[Index]] = {}
        self._kept: OrderedDict[bytes, OpenVault[Index]] = OrderedDict()
        """For later, least recently used first."""
        self._gone: deque[bytes] = deque()
        """Vaults that nobody can reach any more. Safe to append to from a finaliser."""
        self._bytes_an_event = float(_EVENT_BYTES)
        self._learned = 0
        self._lock = Lock()
        self._keeper = Keeper(keys, self._open_vaults, self._let_go)

    def find(self, tenant: str, subject: Subject) -> OpenVault[Index] | None:
        """The subject's vault, caught up with the store; None if there is none. Never makes one.

        Raises KeyUnavailable when the store holds rows whose key the ring does not know, Tampered as `OpenVault`, Overloaded
        when there is no room for it.
        """
        return self._get(tenant, subject, create=False)

    def get(self, tenant: str, subject: Subject) -> OpenVault[Index]:
        """The subject's vault, made if there is none."""
        vault = self._get(tenant, subject, create=True)
        assert vault is not None
        return vault

    def _get(self, tenant: str, subject: Subject, *, create: bool) -> OpenVault[Index] | None:
        vault_id = self.keys.vault_id(tenant, subject.kind, subject.id)
        # From here, so that one who waits behind another for the same vault does not begin to wait anew after it.
        deadline = self.room.deadline()
        # Sooner than the store itself refuses: what begins now has time to be written down in the audit log.
        self.store.fence.begin()
        with self._lock:
            slot = self._slots.get(vault_id)
            if slot is None:
                slot = self._slots[vault_id] = _Slot()
            slot.asking += 1
        try:
            with slot.lock:
                vault = self._present(slot)
                if vault is None:
                    self._forget(vault_id, slot)
                    vault = self._open(tenant, subject, vault_id, slot, deadline, create=create)
                if vault is not None:
                    self._keep(vault_id, slot, vault)
                    assert slot.share is not None
                    self._measure(slot.share, vault, used=1)
            self.room.trim()
            return vault
        finally:
            with self._lock:
                slot.asking -= 1
                self._tidy(vault_id)
                while self._gone:
                    self._tidy(self._gone.popleft())

    def _present(self, slot: _Slot[Index]) -> OpenVault[Index] | None:
        """The vault if it is in RAM and may be used, caught up."""
        vault = slot.living()
        if vault is None or not self._may_use(vault, slot):
            return None
        try:
            with vault.lock:
                vault.refresh()
        except KeyUnavailable:
            # Erased by another process. Whoever asks next finds nothing, or a new vault under a new key.
            return None
        return vault

    def _keep(self, vault_id: bytes, slot: _Slot[Index], vault: OpenVault[Index]) -> None:
        with self._lock:
            # Not while somebody waits for room: what is used all the time would never leave any.
            if self._slots.get(vault_id) is slot and (vault_id in self._kept or not self.room.wanted):
                self._kept[vault_id] = vault
                self._kept.move_to_end(vault_id)

    def _forget(self, vault_id: bytes, slot: _Slot[Index]) -> None:
        with self._lock:
            slot.vault = slot.share = None
            if self._slots.get(vault_id) is slot:
                self._kept.pop(vault_id, None)

    def _tidy(self, vault_id: bytes) -> None:
        """Give up a place that nobody needs. The lock is held."""
        slot = self._slots.get(vault_id)
        if slot is not None and not slot.asking and slot.living() is None:
            del self._slots[vault_id]

    def _measure(self, share: Share, vault: OpenVault[Index], *, used: int) -> None:
        """Count the vault's bytes again when it was used often since, and add to them when it has grown by an eighth.

        Counting brings the index up to date, which is the next search's work and not an add's.
        """
        share.uses += used
        if used and share.uses % _RECOUNT_EVERY == 0:
            self._count(share, vault)
        elif (grown := vault.seq - share.seq) > max(64, share.seq // 8):
            share.seq += grown
            self.room.resize(share, share.nbytes + int(grown * self._bytes_an_event))

    def _count(self, share: Share, vault: OpenVault[Index]) -> None:
        with vault.lock:
            nbytes, share.seq = vault.nbytes(), vault.seq
        self.room.resize(share, nbytes)
        if share.seq >= _LARGE:
            self._learned = min(self._learned + 1, _LEARNED)
            self._bytes_an_event += (nbytes / share.seq - self._bytes_an_event) / self._learned

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
            self._forget(vault.keys.vault_id, slot)
            raise

    def _open_vaults(self) -> Iterator[Held]:
        with self._lock:
            slots = list(self._slots.values())
        for slot in slots:
            # One at a time: who holds them all keeps all of them in RAM.
            if (vault := slot.living()) is not None:
                yield vault
            del vault

    def _let_go(self, vault: Held) -> None:
        with self._lock:
            slot = self._slots.get(vault.keys.vault_id)
            # Somebody who uses it at this moment has asked, or will ask the next time.
            if slot is not None and not slot.asking and slot.living() is vault:
                slot.vault = slot.share = None
                self._kept.pop(vault.keys.vault_id, None)
                self._tidy(vault.keys.vault_id)

    def _let_go_oldest(self, *, least: int) -> bool:
        with self._lock:
            if len(self._kept) <= least:
                return False
            _, vault = self._kept.popitem(last=False)
        # Who uses it at this moment is not waited for. Its snapshot is only older then.
        if vault.lock.acquire(blocking=False):
            try:
                vault.save_snapshot()
            finally:
                vault.lock.release()
        return True

    def _open(
        self,
        tenant: str,
        subject: Subject,
        vault_id: bytes,
        slot: _Slot[Index],
        deadline: float,
        *,
        create: bool,
    ) -> OpenVault[Index] | None:
        def find() -> tuple[VaultKeys, Anchor] | None:
            return rekey.find(self.store, self.keys, tenant, vault_id)

        found = find()
        left = None if found is not None else self.store.head(vault_id)
        if left is not None:
            # Its rows may be of a vault that another process made since the ring was asked.
            found = find()
        if found is None:
            if left is not None:
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
        share = self._admit(*found, deadline)
        try:
            # Erased or sealed anew while we waited.
            if share.waited and (found := find()) is None:
                raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: erased")
            vault = self._read(found, find)
        except BaseException:
            self.room.leave(share)
            raise
        # Told by the object itself: a count of users would be wrong for ever after one that does not say good-bye.
        finalize(vault, self._left, vault_id, share).atexit = False
        with self._lock:
            slot.vault, slot.share = ref(vault), share
        vault.on_write = partial(self._written, share)
        if vault.keys.lease is not None:
            self._keeper.wake()
        self.on_open(vault_id)
        vault.save_snapshot()
        self._count(share, vault)
        return vault

    def _read(
        self, found: tuple[VaultKeys, Anchor], find: Callable[[], tuple[VaultKeys, Anchor] | None]
    ) -> OpenVault[Index]:
        """The vault, read again if it was sealed anew meanwhile."""
        while True:
            try:
                return OpenVault(self.store, self.keys.ring, found, self._index_kind, find)
            except Tampered:
                if SealedLog(self.store, self.keys.ring, found[0]).is_current():
                    raise
            again = find()
            if again is None:
                raise KeyUnavailable(f"vault {found[0].name}: erased")
            found = again

    def _admit(self, keys: VaultKeys, anchor: Anchor, deadline: float) -> Share:
        """Room for a vault that is not open yet, as large as its number of events lets expect."""
        head = self.store.head(keys.vault_id)
        events = max(anchor.seq, 0 if head is None else head.seq)
        nbytes = int((_VAULT_BYTES + events * self._bytes_an_event) * _OPENING)
        if nbytes > self.room.capacity:
            log.warning("vault %s takes more than cache_bytes: it is opened when no other is in use", keys.name)
        return self.room.enter(nbytes, deadline)

    def _left(self, vault_id: bytes, share: Share) -> None:
        self._gone.append(vault_id)
        self.room.leave(share)

    def _written(self, share: Share, vault: OpenVault[Index]) -> None:
        # Counted and no more: to let go of others may fail, and what was written is written.
        self._measure(share, vault, used=0)
        if self.on_write is not None:
            self.on_write(vault)

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
        self.forget_open(vault_id)
        return shredded, dropped

    def forget_open(self, vault_id: bytes) -> None:
        """Drop the vault from RAM; the next use opens it again."""
        with self._lock:
            self._slots.pop(vault_id, None)
            self._kept.pop(vault_id, None)

    def open_bytes(self) -> tuple[int, int]:
        """(how many vaults are open, their bytes as last counted)."""
        return self.room.taken()

    def close(self) -> None:
        """Save snapshots that are worth it and let go of all vaults."""
        self._keeper.close()
        with self._lock:
            kept, self._kept = self._kept, OrderedDict()
            self._slots.clear()
        while kept:
            kept.popitem()[1].save_snapshot()
