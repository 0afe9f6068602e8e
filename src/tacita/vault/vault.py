"""One open vault: its log, its folded state and its lock. Every read first catches up with the store's tail."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import RLock
from typing import Any, Generic, TypeVar

import msgspec
from numpy.typing import NDArray

from tacita.errors import HeadMoved, KeyUnavailable, StoreError, Tampered
from tacita.hazmat import equal
from tacita.ports.keys import KeyRing
from tacita.ports.log import LogStore
from tacita.sealed import UNKNOWN_EPOCH, Anchor
from tacita.vault import snapshot
from tacita.vault.events import Event, Isolated, ItemAdded, Rekeyed, about, decode, encode
from tacita.vault.fold import DerivedIndex, VaultState
from tacita.vault.format import VaultKeys, content_tag
from tacita.vault.log import SealedLog

Index = TypeVar("Index", bound=DerivedIndex)
Result = TypeVar("Result")

SNAPSHOT_AFTER = 512
"""Events since the last snapshot that make a new one worth its writing."""

CONTENTION_SECONDS = 30.0
"""How long a writer that keeps losing the race tries before it says so."""


class IndexKind(msgspec.Struct, Generic[Index], frozen=True):
    """How to make the derived index of a vault: empty, or from a snapshot's arrays of the same version."""

    version: str
    empty: Callable[[], Index]
    load: Callable[[Mapping[str, NDArray[Any]]], Index]


class Change(msgspec.Struct, Generic[Result]):
    """What a transaction wants to write, decided on the vault's latest state."""

    result: Result
    events: Sequence[Event] = ()
    purge: Sequence[int] = ()


class OpenVault(Generic[Index]):
    """A vault in RAM. Hold `lock` while reading `state`; `transact` takes it by itself."""

    def __init__(
        self,
        store: LogStore,
        ring: KeyRing,
        found: tuple[VaultKeys, Anchor],
        index_kind: IndexKind[Index],
        find: Callable[[], tuple[VaultKeys, Anchor] | None],
    ) -> None:
        """`found` is what `find` said: the vault's keys and anchor as they are now, None if it was erased."""
        keys, anchor = found
        self._find = find
        self._epoch = keys.epoch
        self.lock = RLock()
        self.keys = keys
        self.on_write: Callable[[OpenVault[Index]], None] = lambda _vault: None
        """Called after a transaction that wrote something."""
        self._store = store
        self._ring = ring
        self._index_kind = index_kind
        self._log = SealedLog(store, ring, keys)
        self._snapshot_seq = 0
        self._refused: str | None = None
        """Why what is in RAM is not to be believed any more."""
        loaded = snapshot.read(store, keys, index_kind.load, index_version=index_kind.version)
        if loaded is None:
            self.state = VaultState(index_kind.empty())
        else:
            chains, self.state = loaded
            self._log.resume(chains)
            self._snapshot_seq = self._log.seq
        self._fold((row.seq, None if body is None else decode(body)) for row, body in self._log.tail())
        self._log.check_anchor(anchor)

    @property
    def seq(self) -> int:
        return self._log.seq

    def refresh(self) -> None:
        """Catch up with what other processes wrote. One indexed read when nothing changed.

        Raises KeyUnavailable when the vault was erased meanwhile, Tampered when the store went back in time.
        """
        if self._refused is not None:
            raise Tampered(self._refused)
        head = self._store.head(self.keys.vault_id)
        if head is not None and head.epoch not in (self._epoch, UNKNOWN_EPOCH):
            self._follow_rekeyed()
            return
        if head is not None and head.seq == self._log.seq:
            self._log.check_last(head.digest)
            return
        if head is None or head.seq < self._log.seq:
            if self._ring.get(self.keys.vault_id) is None:
                raise KeyUnavailable(f"vault {self.keys.name}: erased")
            if head is not None or self._log.seq:
                raise Tampered(
                    f"vault {self.keys.name} seq {self._log.seq}: rolled back, "
                    f"the store ends at {head.seq if head else 0}"
                )
            return
        begin, tail = self._log.seq, None
        try:
            # All of it before any of it is folded: half a tail would leave holes whose explanation is in the other half.
            tail = [(row.seq, None if body is None else decode(body)) for row, body in self._log.tail()]
        except Tampered:
            if self._log.is_current():
                raise
        finally:
            if tail is None:
                # What was read of it is not folded: it is to be read again.
                self._log.back_to(begin)
        if tail is None:
            # Sealed anew after we had asked for its head.
            self._follow_rekeyed()
        else:
            self._fold_later(tail)

    def _follow_rekeyed(self) -> None:
        """Go on under the vault's new keys, with what is in RAM. Raises KeyUnavailable when that is not true any more."""
        while True:
            found = self._find()
            if found is None:
                raise KeyUnavailable(f"vault {self.keys.name}: erased")
            log = SealedLog(self._store, self._ring, found[0])
            try:
                self._go_on_with(log, found[1])
            except Tampered:
                if log.is_current():
                    raise
            else:
                return

    def _go_on_with(self, log: SealedLog, anchor: Anchor) -> None:
        ours = given_up = False
        later = []
        for row, body in log.tail():
            event = None if body is None else decode(body)
            if isinstance(event, Rekeyed) and equal(event.content_key, self._content_key):
                ours = True
            if row.seq > self._log.seq:
                later.append((row.seq, event))
                given_up |= isinstance(event, Isolated)
        if not ours:
            # Erased and made anew: nothing of what we know is still true.
            raise KeyUnavailable(f"vault {self.keys.name}: erased")
        if given_up:
            # What we know of the events that are lost, nobody else knows: an event about it would be refused for ever.
            raise KeyUnavailable(f"vault {self.keys.name}: events of it were given up; open it again")
        log.check_anchor(anchor)
        self.keys, self._log, self._epoch = log.keys, log, log.epoch
        self._snapshot_seq = 0
        self._fold_later(later)

    def _fold_later(self, tail: Iterable[tuple[int, Event | None]]) -> None:
        try:
            self._fold(tail)
        except Tampered as error:
            # What is in RAM is half of something now, and the next look would find nothing new.
            self._refused = str(error)
            raise

    def _fold(self, tail: Iterable[tuple[int, Event | None]]) -> None:
        holes: set[int] = set()
        explained: set[int] = set()
        try:
            for seq, event in tail:
                if event is None:
                    holes.add(seq)
                else:
                    explained.update(self.state.apply(seq, event))
            self.state.check_explained()
            self.state.settle()
        except Tampered as error:
            # A bare fold error knows only its seq; say whose vault it is.
            message = str(error)
            raise error if self.keys.name in message else Tampered(f"vault {self.keys.name} {message}") from None
        if unexplained := holes - explained:
            raise Tampered(
                f"vault {self.keys.name} seq {min(unexplained)}: ciphertext is gone and no deletion says why"
            )

    def transact(self, decide: Callable[[VaultState[Index]], Change[Result]], *, caught_up: bool = False) -> Result:
        """Decide on the latest state, write in one transaction, fold what was written; repeat if another was first.

        `decide` may run several times and must not have effects of its own. Raises StoreError (retryable) when other
        writers win for too long.

        With `caught_up` the vault was found for this very request: the state as of then is tried first, without asking the
        store again, which refuses what another writer has overtaken.
        """
        deadline = time.monotonic() + CONTENTION_SECONDS
        with self.lock:
            while True:
                if caught_up and self._refused is None:
                    caught_up = False
                else:
                    self.refresh()
                change = decide(self.state)
                if not change.events:
                    return change.result
                for event in change.events:
                    self.state.check_fits(event)
                first = self._log.seq + 1
                try:
                    self._log.append([(self._tag(event), encode(event)) for event in change.events], purge=change.purge)
                except HeadMoved:
                    if time.monotonic() > deadline:
                        raise StoreError(
                            f"vault {self.keys.name}: other writers kept being first; try again", retryable=True
                        ) from None
                    time.sleep(random.uniform(0, 0.002))
                    continue
                for seq, event in enumerate(change.events, first):
                    self.state.apply(seq, event)
                if change.purge:
                    self._snapshot_seq = 0
                self.on_write(self)
                return change.result

    def _tag(self, event: Event) -> bytes:
        # Nearly all of them, and the cheaper question.
        return self.keys.item_tag(event.item.id if type(event) is ItemAdded else about(event))

    def events(self, seqs: Sequence[int]) -> dict[int, Event]:
        """Single events, opened from the store again; purged ones are left out."""
        with self.lock:
            try:
                bodies = self._log.open_rows(seqs)
            except Tampered:
                before = self._epoch
                self.refresh()
                if self._epoch == before:
                    raise
                # Sealed anew since we last looked, in the same places.
                bodies = self._log.open_rows(seqs)
        return {seq: decode(body) for seq, body in bodies.items()}

    def content_tag(self, use: bytes, content: bytes) -> bytes:
        """A keyed fingerprint, 16 bytes, for equality tests inside the vault; the same under every key it has had."""
        return content_tag(self._content_key, use, content)

    @property
    def _content_key(self) -> bytes:
        return self.state.rare.content_key or self.keys.content_key

    def nbytes(self) -> int:
        """Bytes of RAM that the vault holds, about."""
        return self.state.nbytes() + len(self._log.chains)

    def save_snapshot(self, *, after: int = SNAPSHOT_AFTER) -> bool:
        """Write a snapshot if at least `after` events came since the last one. True if it was written."""
        with self.lock:
            # A state with dead rows still has their places; the next full fold leaves them out and is saved instead.
            if self.state.dead or self._log.seq - self._snapshot_seq < after:
                return False
            snapshot.write(self._store, self.keys, self._log.chains, self.state, index_version=self._index_kind.version)
            self._snapshot_seq = self._log.seq
            return True
