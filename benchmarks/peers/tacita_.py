"""Tacita, through its public interface, as it comes.

SQLite with FULL sync, sealed, audited; searches by vector, words, names and time. A fresh home with a root key in a file.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from benchmarks.peers.port import Item, Lookup, Vector
from numpy.typing import NDArray

from tacita import Memory


class Known:
    """An embedder that looks vectors up."""

    name = "benchmark:known"

    def __init__(self, lookup: Lookup, dimensions: int) -> None:
        self.dimensions = dimensions
        self._lookup = lookup

    def embed(self, texts: list[str], /) -> NDArray[np.float32]:
        """One row for each text."""
        return np.array([self._lookup.of(text) for text in texts], np.float32)


class Tacita:
    """One home."""

    def __init__(self, folder: Path, dimensions: int) -> None:
        self._lookup = Lookup()
        # Not the default, which on some machines is the OS keyring: nothing of a benchmark belongs there.
        root = folder / "root.key"
        if not root.exists():
            root.touch(0o600)
            root.write_text(secrets.token_hex(32))
        self._memory = Memory(folder / "home", keys=f"file:{root}", embedder=Known(self._lookup, dimensions))

    @classmethod
    def open(cls, folder: Path, dimensions: int) -> Self:
        return cls(folder, dimensions)

    def add_many(self, person: str, items: Sequence[Item]) -> list[str]:
        ids: list[str] = []
        for at in range(0, len(items), 5_000):
            part = items[at : at + 5_000]
            self._lookup.know(part)
            added = self._memory.add([{"role": "user", "content": item.text} for item in part], user_id=person)
            ids += added.ids
        return ids

    def add_one(self, person: str, item: Item) -> str:
        return self.add_many(person, [item])[0]

    def search(self, person: str, text: str, vector: Vector, k: int) -> list[str]:
        self._lookup.ask(text, vector)
        return [hit.item.id for hit in self._memory.search(text, user_id=person, top_k=k)]

    def delete(self, person: str, id: str) -> None:
        self._memory.delete(id, user_id=person)

    def erase(self, person: str) -> None:
        self._memory.erase(user_id=person)

    def close(self) -> None:
        self._memory.close()
