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

    __slots__ = ("_buffer", "_size")

    def __init__(self, rows: NDArray[Scalar]) -> None:
        self._buffer = rows
        self._size = len(rows)

    def __len__(self) -> int:
        return self._size

    @property
    def rows(self) -> NDArray[Scalar]:
        """A view of all rows, for reading."""
        return self._buffer[: self._size]

    def writable(self) -> NDArray[Scalar]:
        """A view of all rows that may be changed in place."""
        if not self._buffer.flags.writeable:
            self._buffer = self._buffer.copy()
        return self.rows

    def extend(self, rows: NDArray[Scalar]) -> None:
        """Append rows of the same shape and type."""
        size = self._size + len(rows)
        if size > len(self._buffer) or not self._buffer.flags.writeable:
            # A quarter of slack; memory that was never written costs address space only.
            grown = np.empty((size + size // 4 + 16, *self._buffer.shape[1:]), self._buffer.dtype)
            grown[: self._size] = self.rows
            self._buffer = grown
        self._buffer[self._size : size] = rows
        self._size = size

    def nbytes(self) -> int:
        return int(self._buffer[:1].nbytes) * self._size if self._size else 0
