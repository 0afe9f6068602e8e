"""Mem0's `Memory` with infer=False, on three of its vector stores that need no server; its history in SQLite beside them.

Paths on disk (`on_disk` for Qdrant), cosine for FAISS, telemetry off by its own switch, `threshold=0`. The embedder looks
vectors up. `add` takes a list but writes its messages one by one, so a case is filled by `mem0_rows.py`, which
leaves the same rows. Its optional spaCy and fastembed models are not on PyPI: no word search.
"""

from __future__ import annotations

from benchmarks.peers.mem0_base import Mem0


class OnQdrant(Mem0):
    """Qdrant's local mode."""

    store, options = "qdrant", {"on_disk": True}

    def close(self) -> None:
        # Mem0 leaves it open, and its folder locked.
        self._memory.vector_store.client.close()
        super().close()


class OnFaiss(Mem0):
    """A flat FAISS index: exact, and written whole at each change."""

    store, options = "faiss", {"distance_strategy": "cosine"}


class OnChroma(Mem0):
    """Chroma's persistent client."""

    store = "chroma"
