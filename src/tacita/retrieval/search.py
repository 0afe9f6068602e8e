"""Searching one vault: a query and an index in, rows with scores out. Pure, exact and deterministic.

Each signal is computed for the messages that may be found and for no others; weights come last, from a
profile. So a message outside the caller's scope influences no score, save through the document frequencies of
its vault.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tacita.retrieval import fuse
from tacita.retrieval.evidence import Signal, gather
from tacita.retrieval.index import SearchIndex
from tacita.retrieval.profile import HYBRID, Profile
from tacita.retrieval.query import Query, prepare

__all__ = ["Query", "Ranked", "Signal", "prepare", "rank"]

Links = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Hits, best first."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    """From about 0 to 1, comparable within one search only."""
    searched: int
    """How many messages were allowed."""
    without_vectors: int
    """How many of them have no vectors of the query's model, and so only their words were searched. 0 for a
    query without a vector."""
    signals: tuple[tuple[Signal, ...], ...] | None
    """For each hit, if it was asked to explain itself."""


def rank(
    index: SearchIndex,
    query: Query,
    *,
    allowed: NDArray[np.bool_] | None = None,
    top_k: int = 10,
    threshold: float | None = None,
    explain: bool = False,
    profile: Profile = HYBRID,
) -> Ranked:
    """The `top_k` best of the allowed messages, or all of them if there are fewer, even when nothing matches.

    Args:
        index: of the vault.
        query: from `prepare`.
        allowed: one flag per row; None allows all.
        top_k: how many; exactly as many as there are allowed rows if those are fewer.
        threshold: drop hits that score lower.
        explain: tell what each signal said.
        profile: the weights.
    """
    pool = _pool(index, allowed)
    usable = None
    if len(pool) < index.living:
        usable = np.zeros(len(index) + 1, np.bool_)
        usable[pool] = True
    evidence = gather(index, query, pool, usable, profile)
    k = min(top_k, len(pool))
    every = np.arange(len(pool)) if explain else None
    found = evidence.contenders(k) if every is None else every
    scores = evidence.scores(found)
    order = fuse.best(scores, k)
    if threshold is not None:
        order = order[scores[order] >= threshold]
    return Ranked(
        rows=pool[found[order]] - 1,
        scores=scores[order],
        searched=len(pool),
        without_vectors=evidence.without_vectors,
        signals=evidence.explain(found[order]) if explain else None,
    )


def _pool(index: SearchIndex, allowed: NDArray[np.bool_] | None) -> Links:
    """Links of the messages that may be found, ascending."""
    standing = index.alive
    if allowed is None:
        return np.arange(1, len(standing)) if index.living == len(index) else np.flatnonzero(standing)
    if len(allowed) != len(index):
        raise ValueError(f"{len(allowed)} flags for {len(index)} rows")
    return np.flatnonzero(allowed & standing[1:]) + 1
