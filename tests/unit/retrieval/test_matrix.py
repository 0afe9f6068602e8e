import os
import signal
import warnings

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tacita.retrieval.matrix import MANY, Coded, Matrix


def matrix(rows: np.ndarray) -> Matrix:
    made = Matrix.empty(rows.shape[1])
    made.extend(rows)
    return made


VECTORS = hnp.arrays(
    np.float16, st.tuples(st.integers(1, 12), st.just(24)), elements=st.floats(-1, 1, width=16, allow_nan=False)
)


@given(VECTORS, hnp.arrays(np.float16, 24, elements=st.floats(-1, 1, width=16, allow_nan=False)))
def test_the_first_pass_is_off_by_no_more_than_it_says(rows: np.ndarray, query: np.ndarray) -> None:
    vectors = matrix(rows)
    coded = Coded.of(query)
    exact = rows.astype(np.float64) @ query.astype(np.float64)
    assert np.abs(vectors.exact(query) - exact).max() <= 4e-6 * max(1, np.abs(exact).max())
    assert np.abs(vectors.approximate(coded) - vectors.exact(query)).max() <= vectors.error(coded) + 1e-6 * 24


def test_a_row_has_the_same_product_in_any_company() -> None:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((MANY + 7, 24)).astype(np.float16)
    query = rng.standard_normal(24).astype(np.float16)
    vectors = matrix(rows)
    everything = vectors.exact(query)
    some = np.sort(rng.choice(len(rows), 100, replace=False))
    assert np.array_equal(vectors.exact(query, some), everything[some])
    assert np.array_equal(vectors.exact(query, np.arange(20_000)), everything[:20_000])
    coded = Coded.of(query)
    assert np.array_equal(vectors.approximate(coded)[:50], matrix(rows[:50]).approximate(coded))


def test_int8_products_do_not_overflow() -> None:
    rows = np.ones((2, 4096), np.float16)
    coded = Coded.of(rows[0])
    assert np.allclose(matrix(rows).approximate(coded), 4096)


def test_zero_vectors() -> None:
    vectors = matrix(np.zeros((2, 8), np.float16))
    coded = Coded.of(np.zeros(8, np.float16))
    assert vectors.approximate(coded).tolist() == [0, 0]


def test_replacing_a_row() -> None:
    vectors = matrix(np.eye(4, dtype=np.float16))
    vectors.replace(np.array([1]), np.array([[0, 0, 0, 1]], np.float16))
    assert vectors.exact(np.array([0, 1, 0, 1], np.float16)).tolist() == [0, 1, 0, 1]


def test_a_forked_process_can_search() -> None:
    """The library's own threads would hang here."""
    vectors = matrix(np.ones((MANY + 1, 8), np.float16))
    coded = Coded.of(np.ones(8, np.float16))
    vectors.approximate(coded)
    with warnings.catch_warnings():
        # Forking with threads is what this test is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(0 if vectors.approximate(coded)[-1] > 7.9 else 1)
    assert os.waitpid(child, 0)[1] == 0
