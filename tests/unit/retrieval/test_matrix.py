import os
import signal
import sys
import warnings

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tacita.retrieval.matrix import DIRECT, MANY, Codes, Matrix


def matrix(rows: np.ndarray) -> Matrix:
    made = Matrix.empty(rows.shape[1])
    made.extend(rows)
    return made


def first_pass(of: Matrix, query: np.ndarray) -> tuple[np.ndarray, float]:
    products = np.empty(len(of), np.float32)
    return products, of.approximate(query, products)


VECTORS = hnp.arrays(
    np.float16, st.tuples(st.integers(1, 12), st.just(24)), elements=st.floats(-1, 1, width=16, allow_nan=False)
)


@given(VECTORS, hnp.arrays(np.float16, 24, elements=st.floats(-1, 1, width=16, allow_nan=False)))
def test_the_first_pass_is_off_by_no_more_than_it_says(rows: np.ndarray, query: np.ndarray) -> None:
    vectors = matrix(rows)
    exact = rows.astype(np.float64) @ query.astype(np.float64)
    assert np.abs(vectors.exact(query) - exact).max() <= 4e-6 * max(1, np.abs(exact).max())
    products, error = first_pass(Matrix(rows, Codes.of(rows)), query)
    assert np.abs(products - vectors.exact(query)).max() <= error + 1e-6 * 24


def test_few_vectors_are_read_once_and_exactly() -> None:
    rows = np.random.default_rng(3).standard_normal((DIRECT, 24)).astype(np.float16)
    products, error = first_pass(matrix(rows), rows[7])
    assert np.array_equal(products, matrix(rows).exact(rows[7]))
    assert error == 0


def test_a_row_has_the_same_product_in_any_company() -> None:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((MANY + 7, 24)).astype(np.float16)
    query = rng.standard_normal(24).astype(np.float16)
    vectors = matrix(rows)
    everything = vectors.exact(query)
    some = np.sort(rng.choice(len(rows), 100, replace=False))
    assert np.array_equal(vectors.exact(query, some), everything[some])
    assert np.array_equal(vectors.exact(query, np.arange(20_000)), everything[:20_000])


def test_many_vectors_are_read_as_codes_whichever_way_they_came() -> None:
    rows = np.random.default_rng(3).standard_normal((DIRECT + 9, 24)).astype(np.float16)
    bit_by_bit, at_once, loaded = matrix(rows[:DIRECT]), matrix(rows), matrix(rows[:5])
    assert "codes" not in bit_by_bit.arrays(None)
    bit_by_bit.extend(rows[DIRECT:])
    loaded = Matrix.from_arrays(at_once.arrays(None))
    for vectors in (bit_by_bit, loaded):
        products, error = first_pass(vectors, rows[7])
        assert np.array_equal(products, first_pass(at_once, rows[7])[0])
        assert 0.001 < error < 1
    few = Matrix.from_arrays(at_once.arrays(np.arange(0, len(rows), 2)))
    assert np.array_equal(first_pass(few, rows[7])[0], first_pass(at_once, rows[7])[0][::2])


def test_int8_products_do_not_overflow() -> None:
    rows = np.ones((2, 4096), np.float16)
    assert np.allclose(first_pass(Matrix(rows, Codes.of(rows)), rows[0])[0], 4096)


def test_zero_vectors() -> None:
    rows = np.zeros((2, 8), np.float16)
    assert first_pass(Matrix(rows, Codes.of(rows)), rows[0])[0].tolist() == [0, 0]


def test_replacing_a_row() -> None:
    vectors = matrix(np.eye(4, dtype=np.float16))
    vectors.replace(np.array([1]), np.array([[0, 0, 0, 1]], np.float16))
    assert vectors.exact(np.array([0, 1, 0, 1], np.float16)).tolist() == [0, 1, 0, 1]


def test_a_forked_process_can_search() -> None:
    """The library's own threads would hang here."""
    vectors = matrix(np.ones((MANY + 1, 8), np.float16))
    ones = np.ones(8, np.float16)
    first_pass(vectors, ones)
    with warnings.catch_warnings():
        # Forking with threads is what this test is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(0 if first_pass(vectors, ones)[0][-1] > 7.9 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_products_take_no_reference_that_is_not_theirs() -> None:
    # A library that gives away a None it does not own ends the process after some thousand calls, where None is counted.
    matrix = Matrix(np.ones((8, 4), np.float16))
    out = np.zeros(8, np.float32)
    before = sys.getrefcount(None)
    for _ in range(500):
        matrix.exact(np.ones(4, np.float16))
        matrix.approximate(np.ones(4, np.float16), out)
    assert sys.getrefcount(None) > before - 100
