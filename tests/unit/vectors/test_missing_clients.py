"""An engine whose client is not installed says what to install, and opens as a home's index all the same until it is used."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from tacita import registry
from tacita.config import Settings
from tacita.config.providers import open_vectors
from tacita.errors import ConfigError

CLIENTS = {
    "faiss": ("faiss:", "faiss"),
    "qdrant": ("qdrant:tacita@https://h.example", "qdrant_client"),
    "pgvector": ("pgvector:tacita@postgresql://ana@h.example/tacita", "pgvector"),
    "chroma": ("chroma:tacita@https://h.example", "chromadb"),
    "milvus": ("milvus:tacita@https://h.example", "pymilvus"),
    "weaviate": ("weaviate:Tacita@https://h.example", "weaviate"),
    "pinecone": ("pinecone:tacita@https://h.example?api_key=env:TACITA_TEST_KEY", "pinecone"),
}


def test_every_engine_is_here() -> None:
    assert set(CLIENTS) == set(registry.known("vectors"))


@pytest.mark.parametrize("scheme", CLIENTS)
def test_a_client_that_is_missing_is_named(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, library = CLIENTS[scheme]
    for module in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setenv("TACITA_TEST_KEY", "synthetic")
    # Not what an earlier test has imported while the client was there.
    monkeypatch.delitem(sys.modules, "tacita.vectors._chroma_api", raising=False)
    index = open_vectors(msgspec.structs.replace(Settings.load(home=tmp_path), vectors=uri), 8)
    with pytest.raises(ConfigError, match=rf"pip install 'tacita\[{scheme}\]'"):
        index.count(bytes(16))
