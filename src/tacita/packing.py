"""Vectors in twelve bits a number: whole multiples, up to 2,047 of them, of a power of two that each vector has for itself.

Such numbers are exact in float16, which has eleven bits for them. So packing loses nothing of vectors that were `fitted`
once, and what is searched in RAM, what is sealed in the log and what a snapshot holds are the same numbers.

Block floating point: J. H. Wilkinson, Rounding Errors in Algebraic Processes (1963), section 1.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Halves = NDArray[np.float16]

LARGEST: Final = 32_752.0
"""No number of a vector may be greater: 2,047 times the greatest power of two that is kept."""

_LEAST: Final = -24
"""The power of two of float16's smallest number, kept as 0."""
_GREATEST: Final = 28
_BITS: Final = 11
_ROUNDED_UP: Final = 1.00025
"""The greatest number counts for so much more: else one between 2,047 and a half and 2,048 would be rounded to one too many."""
_BLOCK: Final = 512
"""Vectors that are turned at a time: their floats stay in the cache."""


def fitted(vectors: NDArray[Any]) -> Halves:
    """The nearest vectors that can be packed, of shape `(n, d)`: each number is off by 1/2,047 of the greatest at most.

    Raises ValueError for a number beyond `LARGEST`, or one that is none.
    """
    return unpacked(packed(vectors))


def packed(vectors: NDArray[Any]) -> NDArray[np.uint8]:
    """Shape `(n, packed_size(d))` of shape `(n, d)`: the power of two, the upper eight bits of each number, the lower four.

    Raises ValueError as `fitted` does.
    """
    count, dimensions = vectors.shape
    rows = np.empty((count, packed_size(dimensions)), np.uint8)
    for start in range(0, count, _BLOCK):
        _pack(np.asarray(vectors[start : start + _BLOCK], np.float32), rows[start : start + _BLOCK])
    return rows


def _pack(vectors: NDArray[np.float32], rows: NDArray[np.uint8]) -> None:
    dimensions = vectors.shape[1]
    greatest = np.abs(vectors).max(axis=1, initial=0.0)
    if not (greatest <= LARGEST).all():
        raise ValueError("a vector with a number that is too great, or none")
    powers = np.maximum(np.frexp(greatest * _ROUNDED_UP)[1] - _BITS, _LEAST)
    whole = np.rint(vectors * np.ldexp(np.float32(1), -powers)[:, None]).astype(np.int16)
    half = (dimensions + 1) // 2
    lower = whole & 15
    lower[:, : dimensions - half] |= lower[:, half:] << 4
    rows[:, 0] = powers - _LEAST
    rows[:, 1 : 1 + dimensions] = whole >> 4
    rows[:, 1 + dimensions :] = lower[:, :half]


def unpacked(rows: NDArray[np.uint8]) -> Halves:
    """The vectors that `packed` was given, if they were fitted. Raises ValueError for what it never gives."""
    count, size = rows.shape
    dimensions = packed_dimensions(size)
    if count and int(rows[:, 0].max()) > _GREATEST:
        raise ValueError("packed vectors with a power of two that is too great")
    vectors = np.empty((count, dimensions), np.float16)
    for start in range(0, count, _BLOCK):
        vectors[start : start + _BLOCK] = _unpack(rows[start : start + _BLOCK], dimensions)
    return vectors


def _unpack(rows: NDArray[np.uint8], dimensions: int) -> NDArray[np.float32]:
    whole = rows[:, 1 : 1 + dimensions].view(np.int8).astype(np.int16)
    whole <<= 4
    half = (dimensions + 1) // 2
    lower = rows[:, 1 + dimensions :]
    whole[:, :half] |= lower & 15
    whole[:, half:] |= lower[:, : dimensions - half] >> 4
    vectors = whole.astype(np.float32)
    vectors *= np.ldexp(np.float32(1), rows[:, 0].astype(np.int32) + _LEAST)[:, None]
    return vectors


def packed_size(dimensions: int) -> int:
    """Bytes of one packed vector."""
    return 1 + dimensions + (dimensions + 1) // 2


def packed_dimensions(size: int) -> int:
    """Numbers of a vector that takes so many bytes. Raises ValueError if none does."""
    dimensions = (size - 1) * 2 // 3
    if dimensions < 1 or packed_size(dimensions) != size:
        raise ValueError("no packed vector is of this size")
    return dimensions
