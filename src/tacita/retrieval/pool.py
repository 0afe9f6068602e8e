"""Which messages one search may find."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Links = NDArray[np.int64]


class Pool(NamedTuple):
    """The allowed messages by ascending link; a position is a place in this order."""

    size: int
    chosen: Links | None
    """Their links; None for all of a vault from which nothing was removed."""
    width: int
    """Length of the vault's columns: one more than it has rows."""

    @classmethod
    def of(cls, alive: NDArray[np.bool_], living: int, allowed: NDArray[np.bool_] | None) -> Pool:
        """From flags by link and the caller's flags by row."""
        rows = len(alive) - 1
        if allowed is not None and len(allowed) != rows:
            raise ValueError(f"{len(allowed)} flags for {rows} rows")
        if allowed is None and living == rows:
            return cls(rows, None, rows + 1)
        standing = alive[1:] if allowed is None else alive[1:] & allowed
        chosen = np.flatnonzero(standing) + 1
        return cls(rows, None, rows + 1) if len(chosen) == rows else cls(len(chosen), chosen, rows + 1)

    def take(self, column: NDArray[Any]) -> NDArray[Any]:
        """The pool's part of a column by link."""
        return column[1:] if self.chosen is None else column[self.chosen]

    def links(self, positions: NDArray[np.int64] | None = None) -> Links:
        """The links at some positions, or all."""
        if positions is None:
            return np.arange(1, self.width) if self.chosen is None else self.chosen
        return positions + 1 if self.chosen is None else self.chosen[positions]

    def rows(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows at some positions."""
        return positions if self.chosen is None else self.chosen[positions] - 1

    def usable(self) -> NDArray[np.bool_] | None:
        """Flags by link; None for all."""
        if self.chosen is None:
            return None
        flags = np.zeros(self.width, np.bool_)
        flags[self.chosen] = True
        return flags
