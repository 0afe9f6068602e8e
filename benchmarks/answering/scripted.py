"""A stand-in for a language model that proves the harness: it cannot answer anything that it was not told.

It is told the right answers beforehand, and says one only if every turn of the question's evidence stands in the excerpts
that it gets. So its score is how often a search brought all of the evidence, whatever a real model would make of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.answering.asking import excerpt, prompt
from benchmarks.retrieval.cases import Question

from tacita.testing.model import ScriptedModel

UNKNOWN = "I don't know."


def reader(questions: Sequence[Question]) -> ScriptedModel:
    """Answers from excerpts and judges by comparing letters; both as the prompts ask."""
    known: dict[str, list[Question]] = {}
    for question in questions:
        known.setdefault(question.text, []).append(question)
    judging = prompt("judge")

    def answer(instructions: str, data: str) -> str:
        return _verdict(data) if instructions == judging else _answer(known, data)

    return ScriptedModel(answer, name="scripted:reader")


def _answer(known: dict[str, list[Question]], data: str) -> str:
    excerpts, _, rest = data.rpartition("\n\nQUESTION")
    asked = rest.split("\n", 2)[-1] if rest.startswith("\nASKED ON") else rest.removeprefix("\n")
    for question in known.get(asked, []):
        lines = [excerpt(turn) for turn in question.haystack.turns if turn.id in question.gold]
        if lines and all(line in excerpts for line in lines):
            return question.answer or UNKNOWN
    return UNKNOWN


def _verdict(data: str) -> str:
    _, _, rest = data.partition("\n\nRIGHT ANSWER\n")
    right, _, given = rest.partition("\n\nGIVEN ANSWER\n")
    return "RIGHT" if given.strip().casefold() == right.strip().casefold() else "WRONG"


def gullible() -> ScriptedModel:
    """A judge that calls everything right: the run must be refused."""
    return ScriptedModel(_right, name="scripted:gullible")


def _right(_instructions: str, _data: str) -> str:
    return "RIGHT"
