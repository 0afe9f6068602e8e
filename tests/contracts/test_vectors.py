"""The vector indexes that run on any machine, under the public contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from tacita.ports.vectors import VectorIndex
from tacita.testing.vector_contract import DIMENSIONS, VectorIndexContract

faiss = pytest.importorskip("faiss")


class TestFaiss(VectorIndexContract):
    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        from tacita.vectors.faiss import FaissIndex

        return FaissIndex(folder, dimensions)


class TestQdrantOverAFolder(VectorIndexContract):
    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        from tacita.vectors.qdrant import QdrantIndex

        return QdrantIndex(f"qdrant:tacita?path={folder}", lambda _: None, dimensions)
