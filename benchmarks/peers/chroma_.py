"""Chroma's persistent client: one collection, the person as a metadata filter, cosine, vectors alone (no words).

Adds go in batches of the largest size that the client names. Telemetry off. Documents are stored with their vectors, so that
Chroma embeds nothing itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import chromadb
from benchmarks.peers.port import Item, Vector
from chromadb.config import Settings


class Chroma:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self._client = chromadb.PersistentClient(str(folder / "chroma"), Settings(anonymized_telemetry=False))
        self._most = self._client.get_max_batch_size()
        self._collection = self._client.get_or_create_collection(
            "memories", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )

    @classmethod
    def open(cls, folder: Path, _dimensions: int) -> Self:
        return cls(folder)

    def add_many(self, person: str, items: Sequence[Item]) -> list[str]:
        for at in range(0, len(items), self._most):
            part = items[at : at + self._most]
            self._collection.add(
                ids=[item.id for item in part],
                embeddings=[item.vector for item in part],
                documents=[item.text for item in part],
                metadatas=[{"person": person} for _ in part],
            )
        return [item.id for item in items]

    def add_one(self, person: str, item: Item) -> str:
        return self.add_many(person, [item])[0]

    def search(self, person: str, _text: str, vector: Vector, k: int) -> list[str]:
        found = self._collection.query(query_embeddings=[vector], n_results=k, where={"person": person})
        return list(found["ids"][0])

    def delete(self, _person: str, id: str) -> None:
        self._collection.delete(ids=[id])

    def erase(self, person: str) -> None:
        self._collection.delete(where={"person": person})

    def close(self) -> None:
        self._client.close()
