"""Somebody else's definitions of recall, to hold ours to: a Python file that the user names with `--metrics`.

The file has `score(ranked, gold)` and loaders `load_locomo`, `load_beam` and `load_lme`. When one is given its `score` is
what the run reports, and every question must have the evidence and the text that its loaders give.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from benchmarks.retrieval import scores
from benchmarks.retrieval.cases import DataSet

Score = Callable[[Sequence[Hashable], Collection[Hashable]], dict[str, float]]


class Differs(ValueError):
    """Ours and theirs are not the same; says where."""


def load(path: Path) -> ModuleType:
    """The file as a module. Raises FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(f"no definitions at {path}")
    spec = importlib.util.spec_from_file_location("definitions_of_recall", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checked_score(theirs: ModuleType) -> Score:
    """Their `score`, which raises Differs where ours gives another value for a measure that both have."""

    def score(ranked: Sequence[Hashable], gold: Collection[Hashable]) -> dict[str, float]:
        given: dict[str, float] = theirs.score(list(ranked), set(gold))
        own = scores.score(ranked, gold)
        wrong = [name for name in own.keys() & given.keys() if abs(own[name] - given[name]) > 1e-9]
        if wrong or not own.keys() <= given.keys():
            raise Differs(f"definitions differ for {', '.join(sorted(wrong or own.keys() - given.keys()))}")
        return given

    return score


def check_cases(data: DataSet, theirs: Iterable[Any]) -> None:
    """Raise Differs unless `theirs` (their loader's cases) and ours are the same questions over the same texts."""
    ours = {each.id: each for each in data.questions if each.gold}
    cases = {str(case.qid).removesuffix("#0") if str(case.qid) not in ours else str(case.qid): case for case in theirs}
    if ours.keys() != cases.keys():
        only = sorted(ours.keys() ^ cases.keys())
        raise Differs(f"{data.name}: {len(only)} questions are in one loader only, such as {only[0]}")
    compared: set[str] = set()
    for name, question in ours.items():
        case = cases[name]
        same = (str(case.query), set(case.gold), str(case.cat), bool(case.extra))
        if same != (question.text, set(question.gold), question.category, not question.counted):
            raise Differs(f"{data.name}: question {name} is not the same in both loaders")
        if question.haystack.key not in compared:
            compared.add(question.haystack.key)
            if [(doc.id, doc.text) for doc in case.hay] != [(turn.id, turn.spoken) for turn in question.haystack.turns]:
                raise Differs(f"{data.name}: the turns of {question.haystack.key} are not the same in both loaders")


def their_cases(theirs: ModuleType, data: DataSet, path: Path, index: str) -> list[Any]:
    """What their loader of the same data set gives at turn level."""
    given = {
        "level": "turn",
        "session_docs": "turns",
        "locomo_text": "caption",
        "beam_sample": 0,
        "seed": 1,
        "lme_index": index,
    }
    cases: list[Any]
    if data.name == "LoCoMo":
        cases, _ = theirs.load_locomo(SimpleNamespace(**given, locomo_file=str(path)))
    elif data.name.startswith("BEAM "):
        cases, _ = theirs.load_beam(SimpleNamespace(**given, beam_dir=str(path)), data.name.removeprefix("BEAM "))
    else:
        cases, _ = theirs.load_lme(SimpleNamespace(**given, lme_file=str(path)))
    return cases
