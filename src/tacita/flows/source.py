"""The vectors of one vault for one search: an engine's list, and exact vectors opened from the sealed log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tacita.errors import HeadMoved, Tampered
from tacita.flows.ledger import Ledger
from tacita.retrieval.index import SearchIndex
from tacita.retrieval.matrix import Halves
from tacita.retrieval.outside import Flags, Links, Near
from tacita.vault.events import Event, ItemAdded, ItemReembedded, ItemUpdated
from tacita.vault.fold import vectors_of
from tacita.vault.vault import OpenVault

Listing = Callable[[int], list[tuple[bytes, float]]]
"""So many entries of an engine, best first."""


class Source:
    """As `retrieval.outside.Outside`. Used under the lock of its vault."""

    def __init__(
        self,
        vault: OpenVault[SearchIndex],
        ledger: Ledger,
        most: int,
        *,
        ready: Callable[[], None] | None = None,
        listing: Listing | None = None,
    ) -> None:
        """`ready` makes the ledger say what an engine holds. Without a `listing` nothing is left to one."""
        self._vault = vault
        self._ledger = ledger
        self._ready = ready
        self._listing = listing
        self._most = most
        self.behind = 0
        """Messages that the engine should know and may not."""

    @property
    def most(self) -> int:
        return self._most

    def unlisted(self) -> Flags:
        """By link, messages whose entries the engine is not known to hold."""
        flags = np.zeros(len(self._vault.state) + 1, np.bool_)
        if self._listing is None:
            flags[:] = True
            return flags
        if self._ready is not None:
            self._ready()
        missing = self._ledger.missing()
        self.behind = len(missing)
        flags[missing + 1] = True
        return flags

    def near(self, count: int) -> Near:
        """What the engine lists. An entry of which we know nothing is passed over: it is nobody's any more."""
        assert self._listing is not None
        listed = self._listing(count)
        known = [(place, score) for tag, score in listed if (place := self._ledger.find(tag)) is not None]
        whole = len(listed) < count
        return Near(
            np.array([row + 1 for (row, _), _ in known], np.int64),
            np.array([part for (_, part), _ in known], np.int64),
            np.array([score for _, score in known], np.float32),
            -1.0 if whole else listed[-1][1],
            whole,
        )

    def vectors(self, links: Links) -> list[Halves]:
        """Of some messages, exact."""
        return opened(self._vault, self._ledger, (links - 1).tolist())


def opened(vault: OpenVault[SearchIndex], ledger: Ledger, rows: Sequence[int]) -> list[NDArray[np.float16]]:
    """The vectors of rows from the sealed log, each of shape (1 + segments, d).

    Raises HeadMoved (retryable) when somebody deleted one of them meanwhile, Tampered when they are not what they were.
    """
    seqs = [ledger.seq_of(row) for row in rows]
    events = vault.events(sorted(seqs))
    if len(events) < len(set(seqs)):
        before = vault.seq
        vault.refresh()
        if vault.seq != before:
            raise HeadMoved(f"vault {vault.keys.name}: written to while it was searched; try again")
    return [_embedded(vault, seq, events.get(seq)) for seq in seqs]


def _embedded(vault: OpenVault[SearchIndex], seq: int, event: Event | None) -> NDArray[np.float16]:
    embedding = None
    if isinstance(event, ItemAdded | ItemUpdated):
        embedding = event.item.embedding
    elif isinstance(event, ItemReembedded):
        embedding = event.embedding
    found = vectors_of(embedding)
    if found is None:
        raise Tampered(f"vault {vault.keys.name} seq {seq}: holds no vectors, and a search relies on them")
    return found
