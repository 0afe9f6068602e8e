"""MemPalace on its default backend (Chroma): a wing for each person, drawers written in one upsert, its own searcher.

Its embedding function is replaced by one that looks vectors up; all else is as it comes (it looks for words among the
candidates that the vectors bring). Deletion is that of its collection, as its own tool does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import mempalace.embedding
from benchmarks.peers.port import Item, Lookup, Vector
from mempalace.palace import get_collection
from mempalace.searcher import search_memories

LOOKUP = Lookup()


class _Known(mempalace.embedding._build_ef_class()):  # type: ignore[misc]
    """Its own embedding function, without the model."""

    def __call__(self, input: Sequence[str]) -> list[Any]:
        return [LOOKUP.of(text) for text in input]

    def embed_query(self, input: Sequence[str]) -> list[Any]:
        return self(input)


class MemPalace:
    """One palace."""

    def __init__(self, folder: Path) -> None:
        known = _Known()
        mempalace.embedding.get_embedding_function = lambda *_, **__: known
        self._palace = str(folder / "palace")
        self._drawers = get_collection(self._palace, create=True)

    @classmethod
    def open(cls, folder: Path, _dimensions: int) -> Self:
        return cls(folder)

    def add_many(self, person: str, items: Sequence[Item]) -> list[str]:
        now = datetime.now(UTC).isoformat()
        for at in range(0, len(items), 1_000):
            part = items[at : at + 1_000]
            LOOKUP.know(part)
            about = {"wing": person, "room": "chat", "chunk_index": 0, "filed_at": now}
            self._drawers.upsert(
                ids=[item.id for item in part],
                documents=[item.text for item in part],
                metadatas=[{**about, "source_file": f"{item.id}.txt"} for item in part],
            )
        return [item.id for item in items]

    def add_one(self, person: str, item: Item) -> str:
        return self.add_many(person, [item])[0]

    def search(self, person: str, text: str, vector: Vector, k: int) -> list[str]:
        LOOKUP.ask(text, vector)
        found = search_memories(text, self._palace, wing=person, n_results=k)
        return [Path(hit["source_file"]).stem for hit in found["results"]]

    def delete(self, _person: str, id: str) -> None:
        self._drawers.delete(ids=[id])

    def erase(self, person: str) -> None:
        self._drawers.delete(where={"wing": person})

    def close(self) -> None:
        self._drawers.close()
