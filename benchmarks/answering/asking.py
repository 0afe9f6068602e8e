"""The prompts, the same for every system, and the door through which they reach a model."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.retrieval.cases import Question, Turn

from tacita.ports.models import LanguageModel, checked_complete
from tacita.privacy.disclose import Request, Terms, disclose
from tacita.privacy.policy import profile
from tacita.privacy.pseudonyms import Pseudonyms

PROMPTS = Path(__file__).parent / "prompts"
TERMS = Terms(pii="keep")
"""Published data sets are asked about as they are: a stand-in for a name would change the question for every system."""


class Unclear(ValueError):
    """A judge that said neither RIGHT nor WRONG."""


def prompt(name: str) -> str:
    """A prompt that is published with the results: `answer` or `judge`."""
    return (PROMPTS / f"{name}.txt").read_text(encoding="utf-8")


@dataclass
class Spent:
    """What was told to a model and what it said, in tokens of four characters: the port hands no counts over."""

    calls: int = 0
    told: float = 0.0
    said: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, told: int, said: int) -> None:
        """Add one call, in characters."""
        with self._lock:
            self.calls += 1
            self.told += told / 4
            self.said += said / 4

    def cost(self, price_in: float, price_out: float) -> float:
        """In the currency of the prices, which are for a million tokens."""
        return (self.told * price_in + self.said * price_out) / 1e6


def _unaudited(_operation: str, _outcome: str, _count: int) -> None:
    """Published data of nobody's vault: there is no audit log to write to."""


def ask(model: LanguageModel, instructions: str, data: str, spent: Spent) -> str:
    """The model's answer. Temperature 0 is what Tacita's models always ask for. Raises ModelError, ConfigError."""
    told = disclose(
        Request(model.name, "benchmark", None, consent=True),
        [data],
        instructions=instructions,
        policy=profile("off"),
        terms=TERMS,
        pseudonyms=Pseudonyms(lambda _: bytes(8)),
        audit=_unaudited,
    )
    said = checked_complete(model, told)
    spent.count(len(instructions) + len(told.texts[0]), len(said))
    return said


def context(turns: Sequence[Turn], budget: float) -> tuple[str, float]:
    """The excerpts that a model gets, and their tokens: the best that fit into the budget, then in the order of time."""
    taken: list[tuple[int, str, Turn]] = []
    used = 0.0
    for rank, turn in enumerate(turns):
        line = excerpt(turn)
        if used + len(line) / 4 > budget:
            break
        used += len(line) / 4
        taken.append((rank, line, turn))
    # Without a date, by rank: sorting is stable.
    taken.sort(key=lambda each: each[2].when.timestamp() if each[2].when else 0.0)
    return "\n".join(line for _, line, _ in taken), used


def excerpt(turn: Turn) -> str:
    """One turn as the model gets it."""
    date = f"{turn.when:%Y-%m-%d %H:%M}" if turn.when else "no date"
    return f"[{date}] {turn.speaker or turn.role}: {turn.text}"


def question_data(question: Question, excerpts: str) -> str:
    """What is asked, as data."""
    asked = f"\nASKED ON {question.when:%Y-%m-%d}" if question.when else ""
    return f"EXCERPTS\n{excerpts or '(none)'}\n\nQUESTION{asked}\n{question.text}"


def judge(model: LanguageModel, question: str, right: str, given: str, spent: Spent) -> bool:
    """Whether the judge calls the given answer right. Raises Unclear, ModelError, ConfigError."""
    data = f"QUESTION\n{question}\n\nRIGHT ANSWER\n{right}\n\nGIVEN ANSWER\n{given}"
    said = ask(model, prompt("judge"), data, spent)
    words = re.findall(r"[A-Z]+", said.upper())
    verdicts = {word for word in words if word in ("RIGHT", "WRONG")}
    if len(verdicts) != 1:
        raise Unclear("the judge said neither RIGHT nor WRONG, or both")
    return verdicts == {"RIGHT"}
