"""The log store port: an append-only log of sealed events per vault, with compare-and-set on its head.

A provider subclasses `LogStore` and writes the underscored methods. The public methods check what goes in, so that
no provider can be handed plaintext by mistake, and no provider has to repeat the checks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from tacita import limits
from tacita.errors import InvalidInput, StoreError
from tacita.sealed import (
    DIGEST_BYTES,
    EPOCH_BYTES,
    ITEM_TAG_BYTES,
    VAULT_ID_BYTES,
    CopyCounts,
    DropCounts,
    PurgedEvent,
    SealedEvent,
    SealedPart,
    SealedRow,
    VaultHead,
)


class Fence(Protocol):
    """Says whether a store may still be used: its memory may be moved to another one while this process has it open."""

    def begin(self) -> None:
        """Raises Moved when nothing more may begin here."""

    def finish(self) -> None:
        """Raises Moved when what is written here now may be lost."""


class _NoFence:
    def begin(self) -> None:
        pass

    def finish(self) -> None:
        pass


class LogStore(ABC):
    """Sealed logs. Thread-safe; every failure is a `StoreError`, a lost race a `HeadMoved`, one that went elsewhere `Moved`."""

    scheme: str
    """How the store is named in a URI and in messages: `sqlite`, `memory`, ..."""

    name: str = ""
    """Which store it is, for messages and for telling two apart; never secret. Empty: it has no name."""

    fence: Fence = _NoFence()
    """Asked by `head` before, and by `append`, `replace` and `drop` before and after: a write that it lets through afterwards
    was written before the log was moved, and is moved along. Its `begin` is for whoever begins something."""

    def head(self, vault_id: bytes) -> VaultHead | None:
        """The vault's head, or None if the store has no row for it. Must see every append acknowledged anywhere."""
        self.fence.finish()
        return self._head(_vault_id(vault_id))

    def append(
        self,
        vault_id: bytes,
        expected_seq: int,
        events: Sequence[SealedEvent],
        *,
        epoch: bytes,
        purge: Sequence[int] = (),
        format: int = 1,
    ) -> int:
        """Append events as `expected_seq + 1 ...` in one durable transaction; return the new head.

        With `purge`, the same transaction first drops the vault's snapshots and then the ciphertext of those earlier
        rows (their sequence number, tag and digest stay). A vault that does not exist has head 0 and any epoch.

        Raises HeadMoved, and writes nothing, when the head is not `expected_seq` or the log is of another epoch: a vault
        that was erased and made anew may have the same head.
        """
        _vault_id(vault_id)
        _epoch(epoch)
        if not events:
            raise InvalidInput("an append needs at least one event")
        if expected_seq < 0 or expected_seq + len(events) > limits.VAULT_EVENTS:
            raise InvalidInput(f"a vault holds at most {limits.VAULT_EVENTS} events")
        for event in events:
            _event(event)
        if any(not 0 < seq <= expected_seq for seq in purge):
            raise InvalidInput("only rows up to the expected head can be purged")
        self.fence.finish()
        self._append(vault_id, expected_seq, events, epoch, purge, format)
        self.fence.finish()
        return expected_seq + len(events)

    def replace(
        self, vault_id: bytes, expected: VaultHead, events: Sequence[SealedEvent | PurgedEvent], *, epoch: bytes
    ) -> int:
        """Put another log in the place of a vault's whole log, durably and in one step; return the new head.

        What was there is gone from the medium afterwards, snapshots included. The last event is not a purged one. With an
        expected head of 0 the vault must not exist.

        Raises HeadMoved, and writes nothing, when the vault's head is not `expected`.
        """
        _vault_id(vault_id)
        _epoch(epoch)
        if not expected.seq < len(events) <= limits.VAULT_EVENTS or type(events[-1]) is not SealedEvent:
            raise InvalidInput("the log that takes another's place is longer, and ends with an event")
        for event in events:
            if type(event) is not PurgedEvent:
                _event(event)
        self.fence.finish()
        self._replace(vault_id, expected, events, epoch)
        self.fence.finish()
        return len(events)

    def read(self, vault_id: bytes, *, after: int = 0) -> Iterator[SealedRow]:
        """All rows with `seq > after` in order, from one consistent view of the store."""
        return self._read(_vault_id(vault_id), after)

    def fetch(self, vault_id: bytes, seqs: Sequence[int]) -> list[SealedRow]:
        """The named rows in ascending order; rows that do not exist are left out."""
        return self._fetch(_vault_id(vault_id), seqs)

    def drop(self, vault_id: bytes, *, epoch: bytes) -> DropCounts:
        """Remove every row and snapshot of the vault, durably, and say how many there were.

        Only if the log is of this epoch: one that was made anew meanwhile is somebody's.
        """
        self.fence.finish()
        dropped = self._drop(_vault_id(vault_id), _epoch(epoch))
        self.fence.finish()
        return dropped

    def vaults(self) -> Iterator[VaultHead]:
        """Every vault, in order of its id."""
        return self._vaults()

    def write_snapshot(self, vault_id: bytes, upto_seq: int, parts: Iterator[SealedPart]) -> None:
        """Replace the vault's snapshot in one transaction. A snapshot that is older than the stored one is ignored."""
        self._write_snapshot(_vault_id(vault_id), upto_seq, (_part(part) for part in parts))

    def read_snapshot(self, vault_id: bytes) -> tuple[int, Iterator[SealedPart]] | None:
        """(upto_seq, parts in order) of the vault's snapshot, or None."""
        return self._read_snapshot(_vault_id(vault_id))

    def drop_snapshots(self, vault_id: bytes) -> int:
        """Remove the vault's snapshot parts and say how many there were."""
        return self._drop_snapshots(_vault_id(vault_id))

    def size(self) -> int:
        """Bytes that the store takes on its medium, as well as it can tell."""
        return self._size()

    def update_copy(self, path: Path) -> CopyCounts:  # noqa: ARG002  for those that can
        """Bring a file that `backup` wrote to what the store holds now, while the store is in use.

        Each vault is as of one moment, and each is whole whatever cuts this short. Raises InvalidInput when there is no such
        file, StoreError as `backup`.
        """
        raise StoreError(f"a {self.scheme} store is backed up with its own tools")

    def follow_copy(self, path: Path) -> CopyCounts:  # noqa: ARG002  for those that can
        """Make the store hold what a file that `backup` wrote holds, and nothing else. Nobody else may use it meanwhile.

        Cut short, it goes on when it is repeated. Raises StoreError.
        """
        raise StoreError(f"a {self.scheme} store is restored with its own tools")

    def backup(self, path: Path) -> None:  # noqa: ARG002  for those that can
        """Write a copy as of one moment to a new private file, while the store is in use.

        Raises InvalidInput when the file exists, StoreError when it cannot be made or the store has tools of its own
        for this.
        """
        raise StoreError(f"a {self.scheme} store is backed up with its own tools")

    @abstractmethod
    def close(self) -> None:
        """Release every resource. Closing twice is harmless; any other use afterwards is a StoreError."""

    @abstractmethod
    def _head(self, vault_id: bytes) -> VaultHead | None: ...
    @abstractmethod
    def _append(
        self,
        vault_id: bytes,
        expected_seq: int,
        events: Sequence[SealedEvent],
        epoch: bytes,
        purge: Sequence[int],
        format: int,
    ) -> None: ...
    @abstractmethod
    def _replace(
        self, vault_id: bytes, expected: VaultHead, events: Sequence[SealedEvent | PurgedEvent], epoch: bytes
    ) -> None: ...
    @abstractmethod
    def _read(self, vault_id: bytes, after: int) -> Iterator[SealedRow]: ...
    @abstractmethod
    def _fetch(self, vault_id: bytes, seqs: Sequence[int]) -> list[SealedRow]: ...
    @abstractmethod
    def _drop(self, vault_id: bytes, epoch: bytes) -> DropCounts: ...
    @abstractmethod
    def _vaults(self) -> Iterator[VaultHead]: ...
    @abstractmethod
    def _write_snapshot(self, vault_id: bytes, upto_seq: int, parts: Iterator[SealedPart]) -> None: ...
    @abstractmethod
    def _read_snapshot(self, vault_id: bytes) -> tuple[int, Iterator[SealedPart]] | None: ...
    @abstractmethod
    def _drop_snapshots(self, vault_id: bytes) -> int: ...
    @abstractmethod
    def _size(self) -> int: ...


def _vault_id(vault_id: bytes) -> bytes:
    if type(vault_id) is not bytes or len(vault_id) != VAULT_ID_BYTES:
        raise TypeError("a vault id is exactly 32 bytes")
    return vault_id


def _epoch(epoch: bytes) -> bytes:
    if type(epoch) is not bytes or len(epoch) != EPOCH_BYTES:
        raise TypeError("an epoch is exactly 16 bytes")
    return epoch


def _event(event: SealedEvent) -> None:
    # Exact type, not isinstance: only vault.format makes SealedEvent, and a subclass could carry anything.
    if type(event) is not SealedEvent:
        raise TypeError("a store takes SealedEvent and nothing else")
    if len(event.item_tag) != ITEM_TAG_BYTES or len(event.digest) != DIGEST_BYTES:
        raise InvalidInput("a sealed event has a tag of 16 bytes and a digest of 32")
    if not 0 < len(event.sealed) <= limits.SEALED_EVENT_BYTES:
        raise InvalidInput(f"a sealed event has at most {limits.SEALED_EVENT_BYTES} bytes")


def _part(part: SealedPart) -> SealedPart:
    if type(part) is not SealedPart:
        raise TypeError("a store takes SealedPart and nothing else")
    return part
