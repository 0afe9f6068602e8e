"""The contract against servers that somebody runs on this machine: set `TACITA_TEST_<NAME>_URL` (docs/how-to/vectors.md).

The rest of a URI behind its `@`, with options: `TACITA_TEST_QDRANT_URL=http://127.0.0.1:6333`. Pinecone names an index for
nothing else, and everything in it is removed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.support import Support

from tacita import registry
from tacita.config.reading import secrets_of
from tacita.ports.vectors import VectorIndex
from tacita.testing.vector_contract import DIMENSIONS, VectorIndexContract

# Read now: each test runs without any variable of ours.
GIVEN = {
    scheme: os.environ[name]
    for scheme in ("qdrant", "weaviate", "pinecone", "pgvector", "chroma", "milvus")
    if (name := f"TACITA_TEST_{scheme.upper()}_URL") in os.environ
}

pytestmark = pytest.mark.slow


@pytest.mark.skipif(not GIVEN, reason="no TACITA_TEST_<NAME>_URL is set")
@pytest.mark.parametrize("scheme", sorted(GIVEN) or ["none"], scope="class")
class TestLive(VectorIndexContract):
    @staticmethod
    def supports(request: Any) -> Support:
        scheme = request.instance.scheme
        return Support("vectors", (scheme,), "a server that somebody runs", "by hand")

    @pytest.fixture(autouse=True)
    def chosen(self, scheme: str, tmp_path: Path) -> None:
        self.scheme = scheme
        self.run = f"t{uuid4().hex[:10]}"
        if scheme == "pinecone":
            index = self.make(tmp_path)
            for vault in index.vaults():
                index.drop(vault)
            self.settled(index.vaults, frozenset())
            index.close()

    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        uri = f"{self.scheme}:{self.run}{folder.name}@{GIVEN[self.scheme]}"
        index: VectorIndex = registry.lookup("vectors", self.scheme)(uri, secrets_of(uri), dimensions)
        return index

    def settled(self, read: Callable[[], Any], wanted: Any) -> None:
        until = time.monotonic() + 60
        while (found := read()) != wanted and time.monotonic() < until:
            time.sleep(0.1)
        assert found == wanted
