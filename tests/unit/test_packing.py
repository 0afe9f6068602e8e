"""Twelve bits a number: exact for what was fitted once, near for anything else, refused where neither can be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from tacita.packing import LARGEST, fitted, packed, packed_dimensions, packed_size, unpacked

SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
NUMBERS = st.one_of(
    st.floats(-LARGEST, LARGEST, width=32),
    st.floats(-1, 1, width=32),
    st.sampled_from([0.0, -0.0, LARGEST, -LARGEST, 2.0**-24, -(2.0**-24), 2.0**-30, 0.5, 2047.5, 1023.75]),
)
VECTORS = arrays.arrays(np.float32, SHAPES, elements=NUMBERS)


@given(VECTORS)
def test_what_was_fitted_is_packed_without_loss(vectors: NDArray[np.float32]) -> None:
    once = fitted(vectors)
    assert once.dtype == np.float16
    assert np.array_equal(fitted(once), once)
    assert np.array_equal(unpacked(packed(once)), once)
    assert np.array_equal(packed(once), packed(fitted(once)))


def test_the_bytes_are_those_of_the_specification() -> None:
    """As docs/explanation/wire-format.md has it: a change here is another format."""
    vectors = np.array([[1, -0.5, 0.25 + 1 / 1_024], [0, 0, 0], [-2047 / 1_024, 5 / 1_024, -6 / 1_024]], np.float32)
    assert [row.tobytes().hex(" ") for row in packed(vectors)] == [
        "0e 40 e0 10 10 00",
        "0d 00 00 00 00 00",
        "0e 80 00 ff a1 05",
    ]
    assert np.array_equal(unpacked(packed(vectors)), vectors.astype(np.float16))


@given(VECTORS)
def test_each_number_is_off_by_a_part_of_its_vectors_greatest(vectors: NDArray[np.float32]) -> None:
    off = np.abs(fitted(vectors).astype(np.float64) - vectors)
    greatest = np.abs(vectors).max(axis=1, keepdims=True).astype(np.float64)
    # Below float16's smallest number, that is the bound.
    assert (off <= np.maximum(greatest / 2_047, 2.0**-25)).all()


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 5), st.sampled_from([3, 4, 6, 7, 9, 577]))))
def test_any_bytes_are_vectors_that_are_fitted_or_are_refused(rows: NDArray[np.uint8]) -> None:
    if (rows[:, 0] > 28).any():
        with pytest.raises(ValueError, match="power of two"):
            unpacked(rows)
        return
    found = unpacked(rows)
    assert found.shape == (len(rows), packed_dimensions(rows.shape[1]))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("dimensions", [1, 2, 3, 383, 384, 385, 1536])
def test_many_vectors_are_those_that_each_is_alone(dimensions: int) -> None:
    rows = np.random.default_rng(dimensions).standard_normal((1_100, dimensions))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    together = packed(vectors)
    assert together.shape == (1_100, packed_size(dimensions))
    assert np.array_equal(together, np.concatenate([packed(each[None]) for each in vectors]))
    found = unpacked(together)
    assert np.array_equal(found, np.concatenate([unpacked(each[None]) for each in together]))
    cosines = (found.astype(np.float64) * vectors).sum(axis=1) / np.linalg.norm(found.astype(np.float64), axis=1)
    assert cosines.min() > 0.99999


def test_a_vector_takes_twelve_bits_a_number_and_a_byte() -> None:
    assert packed_size(384) == 577
    assert [packed_dimensions(packed_size(dimensions)) for dimensions in range(1, 5_000)] == list(range(1, 5_000))
    assert not len(packed(np.zeros((0, 384), np.float16)))
    assert unpacked(np.zeros((0, 577), np.uint8)).shape == (0, 384)


@pytest.mark.parametrize("size", [0, 1, 2, 5, 8, 11, 578])
def test_a_size_that_no_vector_has_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="size"):
        unpacked(np.zeros((1, size), np.uint8))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 32_768.0, -40_000.0])
def test_what_cannot_be_packed_is_refused(number: float) -> None:
    vectors = np.zeros((3, 4), np.float32)
    vectors[1, 2] = number
    with pytest.raises(ValueError, match="too great, or none"):
        packed(vectors)
