"""The profile `exposed-vectors`: what goes to an engine outside, when, and how its answers are used (ADR 74).

The log is written first and is the truth. The engine follows; what it is not known to hold is searched in the log, and what
it names is opened from there. Nothing here ever gives it more than `ports.vectors` says.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacita.errors import HeadMoved, KeyUnavailable, StoreError
from tacita.flows.ledger import Ledger, vector_seqs
from tacita.flows.source import Source, opened
from tacita.ports.vectors import VectorIndex
from tacita.retrieval.elsewhere import BareIndex
from tacita.retrieval.index import SearchIndex
from tacita.vault.fold import VaultState
from tacita.vault.keyring import Keys
from tacita.vault.vault import OpenVault

log = logging.getLogger("tacita.vectors")

PUSHED: Final = 2_048
"""Most rows that are given to the engine after one write; what is left waits for the next one, or for `reindex`."""
ROWS: Final = 128
"""Rows that are given to it at a time."""
REST: Final = 5.0
"""Seconds for which an engine that failed is left alone."""
LATE: Final = 30.0
"""Seconds after which a deletion shows in an engine that shows it late."""

T = TypeVar("T")
State = VaultState[SearchIndex]
Vault = OpenVault[SearchIndex]


class Drift(msgspec.Struct, frozen=True):
    """How an engine differs from a vault, in entries."""

    expected: int
    missing: int
    extra: int

    def plus(self, other: Drift) -> Drift:
        """Of two vaults together."""
        return Drift(self.expected + other.expected, self.missing + other.missing, self.extra + other.extra)


class Exposed:
    """The engine of one home. Thread-safe: everything about a vault happens under that vault's lock."""

    def __init__(
        self,
        index: VectorIndex,
        keys: Keys,
        model: str,
        *,
        fallback: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`model` names the embedder whose vectors are given away; with `fallback` a search does without the engine."""
        self.index = index
        self.fallback = fallback
        self._keys = keys
        self._model = model
        self._clock = clock
        self._rest_until = 0.0
        self._stopped = False
        self._ledgers: WeakKeyDictionary[Vault, Ledger] = WeakKeyDictionary()

    @property
    def resting(self) -> bool:
        """Whether the engine failed a moment ago."""
        return self._clock() < self._rest_until

    def ledger(self, vault: Vault) -> Ledger:
        """What is known of an open vault, caught up with its state."""
        found = self._ledgers.get(vault)
        if found is None or found.epoch != vault.keys.epoch:
            # Under other keys all entries have other names: what is there by the old ones is found when compared.
            found = self._ledgers[vault] = Ledger(vault.keys)
        index = vault.state.index
        assert isinstance(index, BareIndex)
        found.catch_up(vault.state, index.counts(self._model))
        return found

    def partition(self, vault: Vault) -> bytes:
        """The engine's name for a vault."""
        return self._keys.vector_partition(vault.keys.vault_id)

    # ------------------------------------------------------------------ writing

    def follow(self, vault: Vault) -> None:
        """Bring the engine to what a vault holds, after a write. A failure is logged: the log has it all."""
        if self.resting or self._stopped:
            return
        try:
            self.repair(vault, most=PUSHED)
        except HeadMoved:
            return  # somebody else writes too: whoever comes next sees to it
        except StoreError as error:
            self._failed(error)

    def stop(self) -> None:
        """Give the engine nothing more."""
        self._stopped = True

    def drift(self, vault: Vault) -> Drift:
        """How the engine differs from a vault, read back. Changes nothing there."""
        with vault.lock:
            ledger = self.ledger(vault)
            ledger.compare(self.index.tags(self.partition(vault)))
            return Drift(len(ledger), ledger.entries_of(ledger.missing()), len(ledger.gone))

    def repair(self, vault: Vault, *, most: int | None = None, compare: bool = False) -> Drift:
        """Remove what should not be there and give what is missing; returns what was found to differ.

        Args:
            most: rows that are given at most.
            compare: read back what is there even if that was done before.
        """
        with vault.lock:
            ledger = self.ledger(vault)
            partition = self.partition(vault)
            if compare or not ledger.compared:
                ledger.compare(self.index.tags(partition))
            extra = len(ledger.gone)
            self._remove(partition, ledger)
            found = Drift(len(ledger), ledger.entries_of(ledger.missing()), extra)
            todo = ledger.unsent() if most is None else ledger.unsent()[-most:]
            for start in range(0, len(todo), ROWS):
                self._give(vault, ledger, partition, todo[start : start + ROWS].tolist())
            if len(todo):
                self._look_again(vault)
            return found

    def _remove(self, partition: bytes, ledger: Ledger) -> None:
        if ledger.gone:
            self.index.delete(partition, list(ledger.gone))
            ledger.gone.clear()

    def _give(self, vault: Vault, ledger: Ledger, partition: bytes, rows: list[int]) -> None:
        vectors = opened(vault, ledger, rows)
        tags = [tag for row in rows for tag in ledger.tags_of(row)]
        self.index.upsert(partition, tags, np.concatenate(vectors).astype(np.float32))
        if self.index.consistent:
            ledger.mark(rows, there=True)
        else:
            ledger.mark_sent(rows)

    def _look_again(self, vault: Vault) -> None:
        """What was deleted by somebody else while it was on its way must not stay."""
        partition = self.partition(vault)
        try:
            vault.refresh()
        except KeyUnavailable:
            self.index.drop(partition)
            return
        self._remove(partition, self.ledger(vault))

    def _failed(self, error: StoreError) -> None:
        self._rest_until = self._clock() + REST
        log.warning("the vector index is behind the log (%s); searches make up for it", error.code)

    # ------------------------------------------------------------------ forgetting

    def tags_of(self, vault: Vault, state: State, item_ids: Iterable[bytes]) -> list[bytes]:
        """Names of all entries of all versions of some items, whichever model made them."""
        index = state.index
        assert isinstance(index, BareIndex)
        counts = index.counts()
        seqs = vector_seqs(state.rows, state.rare.reembedded)
        rows = [row for item_id in item_ids for row in state.versions(state.by_id[item_id])]
        return [vault.keys.vector_tag(int(seqs[row]), part) for row in rows for part in range(int(counts[row]))]

    def withdraw(self, vault: Vault, tags: Sequence[bytes]) -> None:
        """Remove entries that are about to be deleted. Raises StoreError, and then nothing else may be touched."""
        with vault.lock:
            ledger = self.ledger(vault)
            rows = {place[0] for tag in tags if (place := ledger.find(tag)) is not None}
            ledger.mark(sorted(rows), there=False)
            self.index.delete(self.partition(vault), tags)

    def left(self, vault: Vault, tags: Sequence[bytes]) -> int:
        """How many of these entries the engine still holds, read back after they were removed once more."""
        partition = self.partition(vault)
        self.index.delete(partition, tags)
        return self._read_back(lambda: len(self.index.present(partition, tags)))

    def drop(self, vault_id: bytes) -> int:
        """Remove a vault, of which there may be no key any more, and read back how many entries are left."""
        partition = self._keys.vector_partition(vault_id)
        self.index.drop(partition)
        return self._read_back(lambda: self.index.count(partition))

    def _read_back(self, left: Callable[[], int]) -> int:
        """How much is left. An engine that shows deletions late is asked for a while."""
        until = self._clock() + LATE
        while (found := left()) and not self.index.consistent and self._clock() < until:
            time.sleep(0.25)
        return found

    def count(self, vault_id: bytes) -> int:
        """How many entries the engine holds of a vault."""
        return self.index.count(self._keys.vector_partition(vault_id))

    def drop_unknown(self, known: Iterable[bytes]) -> int:
        """Remove what is left of vaults of this home that are not among these ids. Returns how many there were."""
        kept = {self._keys.vector_partition(vault_id) for vault_id in known}
        left = [each for each in self.index.vaults() if self._keys.is_partition_of_ours(each) and each not in kept]
        for partition in left:
            self.index.drop(partition)
            if count := self._read_back(partial(self.index.count, partition)):
                raise StoreError(f"vector index {self.index.name}: {count} entries of an erased vault are still there")
        return len(left)

    # ------------------------------------------------------------------ searching

    def source(self, vault: Vault, query: NDArray[np.float16]) -> Source:
        """For one search under the vault's lock. It raises StoreError when the engine cannot be asked."""
        ledger = self.ledger(vault)
        partition = self.partition(vault)
        vector = query.astype(np.float32)

        def ready() -> None:
            if not ledger.compared:
                self._tried(lambda: ledger.compare(self.index.tags(partition)))
            if not self.index.consistent:
                self._confirm(ledger, partition)

        def listing(count: int) -> list[tuple[bytes, float]]:
            return self._tried(lambda: self.index.search(partition, vector, count))

        return Source(vault, ledger, self.index.most, ready=ready, listing=listing)

    def without(self, vault: Vault) -> Source:
        """The same without the engine: everything is opened from the log."""
        return Source(vault, self.ledger(vault), self.index.most)

    def vectors(self, vault: Vault, rows: Sequence[int]) -> list[NDArray[np.float16]]:
        """Of those rows that have some of the present model, the vectors of whole messages."""
        ledger = self.ledger(vault)
        return [each[0] for each in opened(vault, ledger, [row for row in rows if ledger.seq_of(row)])]

    def _confirm(self, ledger: Ledger, partition: bytes) -> None:
        """Read back what was written: such an engine shows it later."""
        rows = ledger.missing()[-PUSHED:].tolist()
        if rows:
            tags = {row: ledger.tags_of(row) for row in rows}
            asked = [tag for each in tags.values() for tag in each]
            there = self._tried(lambda: self.index.present(partition, asked))
            ledger.mark([row for row in rows if there.issuperset(tags[row])], there=True)

    def _tried(self, call: Callable[[], T]) -> T:
        if self.resting and self.fallback:
            raise StoreError(f"vector index {self.index.name}: failed a moment ago", retryable=True)
        try:
            return call()
        except StoreError:
            self._rest_until = self._clock() + REST
            raise
