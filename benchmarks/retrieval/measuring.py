"""Runs rankers over a data set and makes records of what they found."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from benchmarks.records import Record
from benchmarks.retrieval.cases import DataSet, Question
from benchmarks.retrieval.definitions import Score
from benchmarks.retrieval.rankers import MOST, Ranker
from benchmarks.retrieval.scores import (
    DEPTH,
    Reading,
    budget_for,
    interval,
    intervals,
    median_interval,
    reading,
    resampled,
    sessions_of,
    tokens_for,
    within,
)

SUITE = "retrieval"
HEADLINES = ("recall@10", "any@5", "all@5", "ndcg@10")
"""What is told of each category; the total has everything."""
BUDGET = "context for 90 % of the evidence"
"""Tokens: the smallest budget, one for all questions, within which they find 90 % of their evidence on average."""
TOKENS = "tokens read to 90 %"
"""Median over questions of the tokens read down the ranking until 90 % of the question's evidence has been read."""
TOKENS_TOP = "tokens read to 90 % of the first 50"
"""The same, of that part of the evidence that is among the first 50."""
BUDGETS = (250, 500, 1_000, 2_000, 4_000, 8_000, 16_000)
BASELINE = "bm25"
"""What gains are told over."""

Step = Callable[[str, int, int], None]
"""Told what is going on: a ranker's name, turns taken in, questions answered."""


@dataclass
class Tally:
    """What one ranker did."""

    ranker: Ranker
    asked: list[Question] = field(default_factory=list)
    """Questions with evidence at turn level, in order."""
    measures: list[dict[str, float]] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    top_readings: list[Reading | None] = field(default_factory=list)
    asked_sessions: list[Question] = field(default_factory=list)
    session_measures: list[dict[str, float]] = field(default_factory=list)
    open_seconds: float = 0.0
    turns: int = 0
    rank_seconds: list[float] = field(default_factory=list)


def measure(data: DataSet, rankers: Sequence[Ranker], score: Score, step: Step) -> list[Tally]:
    """Ask every ranker every question, haystack by haystack."""
    tallies = [Tally(ranker) for ranker in rankers]
    groups: dict[str, list[Question]] = {}
    for question in data.questions:
        groups.setdefault(question.haystack.key, []).append(question)
    for questions in groups.values():
        haystack = questions[0].haystack
        for tally in tallies:
            name = tally.ranker.name
            start = time.perf_counter()
            tally.ranker.open(haystack, partial(_taken, step, name))
            tally.open_seconds += time.perf_counter() - start
            tally.turns += len(haystack.turns)
            for question in questions:
                _ask(tally, question, score)
                step(name, 0, 1)
    return tallies


def _taken(step: Step, name: str, turns: int) -> None:
    step(name, turns, 0)


def _ask(tally: Tally, question: Question, score: Score) -> None:
    start = time.perf_counter()
    ranked = tally.ranker.rank(question, DEPTH)
    tally.rank_seconds.append(time.perf_counter() - start)
    haystack = question.haystack
    whole = tally.ranker.rank(question, min(MOST, len(haystack.turns)))
    if question.gold:
        tally.asked.append(question)
        tally.measures.append(score(ranked, question.gold))
        tally.readings.append(reading(whole, question.gold, haystack.tokens_of))
        held = question.gold.intersection(ranked)
        tally.top_readings.append(reading(ranked, held, haystack.tokens_of) if held else None)
    if question.gold_sessions:
        tally.asked_sessions.append(question)
        folded: list[Hashable] = list(sessions_of(whole, haystack.session_of))
        tally.session_measures.append(score(folded[:DEPTH], question.gold_sessions))


def records(data: DataSet, tallies: Sequence[Tally]) -> list[Record]:
    """One record for each ranker, measure and category; shares in %, with intervals clustered by conversation."""
    made: list[Record] = []
    base = next((tally for tally in tallies if tally.ranker.name == BASELINE), None)
    for tally in tallies:
        made += _shares(data, tally, tally.asked, tally.measures, "")
        made += _shares(data, tally, tally.asked_sessions, tally.session_measures, "session ")
        made += _costs(data, tally)
        if base is not None and base is not tally:
            made += _gain(data, tally, base)
    return made


def _shares(
    data: DataSet, tally: Tally, asked: Sequence[Question], measured: Sequence[dict[str, float]], prefix: str
) -> list[Record]:
    if not asked:
        return []
    names = list(measured[0])
    values = np.array([[100 * row[name] for name in names] for row in measured])
    made: list[Record] = []
    parts = {"": [row for row, question in enumerate(asked) if question.counted]}
    for row, question in enumerate(asked):
        parts.setdefault(question.category, []).append(row)
    for category, rows in sorted(parts.items()):
        if not rows:
            continue
        columns = [at for at, name in enumerate(names) if not category or name in HEADLINES]
        part = values[np.ix_(rows, columns)]
        spread = intervals(part, resampled([asked[row].haystack.key for row in rows]))
        for at, mean, (low, high) in zip(columns, part.mean(axis=0), spread, strict=True):
            name = prefix + names[at]
            made.append(_record(data, tally, name, float(mean), "%", low, high, len(rows), category=category))
    return made


def _costs(data: DataSet, tally: Tally) -> list[Record]:
    made: list[Record] = []
    rows = [row for row, question in enumerate(tally.asked) if question.counted]
    if rows:
        readings = [tally.readings[row] for row in rows]
        made.append(_record(data, tally, BUDGET, budget_for(readings, 0.9), "tokens", n=len(rows)))
        for budget in BUDGETS:
            share = 100 * float(np.mean([within(steps, budget) for steps in readings]))
            made.append(_record(data, tally, f"recall within {budget} tokens", share, "%", n=len(rows)))
    for name, column in ((TOKENS, tally.readings), (TOKENS_TOP, tally.top_readings)):
        known = [(row, steps) for row in rows if (steps := column[row]) is not None]
        if known:
            values = np.array([tokens_for(steps, 0.9) for _, steps in known])
            samples = resampled([tally.asked[row].haystack.key for row, _ in known])
            low, high = median_interval(values, samples)
            made.append(_record(data, tally, name, float(np.median(values)), "tokens", low, high, len(known)))
    times = 1000 * np.array(tally.rank_seconds)
    made.append(_record(data, tally, "question_ms", float(np.median(times)), "ms", n=len(times)))
    if tally.open_seconds and tally.turns:
        per_second = tally.turns / tally.open_seconds
        made.append(_record(data, tally, "turns_per_s", per_second, "turns/s", n=tally.turns))
    return made


def _gain(data: DataSet, tally: Tally, base: Tally) -> list[Record]:
    """Recall@10 over the baseline's, question by question: the interval of a paired difference."""
    rows = [row for row, question in enumerate(tally.asked) if question.counted]
    if not rows:
        return []
    pairs = [(tally.measures[row]["recall@10"], base.measures[row]["recall@10"]) for row in rows]
    gains = 100 * np.array([own - other for own, other in pairs])
    low, high = interval(gains, resampled([tally.asked[row].haystack.key for row in rows]))
    name = f"recall@10 over {BASELINE}"
    return [_record(data, tally, name, float(gains.mean()), "points", low, high, len(rows))]


def _record(
    data: DataSet,
    tally: Tally,
    measure: str,
    value: float,
    unit: str,
    low: float | None = None,
    high: float | None = None,
    n: int | None = None,
    *,
    category: str = "",
) -> Record:
    return Record(
        suite=SUITE,
        system=tally.ranker.name,
        version=tally.ranker.version,
        case=data.name,
        measure=measure,
        value=round(value, 2),
        unit=unit,
        low=None if low is None else round(low, 2),
        high=None if high is None else round(high, 2),
        n=n,
        category=category,
    )
