"""The PostgreSQL log and key ring under the public contracts, on a real server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.support import Support

from tacita.ports.keys import KeyRing
from tacita.ports.log import LogStore
from tacita.testing.log_contract import LogStoreContract
from tacita.testing.ring_contract import KeyRingContract

SCHEMES = ("postgres", "postgresql")


def version(request: Any) -> str:
    """What the server says it is."""
    return str(request.instance.server.execute("SHOW server_version")[0][0]).split()[0]


class TestPostgresLogStore(LogStoreContract):
    supports = Support("stores", SCHEMES, "PostgreSQL", "live", ("psycopg",), version)
    many = int(os.environ.get("TACITA_VAULTS", "5100"))  # test_memory.py holds 50,000 at each change
    server: Any

    @pytest.fixture(autouse=True)
    def _server(self, server: Any) -> None:
        self.server = server

    def make(self, folder: Path) -> LogStore:
        store: LogStore = self.server.log(str(folder))
        return store


class TestPostgresKeyRing(KeyRingContract):
    supports = Support("rings", SCHEMES, "PostgreSQL", "live", ("psycopg",), version)
    server: Any

    @pytest.fixture(autouse=True)
    def _server(self, server: Any) -> None:
        self.server = server

    def make(self, folder: Path) -> KeyRing:
        ring: KeyRing = self.server.ring(str(folder))
        return ring
