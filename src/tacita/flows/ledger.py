"""What an engine outside should hold of one open vault, and what is known to be there. Knows no engine.

An entry is named by the event that holds its vector: vectors that are made anew get new names, so an entry that is there
under its name is the right one. Bound to one open vault and its epoch; whoever uses it holds the vault's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacita.retrieval.column import Column
from tacita.vault.fold import ROW, VaultState
from tacita.vault.format import VaultKeys

_PARTS = 1 << 16


class Ledger:
    """Entries by row and by tag."""

    def __init__(self, keys: VaultKeys) -> None:
        self._keys = keys
        self.epoch = keys.epoch
        self._seqs = Column(np.zeros(0, np.uint32))
        """By row, the event that holds its vectors; 0 for none."""
        self._parts = Column(np.zeros(0, np.uint16))
        self._there = Column(np.zeros(0, np.bool_))
        self._entries: dict[bytes, int] = {}
        self.gone: dict[bytes, None] = {}
        """Tags of entries that should not be there any more."""
        self._sent: set[int] = set()
        """Rows that were given to an engine which does not show them yet."""
        self.compared = False
        """Whether it was ever compared with what the engine holds."""

    def catch_up(self, state: VaultState[Any], counts: NDArray[np.uint16]) -> None:
        """Learn of new, changed and removed rows. `counts` are vectors by row; 0 for one that is not to be there."""
        seqs = vector_seqs(state.rows, state.rare.reembedded)
        seqs[counts == 0] = 0
        new = len(seqs) - len(self._seqs)
        if new > 0:
            self._seqs.extend(np.zeros(new, np.uint32))
            self._parts.extend(np.zeros(new, np.uint16))
            self._there.extend(np.zeros(new, np.bool_))
        for row in np.flatnonzero((self._seqs.rows != seqs) | (self._parts.rows != counts)).tolist():
            for tag in self.tags_of(row):
                self._entries.pop(tag, None)
                self.gone[tag] = None
            self._seqs.writable()[row] = seqs[row]
            self._parts.writable()[row] = counts[row]
            self._there.writable()[row] = False
            self._sent.discard(row)
            for part, tag in enumerate(self.tags_of(row)):
                self._entries[tag] = row * _PARTS + part
                self.gone.pop(tag, None)

    def tags_of(self, row: int) -> list[bytes]:
        """Tags of a row's entries: the message, then its segments."""
        seq = int(self._seqs.rows[row])
        return [self._keys.vector_tag(seq, part) for part in range(int(self._parts.rows[row]))] if seq else []

    def seq_of(self, row: int) -> int:
        """The event that holds a row's vectors."""
        return int(self._seqs.rows[row])

    def find(self, tag: bytes) -> tuple[int, int] | None:
        """(row, part) of an entry; None for one that is not of this vault, or not any more."""
        found = self._entries.get(tag)
        return None if found is None else divmod(found, _PARTS)

    def __len__(self) -> int:
        """How many entries there should be."""
        return len(self._entries)

    def missing(self) -> NDArray[np.int64]:
        """Rows that have entries of which not all are known to be there."""
        return np.flatnonzero((self._seqs.rows != 0) & ~self._there.rows)

    def unsent(self) -> NDArray[np.int64]:
        """The same without those that were given already."""
        missing = self.missing()
        return missing[~np.isin(missing, list(self._sent))] if self._sent else missing

    def entries_of(self, rows: NDArray[np.int64]) -> int:
        """How many entries some rows have."""
        return int(self._parts.rows[rows].sum(dtype=np.int64))

    def mark(self, rows: Sequence[int], *, there: bool) -> None:
        """Remember that all entries of some rows are there, or that they may not be."""
        self._there.writable()[np.asarray(rows, np.int64)] = there
        self._sent.difference_update(rows)

    def mark_sent(self, rows: Sequence[int]) -> None:
        """Remember that some rows were given, and will be there after a while."""
        self._sent.update(rows)

    def compare(self, held: Iterable[bytes]) -> None:
        """Take over what the engine holds, all of it."""
        found = set(held)
        absent = {place // _PARTS for tag, place in self._entries.items() if tag not in found}
        there = self._there.writable()
        there[:] = self._seqs.rows != 0
        there[list(absent)] = False
        self.gone = dict.fromkeys(found - self._entries.keys())
        self._sent.clear()
        self.compared = True


def vector_seqs(rows: NDArray[np.void], reembedded: dict[int, list[int]]) -> NDArray[np.uint32]:
    """By row, the event that holds its present vectors, if it has some; 0 for a row that is gone."""
    assert rows.dtype == ROW
    seqs = np.where(rows["alive"], rows["seq"], 0).astype(np.uint32)
    for row, later in reembedded.items():
        seqs[row] = later[-1]
    return seqs
