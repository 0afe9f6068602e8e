"""From scores to a ranking: which messages can be among the best, and the best of them in order."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

GROUPS: Final = 16
"""Groups for each hit that is wanted: the more, the sharper is the floor that they give."""

MANY: Final = 8_192
"""From so many scores on, groups are cheaper than partitioning all."""

FEW: Final = 64


def contenders(scores: NDArray[np.float32], error: float, k: int) -> NDArray[np.int64]:
    """Positions, ascending, of all scores that may be among the `k` best if each is off by at most `error`."""
    count = len(scores)
    if k >= count:
        return np.arange(count)
    groups = GROUPS * k
    if count >= MANY and 4 * groups <= count:
        # Each group's best is one score, so the k-th best score is no lower than the k-th best of these, and nearly as
        # low. Groups are columns, because numpy is fast along rows.
        tops = scores[: count - count % groups].reshape(-1, groups).max(axis=0)
        floor = np.partition(tops, groups - k)[groups - k]
    else:
        floor = np.partition(scores, count - k)[count - k]
    found: NDArray[np.int64] = (scores >= floor - np.float32(2 * error)).nonzero()[0]
    return found


def best(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Positions of the `k` best scores, best first; of equal scores the later position first."""
    count = len(scores)
    if count <= FEW:
        return scores.argsort(kind="stable")[: -k - 1 : -1]
    if k < count:
        floor = np.partition(scores, count - k)[count - k]
        above = (scores > floor).nonzero()[0]
        level = (scores == floor).nonzero()[0]
        chosen = np.concatenate((above, level[len(level) - (k - len(above)) :]))
    else:
        chosen = np.arange(count)
    return chosen[np.lexsort((-chosen, -scores[chosen]))]
