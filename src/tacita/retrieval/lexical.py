"""BM25F over messages and their neighbours.

A message counts its own words and, less, those of the two messages before and after it in its session, each normalised by
its own length (BM25F: Robertson, Zaragoza and Taylor, "Simple BM25 extension to multiple weighted fields", CIKM 2004;
the neighbours are the fields). Neighbours are not stored twice: a posting is spread along the links at query time.

Messages are called by their link: row + 1, so that link 0 can mean "no neighbour".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tacita.retrieval.postings import Selection
from tacita.retrieval.profile import ContextBM25F

Links = NDArray[np.int64]
Floats = NDArray[np.float32]

BATCH: Final = 1 << 18
"""Most accumulators (terms x messages) that are worked on at once: 1 MiB."""


def idf(frequencies: Sequence[int], messages: int) -> Floats:
    """ln(1 + (N - df + 0.5) / (df + 0.5)), never negative."""
    # In Python: a query has few words, and a dozen numpy calls cost more than they.
    return np.array([math.log1p(max(0.0, messages - df + 0.5) / (df + 0.5)) for df in frequencies], np.float32)


class Neighbours(NamedTuple):
    """What BM25F needs to know of the messages, by link."""

    previous: Links
    following: Links
    lengths: NDArray[np.uint16]
    average: float
    """Mean length."""
    usable: NDArray[np.bool_] | None
    """Messages that may be found; one that may not lends nothing to its neighbours either. None for all."""


def score(
    selection: Selection, weights: Floats, around: Neighbours, setting: ContextBM25F, batch: int = BATCH
) -> Floats:
    """Context BM25F of every message, by link (index 0 is meaningless).

    Args:
        selection: postings of the query's terms.
        weights: idf by slot.
        around: lengths and links.
        setting: the constants.
        batch: most accumulators that are worked on at once. Decides speed, and no more than last bits of scores.
    """
    width = len(around.lengths)
    total = np.zeros(width, np.float32)
    most = max(1, batch // width)
    scratch = np.zeros(min(most, len(weights)) * width, np.float32)
    for some in _batches(selection, most, width, around.usable):
        terms = weights[some.first : some.first + most] * np.float32(1 + setting.saturation)
        sums = scratch[: len(terms) * width]
        _accumulate(sums, some, around, setting)
        # Saturation, k1 + 1 being in `terms` already. In place, for at this size memory is what takes time.
        grown = sums.reshape(len(terms), width)
        grown /= grown + np.float32(setting.saturation)
        total += terms @ grown
        sums[:] = 0
    return total


class _Batch(NamedTuple):
    """Postings of some consecutive slots."""

    first: int
    """The first slot."""
    links: Links
    counts: Floats
    offsets: Links | int
    """Where the accumulators of each posting's slot begin."""


def _batches(selection: Selection, most: int, width: int, usable: NDArray[np.bool_] | None) -> Iterator[_Batch]:
    for first in range(0, len(selection.frequency), most):
        chosen = selection.pieces
        if most < len(selection.frequency):
            chosen = [piece for piece in chosen if first <= piece[0] < first + most]
        if not chosen:
            continue
        slots, many_links, many_counts = zip(*chosen, strict=True)
        links = np.concatenate(many_links, dtype=np.int64)
        counts = np.concatenate(many_counts, dtype=np.float32)
        offsets: Links | int = 0
        if most > 1:
            starts = (np.array(slots) - first) * width
            offsets = starts.repeat(np.array([len(each) for each in many_links]))
        if usable is not None:
            keep = usable[links]
            links, counts = links[keep], counts[keep]
            offsets = offsets if isinstance(offsets, int) else offsets[keep]
        yield _Batch(first, links, counts, offsets)


def _accumulate(sums: Floats, batch: _Batch, around: Neighbours, setting: ContextBM25F) -> None:
    """Add the normalised counts of a batch to zeroed accumulators."""
    links, counts = batch.links, batch.counts
    relative = around.lengths[links] * np.float32(1 / around.average)
    b, c = np.float32(setting.own_length), np.float32(setting.context_length)
    sums[links + batch.offsets] = counts / ((1 - b) + b * relative)
    after, before = around.following[links], around.previous[links]
    # A message's `before` weights are what those before it lend; so a posting gives them to those that follow it.
    shares = np.array([setting.before[0], setting.after[0], setting.before[1], setting.after[1]], np.float32)
    targets = np.stack((after, before, around.following[after], around.previous[before]))
    targets += batch.offsets
    lent = shares[:, None] * (counts / ((1 - c) + c * relative))
    np.add.at(sums, targets.ravel(), lent.ravel())
