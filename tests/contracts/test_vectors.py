"""The vector indexes that run on any machine, under the public contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import Support

from tacita import registry
from tacita.errors import ConfigError
from tacita.ports.vectors import VectorIndex
from tacita.testing.vector_contract import DIMENSIONS, A, VectorIndexContract, tag, tags, unit


@pytest.mark.slow
class TestFaiss(VectorIndexContract):
    supports = Support("vectors", ("faiss",), "FAISS", "live", ("faiss-cpu",))

    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        pytest.importorskip("faiss")
        from tacita.vectors.faiss import FaissIndex

        return FaissIndex(folder, dimensions)


@pytest.mark.slow
class TestQdrantOverAFolder(VectorIndexContract):
    supports = Support(
        "vectors", ("qdrant",), "Qdrant, the client's own engine over a folder", "live", ("qdrant-client",)
    )
    bulk = 2_000  # it keeps each point with a commit of its own

    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        pytest.importorskip("qdrant_client")
        from tacita.vectors.qdrant import QdrantIndex

        return QdrantIndex(f"qdrant:tacita?path={folder}", lambda _: None, dimensions)


def test_a_file_that_was_cut_off_is_read_to_its_last_whole_entry(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    from tacita.vectors.faiss import FaissIndex

    index = FaissIndex(tmp_path / "f", 16)
    index.upsert(A, tags(0, 5), unit(1, 5))
    index.close()
    (path,) = (tmp_path / "f").glob("*.vectors")
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(path.read_bytes()[:-3])
    again = FaissIndex(tmp_path / "f", 16)
    assert again.tags(A) == frozenset(tags(0, 4))
    again.upsert(A, tags(4, 1), unit(1, 5)[4:])
    assert again.tags(A) == frozenset(tags(0, 5))
    again.close()


def test_deleted_vectors_leave_the_file(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    from tacita.vectors.faiss import FaissIndex

    index = FaissIndex(tmp_path / "f", 16)
    vectors = unit(1, 5)
    index.upsert(A, tags(0, 5), vectors)
    index.delete(A, tags(2, 1))
    held = b"".join(path.read_bytes() for path in (tmp_path / "f").iterdir())
    assert vectors[1].tobytes() in held
    assert vectors[2].tobytes() not in held
    assert tag(2) not in held
    index.close()


@pytest.mark.parametrize(
    "uri",
    [
        "qdrant:tacita@http://vectors.example:6333",
        "qdrant:tacita@https://user:word@vectors.example",
        "qdrant:tacita@https://vectors.example?api_key=word-in-plain",
        "qdrant:tacita@ftp://vectors.example",
        "qdrant:tacita@https://vectors.example?colour=word",
        "qdrant:ta cita@https://vectors.example",
        "qdrant:../x@https://vectors.example",
        "qdrant:tacita",
        "weaviate:tacita@http://10.0.0.1:8080",
        "milvus:tacita@http://10.0.0.1:19530",
        "milvus:tacita?path=/tmp/no-ending",
        "chroma:tacita@http://10.0.0.1:8000",
        "pgvector:tacita@postgresql://ana:word@db.example/x",
        'pgvector:t";drop@postgresql://ana@db.example/x',
        "pgvector:tacita",
    ],
)
def test_an_address_that_is_not_protected_or_says_a_secret_is_refused(uri: str) -> None:
    scheme = uri.partition(":")[0]
    modules = {"pgvector": "psycopg", "chroma": "chromadb", "milvus": "pymilvus", "weaviate": "weaviate"}
    pytest.importorskip(modules.get(scheme, "qdrant_client"))
    with pytest.raises(ConfigError) as caught:
        registry.lookup("vectors", scheme)(uri, lambda _: None, 4)
    assert "word" not in str(caught.value)
