"""From scores to a ranking: which messages can be among the best, and the best of them in order."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 64


def contenders(scores: NDArray[np.float32], error: float, k: int) -> NDArray[np.int64]:
    """Positions, ascending, of all scores that may be among the `k` best if each is off by at most `error`."""
    if k >= len(scores):
        return np.arange(len(scores))
    blocks = len(scores) // BLOCK
    if blocks >= 4 * k:
        # The k-th best of the blocks' best scores is one of k scores, so the k-th best score is no lower. Much cheaper
        # than partitioning all, and with so many blocks nearly as sharp.
        best = scores[: blocks * BLOCK].reshape(blocks, BLOCK).max(axis=1)
        floor = np.partition(best, blocks - k)[blocks - k]
    else:
        floor = np.partition(scores, len(scores) - k)[len(scores) - k]
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
