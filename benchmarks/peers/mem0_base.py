"""Mem0's `Memory` behind the port of this benchmark, over a vector store that a subclass names. Settings: `mem0_.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from benchmarks.peers.mem0_rows import write_rows
from benchmarks.peers.port import Item, Lookup, Vector
from mem0 import Memory


class Mem0:
    """One folder."""

    store = ""
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, folder: Path, dimensions: int) -> None:
        config = {"collection_name": "mem0", "path": str(folder / self.store), **self.options}
        if self.store != "chroma":
            config["embedding_model_dims"] = dimensions
        # Both are made with the memory, and neither is ever asked.
        model = {"provider": "openai", "config": {"api_key": "none"}}
        made = {"vector_store": {"provider": self.store, "config": config}, "llm": model, "embedder": model}
        self._memory = Memory.from_config({**made, "history_db_path": str(folder / "history.db")})
        self._memory.embedding_model = self
        self._lookup = Lookup()

    def embed(self, text: str, _action: str | None = None) -> list[float]:
        """What Mem0 asks its embedder."""
        return [*self._lookup.of(text).tolist()]

    @classmethod
    def open(cls, folder: Path, dimensions: int) -> Self:
        return cls(folder, dimensions)

    def add_many(self, person: str, items: Sequence[Item]) -> list[str]:
        self._lookup.know(items)
        messages = [{"role": "user", "content": item.text} for item in items]
        added = self._memory.add(messages, user_id=person, infer=False)
        return [each["id"] for each in added["results"]]

    def fill(self, person: str, items: Sequence[Item]) -> list[str]:
        return write_rows(self._memory, person, items)

    def add_one(self, person: str, item: Item) -> str:
        return self.add_many(person, [item])[0]

    def search(self, person: str, text: str, vector: Vector, k: int) -> list[str]:
        self._lookup.ask(text, vector)
        found = self._memory.search(text, filters={"user_id": person}, top_k=k, threshold=0.0)
        return [each["id"] for each in found["results"]]

    def delete(self, _person: str, id: str) -> None:
        self._memory.delete(id)

    def erase(self, person: str) -> None:
        self._memory.delete_all(user_id=person)

    def close(self) -> None:
        self._memory.close()
