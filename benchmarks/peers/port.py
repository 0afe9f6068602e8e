"""What the benchmark asks of a system: one small protocol, and the values that go through it. No system is known here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""float32 `(dimensions,)`, of length 1."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something to remember, with the vector of its text."""

    id: str
    """A suggestion: systems that choose their own ids are free to."""
    text: str
    vector: Vector


class Port(Protocol):
    """One system over one folder, opened in one process. Everything that it acknowledges it should keep."""

    @classmethod
    def open(cls, folder: Path, dimensions: int, /) -> Self:
        """Open what is in the folder, or begin there."""

    def add_many(self, person: str, items: Sequence[Item], /) -> list[str]:
        """Add in the largest batches that the system's own interface takes. Its ids, in order."""

    def add_one(self, person: str, item: Item, /) -> str:
        """Add one item, as durable as the system makes it. Its id."""

    def search(self, person: str, text: str, vector: Vector, k: int, /) -> list[str]:
        """Ids of the `k` best items of this person, best first."""

    def delete(self, person: str, id: str, /) -> None:
        """Remove one item."""

    def erase(self, person: str, /) -> None:
        """Remove all of a person."""

    def close(self) -> None:
        """An orderly end."""


@runtime_checkable
class Fillable(Protocol):
    """A system whose public bulk add is too slow to prepare a case with; its rate is then taken from a sample."""

    def fill(self, person: str, items: Sequence[Item], /) -> list[str]:
        """Bring it to the same state as `add_many` does, by a shorter way."""


@runtime_checkable
class Settles(Protocol):
    """A system whose guide asks for a step after a bulk add. Its time is part of that."""

    def settle(self) -> None:
        """Do it."""


class Serves(Protocol):
    """A system with a server: runs it for as long as the context is open. Yields the process id of the server."""

    def __call__(self, folder: Path) -> AbstractContextManager[int]: ...


class Lookup:
    """Vectors by text, for systems that call an embedder by themselves: so embedding costs none of them anything."""

    def __init__(self) -> None:
        self._known: dict[str, Vector] = {}

    def know(self, items: Sequence[Item]) -> None:
        """What the next call embeds; earlier ones are forgotten, so that no system carries the whole data set."""
        self._known = {item.text: item.vector for item in items}

    def ask(self, text: str, vector: Vector) -> None:
        """The same for one question."""
        self._known = {text: vector}

    def of(self, text: str) -> Vector:
        """The vector of a text. Raises KeyError for one that was not announced: nothing is ever made up."""
        return self._known[text]
