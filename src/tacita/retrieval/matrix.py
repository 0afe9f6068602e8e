"""Dot products of one query with many vectors, exactly, in as little time as a proof allows.

float16 is the truth, of vectors that `packing` has fitted. Many vectors are kept a second time as int8 with one scale per
vector, which is half the memory traffic. Products of these come with a proven bound on their error; whoever ranks rescores
what the bound cannot exclude, so that the result is that of an exhaustive search.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from threading import Thread
from typing import Any, Final

import numpy as np
import simsimd
from numpy.typing import NDArray

from tacita.packing import packed, unpacked
from tacita.retrieval.column import Column

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]

MANY: Final = 32_768
"""From so many vectors on, a second thread is worth starting."""

THREADS: Final = min(2, os.cpu_count() or 1)
"""Two threads take all the memory bandwidth that one search should."""

DIRECT: Final = 2_048
"""Up to so many vectors, float16 is read at once: a first pass would save less than it costs."""

SUMS: Final = 4e-6
"""How far float32 sums of one product may differ in another order."""

CHUNK: Final = 8_192
"""Vectors that are converted at a time, to bound temporary memory."""


class Matrix:
    """Vectors of one kind: float16, and if there are many, codes that are read first."""

    def __init__(self, vectors: Halves, codes: Codes | None = None) -> None:
        self.vectors = Column(vectors)
        if codes is None and len(vectors) > DIRECT:
            codes = Codes.of(vectors)
        self.codes = codes

    @classmethod
    def empty(cls, dimensions: int) -> Matrix:
        return cls(np.zeros((0, dimensions), np.float16))

    def __len__(self) -> int:
        return len(self.vectors)

    def extend(self, vectors: Halves) -> None:
        self.vectors.extend(vectors)
        if self.codes is not None:
            self.codes.extend(vectors)
        elif len(self) > DIRECT:
            self.codes = Codes.of(self.vectors.rows)

    def replace(self, at: NDArray[np.int64], vectors: Halves) -> None:
        self.vectors.writable()[at] = vectors
        if self.codes is not None:
            self.codes.replace(at, vectors)

    def exact(self, query: Halves, at: NDArray[np.int64] | None = None) -> Floats:
        """Dot products with all vectors, or with some: float16 operands, float32 sums, shape `(n,)`."""
        if at is None:
            return _dots(query, self.vectors.rows)
        if len(at) <= CHUNK:
            return _dots(query, self.vectors.rows[at])
        return np.concatenate([self.exact(query, at[start : start + CHUNK]) for start in range(0, len(at), CHUNK)])

    def approximate(self, query: Halves, out: Floats) -> float:
        """The same in less time into `out`. Returns how far each product may be off: 0 for not at all."""
        if self.codes is not None:
            return self.codes.products(query, out)
        _dots(query, self.vectors.rows, out)
        return 0.0

    def arrays(self, at: NDArray[np.int64] | None) -> dict[str, NDArray[Any]]:
        """Plain arrays of all vectors, or of those at some positions."""
        vectors = packed(self.vectors.rows if at is None else self.vectors.rows[at])
        return {"packed": vectors, **({} if self.codes is None else self.codes.arrays(at))}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Matrix:
        codes = None
        if "codes" in arrays:
            codes = Codes(arrays["codes"], arrays["scales"], *arrays["bounds"].tolist())
        return cls(unpacked(arrays["packed"]), codes)

    def nbytes(self) -> int:
        return self.vectors.nbytes() + (0 if self.codes is None else self.codes.nbytes())


class Codes:
    """Vectors as int8 codes and scales, and how far a code may be off."""

    def __init__(self, codes: NDArray[np.int8], scales: Floats, residual: float = 0.0, longest: float = 0.0) -> None:
        self._codes = Column(codes)
        self._scales = Column(scales)
        self._residual = residual
        """Largest |v - v8| so far."""
        self._longest = longest
        """Largest |v8| so far."""

    @classmethod
    def empty(cls, dimensions: int) -> Codes:
        return cls(np.zeros((0, dimensions), np.int8), np.zeros(0, np.float32))

    @classmethod
    def of(cls, vectors: Halves) -> Codes:
        codes = cls.empty(vectors.shape[1])
        codes.extend(vectors)
        return codes

    def extend(self, vectors: Halves) -> None:
        for start in range(0, len(vectors), CHUNK):
            codes, scales = self._quantised(vectors[start : start + CHUNK])
            self._codes.extend(codes)
            self._scales.extend(scales)

    def replace(self, at: NDArray[np.int64], vectors: Halves) -> None:
        codes, scales = self._quantised(vectors)
        self._codes.writable()[at] = codes
        self._scales.writable()[at] = scales

    def _quantised(self, vectors: Halves) -> tuple[NDArray[np.int8], Floats]:
        full = vectors.astype(np.float32)
        scales = np.abs(full).max(axis=1) / np.float32(127)
        scaled = full / np.maximum(scales, np.float32(1e-20))[:, None]
        rounded = np.rint(scaled)
        codes = rounded.astype(np.int8)
        scaled -= rounded
        squares = np.einsum("ij,ij->i", scaled, scaled)
        lengths = np.einsum("ij,ij->i", rounded, rounded)
        self._residual = max(self._residual, float((scales * np.sqrt(squares)).max(initial=0.0)))
        self._longest = max(self._longest, float((scales * np.sqrt(lengths)).max(initial=0.0)))
        return codes, scales

    def products(self, query: Halves, out: Floats) -> float:
        full = query.astype(np.float64)
        scale = float(np.abs(full).max()) / 127 or 1.0
        rounded = np.rint(full / scale)
        rest = full - rounded * scale
        _dots(rounded.astype(np.int8), self._codes.rows, out)
        out *= self._scales.rows
        out *= np.float32(scale)
        # |q.v - q8.v8| <= |q - q8| |v8| + |q| |v - v8| (Cauchy and Schwarz)
        error = math.sqrt(rest @ rest) * self._longest + math.sqrt(full @ full) * self._residual
        return error + SUMS

    def arrays(self, at: NDArray[np.int64] | None) -> dict[str, NDArray[Any]]:
        return {
            "codes": self._codes.rows if at is None else self._codes.rows[at],
            "scales": self._scales.rows if at is None else self._scales.rows[at],
            "bounds": np.array([self._residual, self._longest]),
        }

    def nbytes(self) -> int:
        return self._codes.nbytes() + self._scales.nbytes()


def exact_dots(query: Halves, rows: Halves) -> Floats:
    """Dot products of one vector with many, the numbers that `Matrix.exact` gives for them."""
    return _dots(query, rows)


def _dots(query: NDArray[Any], rows: NDArray[Any], out: Floats | None = None) -> Floats:
    """Dot products of one vector with many; each is the same number however the rows are split."""
    products: Floats = np.empty(len(rows), np.float32) if out is None else out
    if len(rows) < MANY or THREADS == 1:
        _dots_into(products, query, rows)
        return products
    # Not the library's own threads: those are OpenMP's, and a process forked after their first use would hang in the
    # next search. A thread costs 50 us to start.
    half = len(rows) // 2
    helper = Thread(target=_dots_into, args=(products[:half], query, rows[:half]))
    helper.start()
    _dots_into(products[half:], query, rows[half:])
    helper.join()
    return products


def _dots_into(products: Floats, query: NDArray[Any], rows: NDArray[Any]) -> None:
    if len(rows):
        # Not with its `out`: it then returns a None that it does not own, and after some thousand calls Python ends.
        products[:] = np.asarray(simsimd.cdist(query[None], rows, "dot", out_dtype="float32", threads=1))[0]
