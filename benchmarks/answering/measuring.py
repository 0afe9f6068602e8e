"""Asks a model every question from what each system found, has the answers judged, and makes records of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from benchmarks.answering.adversary import Trial, check, trials
from benchmarks.answering.asking import Spent, Unclear, ask, context, judge, prompt, question_data
from benchmarks.records import Record
from benchmarks.retrieval.cases import DataSet, Question, Turn
from benchmarks.retrieval.rankers import Ranker
from benchmarks.retrieval.scores import interval, resampled

from tacita.ports.models import LanguageModel

SUITE = "answering"
NOTHING, EVIDENCE = "nothing", "evidence"
"""Two bounds beside the systems: a model that is told nothing, and one that is told the evidence and nothing else."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same for every system."""

    top_k: int = 20
    budget: float = 4_000
    """Tokens of excerpts, characters / 4."""
    repeats: int = 3
    trials: int = 25
    """Questions that the judge is tried with."""
    price_in: float = 0.0
    price_out: float = 0.0
    """For a million tokens; 0 when no prices were given."""
    threads: int = 4


@dataclass
class Outcome:
    """One system's answers."""

    name: str
    version: str
    questions: list[Question] = field(default_factory=list)
    right: list[list[bool]] = field(default_factory=list)
    """For each question one verdict for each repeat."""
    context: list[float] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)
    judged: Spent = field(default_factory=Spent)
    unclear: int = 0
    """Verdicts that were none: the answer then counts as wrong."""


def answerable(data: DataSet) -> list[Question]:
    """Questions that count and whose answer is known."""
    return [question for question in data.questions if question.counted and question.answer]


def try_judge(data: DataSet, model: LanguageModel, terms: Terms, version: str) -> list[Record]:
    """Records of the judge's trial. Raises Fooled when it cannot be believed."""
    spent = Spent()

    def judged(trial: Trial) -> bool:
        assert trial.question.answer is not None
        return judge(model, trial.question.text, trial.question.answer, trial.given, spent)

    verdicts = check(judged, list(trials(answerable(data), terms.trials)))
    shares = (
        ("wrong answers refused", 100 * verdicts.refused / verdicts.wrong, verdicts.wrong),
        ("right answers accepted", 100 * verdicts.accepted / verdicts.right, verdicts.right),
    )
    return [Record(SUITE, "judge", data.name, name, round(value, 2), "%", version, n=n) for name, value, n in shares]


def measure(
    data: DataSet,
    rankers: Sequence[Ranker],
    model: LanguageModel,
    judging: LanguageModel,
    terms: Terms,
    step: Callable[[str], None],
) -> list[Outcome]:
    """Every system's answers, the bounds included. `step` is told a system's name for each question."""
    outcomes = [Outcome(ranker.name, ranker.version) for ranker in rankers]
    bounds = [Outcome(NOTHING, ""), Outcome(EVIDENCE, "")]
    groups: dict[str, list[Question]] = {}
    for question in answerable(data):
        groups.setdefault(question.haystack.key, []).append(question)
    with ThreadPoolExecutor(terms.threads) as pool:
        for questions in groups.values():
            haystack = questions[0].haystack
            turn_of = {turn.id: turn for turn in haystack.turns}
            for ranker, outcome in zip(rankers, outcomes, strict=True):
                ranker.open(haystack, lambda _: None)
                found = [[turn_of[each] for each in ranker.rank(asked, terms.top_k)] for asked in questions]
                _answered(pool, outcome, questions, found, model, judging, terms, step)
            gold = [[turn for turn in haystack.turns if turn.id in asked.gold] for asked in questions]
            nothing: list[list[Turn]] = [[] for _ in questions]
            _answered(pool, bounds[0], questions, nothing, model, judging, terms, step)
            _answered(pool, bounds[1], questions, gold, model, judging, terms, step)
    return [*outcomes, *bounds]


def _answered(
    pool: ThreadPoolExecutor,
    outcome: Outcome,
    questions: Sequence[Question],
    found: Sequence[Sequence[Turn]],
    model: LanguageModel,
    judging: LanguageModel,
    terms: Terms,
    step: Callable[[str], None],
) -> None:
    def one(question: Question, turns: Sequence[Turn]) -> tuple[list[bool], float, int]:
        assert question.answer is not None
        excerpts, used = context(turns, terms.budget)
        verdicts, unclear = [], 0
        for _ in range(terms.repeats):
            given = ask(model, prompt("answer"), question_data(question, excerpts), outcome.spent)
            try:
                verdicts.append(judge(judging, question.text, question.answer, given, outcome.judged))
            except Unclear:
                verdicts.append(False)
                unclear += 1
        return verdicts, used, unclear

    for question, (verdicts, used, unclear) in zip(questions, pool.map(one, questions, found), strict=True):
        outcome.questions.append(question)
        outcome.right.append(verdicts)
        outcome.context.append(used)
        outcome.unclear += unclear
        step(outcome.name)


def records(data: DataSet, outcomes: Sequence[Outcome], model: LanguageModel, terms: Terms) -> list[Record]:
    """Share of right answers by category, how much they differ between repeats, tokens and cost."""
    made: list[Record] = []
    for outcome in outcomes:
        if not outcome.questions:
            continue
        share = 100 * np.array([np.mean(verdicts) for verdicts in outcome.right])
        parts: dict[str, list[int]] = {"": list(range(len(share)))}
        for row, question in enumerate(outcome.questions):
            parts.setdefault(question.category, []).append(row)
        for category, rows in sorted(parts.items()):
            low, high = interval(share[rows], resampled([outcome.questions[row].haystack.key for row in rows]))
            made.append(
                Record(
                    SUITE, outcome.name, data.name, "right", round(float(share[rows].mean()), 2), "%", outcome.version,
                    round(low, 2), round(high, 2), len(rows), category, f"{terms.repeats} repeats, {model.name}",
                )
            )  # fmt: skip
        answers = len(share) * terms.repeats
        differ = 100 * float(np.mean([len(set(verdicts)) > 1 for verdicts in outcome.right]))
        figures = [
            ("questions whose repeats differ", differ, "%"),
            ("tokens of context", float(np.mean(outcome.context)), "tokens"),
            ("tokens told a question", outcome.spent.told / answers, "tokens"),
            ("tokens said a question", outcome.spent.said / answers, "tokens"),
            ("verdicts unclear", float(outcome.unclear), ""),
        ]
        if terms.price_in or terms.price_out:
            cost = outcome.spent.cost(terms.price_in, terms.price_out)
            figures.append(("cost of 1,000 questions", 1_000 * cost / answers, "of the prices given"))
        made += [
            Record(SUITE, outcome.name, data.name, name, round(value, 4), unit, outcome.version, n=len(share))
            for name, value, unit in figures
        ]
    return made
