"""Searching one vault: a query and an index in, rows with scores out. Pure, exact and deterministic.

A message that is not allowed influences no score, save through the document frequencies and the mean length of its
vault, which are one person's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tacita.retrieval import fuse
from tacita.retrieval.evidence import Signal, gather
from tacita.retrieval.index import SearchIndex
from tacita.retrieval.outside import Outside, Sought
from tacita.retrieval.pool import Pool
from tacita.retrieval.profile import HYBRID, Profile
from tacita.retrieval.query import Query, prepare

__all__ = ["Query", "Ranked", "Signal", "prepare", "rank"]


class Ranked(NamedTuple):
    """Hits, best first."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    """From about 0 to 1; comparable within one search."""
    searched: int
    """How many messages were allowed."""
    without_vectors: int
    """How many of them have no vectors of the query's model, so that only their words were searched; 0 for a query
    without a vector."""
    signals: tuple[tuple[Signal, ...], ...] | None
    """For each hit, if it was asked to explain itself."""
    settled: bool = True
    """False when the vectors are elsewhere and there were more candidates than one search opens."""


def rank(
    index: SearchIndex,
    query: Query,
    *,
    allowed: NDArray[np.bool_] | None = None,
    top_k: int = 10,
    threshold: float | None = None,
    explain: bool = False,
    profile: Profile = HYBRID,
    outside: Outside | None = None,
) -> Ranked:
    """The `top_k` best of the allowed messages, or all of them if there are fewer, even when nothing matches.

    Equal scores are ordered by row, the newest first.

    Args:
        index: of the vault.
        query: from `prepare`.
        allowed: one flag per row; None allows all.
        top_k: how many.
        threshold: drop hits that score lower; None drops none.
        explain: tell what each signal said. Slower: every message is scored exactly.
        profile: the weights.
        outside: where the vectors are, for an index that holds none.
    """
    pool = Pool.of(index.alive, index.living, allowed)
    if not pool.size:
        nothing: NDArray[np.int64] = np.zeros(0, np.int64)
        return Ranked(nothing, np.zeros(0, np.float32), 0, 0, () if explain else None)
    k = min(top_k, pool.size)
    evidence = gather(index, query, pool, profile, outside=outside, wanted=k)
    found = evidence.contenders(k)
    scores = evidence.scores(found)
    order = fuse.best(scores, k)
    if threshold is not None:
        order = order[scores[order] >= threshold]
    chosen = found[order]
    held = 0 if evidence.cosines is None else evidence.cosines.held
    return Ranked(
        rows=pool.rows(chosen),
        scores=scores[order],
        searched=pool.size,
        without_vectors=0 if query.vector is None else pool.size - held,
        signals=evidence.explain(chosen) if explain else None,
        settled=not isinstance(evidence.cosines, Sought) or evidence.cosines.settled,
    )
