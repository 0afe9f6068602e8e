"""BM25F over messages and their neighbours, on compact postings that grow.

A message counts its own words and, less, those of the two messages before and after it in its session, each
normalised by its own length (BM25F: Robertson, Zaragoza and Taylor, "Simple BM25 extension to multiple
weighted fields", CIKM 2004; the neighbours are the fields). Neighbours are not stored twice: a posting is
scattered along the links at query time.

Messages are called by their link here: row + 1, so that link 0 can mean "no neighbour".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tacita.retrieval.profile import ContextBM25F

Links = NDArray[np.int64]
Floats = NDArray[np.float32]

MERGE_RATIO: Final = 4
"""A run of postings is merged with the one before it unless that is this many times larger."""

SPARSE: Final = 4
"""A term is worked on sparsely if it touches fewer than one message in so many."""

BATCH: Final = 1 << 16
"""Most accumulators (terms x messages) that are worked on at once, so that they stay in the processor's
cache."""


@dataclass(frozen=True, slots=True)
class Run:
    """Postings of some messages, sorted by term, then message."""

    terms: NDArray[np.int32]
    """Distinct terms, ascending."""
    starts: NDArray[np.int64]
    """Where each term's postings begin, and one more for the end."""
    links: NDArray[np.int32]
    counts: NDArray[np.uint8]
    """How often the term occurs in the message, 255 at most; 0 once the message was removed."""

    @property
    def size(self) -> int:
        return len(self.links)


EMPTY = Run(np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint8))


class Postings:
    """Which message holds which term how often.

    Runs of falling size, like a log-structured merge tree: adding one message costs a few microseconds, a
    bulk add one sort, and a search reads from a handful of runs.
    """

    def __init__(self, vocabulary: Sequence[str] = (), runs: Sequence[Run] = ()) -> None:
        self.terms: list[str] = list(vocabulary)
        self.number: dict[str, int] = {term: number for number, term in enumerate(self.terms)}
        self.runs: list[Run] = list(runs)

    def add(self, documents: Iterable[Sequence[str]], first_link: int) -> NDArray[np.uint16]:
        """Index the stems of consecutive messages; returns how many stems each has."""
        number, terms = self.number, self.terms
        tokens: list[int] = []
        lengths: list[int] = []
        for stems in documents:
            lengths.append(len(stems))
            for stem in stems:
                term = number.get(stem)
                if term is None:
                    term = number[stem] = len(terms)
                    terms.append(stem)
                tokens.append(term)
        if tokens:
            where = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
            key = np.asarray(tokens, np.int64) * len(lengths) + where
            key, counts = np.unique(key, return_counts=True)
            term_of, message = np.divmod(key, len(lengths))
            links = (message + first_link).astype(np.int32)
            self._push(_run(term_of.astype(np.int32), links, np.minimum(counts, 255).astype(np.uint8)))
        return np.minimum(lengths, 65_535).astype(np.uint16)

    def _push(self, run: Run) -> None:
        while self.runs and self.runs[-1].size < MERGE_RATIO * run.size:
            run = _merged([self.runs.pop(), run])
        self.runs.append(run)

    def remove(self, gone: NDArray[np.bool_]) -> None:
        """Forget messages for good. `gone`: one flag per link."""
        kept = [_kept(run, ~gone[run.links]) for run in self.runs]
        self.runs = [run for run in kept if run.size]
        used = np.zeros(len(self.terms), np.bool_)
        for run in self.runs:
            used[run.terms] = True
        # The words themselves must go too: a vocabulary tells what a deleted message said.
        for term in np.flatnonzero(~used).tolist():
            self.number.pop(self.terms[term], None)
            self.terms[term] = ""

    def compacted(self) -> tuple[list[str], Run]:
        """Vocabulary without unused terms, and all postings as one run."""
        run = _merged(self.runs) if len(self.runs) != 1 else self.runs[0]
        vocabulary = [self.terms[term] for term in run.terms.tolist()]
        return vocabulary, Run(np.arange(len(run.terms), dtype=np.int32), run.starts, run.links, run.counts)

    def select(self, stems: Iterable[str]) -> Selection:
        """The postings of the distinct terms among `stems` that the vault knows."""
        number = self.number
        known = list(dict.fromkeys(term for stem in stems if (term := number.get(stem)) is not None))
        return self._select(np.array(known, np.int32))

    def _select(self, terms: NDArray[np.int32]) -> Selection:
        links, counts, slots = [], [], []
        frequency = np.zeros(len(terms), np.int64)
        for run in self.runs:
            if not len(terms):
                break
            at = np.minimum(run.terms.searchsorted(terms), len(run.terms) - 1)
            begin = run.starts[at]
            size = np.where(run.terms[at] == terms, run.starts[at + 1] - begin, 0)
            frequency += size
            for slot, (start, length) in enumerate(zip(begin.tolist(), size.tolist(), strict=True)):
                if length:
                    links.append(run.links[start : start + length])
                    counts.append(run.counts[start : start + length])
                    slots.append((slot, length))
        return Selection(terms, frequency, links, counts, slots)

    @property
    def size(self) -> int:
        """Postings in all."""
        return sum(run.size for run in self.runs)

    def nbytes(self) -> int:
        arrays = sum(run.terms.nbytes + run.starts.nbytes + run.links.nbytes + run.counts.nbytes for run in self.runs)
        # Per term: the string, its dict entry, its number.
        return int(arrays) + 160 * len(self.terms)


@dataclass(frozen=True, slots=True)
class Selection:
    """Postings of a query's terms, in pieces: piece i belongs to the term in slot `slots[i][0]`."""

    terms: NDArray[np.int32]
    frequency: NDArray[np.int64]
    """In how many messages of the vault each term occurs."""
    links: list[NDArray[np.int32]]
    counts: list[NDArray[np.uint8]]
    slots: list[tuple[int, int]]

    def rarest(self, limit: int) -> Selection:
        """The same for the `limit` terms that the fewest messages hold."""
        keep = np.sort(np.argsort(self.frequency, kind="stable")[:limit])
        new_slot = {old: new for new, old in enumerate(keep.tolist())}
        chosen = [at for at, (slot, _) in enumerate(self.slots) if slot in new_slot]
        return Selection(
            self.terms[keep],
            self.frequency[keep],
            [self.links[at] for at in chosen],
            [self.counts[at] for at in chosen],
            [(new_slot[self.slots[at][0]], self.slots[at][1]) for at in chosen],
        )

    def of(self, alive: NDArray[np.bool_]) -> Selection:
        """The same without the postings of removed messages."""
        frequency = np.zeros(len(self.terms), np.int64)
        links, counts, slots = [], [], []
        for (slot, _), piece, count in zip(self.slots, self.links, self.counts, strict=True):
            keep = alive[piece]
            links.append(piece[keep])
            counts.append(count[keep])
            slots.append((slot, len(links[-1])))
            frequency[slot] += len(links[-1])
        return Selection(self.terms, frequency, links, counts, slots)


def _run(terms: NDArray[np.int32], links: NDArray[np.int32], counts: NDArray[np.uint8]) -> Run:
    """A run from postings that are sorted by term and message."""
    first = np.flatnonzero(np.diff(terms, prepend=-1))
    return Run(terms[first], np.append(first, len(terms)), links, counts)


def _merged(runs: Sequence[Run]) -> Run:
    if not runs:
        return EMPTY
    terms = np.concatenate([np.repeat(run.terms, np.diff(run.starts)) for run in runs])
    # Stable, and linear on runs that are sorted already; later runs hold later messages.
    order = np.argsort(terms, kind="stable")
    links = np.concatenate([run.links for run in runs])[order]
    counts = np.concatenate([run.counts for run in runs])[order]
    return _run(terms[order], links, counts)


def _kept(run: Run, keep: NDArray[np.bool_]) -> Run:
    if keep.all():
        return run
    terms = np.repeat(run.terms, np.diff(run.starts))
    return _run(terms[keep], run.links[keep], run.counts[keep])


def idf(frequency: NDArray[Any], messages: int) -> Floats:
    """ln(1 + (N - df + 0.5) / (df + 0.5)), never negative."""
    return np.log1p((messages - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What BM25F needs to know of the messages, by link."""

    previous: Links
    following: Links
    lengths: NDArray[np.uint16]
    average: float
    """Mean length."""
    usable: NDArray[np.bool_] | None
    """Messages that may be found; one that may not lends nothing to its neighbours either. None for all."""


def score(selection: Selection, weights: Floats, around: Neighbours, setting: ContextBM25F) -> Floats:
    """Context BM25F of every message, by link (index 0 is meaningless).

    Args:
        selection: postings of the query's terms.
        weights: idf by slot.
        around: lengths and links.
        setting: the constants.
    """
    width = len(around.lengths)
    total = np.zeros(width, np.float32)
    most = max(1, BATCH // width)
    scratch = np.zeros(min(most, len(weights)) * width, np.float32)
    for batch in _batches(selection, most, width, around.usable):
        terms = weights[batch.first : batch.first + most] * np.float32(1 + setting.saturation)
        sums = scratch[: len(terms) * width]
        touched = _accumulate(sums, batch, around, setting)
        k = np.float32(setting.saturation)
        if len(terms) == 1 and SPARSE * len(touched) < width:
            values = sums[touched]
            # A message may be touched twice; then the same value is written twice.
            total[touched] += terms * values / (values + k)
            sums[touched] = 0
        else:
            rows = sums.reshape(len(terms), width)
            total += terms @ np.divide(rows, rows + k, out=rows)
            sums[:] = 0
    return total


@dataclass(frozen=True, slots=True)
class _Batch:
    """Postings of some consecutive slots."""

    first: int
    """The first slot."""
    links: Links
    counts: Floats
    offsets: Links | int
    """Where the accumulators of each posting's slot begin."""


def _batches(selection: Selection, most: int, width: int, usable: NDArray[np.bool_] | None) -> Iterator[_Batch]:
    pieces = sorted(zip(selection.slots, range(len(selection.links)), strict=True))
    for first in range(0, len(selection.terms), most):
        chosen = [piece for piece in pieces if first <= piece[0][0] < first + most]
        if not chosen:
            continue
        links = np.concatenate([selection.links[at] for _, at in chosen], dtype=np.int64)
        counts = np.concatenate([selection.counts[at] for _, at in chosen], dtype=np.float32)
        offsets: Links | int = 0
        if most > 1:
            starts = [(slot - first) * width for (slot, _), _ in chosen]
            offsets = np.repeat(starts, [length for (_, length), _ in chosen])
        if usable is not None:
            keep = usable[links]
            links, counts = links[keep], counts[keep]
            offsets = offsets if isinstance(offsets, int) else offsets[keep]
        yield _Batch(first, links, counts, offsets)


def _accumulate(sums: Floats, batch: _Batch, around: Neighbours, setting: ContextBM25F) -> Links:
    """Add the normalised counts of a batch to zeroed accumulators; returns which were touched."""
    links, counts = batch.links, batch.counts
    relative = around.lengths[links] * np.float32(1 / around.average)
    b, c = np.float32(setting.own_length), np.float32(setting.context_length)
    own = links + batch.offsets
    sums[own] = counts / ((1 - b) + b * relative)
    after, before = around.following[links], around.previous[links]
    # A message's `before` weights are what those before it lend; so a posting gives them to those that follow it.
    shares = np.array([setting.before[0], setting.after[0], setting.before[1], setting.after[1]], np.float32)
    targets = np.concatenate((after, before, around.following[after], around.previous[before]))
    if not isinstance(batch.offsets, int):
        targets += np.concatenate((batch.offsets,) * 4)
    lent = shares[:, None] * (counts / ((1 - c) + c * relative))
    np.add.at(sums, targets, lent.ravel())
    return np.concatenate((own, targets))
