"""The texts, vectors and questions of one case, written once to files that every system's processes read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from benchmarks.peers.port import Item, Vector
from numpy.typing import NDArray

DIMENSIONS = 384
SHIFT = 0.3
"""Share of a direction that all vectors have in common. All cosines are above 0 then, as mostly between sentences of a real
embedder, and no system's score threshold hides a hit."""
QUERIES = 64


@dataclass(frozen=True, slots=True)
class Case:
    """How many people there are, and how many items each of them has."""

    name: str
    sizes: tuple[int, ...]
    asked: tuple[int, ...]
    """Whose memory is searched and written to while it is measured: numbers of people."""
    alone: bool = False
    """Only for Tacita: how it grows."""

    @property
    def items(self) -> int:
        """Of all people together."""
        return sum(self.sizes)


def even(items: int, people: int) -> Case:
    """Everybody has the same number of items; at most a hundred people, evenly spread, are asked."""
    step = max(1, people // 100)
    sizes = (items // people,) * people
    return Case(f"{items} items, {people} people", sizes, tuple(range(0, people, step)))


def beside(own: int, people: int) -> Case:
    """One person with her own items, all others with a single one. She alone is asked."""
    return Case(f"{own} items of her own, {people} people", (own, *([1] * (people - 1))), (0,), alone=True)


def single(items: int) -> Case:
    """Nobody else."""
    return Case(f"{items} items, 1 person", (items,), (0,), alone=True)


def person(number: int) -> str:
    """A name that no system reads anything into."""
    return f"person-{number:06d}"


def unit_vectors(count: int, seed: int) -> NDArray[np.float32]:
    """Random directions around a common one, float32 `(count, DIMENSIONS)`, every row of length 1."""
    rows: NDArray[np.float32] = np.random.default_rng(seed).standard_normal((count, DIMENSIONS), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    common = np.random.default_rng(0).standard_normal(DIMENSIONS, np.float32)
    rows = rows * np.float32((1 - SHIFT) ** 0.5) + common * np.float32(SHIFT**0.5 / np.linalg.norm(common))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def write(folder: Path, case: Case, spare: int) -> None:
    """Make the files of a case: its items, `spare` more to add while it is measured, and questions."""
    # Loads Tacita, which a peer's process must not pay for: it reads the files.
    from benchmarks.speed import make_queries, make_texts

    folder.mkdir(parents=True)
    texts = make_texts(case.items + spare, 3)
    # A number at the end makes each text unique, so that systems which ask by text get its own vector.
    texts = [f"{text} {number}" for number, text in enumerate(texts)]
    vectors = unit_vectors(case.items + spare, 4)
    _save(folder, "items", texts[: case.items], vectors[: case.items])
    _save(folder, "spare", texts[case.items :], vectors[case.items :])
    _save(folder, "queries", make_queries(QUERIES, 5), unit_vectors(QUERIES, 6))
    (folder / "sizes.json").write_text(json.dumps(case.sizes))


def _save(folder: Path, name: str, texts: list[str], vectors: NDArray[np.float32]) -> None:
    (folder / f"{name}.json").write_text(json.dumps(texts))
    np.save(folder / f"{name}.npy", vectors)


@dataclass(frozen=True)
class Data:
    """The files of a case, read when something in them is asked for: what a process does not use costs it nothing."""

    folder: Path

    def people(self) -> Iterator[tuple[str, list[Item]]]:
        """Everybody with her items."""
        items, first = self._items("items"), 0
        for number, size in enumerate(json.loads((self.folder / "sizes.json").read_text())):
            yield person(number), items[first : first + size]
            first += size

    @cached_property
    def spare(self) -> list[Item]:
        """The items that belong to nobody yet."""
        return self._items("spare")

    @cached_property
    def queries(self) -> list[tuple[str, Vector]]:
        """Questions with their vectors."""
        return [(item.text, item.vector) for item in self._items("queries")]

    def _items(self, name: str) -> list[Item]:
        texts, vectors = json.loads((self.folder / f"{name}.json").read_text()), np.load(self.folder / f"{name}.npy")
        return [Item(f"{name}-{at:07d}", text, vectors[at]) for at, text in enumerate(texts)]
