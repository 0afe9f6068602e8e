"""LangGraph's stores: a namespace for each person, the text as the indexed field, vectors alone (no words).

Bulk adds are batches of put operations. `SqliteStore` gets a connection with a synced write-ahead log that overwrites what
is deleted. No operation drops a namespace: erasing lists a person's items and deletes them in batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from benchmarks.peers.port import Item, Lookup, Vector
from benchmarks.peers.sqlite_ import connect, loadable

loadable()

from langgraph.store.base import BaseStore, PutOp  # noqa: E402
from langgraph.store.memory import InMemoryStore  # noqa: E402
from langgraph.store.sqlite import SqliteStore  # noqa: E402

BATCH = 1_000


class InMemory:
    """In RAM alone."""

    def __init__(self, folder: Path, dimensions: int) -> None:
        self._lookup = Lookup()
        # The two stores call the list of fields by different names.
        self._index: Any = {"dims": dimensions, "embed": self._embed, "fields": ["text"], "text_fields": ["text"]}
        self._store = self._made(folder)

    def _made(self, _folder: Path) -> BaseStore:
        return InMemoryStore(index=self._index)

    def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [self._lookup.of(text).tolist() for text in texts]

    @classmethod
    def open(cls, folder: Path, dimensions: int) -> Self:
        return cls(folder, dimensions)

    def add_many(self, person: str, items: Sequence[Item]) -> list[str]:
        for at in range(0, len(items), BATCH):
            part = items[at : at + BATCH]
            self._lookup.know(part)
            self._store.batch([PutOp(("memories", person), item.id, {"text": item.text}) for item in part])
        return [item.id for item in items]

    def add_one(self, person: str, item: Item) -> str:
        return self.add_many(person, [item])[0]

    def search(self, person: str, text: str, vector: Vector, k: int) -> list[str]:
        self._lookup.ask(text, vector)
        return [found.key for found in self._store.search(("memories", person), query=text, limit=k)]

    def delete(self, person: str, id: str) -> None:
        self._store.delete(("memories", person), id)

    def erase(self, person: str) -> None:
        while found := self._store.search(("memories", person), limit=BATCH):
            self._store.batch([PutOp(each.namespace, each.key, None) for each in found])

    def close(self) -> None:
        return None


class InSqlite(InMemory):
    """One database file."""

    def _made(self, folder: Path) -> BaseStore:
        self._connection = connect(folder / "store.db")
        store = SqliteStore(self._connection, index=self._index)
        store.setup()
        return store

    def close(self) -> None:
        self._connection.close()
