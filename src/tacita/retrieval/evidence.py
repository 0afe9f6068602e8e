"""The signals of one search put together: normalised, weighted, summed, explained.

Every score is the sum of `weight * normalised signal`, divided by the sum of the weights. Normalising is by
the pool's own extremes, so what is not allowed to be found has no say in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tacita.retrieval import fuse, signals
from tacita.retrieval.index import SearchIndex
from tacita.retrieval.profile import Profile
from tacita.retrieval.query import Query
from tacita.retrieval.signals import Cosines
from tacita.retrieval.text import stems

QUERY_TERMS: Final = 64
"""Most terms of a query that are searched: the rarest ones."""

Links = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Signal:
    """What one signal said about one hit."""

    name: str
    value: float
    """Raw: a BM25F score, a cosine, 0 or 1."""
    rank: int
    """1 + the number of searched messages that have more of it."""
    weight: float
    contribution: float
    """What it adds to the hit's score; the contributions of a hit sum to its score."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Signals over a pool of messages, with weights for everything but the vectors applied already."""

    parts: dict[str, tuple[float, NDArray[np.float32] | NDArray[np.bool_], float]]
    """Name -> weight, raw values, divisor."""
    base: Floats
    """Sum of all contributions but that of the vectors."""
    cosines: Cosines | None
    dense_weight: float
    without_vectors: int

    def contenders(self, k: int) -> NDArray[np.int64]:
        """Positions in the pool, ascending, of all messages that may be among the k best."""
        if self.cosines is None:
            return fuse.contenders(self.base, 0.0, k)
        slope = self.dense_weight / self.cosines.span
        first = self.base + self._dense(self.cosines.first, self.cosines.has)
        return fuse.contenders(first, slope * self.cosines.error + ROUNDING, k)

    def scores(self, at: NDArray[np.int64]) -> NDArray[np.float64]:
        """Exact scores at some positions of the pool, ascending."""
        scores = self.base[at].astype(np.float64)
        if self.cosines is not None:
            has = None if self.cosines.has is None else self.cosines.has[at]
            scores += self._dense(self.cosines.exact(at), has)
        return scores

    def _dense(self, values: Floats, has: NDArray[np.bool_] | None) -> Floats:
        if self.cosines is None:
            return np.zeros(len(values), np.float32)
        slope = np.float32(self.dense_weight / self.cosines.span)
        part: Floats = (values - np.float32(self.cosines.low)) * slope
        return part if has is None else part * has

    def explain(self, at: NDArray[np.int64]) -> tuple[tuple[Signal, ...], ...]:
        """What each signal said about the messages at some positions, in that order."""
        every = np.arange(len(self.base))
        columns: list[tuple[str, float, NDArray[np.float32] | NDArray[np.bool_], NDArray[np.float32]]] = [
            (name, weight, values, weight * values[at] / np.float32(divisor))
            for name, (weight, values, divisor) in self.parts.items()
        ]
        if self.cosines is not None:
            values = self.cosines.exact(every)
            columns.append(("dense", self.dense_weight, values, self._dense(values, self.cosines.has)[at]))
        told: list[tuple[Signal, ...]] = []
        ordered = [np.sort(values) for _, _, values, _ in columns]
        for place, position in enumerate(at.tolist()):
            told.append(
                tuple(
                    Signal(
                        name,
                        float(values[position]),
                        1 + len(values) - int(np.searchsorted(sorted_values, values[position], "right")),
                        weight,
                        float(contributions[place]),
                    )
                    for (name, weight, values, contributions), sorted_values in zip(columns, ordered, strict=True)
                )
            )
        return tuple(told)


ROUNDING: Final = 2e-6
"""Room for float32 sums, which the bound of the int8 pass does not know of."""


def gather(
    index: SearchIndex, query: Query, pool: Links, usable: NDArray[np.bool_] | None, profile: Profile
) -> Evidence:
    """All signals for the messages of a pool, which alone are `usable` (flags by link; None for all)."""
    if not len(pool):
        return Evidence({}, np.zeros(0, np.float32), None, 0.0, 0)
    cosines = signals.cosines(index, query.vector, query.model, pool, profile)
    missing = 0
    if query.vector is not None:
        missing = len(pool) - (0 if cosines is None else cosines.count)
    total = profile.total if cosines is not None else profile.total - profile.dense
    parts: dict[str, tuple[float, Floats | NDArray[np.bool_], float]] = {}
    words, ideal = signals.lexical(index, _query_stems(index, query), pool, usable, QUERY_TERMS, profile)
    dates = signals.dates(index, query.dates, pool)
    together = words if dates is None else words + np.float32(profile.dates) * dates
    top = max(float(together.max()), profile.lexical_floor * ideal)
    if top > 0:
        parts["lexical"] = (profile.lexical / total, words, top)
        if dates is not None:
            parts["dates"] = (profile.lexical * profile.dates / total, dates, top)
    parts["role"] = (profile.role / total, signals.user(index, pool), 1.0)
    speaker = signals.speaker(index, query.speakers, pool) if profile.speaker else None
    if speaker is not None:
        parts["speaker"] = (profile.speaker / total, speaker, 1.0)
    inside = signals.inside(index, query.window, pool) if profile.window else None
    if inside is not None:
        parts["window"] = (profile.window / total, inside, 1.0)
    base = np.zeros(len(pool), np.float32)
    for weight, values, divisor in parts.values():
        base += values * np.float32(weight / divisor)
    return Evidence(parts, base, cosines, profile.dense / total, missing)


def _query_stems(index: SearchIndex, query: Query) -> list[str]:
    """Stems by the query's own language first, then by the others that the vault holds: a short query tells
    little."""
    found = list(query.words)
    chosen = dict.fromkeys(stems(found, query.language))
    for language in sorted(index.languages - {query.language}):
        chosen.update(dict.fromkeys(stems(found, language)))
    return list(chosen)
