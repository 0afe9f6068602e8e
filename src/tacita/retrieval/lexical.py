"""BM25F over messages and their neighbours.

A message counts its own words and, less, those of the two messages before and after it in its session, each normalised by
its own length (BM25F: Robertson, Zaragoza and Taylor, "Simple BM25 extension to multiple weighted fields", CIKM 2004;
the neighbours are the fields). Neighbours are not stored twice: a posting is spread along the links at query time.

Messages are called by their link: row + 1, so that link 0 can mean "no neighbour".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tacita.retrieval.postings import Piece, Selection
from tacita.retrieval.profile import ContextBM25F

Links = NDArray[np.int64]
Floats = NDArray[np.float32]

BATCH: Final = 1 << 18
"""Most accumulators (terms x messages) that are worked on at once: 1 MiB."""


def idf(frequencies: Sequence[int], messages: int) -> Floats:
    """ln(1 + (N - df + 0.5) / (df + 0.5)), never negative."""
    # In Python: a query has few words, and a dozen numpy calls cost more than they.
    return np.array([math.log1p(max(0.0, messages - df + 0.5) / (df + 0.5)) for df in frequencies], np.float32)


_ONE = np.float32(1)


class Neighbours(NamedTuple):
    """What BM25F needs to know of the messages, by link. Made once and read until the vault changes."""

    targets: Links
    """Shape (5, n): who counts the words of a message: itself, then those it lends them to; 0 for nobody."""
    gains: Floats
    """Shape (5, n): how much one word counts there."""
    saturation: np.float32

    @classmethod
    def of(
        cls,
        previous: Links,
        following: Links,
        lengths: NDArray[np.uint16],
        average: float,
        setting: ContextBM25F,
    ) -> Neighbours:
        """From the links between messages, their lengths and the mean of these."""
        relative = lengths.astype(np.float32) / np.float32(average)
        b, c = np.float32(setting.own_length), np.float32(setting.context_length)
        # A message's `before` weights are what those before it lend; so a posting gives them to those that follow it.
        shares = (setting.before[0], setting.after[0], setting.before[1], setting.after[1])
        own = _ONE / ((_ONE - b) + b * relative)
        lent = _ONE / ((_ONE - c) + c * relative)
        return cls(
            np.stack((np.arange(len(lengths)), following, previous, following[following], previous[previous])),
            np.stack((own, *(lent * np.float32(share) for share in shares))),
            np.float32(setting.saturation),
        )

    @property
    def width(self) -> int:
        """One more than there are messages."""
        return len(self.gains[0])

    def nbytes(self) -> int:
        return self.targets.nbytes + self.gains.nbytes


def score(
    selection: Selection, weights: Floats, around: Neighbours, usable: NDArray[np.bool_] | None, batch: int = BATCH
) -> Floats:
    """Context BM25F of every message, by link (index 0 is meaningless).

    Args:
        selection: postings of the query's terms.
        weights: idf by slot.
        around: lengths and links.
        usable: messages that may be found, by link; one that may not lends nothing to its neighbours either. None for
            all.
        batch: most accumulators that are worked on at once. Decides speed, and no more than last bits of scores.
    """
    width = around.width
    total: Floats | None = None
    most = max(1, batch // width)
    terms = len(weights)
    scratch = np.zeros(min(most, terms) * width, np.float32)
    for first in range(0, terms, most):
        chosen = selection.pieces
        if most < terms:
            chosen = [piece for piece in chosen if first <= piece[0] < first + most]
        if not chosen:
            continue
        factors = weights[first : first + most] * (1 + around.saturation)
        sums = scratch[: len(factors) * width]
        _accumulate(sums, chosen, first, around, usable)
        # Saturation, k1 + 1 being in `factors` already. In place, for at this size memory is what takes time.
        grown = sums.reshape(len(factors), width)
        grown /= grown + around.saturation
        scores: Floats = np.dot(factors, grown)
        total = scores if total is None else total + scores
        if first + most < terms:
            sums[:] = 0
    return np.zeros(width, np.float32) if total is None else total


def _accumulate(
    sums: Floats, pieces: Sequence[Piece], first: int, around: Neighbours, usable: NDArray[np.bool_] | None
) -> None:
    """Add the normalised counts of some consecutive slots' postings to zeroed accumulators, one row for each slot."""
    links = np.concatenate([piece[1] for piece in pieces], dtype=np.int64)
    counts = np.concatenate([piece[2] for piece in pieces], dtype=np.float32)
    width = around.width
    # Where the accumulators of each posting's slot begin.
    offsets: Links | None = None
    if len(sums) > width:
        starts = [(piece[0] - first) * width for piece in pieces]
        offsets = np.array(starts).repeat([len(piece[1]) for piece in pieces])
    if usable is not None:
        keep = usable[links]
        links, counts = links[keep], counts[keep]
        offsets = None if offsets is None else offsets[keep]
    # `take`, for indexing with [:, links] needs four times as long.
    targets = around.targets.take(links, axis=1)
    if offsets is not None:
        targets += offsets
    gains = around.gains.take(links, axis=1)
    gains *= counts
    np.add.at(sums, targets.ravel(), gains.ravel())
