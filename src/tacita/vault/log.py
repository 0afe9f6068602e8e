"""One vault's sealed log as a cursor: read and verify the tail, seal and append, keep the anchor.

Knows sequence numbers, chain values and holes; knows nothing of what the events mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tacita.errors import KeyUnavailable, Tampered
from tacita.hazmat import equal
from tacita.ports.keys import KeyRing
from tacita.ports.log import LogStore
from tacita.sealed import DIGEST_BYTES, UNKNOWN_EPOCH, Anchor, SealedRow
from tacita.vault.format import VaultKeys, next_chain, open_event, seal_event

_CHAIN_BYTES = DIGEST_BYTES


class SealedLog:
    """A verified position in one vault's log. Not thread-safe: the open vault that owns it holds a lock."""

    def __init__(self, store: LogStore, ring: KeyRing, keys: VaultKeys, *, start: Anchor | None = None) -> None:
        """A cursor before the first event, or behind `start`, an anchor that the key ring vouches for."""
        self._store = store
        self._ring = ring
        self.keys = keys
        self.epoch = keys.epoch
        self._base = start.seq if start else 0
        self._chains = bytearray(start.chain if start else keys.genesis)

    @property
    def seq(self) -> int:
        """Sequence number of the last verified event; 0 before the first."""
        return self._base + len(self._chains) // _CHAIN_BYTES - 1

    @property
    def chains(self) -> bytearray:
        """Chain values from the start to `seq`, 32 bytes each. Kept, so that any one event can be opened on its own."""
        return self._chains

    def chain(self, seq: int) -> bytes:
        """Chain value after event `seq`, which is not before the start."""
        offset = (seq - self._base) * _CHAIN_BYTES
        return bytes(self._chains[offset : offset + _CHAIN_BYTES])

    def resume(self, chains: bytearray) -> None:
        """Continue from verified chain values 0..n (a snapshot's)."""
        if len(chains) % _CHAIN_BYTES or not equal(bytes(chains[:_CHAIN_BYTES]), self.keys.genesis):
            raise Tampered(f"vault {self.keys.name}: the snapshot starts another chain")
        self._chains = chains

    def tail(self) -> Iterator[tuple[SealedRow, bytes | None]]:
        """(row, opened body or None for a purged row) for all that others appended since; moves the cursor.

        Raises Tampered at the first row that is missing, out of order or does not open.
        """
        for row in self._store.read(self.keys.vault_id, after=self.seq):
            if row.seq != self.seq + 1:
                raise Tampered(f"vault {self.keys.name} seq {self.seq + 1}: missing, the next row is {row.seq}")
            previous = self.chain(self.seq)
            body = None if row.sealed is None else open_event(self.keys, previous, row)
            self._chains += next_chain(self.keys, previous, row.seq, row.digest)
            yield row, body

    def check_anchor(self, anchor: Anchor) -> None:
        """The log must contain what the ring last knew of it. Raises Tampered after a rollback or a swap."""
        if self.seq < anchor.seq:
            raise Tampered(
                f"vault {self.keys.name} seq {anchor.seq}: rolled back, the store ends at {self.seq}; "
                "an old copy of the data was put in place, or its tail was removed"
            )
        if not equal(self.chain(anchor.seq), anchor.chain):
            raise Tampered(f"vault {self.keys.name} seq {anchor.seq}: its history is not the one the key ring knows")

    def check_last(self, digest: bytes | None) -> None:
        """The store's last event, if it tells which one that is, is the one that was verified last.

        Raises Tampered when it went back in time and on in another way, as after a failover that lost something.
        """
        seq = self.seq
        if digest is None or seq == self._base:
            return
        if not equal(next_chain(self.keys, self.chain(seq - 1), seq, digest), self.chain(seq)):
            raise Tampered(
                f"vault {self.keys.name} seq {seq}: rolled back, and another history was written since; the store is not "
                "the one that was read before"
            )

    def is_current(self) -> bool:
        """Whether the store's log is still sealed under these keys: if not, what did not open may well be genuine.

        Raises KeyUnavailable when the vault was erased.
        """
        head = self._store.head(self.keys.vault_id)
        if head is None and self._ring.get(self.keys.vault_id) is None:
            raise KeyUnavailable(f"vault {self.keys.name}: erased")
        return head is None or head.epoch in (self.epoch, UNKNOWN_EPOCH)

    def back_to(self, seq: int) -> None:
        """Move the cursor back to an event that was verified before."""
        del self._chains[(seq - self._base + 1) * _CHAIN_BYTES :]

    def append(self, bodies: Sequence[tuple[bytes, bytes]], *, purge: Sequence[int] = ()) -> None:
        """Seal (item tag, body) pairs after the cursor and append them durably in one transaction.

        Raises HeadMoved, with nothing written and the cursor unmoved, when another writer was first; KeyUnavailable
        when the vault was erased meanwhile.
        """
        start = len(self._chains)
        first = self.seq + 1
        events = []
        try:
            previous = self.chain(first - 1)
            for seq, (item_tag, body) in enumerate(bodies, first):
                event = seal_event(self.keys, seq, previous, item_tag, body)
                previous = next_chain(self.keys, previous, seq, event.digest)
                self._chains += previous
                events.append(event)
            self._store.append(self.keys.vault_id, first - 1, events, epoch=self.epoch, purge=purge)
        except BaseException:
            del self._chains[start:]
            raise
        try:
            # Data first, anchor second: a crash in between leaves the data ahead, which is harmless.
            self._ring.advance(self.keys.vault_id, Anchor(self.seq, self.chain(self.seq)))
        except KeyUnavailable:
            # Erased by another process after we looked. What we just wrote is noise that nobody can open: remove it.
            self._store.drop(self.keys.vault_id, epoch=self.epoch)
            raise

    def open_rows(self, seqs: Sequence[int]) -> dict[int, bytes]:
        """The bodies of single events by seq, opened from the store again; purged ones are left out."""
        opened = {}
        for row in self._store.fetch(self.keys.vault_id, seqs):
            previous = self.chain(row.seq - 1)
            if row.sealed is not None:
                if not equal(next_chain(self.keys, previous, row.seq, row.digest), self.chain(row.seq)):
                    raise Tampered(f"vault {self.keys.name} seq {row.seq}: changed since it was read")
                opened[row.seq] = open_event(self.keys, previous, row)
        return opened
