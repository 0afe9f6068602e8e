"""Redis, a Redis cluster and DynamoDB under the public contracts, over the wire."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.kv.servers import MotoServer, RedisCluster, RedisServer, named, secret

from tacita.ports.keys import KeyRing
from tacita.ports.log import LogStore
from tacita.stores.dynamodb import DynamoLogStore
from tacita.stores.dynamodb_ring import DynamoKeyRing
from tacita.stores.redis import RedisLogStore
from tacita.stores.redis_ring import RedisKeyRing
from tacita.testing.log_contract import LogStoreContract
from tacita.testing.ring_contract import KeyRingContract


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
    def make(self, folder: Path) -> LogStore:
        return RedisLogStore(self.server.uri(named(folder)), secret)


class TestRedisKeyRing(_OnRedis, KeyRingContract):
    def make(self, folder: Path) -> KeyRing:
        return RedisKeyRing(self.server.uri(named(folder)), secret)


class TestClusterLogStore(_OnCluster, LogStoreContract):
    many = CLUSTER_VAULTS

    def make(self, folder: Path) -> LogStore:
        return RedisLogStore(self.server.uri(named(folder)), secret)


class TestClusterKeyRing(_OnCluster, KeyRingContract):
    def make(self, folder: Path) -> KeyRing:
        return RedisKeyRing(self.server.uri(named(folder)), secret)


class _OnDynamo:
    @pytest.fixture(autouse=True)
    def _server(self, moto: MotoServer) -> None:
        self.server = moto


class TestDynamoLogStore(_OnDynamo, LogStoreContract):
    many = DYNAMO_VAULTS

    def make(self, folder: Path) -> LogStore:
        return DynamoLogStore(self.server.uri(named(folder)), secret)


class TestDynamoKeyRing(_OnDynamo, KeyRingContract):
    many = DYNAMO_VAULTS

    def make(self, folder: Path) -> KeyRing:
        return DynamoKeyRing(self.server.uri(named(folder)), secret)
