"""What each signal says about each message that may be found. Raw values only: weights belong to `evidence`.

All arrays here run parallel to the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tacita.retrieval import fuse
from tacita.retrieval.dates import DateWords, Window, parts
from tacita.retrieval.dense import Shares, Space
from tacita.retrieval.elsewhere import Elsewhere
from tacita.retrieval.index import ASKS, GUIDANCE, LONG, SearchIndex
from tacita.retrieval.lexical import idf, score
from tacita.retrieval.outside import SMALL, Outside, Sought
from tacita.retrieval.pool import Pool
from tacita.retrieval.profile import Profile

Links = NDArray[np.int64]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


def lexical(
    index: SearchIndex, stems: list[str], pool: Pool, limit: int, profile: Profile
) -> tuple[Floats, float] | None:
    """Context BM25F, and the score of a message that is full of every query word; None if no word is known."""
    terms = index.postings.known(stems)
    if not terms:
        return None
    around = index.neighbours(profile.bm25f)
    # Whoever may find all that there is needs no flags: what was removed has no postings once it is swept.
    whole = pool.size == index.living and not index.unswept
    table = index.table(around) if whole and len(terms) <= limit else None
    if table is not None:
        weights, scores = table.score(terms)
    else:
        selection = index.postings.select(terms)
        if index.unswept:
            selection = selection.of(index.alive)
        if len(selection.frequency) > limit:
            selection = selection.rarest(limit)
        weights = idf(selection.frequency, index.living)
        scores = score(selection, weights, around, None if whole else pool.usable())
    return pool.take(scores), float(np.add.reduce(weights)) * (1 + profile.bm25f.saturation)


def dates(index: SearchIndex, words: DateWords, pool: Pool) -> Floats | None:
    """Sum of the idf of those date words of the query that are day, month or year of the message's own date."""
    if not words:
        return None
    total = np.zeros(pool.size, np.float32)
    wanted = (words.days, words.months, words.years)
    for values, column in zip(wanted, parts(pool.take(index.stamps)), strict=True):
        for value in values:
            here = column == value
            total += here * idf([int(np.count_nonzero(here))], pool.size)
    return total


def user(index: SearchIndex, pool: Pool) -> Flags:
    """Whether the user wrote it."""
    return pool.take(index.by_user)


def holding(index: SearchIndex, flag: int, pool: Pool) -> Flags:
    """Whether it has a flag."""
    held: Flags = (pool.take(index.flags) & flag) != 0
    return held


def speaker(index: SearchIndex, teller: str | None, pool: Pool, asking: float) -> Floats | None:
    """1 for what the teller tells, `asking` for what she asks, 0 for what others say; None if she is nobody here."""
    number = index.names.known_number(teller)
    if number is None:
        return None
    said: Floats = (pool.take(index.speakers) == number).astype(np.float32)
    said[holding(index, ASKS, pool)] *= np.float32(asking)
    return said


def addressed(index: SearchIndex, names: Sequence[str], said: Floats | None, pool: Pool) -> Flags | None:
    """Whether the teller, who `said` it, names somebody in it; None if she never does.

    Args:
        names: stems of words that name others.
        said: from `speaker`.
    """
    if said is None or not names:
        return None
    held = np.zeros(pool.width, np.bool_)
    for _, links, _ in index.postings.select(index.postings.known(names)).pieces:
        held[links] = True
    found: Flags = pool.take(held) & (said > 0)
    return found if found.any() else None


def inside(index: SearchIndex, spans: tuple[Window, ...], pool: Pool) -> Flags | None:
    """Whether it is of a time that the query names; None if it names none."""
    if not spans:
        return None
    stamps = pool.take(index.stamps)
    within = np.zeros(pool.size, np.bool_)
    for span in spans:
        within |= (stamps >= span.start) & (stamps < span.end)
    return within


GATHER: Final = 8
"""Reading the float16 vectors of one message in so many is as fast as the first pass over all."""


def guidance(index: SearchIndex, pool: Pool, likeness: Cosines | Sought | None, count: int) -> Flags | None:
    """The `count` messages that tell how to answer and are most like the query; None if there are none.

    Of equals, and of all when there are no vectors, the newest.
    """
    at = np.flatnonzero(pool.take(index.flags) & GUIDANCE)
    if not len(at):
        return None
    if len(at) > count:
        # A bound on what one search opens when the vectors are elsewhere.
        at = at[-SMALL:]
        # Rounded, so that equal vectors are equal wherever they lie.
        values = np.zeros(len(at), np.float32) if likeness is None else likeness.certain(at).round(5)
        at = at[fuse.best(values, count)]
    nearest = np.zeros(pool.size, np.bool_)
    nearest[at] = True
    return nearest


class Cosines(NamedTuple):
    """Likeness of each message to the query's vector: a first pass, and the means to make it exact."""

    space: Space
    query: NDArray[np.float16]
    pool: Pool
    shares: Shares
    has: Flags | None
    """Which messages have a vector; None for all."""
    held: int
    """How many have one."""
    first: Floats
    """The first pass; meaningless where there is no vector."""
    error: float
    """How far the first pass may be off; 0 if it is exact."""

    def exact(self, at: NDArray[np.int64]) -> Floats:
        """The exact values at some positions, ascending; 0 where there is no vector."""
        if self.error == 0.0:
            return self.first[at]
        if self.has is None:
            return self.space.exact(self.query, self.pool.links(at), self.shares)
        values = np.zeros(len(at), np.float32)
        held = self.has[at]
        values[held] = self.space.exact(self.query, self.pool.links(at[held]), self.shares)
        return values

    def certain(self, at: NDArray[np.int64]) -> Floats:
        """As `exact`."""
        return self.exact(at)

    def highest(self, least: float) -> float:
        """The largest exact value, or `least` if that is larger."""
        there = self.first if self.has is None else np.where(self.has, self.first, np.float32(-1))
        # Half the cost of `there.max()`, which goes through Python.
        top = float(np.maximum.reduce(there))
        if self.error == 0.0 or top + self.error <= least:
            return max(top, least)
        # Only a message within twice the error of the first pass's largest can be the largest.
        near = np.flatnonzero(there >= np.float32(top - 2 * self.error))
        return max(float(self.exact(near).max()), least)


def cosines(
    index: SearchIndex,
    query: NDArray[np.float16] | None,
    model: str,
    pool: Pool,
    profile: Profile,
    *,
    outside: Outside | None = None,
    wanted: int = 1,
) -> Cosines | Sought | None:
    """Likeness to the query; None if no message of the pool has a vector of the model.

    Args:
        outside: where the vectors are, for an index that holds none.
        wanted: how many hits; only so many are then certain.
    """
    found = None if query is None else index.space(model)
    if query is None or found is None or found[1].dimensions != len(query):
        return None
    number, space = found
    has: Flags | None = None
    count = pool.size
    if not index.all_in(number):
        has = pool.take(index.space_of) == number
        count = int(np.count_nonzero(has))
        if not count:
            return None
        if count == pool.size:
            has = None

    def shares(links: Links) -> Floats:
        long = (index.flags[links] & LONG) != 0
        return np.where(long, np.float32(profile.long_message), np.float32(profile.short_message))

    if isinstance(space, Elsewhere):
        if outside is None:
            raise ValueError("the vectors of this index are elsewhere, and nothing was given to get them")
        single = pool.take(space.counts(pool.width)) == 1
        return Sought(outside, query, pool, shares, has, count, single, wanted)
    if count <= len(space.links) // GATHER:
        if has is None:
            first = space.exact(query, pool.links(), shares)
        else:
            first = np.zeros(pool.size, np.float32)
            first[has] = space.exact(query, pool.links(np.flatnonzero(has)), shares)
        return Cosines(space, query, pool, shares, has, count, first, 0.0)
    blended, error = space.approximate(query, pool.width, shares)
    return Cosines(space, query, pool, shares, has, count, pool.take(blended), error)
