"""Batching runs every text once and wastes little."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tacita.models.runtime import BATCH_PIECES, BULK_BATCHES, Batched, batches, default_threads


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


class Runs:
    """Stands for a model: the vector of a text is its length and its first id. Sessions are names."""

    def __init__(self, *, lanes: bool = True, threads: int = 2) -> None:
        self.runs: list[tuple[Any, tuple[int, ...], int]] = []
        self.opened = 0
        session: Any = "together"
        self.encoder = Batched(
            lambda text: [len(text)] * len(text), self, session, lane=self._lane if lanes else None, threads=threads
        )

    def __call__(self, session: Any, ids: NDArray[np.int32], lengths: NDArray[np.int32]) -> NDArray[np.float32]:
        self.runs.append((session, ids.shape, threading.get_ident()))
        if (ids == 13).any():
            raise RuntimeError("thirteen")
        assert (ids[np.arange(ids.shape[1]) >= lengths[:, None]] == 0).all()
        return np.stack([lengths, ids[:, 0]], axis=1).astype(np.float32)

    def _lane(self) -> Any:
        self.opened += 1
        return "lane"


def texts_of(lengths: list[int]) -> list[str]:
    return ["x" * length for length in lengths]


def test_a_message_and_its_sentences_have_all_threads() -> None:
    model = Runs()
    lengths = [5, 250, 200, 180, 20]
    assert model.encoder.pooled(texts_of(lengths)).tolist() == [[n, n] for n in lengths]
    assert {(session, thread) for session, _, thread in model.runs} == {("together", threading.get_ident())}
    assert (1 < len(model.runs) < BULK_BATCHES, model.opened) == (True, 0)


def test_several_batches_have_a_thread_each_and_come_back_in_order() -> None:
    model = Runs()
    lengths = [int(n) for n in np.random.default_rng(1).integers(14, 256, 200)]
    for _ in range(2):
        assert model.encoder.pooled(texts_of(lengths)).tolist() == [[n, n] for n in lengths]
    assert {session for session, _, _ in model.runs} == {"lane"}
    assert threading.get_ident() not in {thread for _, _, thread in model.runs}
    assert model.opened == 1
    assert all(shape[0] * shape[1] <= BATCH_PIECES for _, shape, _ in model.runs)


@pytest.mark.parametrize(("lanes", "threads"), [(False, 2), (True, 1)])
def test_without_lanes_batches_go_one_by_one(lanes: bool, threads: int) -> None:
    model = Runs(lanes=lanes, threads=threads)
    assert len(model.encoder.pooled(texts_of([200] * 9))) == 9
    assert [(session, thread) for session, _, thread in model.runs] == [("together", threading.get_ident())] * 9


def test_what_a_lane_raises_is_raised() -> None:
    model = Runs()
    with pytest.raises(RuntimeError, match="thirteen"):
        model.encoder.pooled(texts_of([200] * 9 + [13]))
