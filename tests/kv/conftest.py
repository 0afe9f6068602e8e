"""One server of each kind for all tests in here; every test has names of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.kv.servers import PASSWORD, MotoServer, RedisCluster, RedisServer


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_PASSWORD", "AWS_KEY", "AWS_SECRET"):
        monkeypatch.setenv(name, PASSWORD)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis") / "one")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster") / "three")
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    server = MotoServer(tmp_path_factory.mktemp("moto") / "one")
    yield server
    server.stop()
