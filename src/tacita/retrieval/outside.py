"""Likeness to a query when the vectors are not in RAM: an engine names candidates, the log gives exact vectors.

The threshold algorithm (Fagin, Lotem and Naor, "Optimal aggregation algorithms for middleware", 2001): the engine lists
entries by score, so whatever it has not listed scores at most as much as the last that it has. That bounds what every
message can reach, and only those are opened that may still be among the best. With an engine that searches exactly the
result is that of an exhaustive search; with one that searches approximately it is as good as its list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tacita.retrieval.matrix import Floats, Halves, exact_dots
from tacita.retrieval.pool import Pool

Links = NDArray[np.int64]
Flags = NDArray[np.bool_]

SMALL: Final = 256
"""So many messages are opened at once, and no engine is asked: a small vault, or what a filter leaves of a large one."""
ASKED: Final = 200
"""Entries that an engine is asked for at first, or so many for each hit that is wanted: `PER_HIT`."""
PER_HIT: Final = 20
GROWTH: Final = 4
"""By how much more it is asked for when that was not enough."""
AT_ONCE: Final = 32
"""Messages that are opened at a time, the most promising first."""
ROUNDS: Final = 12
"""Times that messages are opened before more are asked for."""
MOST: Final = 4_096
"""Messages that are opened for one search when an engine can list no more."""
SLACK: Final = np.float32(1e-3)
"""How far an engine's score may be off."""
FAR: Final = np.float32(-1e6)
"""Stands for what cannot be among the best."""


class Near(NamedTuple):
    """What an engine listed, best first."""

    links: Links
    """The message of each entry."""
    parts: NDArray[np.int64]
    """0 for a message as a whole, else the number of its segment."""
    scores: Floats
    bound: float
    """No entry that is not listed scores more."""
    whole: bool
    """Whether there is nothing more to list."""


class Outside(Protocol):
    """The vectors of one vault that are not in RAM."""

    @property
    def most(self) -> int:
        """Most entries that `near` lists."""

    def unlisted(self) -> Flags:
        """By link, messages of which the engine need not know: they are never left to it."""

    def near(self, count: int) -> Near:
        """So many of the entries that are most like the query."""

    def vectors(self, links: Links) -> Sequence[Halves]:
        """The vectors of messages, exact: each of shape (1 + segments, d)."""


class Sought:
    """As `signals.Cosines`: exact for every message that may matter, once `settle` was called."""

    error = 0.0

    def __init__(
        self,
        outside: Outside,
        query: Halves,
        pool: Pool,
        shares: Callable[[Links], Floats],
        has: Flags | None,
        held: int,
        single: Flags,
        wanted: int,
    ) -> None:
        """`single` flags messages of the pool that have one vector; `wanted` is the number of hits."""
        self._outside, self._query, self._pool, self._shares = outside, query, pool, shares
        self.has, self.held = has, held
        self._single = single
        self._links = pool.links()
        self._exact = np.zeros(pool.size, np.float32)
        self._known = np.zeros(pool.size, np.bool_) if has is None else ~has
        self._upper = np.full(pool.size, 1 + SLACK, np.float32)
        self._asked = 0
        self._whole = False
        self._listed = np.zeros(pool.size, np.bool_)
        self.opened = 0
        self.settled = True
        """False when there was more to open than `MOST`."""
        self._wanted = min(wanted, pool.size)
        if held <= SMALL:
            self._open(np.flatnonzero(~self._known))
        else:
            missing = outside.unlisted()[self._links] & ~self._known
            self._open(np.flatnonzero(missing))
            if not self._known.all():
                self._ask(max(ASKED, PER_HIT * wanted))

    @property
    def first(self) -> Floats:
        """Exact values, `FAR` where nothing was opened, 0 where there is nothing."""
        return np.where(self._known, self._exact, FAR)

    def exact(self, at: NDArray[np.int64]) -> Floats:
        """For explanations: exact values, or where nothing was opened the most that it can be."""
        return np.where(self._known[at], self._exact[at], self._upper[at])

    def certain(self, at: NDArray[np.int64]) -> Floats:
        """Exact values at some positions, which are opened for it."""
        self._open(at[~self._known[at]])
        return self._exact[at]

    def highest(self, least: float) -> float:
        """The largest exact value, or `least` if that is larger."""
        top = least
        for number in self._rounds():
            known = self._known if self.has is None else self._known & self.has
            top = max(float(self._exact[known].max(initial=-1.0)), least)
            waiting = np.flatnonzero(~self._known & (self._upper > top))
            if not self._proceed(waiting, self._upper, number):
                break
        return top

    def settle(self, base: Floats, slope: np.float32) -> None:
        """Open messages until the best by `base + slope * value` are certain."""
        for number in self._rounds():
            reach: Floats = np.where(self._known, self._exact, self._upper).astype(np.float32) * slope + base
            if self.has is not None:
                reach[~self.has] = base[~self.has]
            scores = reach[self._known]
            floor = FAR
            if len(scores) >= self._wanted:
                floor = np.partition(scores, len(scores) - self._wanted)[len(scores) - self._wanted]
            waiting = np.flatnonzero(~self._known & (reach >= floor - SLACK * slope / 100))
            if not self._proceed(waiting, reach, number):
                return

    def _rounds(self) -> range:
        return range(1, 2 + self._pool.size)

    def _proceed(self, waiting: NDArray[np.int64], reach: Floats, number: int) -> bool:
        """Learn more of the messages that are waited for. False when that is not needed, or not possible."""
        if not len(waiting):
            return False
        can_ask = not self._whole and self._asked < self._outside.most
        if can_ask and number % ROUNDS == 0 and len(waiting) > AT_ONCE:
            self._ask(self._asked * GROWTH)
            return True
        if not can_ask and self.opened >= MOST and len(waiting) > AT_ONCE:
            self.settled = False
            return False
        count = max(AT_ONCE, self._wanted)
        if len(waiting) > count:
            waiting = waiting[np.argpartition(-reach[waiting], count)[:count]]
        self._open(np.sort(waiting))
        return True

    def _ask(self, count: int) -> None:
        """Have the engine list more, and draw the limits anew."""
        self._asked = min(count, self._outside.most)
        near = self._outside.near(self._asked)
        self._whole = near.whole
        bound = np.float32(min(1.0, near.bound))
        own = np.full(self._pool.width, bound, np.float32)
        best = own.copy()
        message = near.parts == 0
        np.maximum.at(own, near.links[message], near.scores[message])
        np.maximum.at(best, near.links[~message], near.scores[~message])
        own, best = own[self._links], best[self._links]
        share = self._shares(self._links)
        blended = np.where(self._single, own, share * own + (1 - share) * best)
        # What was missing was opened already, so that what is left is what the engine knows.
        self._upper = np.where(self._known, self._exact, blended + SLACK).astype(np.float32)

    def _open(self, at: NDArray[np.int64]) -> None:
        for start in range(0, len(at), 1_024):
            self._open_some(at[start : start + 1_024])

    def _open_some(self, at: NDArray[np.int64]) -> None:
        found = self._outside.vectors(self._links[at])
        sizes = np.array([len(each) for each in found])
        # As the sealed profile does: float16 operands, float32 sums, so that equal vectors get equal numbers.
        products = exact_dots(self._query, np.concatenate(found))
        starts = np.cumsum(sizes) - sizes
        values = products[starts]
        several = np.flatnonzero(sizes > 1)
        if len(several):
            alone = products.copy()
            alone[starts] = -np.inf
            best = np.maximum.reduceat(alone, starts)[several]
            share = self._shares(self._links[at[several]])
            values[several] = share * values[several] + (1 - share) * best
        self._exact[at] = values
        self._known[at] = True
        self._upper[at] = values
        self.opened += len(at)
