"""Dot products of one query with many vectors, exactly, reading as little memory as a proof allows.

Kept twice: as float16, which is the truth, and as int8 with one scale per vector, which is read first because
it is half the memory traffic. The int8 score comes with a proven bound on its error; whoever ranks rescores
what the bound cannot exclude, so that the result is that of an exhaustive float16 search.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from threading import Thread
from typing import Any, Final, NamedTuple

import numpy as np
import simsimd
from numpy.typing import NDArray

from tacita.retrieval.column import Column

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]

MANY: Final = 32_768
"""From so many vectors on, a second thread is worth starting."""

THREADS: Final = min(2, os.cpu_count() or 1)
"""Two threads take all the memory bandwidth that one search should."""

CHUNK: Final = 8_192
"""Vectors that are converted at a time, to bound temporary memory."""


class Matrix:
    """Vectors of one kind: float16, their int8 codes and scales, and how far a code may be off."""

    def __init__(
        self, vectors: Halves, codes: NDArray[np.int8], scales: Floats, *, residual: float = 0.0, longest: float = 0.0
    ) -> None:
        self.vectors = Column(vectors)
        self.codes = Column(codes)
        self.scales = Column(scales)
        self.residual = residual
        """Largest |v - v8| so far."""
        self.longest = longest
        """Largest |v8| so far."""

    @classmethod
    def empty(cls, dimensions: int) -> Matrix:
        return cls(np.zeros((0, dimensions), np.float16), np.zeros((0, dimensions), np.int8), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.vectors)

    def extend(self, vectors: Halves) -> None:
        for start in range(0, len(vectors), CHUNK):
            chunk = vectors[start : start + CHUNK]
            codes, scales = self._quantised(chunk)
            self.vectors.extend(chunk)
            self.codes.extend(codes)
            self.scales.extend(scales)

    def replace(self, at: NDArray[np.int64], vectors: Halves) -> None:
        codes, scales = self._quantised(vectors)
        self.vectors.writable()[at] = vectors
        self.codes.writable()[at] = codes
        self.scales.writable()[at] = scales

    def _quantised(self, vectors: Halves) -> tuple[NDArray[np.int8], Floats]:
        full = vectors.astype(np.float32)
        scales = np.abs(full).max(axis=1) / np.float32(127)
        scaled = full / np.maximum(scales, np.float32(1e-20))[:, None]
        rounded = np.rint(scaled)
        codes = rounded.astype(np.int8)
        scaled -= rounded
        squares = np.einsum("ij,ij->i", scaled, scaled)
        lengths = np.einsum("ij,ij->i", rounded, rounded)
        self.residual = max(self.residual, float((scales * np.sqrt(squares)).max(initial=0.0)))
        self.longest = max(self.longest, float((scales * np.sqrt(lengths)).max(initial=0.0)))
        return codes, scales

    def exact(self, query: Halves, at: NDArray[np.int64] | None = None) -> Floats:
        """Dot products with all vectors, or with some: float16 operands, float32 sums, shape `(n,)`."""
        if at is None:
            return _dots(query, self.vectors.rows)
        if len(at) <= CHUNK:
            return _dots(query, self.vectors.rows[at])
        return np.concatenate([self.exact(query, at[start : start + CHUNK]) for start in range(0, len(at), CHUNK)])

    def approximate(self, query: Coded) -> Floats:
        """The same from the int8 codes; off by at most `error(query)`."""
        dots = _dots(query.codes, self.codes.rows)
        dots *= self.scales.rows
        dots *= np.float32(query.scale)
        return dots

    def error(self, query: Coded) -> float:
        """|q.v - q8.v8| <= |q - q8| |v8| + |q| |v - v8| (Cauchy and Schwarz), and a hair for float32 sums."""
        return query.residual * self.longest + query.length * self.residual + 4e-6

    def arrays(self, at: NDArray[np.int64] | None) -> dict[str, NDArray[Any]]:
        """Plain arrays of all vectors, or of those at some positions."""

        def chosen(rows: NDArray[Any]) -> NDArray[Any]:
            return rows if at is None else rows[at]

        return {
            "vectors": chosen(self.vectors.rows),
            "codes": chosen(self.codes.rows),
            "scales": chosen(self.scales.rows),
            "bounds": np.array([self.residual, self.longest]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Matrix:
        residual, longest = arrays["bounds"].tolist()
        return cls(arrays["vectors"], arrays["codes"], arrays["scales"], residual=residual, longest=longest)

    def nbytes(self) -> int:
        return self.vectors.nbytes() + self.codes.nbytes() + self.scales.nbytes()


class Coded(NamedTuple):
    """A query vector as int8."""

    codes: NDArray[np.int8]
    scale: float
    residual: float
    """|q - q8|"""
    length: float
    """|q|"""

    @classmethod
    def of(cls, query: Halves) -> Coded:
        full = query.astype(np.float64)
        scale = float(np.abs(full).max()) / 127 or 1.0
        rounded = np.rint(full / scale)
        rest = full - rounded * scale
        return cls(rounded.astype(np.int8), scale, math.sqrt(rest @ rest), math.sqrt(full @ full))


def _dots(query: NDArray[Any], rows: NDArray[Any]) -> Floats:
    """Dot products of one vector with many; each is the same number however the rows are split."""
    products: Floats = np.empty(len(rows), np.float32)
    if len(rows) < MANY or THREADS == 1:
        _dots_into(products, query, rows, 0, len(rows))
        return products
    # Not the library's own threads: those are OpenMP's, and a process forked after their first use would hang in the
    # next search. A thread costs 50 us to start.
    half = len(rows) // 2
    helper = Thread(target=_dots_into, args=(products, query, rows, 0, half))
    helper.start()
    _dots_into(products, query, rows, half, len(rows))
    helper.join()
    return products


def _dots_into(products: Floats, query: NDArray[Any], rows: NDArray[Any], start: int, end: int) -> None:
    if start < end:
        found = simsimd.cdist(query[None, :], rows[start:end], "dot", out_dtype="float32", threads=1)
        products[start:end] = np.asarray(found)[0]
