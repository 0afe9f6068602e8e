"""Which message holds which word how often, in compact arrays that grow.

Messages are called by their link here: row + 1. What a word counts for is `lexical`'s business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

MERGE_RATIO: Final = 4
"""A run of postings is merged with the one before it unless that one is so many times larger."""

RECENT: Final = 2_048
"""Postings of single messages that are kept in a dictionary before they become a run."""

MOST: Final = 15
"""Most occurrences of a term that are counted, outside a message's questions as well as in them."""

ASKED: Final = MOST + 1
"""What one occurrence in a question adds to a count: both numbers share a byte."""

NO_TERM: Final = np.iinfo(np.int32).max
"""Larger than any term, so that every look-up in a run ends inside it."""


class Run(msgspec.Struct, frozen=True):
    """Postings of some messages, sorted by term, then by message."""

    terms: NDArray[np.int32]
    """Distinct terms, ascending, and `NO_TERM`."""
    starts: NDArray[np.int64]
    """Where each term's postings begin; then the end, twice."""
    links: NDArray[np.int32]
    counts: NDArray[np.uint8]
    """How often the term occurs in the message: outside its questions, plus `ASKED` times how often in them; each
    `MOST` at most."""

    @classmethod
    def of(cls, terms: NDArray[np.int32], links: NDArray[np.int32], counts: NDArray[np.uint8]) -> Run:
        """From one entry for each posting, sorted."""
        first = np.flatnonzero(np.diff(terms, prepend=-1))
        ends = np.array([len(terms)] * 2, np.int64)
        return cls(np.append(terms[first], np.int32(NO_TERM)), np.concatenate((first, ends)), links, counts)

    @property
    def size(self) -> int:
        return len(self.links)

    def term_of_each(self) -> NDArray[np.int32]:
        """The term of each posting."""
        return np.repeat(self.terms[:-1], np.diff(self.starts[:-1]))

    def kept(self, keep: NDArray[np.bool_]) -> Run:
        """Without some postings."""
        return self if keep.all() else Run.of(self.term_of_each()[keep], self.links[keep], self.counts[keep])

    def nbytes(self) -> int:
        return self.terms.nbytes + self.starts.nbytes + self.links.nbytes + self.counts.nbytes


Piece = tuple[int, NDArray[np.int32], NDArray[np.uint8]]
"""Postings of one of a query's terms from one run: its slot among these terms, links and counts."""


class Selection(NamedTuple):
    """Postings of a query's terms."""

    frequency: list[int]
    """By slot: in how many messages of the vault the term occurs."""
    pieces: list[Piece]

    def rarest(self, limit: int) -> Selection:
        """The same for the `limit` terms that the fewest messages hold."""
        kept = sorted(sorted(range(len(self.frequency)), key=lambda slot: self.frequency[slot])[:limit])
        slots = {old: new for new, old in enumerate(kept)}
        pieces = [(slots[slot], links, counts) for slot, links, counts in self.pieces if slot in slots]
        return Selection([self.frequency[slot] for slot in kept], pieces)

    def of(self, alive: NDArray[np.bool_]) -> Selection:
        """The same without the postings of removed messages (flags by link)."""
        frequency = [0] * len(self.frequency)
        pieces = []
        for slot, links, counts in self.pieces:
            keep = alive[links]
            pieces.append((slot, links[keep], counts[keep]))
            frequency[slot] += len(pieces[-1][1])
        return Selection(frequency, pieces)


class Entries(NamedTuple):
    """Postings, one of each array for each."""

    terms: NDArray[np.int64]
    links: NDArray[np.int64]
    counts: NDArray[np.uint8]


class _Numbers(dict[str, int]):
    """Term -> its number; a term that is looked up by `[]` and not there gets the next one."""

    def __init__(self, terms: list[str]) -> None:
        super().__init__((term, number) for number, term in enumerate(terms))
        self._terms = terms

    def __missing__(self, term: str) -> int:
        number = self[term] = len(self._terms)
        self._terms.append(term)
        return number


class Postings:
    """The words of all messages.

    Runs of falling size, like a log-structured merge tree, and a small dictionary of the latest messages: adding one
    costs microseconds, a bulk add one sort, and a search reads from a handful of runs.
    """

    def __init__(self, vocabulary: Iterable[str] = (), runs: Iterable[Run] = ()) -> None:
        self.terms: list[str] = list(vocabulary)
        self.number = _Numbers(self.terms)
        self.runs: list[Run] = list(runs)
        self._recent: dict[int, tuple[list[int], list[int]]] = {}
        """Term -> links and counts of messages that were added one by one and are in no run yet."""
        self._recent_size = 0

    def add(
        self, told: Sequence[Sequence[str]], first_link: int, asked: Sequence[Sequence[str]] | None = None
    ) -> NDArray[np.uint16]:
        """Index the stems of consecutive messages; returns how many stems each has, 65,535 at most.

        Args:
            told: those outside its questions, for each message.
            first_link: of the first message.
            asked: those in its questions, for each message; None if there are none.
        """
        asked = asked if asked is not None and any(asked) else None
        if len(told) == 1:
            self._add_one(told[0], first_link, () if asked is None else asked[0])
        else:
            self._add_many(told, first_link, asked)
        lengths = np.array([len(stems) for stems in told], np.int64)
        if asked is not None:
            lengths += [len(stems) for stems in asked]
        return np.minimum(lengths, 65_535).astype(np.uint16)

    def _add_one(self, told: Sequence[str], link: int, asked: Sequence[str]) -> None:
        number = self.number.__getitem__
        counted = {term: min(count, MOST) for term, count in Counter(map(number, told)).items()}
        for term, count in Counter(map(number, asked)).items():
            counted[term] = counted.get(term, 0) + ASKED * min(count, MOST)
        for term, count in counted.items():
            links, counts = self._recent.setdefault(term, ([], []))
            links.append(link)
            counts.append(count)
        self._recent_size += len(told) + len(asked)
        if self._recent_size >= RECENT:
            self.flush()

    def _add_many(self, told: Sequence[Sequence[str]], first_link: int, asked: Sequence[Sequence[str]] | None) -> None:
        key, counts = self._counted(told)
        if asked is not None:
            key_of_asked, asked_counts = self._counted(asked)
            every = np.union1d(key, key_of_asked)
            both = np.zeros(len(every), np.uint8)
            both[every.searchsorted(key)] = counts
            both[every.searchsorted(key_of_asked)] += ASKED * asked_counts
            key, counts = every, both
        if not len(key):
            return
        self.flush()
        term, message = np.divmod(key, len(told))
        self._push(Run.of(term.astype(np.int32), (message + first_link).astype(np.int32), counts))

    def _counted(self, documents: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """One key for each term and message, and how often it is there. Keys are in the order of a run."""
        number = self.number.__getitem__
        tokens = [number(stem) for stems in documents for stem in stems]
        message = np.repeat(np.arange(len(documents)), [len(stems) for stems in documents])
        key, counted = np.unique(np.array(tokens, np.int64) * len(documents) + message, return_counts=True)
        return key, np.minimum(counted, MOST).astype(np.uint8)

    def flush(self) -> None:
        """Make a run of the messages that were added one by one."""
        if self._recent:
            recent = sorted(self._recent.items())
            self._recent, self._recent_size = {}, 0
            terms = np.repeat(
                np.array([term for term, _ in recent], np.int32), [len(links) for _, (links, _) in recent]
            )
            links = np.array([link for _, (links, _) in recent for link in links], np.int32)
            counts = np.array([count for _, (_, counts) in recent for count in counts], np.uint8)
            self._push(Run.of(terms, links, counts))

    def _push(self, run: Run) -> None:
        while self.runs and self.runs[-1].size < MERGE_RATIO * run.size:
            run = _merged([self.runs.pop(), run])
        self.runs.append(run)

    def remove(self, gone: NDArray[np.bool_]) -> None:
        """Forget messages for good (flags by link), and the words that only they held."""
        self.flush()
        kept = [run.kept(~gone[run.links]) for run in self.runs]
        self.runs = [run for run in kept if run.size]
        used = np.zeros(len(self.terms), np.bool_)
        for run in self.runs:
            used[run.terms[:-1]] = True
        # The words themselves must go too: a vocabulary tells what a deleted message said.
        for term in np.flatnonzero(~used).tolist():
            self.number.pop(self.terms[term], None)
            self.terms[term] = ""

    def compacted(self) -> tuple[list[str], Run]:
        """Vocabulary without unused words, and all postings as one run with the terms 0, 1, 2, ..."""
        self.flush()
        run = _merged(self.runs)
        vocabulary = [self.terms[term] for term in run.terms[:-1].tolist()]
        return vocabulary, msgspec.structs.replace(run, terms=numbered(len(vocabulary)))

    def known(self, stems: Iterable[str]) -> list[int]:
        """The distinct terms among `stems` that the vault knows, in order."""
        number = self.number
        return list(dict.fromkeys([term for stem in stems if (term := number.get(stem)) is not None]))

    def everything(self) -> Entries:
        """All postings; those of one term in the order in which `select` gives them."""
        recent = [
            (term, link, count)
            for term, (links, counts) in self._recent.items()
            for link, count in zip(links, counts, strict=True)
        ]
        terms, links, counts = np.array(recent, np.int64).reshape(-1, 3).T
        return Entries(
            np.concatenate([*(run.term_of_each() for run in self.runs), terms]),
            np.concatenate([*(run.links for run in self.runs), links]),
            np.concatenate([*(run.counts for run in self.runs), counts]).astype(np.uint8),
        )

    def select(self, terms: Sequence[int]) -> Selection:
        """The postings of some terms, which are distinct."""
        frequency = [0] * len(terms)
        pieces: list[Piece] = []
        wanted = np.array(terms, np.int32)
        for run in self.runs if terms else ():
            at = run.terms.searchsorted(wanted)
            found = zip(
                terms, run.terms[at].tolist(), run.starts[at].tolist(), run.starts[at + 1].tolist(), strict=True
            )
            for slot, (term, held, start, end) in enumerate(found):
                if term == held:
                    frequency[slot] += end - start
                    pieces.append((slot, run.links[start:end], run.counts[start:end]))
        for slot, term in enumerate(terms if self._recent else ()):
            recent = self._recent.get(term)
            if recent is not None:
                frequency[slot] += len(recent[0])
                pieces.append((slot, np.array(recent[0], np.int32), np.array(recent[1], np.uint8)))
        return Selection(frequency, pieces)

    @property
    def size(self) -> int:
        """Postings in all."""
        return sum(run.size for run in self.runs) + self._recent_size

    def nbytes(self) -> int:
        # Per word: the string, its dict entry, its number.
        return sum(run.nbytes() for run in self.runs) + 160 * len(self.terms)


def numbered(count: int) -> NDArray[np.int32]:
    """The terms of a run that holds all of a vocabulary."""
    return np.append(np.arange(count, dtype=np.int32), np.int32(NO_TERM))


def _merged(runs: Sequence[Run]) -> Run:
    """The postings of several runs, the older first, as one."""
    if len(runs) == 1:
        return runs[0]
    terms = np.concatenate([np.zeros(0, np.int32), *(run.term_of_each() for run in runs)])
    # Stable, and linear on runs that are sorted already; later runs hold later messages.
    order = np.argsort(terms, kind="stable")
    links = np.concatenate([np.zeros(0, np.int32), *(run.links for run in runs)])
    counts = np.concatenate([np.zeros(0, np.uint8), *(run.counts for run in runs)])
    return Run.of(terms[order], links[order], counts[order])
