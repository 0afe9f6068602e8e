"""What every data set is turned into: haystacks of turns, and questions whose evidence is known."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    id: Hashable
    text: str
    session: str
    role: str = "user"
    speaker: str | None = None
    when: datetime | None = None

    @property
    def spoken(self) -> str:
        """The text with its speaker in front, which is what the baselines index."""
        return f"{self.speaker}: {self.text}" if self.speaker else self.text


@dataclass(frozen=True)
class Haystack:
    """All that one person told: the turns that a question about it may be answered from."""

    key: str
    turns: Sequence[Turn]

    @cached_property
    def session_of(self) -> dict[Hashable, str]:
        """Session by turn."""
        return {turn.id: turn.session for turn in self.turns}

    @cached_property
    def tokens_of(self) -> dict[Hashable, float]:
        """How much of a prompt a turn takes: characters / 4, the usual rough count."""
        return {turn.id: len(turn.spoken) / 4 for turn in self.turns}


@dataclass(frozen=True)
class Question:
    """A question and its evidence."""

    id: str
    haystack: Haystack
    text: str
    category: str
    gold: frozenset[Hashable]
    """Turns; empty where the data set names none."""
    gold_sessions: frozenset[str] = frozenset()
    """Empty where sessions are not what the data set asks for."""
    counted: bool = True
    """Whether it belongs to the total; its category is shown in either case."""
    when: datetime | None = None
    """When it was asked."""
    answer: str | None = None
    """For `benchmarks.answering`."""


@dataclass(frozen=True)
class DataSet:
    """Questions under a name."""

    name: str
    questions: Sequence[Question]
    notes: Sequence[str] = ()
    """What was left out, and how often."""
