"""Measures of a ranking, and intervals that know that questions about one conversation are not independent.

recall@k is the share of the evidence among the first k (LoCoMo's R@k), any@k whether there is any of it (LongMemEval's
recall_any@k), all@k whether all of it is there (recall_all@k), ndcg@10 with binary gains and log2(rank + 1), lme_ndcg@10 the
LongMemEval repository's form, whose first two ranks count alike; mrr is 1 / rank of the first. All between 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

DEPTH = 50
"""How far down a ranking is scored."""
KS = (1, 3, 5, 10, 20, 50)
REPLICATES = 1_000


def score(ranked: Sequence[Hashable], gold: Collection[Hashable]) -> dict[str, float]:
    """The measures of one ranking, best first. Raises ValueError without evidence or with an id that is there twice."""
    if not gold:
        raise ValueError("a question without evidence cannot be scored")
    if len(set(ranked)) != len(ranked):
        raise ValueError("an id is ranked twice")
    found = [each in gold for each in ranked]
    measures: dict[str, float] = {}
    for k in KS:
        hits = sum(found[:k])
        measures[f"recall@{k}"] = hits / len(gold)
        measures[f"any@{k}"] = float(hits > 0)
        measures[f"all@{k}"] = float(hits == len(gold))
    best = [True] * min(len(gold), 10)
    measures["ndcg@10"] = _dcg(found[:10]) / _dcg(best)
    measures["lme_ndcg@10"] = _lme_dcg(found[:10]) / _lme_dcg(best)
    measures["mrr"] = next((1 / rank for rank, hit in enumerate(found, 1) if hit), 0.0)
    return measures


def _dcg(found: Sequence[bool]) -> float:
    return sum(hit / math.log2(rank + 1) for rank, hit in enumerate(found, 1))


def _lme_dcg(found: Sequence[bool]) -> float:
    return sum(hit / math.log2(max(rank, 2)) for rank, hit in enumerate(found, 1))


def sessions_of(ranked: Sequence[Hashable], session_of: Mapping[Hashable, str]) -> list[str]:
    """A ranking of sessions by their best turn."""
    return list(dict.fromkeys(session_of[each] for each in ranked))


Reading = list[tuple[float, float]]
"""(tokens read so far, share of the evidence found by then), at each turn that adds some."""


def reading(ranked: Sequence[Hashable], gold: Collection[Hashable], tokens: Mapping[Hashable, float]) -> Reading:
    """What is found by whoever reads down a ranking.

    One that ends before all is found is followed by all of the haystack that it left out, unsorted: who needs the rest of the
    evidence must then read everything.
    """
    read, found = 0.0, 0
    steps: Reading = []
    for each in ranked:
        read += tokens[each]
        if each in gold:
            found += 1
            steps.append((read, found / len(gold)))
    if found < len(gold):
        steps.append((sum(tokens.values()), 1.0))
    return steps


def tokens_for(steps: Reading, share: float) -> float:
    """Tokens until `share` of the evidence of one question has been read."""
    return next(read for read, found in steps if found >= share - 1e-9)


def within(steps: Reading, budget: float) -> float:
    """The share of the evidence of one question that fits into `budget` tokens."""
    return max((found for read, found in steps if read <= budget), default=0.0)


def budget_for(readings: Sequence[Reading], share: float) -> float:
    """The smallest budget, the same for every question, within which the mean share of the evidence is `share`."""
    gains = [
        (read, found - before)
        for steps in readings
        for (read, found), before in zip(steps, [0.0, *(found for _, found in steps)], strict=False)
    ]
    total = 0.0
    for read, gain in sorted(gains):
        total += gain
        if total >= share * len(readings) - 1e-9:
            return read
    raise ValueError("no questions")


def resampled(clusters: Sequence[Hashable], replicates: int = REPLICATES, seed: int = 1) -> list[NDArray[np.intp]]:
    """Rows of `replicates` samples of a two-stage bootstrap: conversations with replacement, then their questions.

    Args:
        clusters: the conversation of each row.

    Field, C. A. and Welsh, A. H. (2007), Bootstrapping clustered data, J. R. Stat. Soc. B 69(3): the two-stage form, which
    takes both the choice of conversations and that of questions as chance.
    """
    members: dict[Hashable, list[int]] = {}
    for row, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(row)
    order = np.array([row for rows in members.values() for row in rows], np.intp)
    sizes = np.array([len(rows) for rows in members.values()], np.intp)
    starts = np.cumsum(sizes) - sizes
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(replicates):
        drawn = rng.integers(0, len(sizes), len(sizes))
        size = np.repeat(sizes[drawn], sizes[drawn])
        samples.append(order[np.repeat(starts[drawn], sizes[drawn]) + (rng.random(len(size)) * size).astype(np.intp)])
    return samples


def intervals(values: NDArray[np.float64], samples: Sequence[NDArray[np.intp]]) -> list[tuple[float, float]]:
    """The 95 % percentile interval of the mean of each column of `values`, shape (rows, columns), over `resampled` rows."""
    means = np.array([values[rows].mean(axis=0) for rows in samples])
    return [(float(low), float(high)) for low, high in np.percentile(means, [2.5, 97.5], axis=0).T]


def interval(values: NDArray[np.float64], samples: Sequence[NDArray[np.intp]]) -> tuple[float, float]:
    """The same of one column, shape (rows,)."""
    return intervals(values[:, None], samples)[0]


def median_interval(values: NDArray[np.float64], samples: Sequence[NDArray[np.intp]]) -> tuple[float, float]:
    """The same of the median."""
    low, high = np.percentile([np.median(values[rows]) for rows in samples], [2.5, 97.5])
    return float(low), float(high)
