"""The signals of one search put together: normalised, weighted, summed, explained.

A score is the sum of `weight * normalised signal`. Signals are divided by their largest value among the messages that may
be found, so what may not be found has no say; a floor keeps a weak best from passing for a perfect one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacita.retrieval import fuse, signals
from tacita.retrieval.answers import Answer
from tacita.retrieval.asking import Asking
from tacita.retrieval.index import QUANTITY, TIME, SearchIndex
from tacita.retrieval.outside import Outside, Sought
from tacita.retrieval.pool import Pool
from tacita.retrieval.profile import Profile
from tacita.retrieval.query import Query
from tacita.retrieval.signals import Cosines
from tacita.retrieval.text import stems

QUERY_TERMS: Final = 64
"""Most terms of a query that are searched: the rarest ones."""

ROUNDING: Final = 4e-6
"""Room for float32 sums, of which the bound on the first pass does not know: equal vectors may differ by it."""

_FLAGS: Final = {Answer.QUANTITY: QUANTITY, Answer.TIME: TIME}
"""What marks the messages that hold an answer of a kind."""

_GRID = np.float32(1 << 20)
_STEP = np.float32(1 / (1 << 20))

Floats = NDArray[np.float32]
Positions = NDArray[np.int64]


class Signal(msgspec.Struct, frozen=True):
    """What one signal said about one hit."""

    name: str
    value: float
    """Raw: a BM25F score, a cosine, 0 or 1."""
    rank: int
    """1 + the number of searched messages that have more of it."""
    weight: float
    contribution: float
    """What it adds to the score; the contributions of a hit sum to its score."""


class Part(NamedTuple):
    """One signal over the pool, with its weight: contribution = values * slope."""

    name: str
    values: NDArray[np.float32] | NDArray[np.bool_]
    weight: float
    slope: np.float32


class Evidence(NamedTuple):
    """All signals over a pool."""

    parts: tuple[Part, ...]
    """Every signal but the vectors'."""
    base: Floats
    """The sum of their contributions."""
    cosines: Cosines | Sought | None
    weight: float
    """Of the vectors."""
    slope: np.float32
    first: Floats
    """The sum of everything, with the first pass over the vectors."""

    def contenders(self, k: int) -> Positions:
        """Positions, ascending, of all messages that may be among the k best."""
        error = 0.0 if self.cosines is None else float(self.slope) * self.cosines.error
        return fuse.contenders(self.first, error + ROUNDING, k)

    def scores(self, at: Positions) -> Floats:
        """Exact scores at some positions, ascending, on a grid so coarse that equals are equal."""
        if self.cosines is None or self.cosines.error == 0.0:
            exact = self.first[at]
        else:
            has = None if self.cosines.has is None else self.cosines.has[at]
            exact = _dense(self.cosines.exact(at), has, self.slope) + self.base[at]
        rounded: Floats = np.rint(exact * _GRID) * _STEP
        return rounded

    def explain(self, at: Positions) -> tuple[tuple[Signal, ...], ...]:
        """What each signal said about the messages at some positions, in their order."""
        parts = list(self.parts)
        if self.cosines is not None:
            every = self.cosines.exact(np.arange(len(self.base)))
            parts.append(Part("dense", every, self.weight, self.slope))
        columns = []
        for part in parts:
            values = part.values[at]
            ranks = 1 + len(part.values) - np.searchsorted(np.sort(part.values), values, "right")
            given = (values * part.slope).tolist()
            columns.append(
                [
                    Signal(part.name, float(value), rank, part.weight, contribution)
                    for value, rank, contribution in zip(values.tolist(), ranks.tolist(), given, strict=True)
                ]
            )
        return tuple(zip(*columns, strict=True)) if columns else ((),) * len(at)


def _dense(values: Floats, has: NDArray[np.bool_] | None, slope: np.float32) -> Floats:
    part: Floats = values * slope
    return part if has is None else part * has


def gather(
    index: SearchIndex, query: Query, pool: Pool, profile: Profile, *, outside: Outside | None = None, wanted: int = 1
) -> Evidence:
    """All signals for the messages of a pool, with the weights of a profile.

    Args:
        outside: where the vectors are, for an index that holds none; then only the best `wanted` are certain.
    """
    cosines = signals.cosines(index, query.vector, query.model, pool, profile, outside=outside, wanted=wanted)
    speaker = signals.speaker(index, query.teller, pool, profile.asking)
    addressed = signals.addressed(index, stems(query.others, query.language), speaker, pool)
    inside = signals.inside(index, query.windows, pool)
    # The weights of signals that have nothing to say about this query would only make all scores smaller.
    role = profile.role_in_order if query.asking is Asking.ORDER else profile.role
    total = profile.lexical + role
    total += 0.0 if cosines is None else profile.dense
    total += 0.0 if speaker is None else profile.speaker
    total += 0.0 if addressed is None else profile.addressed
    total += 0.0 if inside is None else profile.window
    total += profile.answer * len(query.wanted)
    guidance = None
    # Who asks about somebody else is not the one whose wishes count.
    if query.asking is Asking.ADVICE and not query.speakers:
        guidance = signals.guidance(index, pool, cosines, profile.guiding)
        total += 0.0 if guidance is None else profile.guidance

    parts = _words(index, query, pool, profile, profile.lexical / total)
    by_user = signals.user(index, pool)
    parts.append(_flag("role", ~by_user if query.asking is Asking.REPLY else by_user, role / total))
    if guidance is not None:
        parts.append(_flag("guidance", guidance, profile.guidance / total))
    if speaker is not None:
        parts.append(_flag("speaker", speaker, profile.speaker / total))
    if addressed is not None:
        parts.append(_flag("addressed", addressed, profile.addressed / total))
    if inside is not None:
        parts.append(_flag("window", inside, profile.window / total))
    for kind in query.wanted:
        parts.append(_flag(kind.value, signals.holding(index, _FLAGS[kind], pool), profile.answer / total))
    base = parts[0].values * parts[0].slope
    for part in parts[1:]:
        base += part.values * part.slope
    weight = profile.dense / total
    slope = np.float32(0 if cosines is None else weight / cosines.highest(profile.dense_floor))
    first = base
    if isinstance(cosines, Sought):
        cosines.settle(base, slope)
    if cosines is not None:
        first = _dense(cosines.first, cosines.has, slope)
        first += base
    return Evidence(tuple(parts), base, cosines, weight, slope, first)


def _words(index: SearchIndex, query: Query, pool: Pool, profile: Profile, weight: float) -> list[Part]:
    """BM25F and date words, which share a scale."""
    found = signals.lexical(index, _query_stems(index, query), pool, QUERY_TERMS, profile)
    dates = signals.dates(index, query.dates, pool)
    if found is None and dates is None:
        return []
    words, ideal = (np.zeros(pool.size, np.float32), 0.0) if found is None else found
    together = words if dates is None else words + np.float32(profile.dates) * dates
    top = max(float(np.maximum.reduce(together)), profile.lexical_floor * ideal)
    if top <= 0:
        return []
    parts = [Part("lexical", words, weight, np.float32(weight / top))]
    if dates is not None:
        parts.append(Part("dates", dates, weight * profile.dates, np.float32(weight * profile.dates / top)))
    return parts


def _flag(name: str, values: Floats | NDArray[np.bool_], weight: float) -> Part:
    return Part(name, values, weight, np.float32(weight))


def _query_stems(index: SearchIndex, query: Query) -> list[str]:
    """Stems in the query's own language, then in the others that the vault holds: a short query tells little."""
    chosen = stems(query.words, query.language)
    for language in sorted(index.languages - {query.language}):
        chosen += stems(query.words, language)
    return chosen
