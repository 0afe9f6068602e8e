"""A numpy array that grows at its end. Holds numbers, knows nothing about their meaning."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


class Column(Generic[Scalar]):
    """Rows of one array, appended in amortised constant time.

    Given arrays are kept as they are (a read-only buffer of a snapshot, say) until something is written.
    Growing and the first write copy, so a view handed out before stays valid and unchanged in length.
    """

    __slots__ = ("_buffer", "rows")

    def __init__(self, rows: NDArray[Scalar]) -> None:
        self._buffer = rows
        self.rows = rows
        """A view of all rows, for reading."""

    def __len__(self) -> int:
        return len(self.rows)

    def writable(self) -> NDArray[Scalar]:
        """A view of all rows that may be changed in place."""
        if not self._buffer.flags.writeable:
            self._buffer = self._buffer.copy()
            self.rows = self._buffer[: len(self)]
        return self.rows

    def extend(self, rows: NDArray[Scalar]) -> None:
        """Append rows of the same shape and type."""
        held = len(self)
        size = held + len(rows)
        if size > len(self._buffer) or not self._buffer.flags.writeable:
            # A quarter of slack; memory that was never written costs address space only.
            grown = np.empty((size + size // 4 + 16, *self._buffer.shape[1:]), self._buffer.dtype)
            grown[:held] = self.rows
            self._buffer = grown
        self._buffer[held:size] = rows
        self.rows = self._buffer[:size]

    def nbytes(self) -> int:
        return self.rows.nbytes
