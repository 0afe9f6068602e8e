"""What each signal says about each message that may be found. Raw values only: weights belong to `profile`
and `search`.

All arrays here run parallel to the pool: the links of the allowed messages, ascending.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tacita.retrieval.dates import DateWords, Window, parts
from tacita.retrieval.dense import Space
from tacita.retrieval.index import LONG, USER, SearchIndex
from tacita.retrieval.lexical import idf, score
from tacita.retrieval.matrix import SMALL, Coded
from tacita.retrieval.profile import Profile

Links = NDArray[np.int64]
Floats = NDArray[np.float32]


def lexical(
    index: SearchIndex, stems: list[str], pool: Links, usable: NDArray[np.bool_] | None, limit: int, profile: Profile
) -> tuple[Floats, float]:
    """Context BM25F, and the score that a message full of every query word would have."""
    selection = index.postings.select(stems)
    if index.unswept:
        selection = selection.of(index.alive)
    if len(selection.terms) > limit:
        selection = selection.rarest(limit)
    if not len(selection.terms):
        return np.zeros(len(pool), np.float32), 0.0
    weights = idf(selection.frequency, index.living)
    scores = score(
        selection,
        weights,
        previous=index.previous,
        following=index.following,
        lengths=index.lengths,
        average=index.average_length,
        usable=usable,
        setting=profile.bm25f,
    )
    return scores[pool], float(weights.sum()) * (1 + profile.bm25f.saturation)


def dates(index: SearchIndex, words: DateWords, pool: Links) -> Floats | None:
    """Sum of the idf of those date words of the query that are the day, month or year of the message's own
    date."""
    if not words:
        return None
    day, month, year = parts(index.stamps[pool])
    total = np.zeros(len(pool), np.float32)
    for wanted, column in ((words.days, day), (words.months, month), (words.years, year)):
        for value in wanted:
            here = column == value
            total[here] += idf(np.array(np.count_nonzero(here)), len(pool))
    return total


def user(index: SearchIndex, pool: Links) -> NDArray[np.bool_]:
    """Whether the user wrote it."""
    flagged: NDArray[np.bool_] = (index.flags[pool] & USER).astype(np.bool_)
    return flagged


def speaker(index: SearchIndex, names: frozenset[str], pool: Links) -> NDArray[np.bool_] | None:
    """Whether the one known speaker that the query names said it; None unless it names exactly one."""
    numbers = index.names.numbers(names)
    return index.speakers[pool] == numbers[0] if len(numbers) == 1 else None


def inside(index: SearchIndex, span: Window | None, pool: Links) -> NDArray[np.bool_] | None:
    """Whether it is of the time that the query names."""
    if span is None:
        return None
    stamps = index.stamps[pool]
    return (stamps >= span.start) & (stamps < span.end)


@dataclass(frozen=True, slots=True)
class Cosines:
    """Likeness of each message to the query's vector, from a first pass, and what is needed to make it
    exact."""

    space: Space
    query: NDArray[np.float16]
    pool: Links
    shares: Floats
    has: NDArray[np.bool_] | None
    """Which messages have a vector; None for all."""
    first: Floats
    """The first pass; 0 where there is no vector."""
    error: float
    """How far the first pass may be off."""
    low: float
    """The smallest exact value."""
    high: float
    """The largest exact value."""

    @property
    def count(self) -> int:
        """How many messages of the pool have a vector."""
        return len(self.pool) if self.has is None else int(np.count_nonzero(self.has))

    @property
    def span(self) -> float:
        """From the smallest value to the largest, never 0."""
        return max(self.high - self.low, 1e-6)

    def exact(self, at: NDArray[np.int64]) -> Floats:
        """The exact values at some positions of the pool, ascending."""
        if self.error == 0.0:
            return self.first[at]
        return _exact(self.space, self.query, self.pool, self.shares, self.has, at)


def _exact(
    space: Space,
    query: NDArray[np.float16],
    pool: Links,
    shares: Floats,
    has: NDArray[np.bool_] | None,
    at: NDArray[np.int64],
) -> Floats:
    if has is None:
        return space.exact(query, pool[at], shares)
    values = np.zeros(len(at), np.float32)
    held = has[at]
    values[held] = space.exact(query, pool[at[held]], shares)
    return values


def cosines(
    index: SearchIndex, query: NDArray[np.float16] | None, model: str, pool: Links, profile: Profile
) -> Cosines | None:
    """Likeness to the query; None if no message of the pool has a vector of the model."""
    found = None if query is None else index.space(model)
    if query is None or found is None or found[1].dimensions != len(query):
        return None
    number, space = found
    held = index.space_of[pool] == number
    count = int(np.count_nonzero(held))
    if not count:
        return None
    has = None if count == len(pool) else held
    shares = np.where(index.flags & LONG, np.float32(profile.long_message), np.float32(profile.short_message))
    if count <= SMALL:
        first, error = _exact(space, query, pool, shares, has, np.arange(len(pool))), 0.0
        there = first if has is None else first[has]
        return Cosines(space, query, pool, shares, has, first, error, float(there.min()), float(there.max()))
    coded = Coded.of(query)
    first, error = space.approximate(coded, shares)[pool], space.error(coded)
    there = first if has is None else first[has]
    # Only messages within twice the error of an extreme can be the extreme.
    margin = np.float32(2 * error)
    near_low = first <= there.min() + margin
    near_high = first >= there.max() - margin
    if has is not None:
        near_low &= has
        near_high &= has
    low = _exact(space, query, pool, shares, has, np.flatnonzero(near_low)).min()
    high = _exact(space, query, pool, shares, has, np.flatnonzero(near_high)).max()
    return Cosines(space, query, pool, shares, has, first, error, float(low), float(high))
