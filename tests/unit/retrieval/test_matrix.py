import os
import signal
import warnings

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tacita.retrieval.matrix import MANY, WIDE, Codes, Matrix, Wide


def matrix(rows: np.ndarray) -> Matrix:
    made = Matrix.empty(rows.shape[1])
    made.extend(rows)
    return made


def first_pass(copy: Codes | Wide, query: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    products = np.empty(count, np.float32)
    return products, copy.products(query, products)


VECTORS = hnp.arrays(
    np.float16, st.tuples(st.integers(1, 12), st.just(24)), elements=st.floats(-1, 1, width=16, allow_nan=False)
)


@given(VECTORS, hnp.arrays(np.float16, 24, elements=st.floats(-1, 1, width=16, allow_nan=False)))
def test_the_first_pass_is_off_by_no_more_than_it_says(rows: np.ndarray, query: np.ndarray) -> None:
    vectors = matrix(rows)
    codes = Codes.empty(24)
    codes.extend(rows)
    exact = rows.astype(np.float64) @ query.astype(np.float64)
    assert np.abs(vectors.exact(query) - exact).max() <= 4e-6 * max(1, np.abs(exact).max())
    for copy in (vectors.copy, codes):
        products, error = first_pass(copy, query, len(rows))
        assert np.abs(products - vectors.exact(query)).max() <= error + 1e-6 * 24


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
    rows = np.random.default_rng(3).standard_normal((WIDE + 9, 24)).astype(np.float16)
    bit_by_bit, at_once, loaded = matrix(rows[:WIDE]), matrix(rows), matrix(rows[:5])
    assert "codes" not in bit_by_bit.arrays(None)
    bit_by_bit.extend(rows[WIDE:])
    loaded = Matrix.from_arrays(at_once.arrays(None))
    for vectors in (bit_by_bit, loaded):
        products, error = first_pass(vectors.copy, rows[7], len(rows))
        assert np.array_equal(products, first_pass(at_once.copy, rows[7], len(rows))[0])
        assert 0.001 < error < 1
    few = Matrix.from_arrays(at_once.arrays(np.arange(0, len(rows), 2)))
    every_other = first_pass(at_once.copy, rows[7], len(rows))[0][::2]
    assert np.array_equal(first_pass(few.copy, rows[7], len(every_other))[0], every_other)


def test_int8_products_do_not_overflow() -> None:
    rows = np.ones((2, 4096), np.float16)
    codes = Codes.empty(4096)
    codes.extend(rows)
    assert np.allclose(first_pass(codes, rows[0], 2)[0], 4096)


def test_zero_vectors() -> None:
    codes = Codes.empty(8)
    codes.extend(np.zeros((2, 8), np.float16))
    assert first_pass(codes, np.zeros(8, np.float16), 2)[0].tolist() == [0, 0]


def test_replacing_a_row() -> None:
    vectors = matrix(np.eye(4, dtype=np.float16))
    vectors.replace(np.array([1]), np.array([[0, 0, 0, 1]], np.float16))
    assert vectors.exact(np.array([0, 1, 0, 1], np.float16)).tolist() == [0, 1, 0, 1]


def test_a_forked_process_can_search() -> None:
    """The library's own threads would hang here."""
    vectors = matrix(np.ones((MANY + 1, 8), np.float16))
    ones = np.ones(8, np.float16)
    first_pass(vectors.copy, ones, MANY + 1)
    with warnings.catch_warnings():
        # Forking with threads is what this test is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(0 if first_pass(vectors.copy, ones, MANY + 1)[0][-1] > 7.9 else 1)
    assert os.waitpid(child, 0)[1] == 0
