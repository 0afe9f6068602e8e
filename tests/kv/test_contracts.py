"""Redis, a Redis cluster and DynamoDB under the public contracts, over the wire."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.kv.servers import MotoServer, RedisCluster, RedisServer, named, secret
from tests.support import Support

from tacita.ports.keys import KeyRing
from tacita.ports.log import LogStore
from tacita.stores.dynamodb import DynamoLogStore
from tacita.stores.dynamodb_ring import DynamoKeyRing
from tacita.stores.redis import RedisLogStore
from tacita.stores.redis_ring import RedisKeyRing
from tacita.testing.log_contract import LogStoreContract
from tacita.testing.ring_contract import KeyRingContract

REDIS = ("redis",)
CLUSTER = ("redis+cluster",)
"""What these tests connect by; TLS and sockets are another matter."""


def version(request: Any) -> str:
    """Which server it is, of which version."""
    server = request.instance.server
    with (server.servers[0] if isinstance(server, RedisCluster) else server).client() as client:
        info: Any = client.info("server")
    return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"


class _OnRedis:
    @pytest.fixture(autouse=True)
    def _server(self, redis_server: RedisServer) -> None:
        self.server = redis_server


class _OnCluster:
    @pytest.fixture(autouse=True)
    def _server(self, redis_cluster: RedisCluster) -> None:
        self.server = redis_cluster


CLUSTER_VAULTS = int(os.environ.get("TACITA_VAULTS", "5100"))
DYNAMO_VAULTS = int(os.environ.get("TACITA_DYNAMO_VAULTS", "500"))
"""moto answers some fifty requests a second: `make torture` asks for 5,000 vaults, and nobody for the contract's 50,000."""


class TestRedisLogStore(_OnRedis, LogStoreContract):
    supports = Support("stores", REDIS, "", "live", ("redis",), version)

    def make(self, folder: Path) -> LogStore:
        return RedisLogStore(self.server.uri(named(folder)), secret)


class TestRedisKeyRing(_OnRedis, KeyRingContract):
    supports = Support("rings", REDIS, "", "live", ("redis",), version)

    def make(self, folder: Path) -> KeyRing:
        return RedisKeyRing(self.server.uri(named(folder)), secret)


class TestClusterLogStore(_OnCluster, LogStoreContract):
    supports = Support("stores", CLUSTER, "a cluster of", "live", ("redis",), version)
    many = CLUSTER_VAULTS

    def make(self, folder: Path) -> LogStore:
        return RedisLogStore(self.server.uri(named(folder)), secret)


class TestClusterKeyRing(_OnCluster, KeyRingContract):
    supports = Support("rings", CLUSTER, "a cluster of", "live", ("redis",), version)

    def make(self, folder: Path) -> KeyRing:
        return RedisKeyRing(self.server.uri(named(folder)), secret)


class _OnDynamo:
    @pytest.fixture(autouse=True)
    def _server(self, moto: MotoServer) -> None:
        self.server = moto


class TestDynamoLogStore(_OnDynamo, LogStoreContract):
    supports = Support("stores", ("dynamodb",), "moto's DynamoDB", "protocol", ("boto3", "moto"))
    many = DYNAMO_VAULTS

    def make(self, folder: Path) -> LogStore:
        return DynamoLogStore(self.server.uri(named(folder)), secret)


class TestDynamoKeyRing(_OnDynamo, KeyRingContract):
    supports = Support("rings", ("dynamodb",), "moto's DynamoDB", "protocol", ("boto3", "moto"))
    many = DYNAMO_VAULTS

    def make(self, folder: Path) -> KeyRing:
        return DynamoKeyRing(self.server.uri(named(folder)), secret)
