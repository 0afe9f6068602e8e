"""BM25F over messages and their neighbours.

A message counts its own words and, less, those of the two messages before and after it in its session, each normalised by
its own length (BM25F: Robertson, Zaragoza and Taylor, "Simple BM25 extension to multiple weighted fields", CIKM 2004;
the neighbours are the fields). Words of a question count less for whoever asks and more for the message that follows, which may
answer. Neighbours are not stored twice: a posting is spread along the links at query time.

Messages are called by their link: row + 1, so that link 0 can mean "no neighbour".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tacita.retrieval.postings import ASKED, Entries, Piece, Selection
from tacita.retrieval.profile import ContextBM25F

Links = NDArray[np.int64]
Floats = NDArray[np.float32]

BATCH: Final = 1 << 18
"""Most accumulators (terms x messages) that are worked on at once: 1 MiB."""

TABLE: Final = 1 << 14
"""Most numbers of a `Table`: 64 KiB, which is a vault of about forty messages."""


def idf(frequencies: Sequence[int], messages: int) -> Floats:
    """ln(1 + (N - df + 0.5) / (df + 0.5)), never negative."""
    # In Python: a query has few words, and a dozen numpy calls cost more than they.
    return np.array([math.log1p(max(0.0, messages - df + 0.5) / (df + 0.5)) for df in frequencies], np.float32)


_ONE = np.float32(1)


class Neighbours(NamedTuple):
    """What BM25F needs to know of the messages, by link. Made once and read until the vault changes."""

    targets: Links
    """Shape (5, n): who counts the words of a message: itself, then those it lends them to; 0 for nobody."""
    norms: Floats
    """Shape (2, n): what the message's length makes of a word, for itself and for its neighbours."""
    worth: Floats
    """Shape (5, 256): how much the words of one posting count there, by its count."""
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
        return cls(
            np.stack((np.arange(len(lengths)), following, previous, following[following], previous[previous])),
            np.stack((_ONE / ((_ONE - b) + b * relative), _ONE / ((_ONE - c) + c * relative))),
            _worth(setting),
            np.float32(setting.saturation),
        )

    @property
    def width(self) -> int:
        """One more than there are messages."""
        return len(self.norms[0])

    def nbytes(self) -> int:
        return self.targets.nbytes + self.norms.nbytes + self.worth.nbytes


def _worth(setting: ContextBM25F) -> Floats:
    asked, told = np.divmod(np.arange(256), ASKED)
    # A message's `before` weights are what those before it lend; so a posting gives them to those that follow it.
    of_told = (1.0, setting.before[0], setting.after[0], setting.before[1], setting.after[1])
    of_asked = (setting.asked, setting.answered, *of_told[2:])
    worth: Floats = (np.outer(of_told, told) + np.outer(of_asked, asked)).astype(np.float32)
    return worth


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
        scores: Floats = np.dot(factors, _saturated(sums, around))
        total = scores if total is None else total + scores
        if first + most < terms:
            sums[:] = 0
    return np.zeros(width, np.float32) if total is None else total


def _accumulate(
    sums: Floats, pieces: Sequence[Piece], first: int, around: Neighbours, usable: NDArray[np.bool_] | None
) -> None:
    """Add the normalised counts of some consecutive slots' postings to zeroed accumulators, one row for each slot."""
    links = np.concatenate([piece[1] for piece in pieces], dtype=np.int64)
    counts = np.concatenate([piece[2] for piece in pieces])
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
    _spread(sums, links, counts, offsets, around)


def _spread(sums: Floats, links: Links, counts: NDArray[np.uint8], offsets: Links | None, around: Neighbours) -> None:
    """Add counts of words in messages to these and their neighbours; `offsets` are added to the links of each posting."""
    # `take`, for indexing with [:, links] needs four times as long.
    targets = around.targets.take(links, axis=1)
    if offsets is not None:
        targets += offsets
    gains = around.worth.take(counts, axis=1)
    norms = around.norms.take(links, axis=1)
    gains[0] *= norms[0]
    gains[1:] *= norms[1]
    np.add.at(sums, targets.ravel(), gains.ravel())


def _saturated(sums: Floats, around: Neighbours) -> Floats:
    """Accumulators after saturation, one row for each term. k1 + 1 is left to the weights."""
    grown = sums.reshape(-1, around.width)
    # In place, for at this size memory is what takes time.
    grown /= grown + around.saturation
    return grown


class Table(NamedTuple):
    """What `score` makes of the postings, for every term of a small vault and for any query, until the vault changes."""

    weights: Floats
    """By term: its idf."""
    factors: Floats
    """The same times k1 + 1."""
    grown: Floats
    """Shape (terms, width)."""

    @classmethod
    def of(cls, entries: Entries, terms: int, messages: int, around: Neighbours) -> Table:
        """From all postings of `messages` living messages; there are so many terms."""
        sums = np.zeros(terms * around.width, np.float32)
        _spread(sums, entries.links, entries.counts, entries.terms * around.width, around)
        frequency = np.bincount(entries.terms, minlength=terms).tolist()
        weights = idf(frequency, messages)
        return cls(weights, weights * (1 + around.saturation), _saturated(sums, around))

    def score(self, terms: list[int]) -> tuple[Floats, Floats]:
        """Weights and `score` of some terms, the same to the last bit."""
        found: Floats = np.dot(self.factors.take(terms), self.grown.take(terms, axis=0))
        return self.weights.take(terms), found

    def nbytes(self) -> int:
        return self.grown.nbytes + 2 * self.weights.nbytes
