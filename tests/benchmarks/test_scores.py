"""Measures against values worked out by hand, and intervals against what they must do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks.retrieval import scores


def test_measures_of_one_ranking() -> None:
    found = scores.score(["x", "a", "y", "b"], {"a", "b", "c"})
    assert found["recall@1"] == 0
    assert found["recall@3"] == pytest.approx(1 / 3)
    assert found["recall@5"] == pytest.approx(2 / 3)
    assert (found["any@1"], found["any@3"], found["all@5"]) == (0, 1, 0)
    assert found["mrr"] == 0.5
    ideal = 1 + 1 / math.log2(3) + 0.5
    assert found["ndcg@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    # LongMemEval's: ranks 1 and 2 both count in full.
    assert found["lme_ndcg@10"] == pytest.approx((1 + 0.5) / (1 + 1 + 1 / math.log2(3)))
    assert scores.score(["c", "b", "a"], {"a", "b", "c"})["all@3"] == 1


def test_what_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="without evidence"):
        scores.score(["a"], set())
    with pytest.raises(ValueError, match="twice"):
        scores.score(["a", "a"], {"a"})


def test_sessions_are_ranked_by_their_best_turn() -> None:
    assert scores.sessions_of([3, 1, 2, 4], {1: "a", 2: "b", 3: "b", 4: "c"}) == ["b", "a", "c"]


def test_reading_down_a_ranking() -> None:
    tokens = {"a": 10.0, "b": 20.0, "c": 5.0, "d": 100.0}
    steps = scores.reading(["b", "a", "c"], {"a", "c"}, tokens)
    assert steps == [(30.0, 0.5), (35.0, 1.0)]
    assert scores.tokens_for(steps, 0.5) == 30
    assert scores.tokens_for(steps, 0.9) == 35
    assert [scores.within(steps, budget) for budget in (29, 30, 100)] == [0, 0.5, 1]
    # What is not ranked is found by reading everything.
    assert scores.reading(["b"], {"d"}, tokens) == [(135.0, 1.0)]


def test_one_budget_for_all_questions() -> None:
    readings = [[(10.0, 1.0)], [(30.0, 0.5), (50.0, 1.0)]]
    # 10 tokens bring a mean of 1/2, 30 of 3/4, 50 everything.
    assert [scores.budget_for(readings, share) for share in (0.5, 0.75, 0.76, 1.0)] == [10, 30, 50, 50]


def test_resampling_draws_whole_conversations_and_then_questions() -> None:
    clusters = ["a"] * 3 + ["b"] * 5
    samples = scores.resampled(clusters, 400, seed=3)
    sizes = {len(rows) for rows in samples}
    # Two conversations are drawn: 3 + 3, 3 + 5 or 5 + 5 questions.
    assert sizes == {6, 8, 10}
    assert any(len(set(rows)) < len(set(range(3)) | set(range(3, 8))) for rows in samples)
    for rows in samples:
        assert sum(row < 3 for row in rows) % 3 == 0
        assert sum(row >= 3 for row in rows) % 5 == 0
    again = scores.resampled(clusters, 400, seed=3)
    assert all((one == other).all() for one, other in zip(samples, again, strict=True))


def test_questions_about_one_conversation_are_not_independent() -> None:
    # Four conversations, two easy and two hard: the choice of conversations is most of the chance.
    clusters = [name for name in "abcd" for _ in range(50)]
    values = np.array([100.0 if name in "ab" else 0.0 for name in clusters])
    low, high = scores.interval(values, scores.resampled(clusters))
    alone = scores.interval(values, scores.resampled(list(range(200))))
    assert (low, high) == (0, 100)
    assert 40 < alone[0] < 50 < alone[1] < 60


def test_the_interval_covers_as_often_as_it_says() -> None:
    chance = np.random.default_rng(4)
    clusters = [number // 10 for number in range(300)]
    covered = 0
    for _ in range(60):
        means = np.repeat(chance.normal(50, 10, 30), 10)
        values = means + chance.normal(0, 10, 300)
        low, high = scores.interval(values, scores.resampled(clusters, 200))
        covered += low <= 50 <= high
    assert covered >= 53
