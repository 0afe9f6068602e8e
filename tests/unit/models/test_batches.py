"""Batching runs every text once and wastes little."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tacita.models.runtime import batches, default_threads


@given(st.lists(st.integers(1, 256), max_size=200), st.integers(1, 2048))
def test_every_text_is_in_one_batch_and_no_batch_is_too_large(lengths: list[int], pieces: int) -> None:
    array = np.array(lengths, np.int32)
    made = list(batches(array, pieces))
    assert sorted(int(i) for batch in made for i in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) == 1 or len(batch) * array[batch].max() <= pieces
        # The first is the longest: later batches are never longer.
        assert array[batch[0]] == array[batch].max()


def test_like_lengths_go_together() -> None:
    lengths = np.array([5, 200, 6, 190, 7] * 50, np.int32)
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches(lengths))
    assert padded < 1.1 * lengths.sum()


def test_threads_by_default() -> None:
    assert 1 <= default_threads() <= 4
