"""From scores to a ranking: which messages can be among the best, and the best of them in order."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

GROUPS: Final = 16
"""Groups for each hit that is wanted: the more, the sharper is the floor that they give."""


def contenders(scores: NDArray[np.float32], error: float, k: int) -> NDArray[np.int64]:
    """Positions, ascending, of all scores that may be among the `k` best if each is off by at most `error`."""
    count = len(scores)
    if k >= count:
        return np.arange(count)
    groups = GROUPS * k
    if 4 * groups <= count:
        # Each group's best is one score, so the k-th best score is no lower than the k-th best of these, and nearly as
        # low. Much cheaper than partitioning all. Groups are columns, because numpy is fast along rows.
        tops = scores[: count - count % groups].reshape(-1, groups).max(axis=0)
        floor = np.partition(tops, groups - k)[groups - k]
    else:
        floor = np.partition(scores, count - k)[count - k]
    return np.flatnonzero(scores >= floor - np.float32(2 * error))


def best(scores: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Positions of the `k` best scores, best first; of equal scores the later position first."""
    count = len(scores)
    if k < count:
        floor = np.partition(scores, count - k)[count - k]
        above = np.flatnonzero(scores > floor)
        level = np.flatnonzero(scores == floor)
        chosen = np.concatenate((above, level[len(level) - (k - len(above)) :]))
    else:
        chosen = np.arange(count)
    return chosen[np.lexsort((-chosen, -scores[chosen]))]
