"""Pinecone and Weaviate: their official clients against servers that speak the part of their protocols that is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import Support

from tacita.errors import ConfigError, StoreError
from tacita.ports.vectors import VectorIndex
from tacita.testing.vector_contract import DIMENSIONS, A, VectorIndexContract, tags, unit

pytestmark = pytest.mark.slow


class Revealed:
    """What `secrets_of` gives, as far as providers use it."""

    def __init__(self, secret: str) -> None:
        self.reveal = lambda: secret


class TestPinecone(VectorIndexContract):
    supports = Support("vectors", ("pinecone",), "our Pinecone stand-in", "protocol", ("pinecone",))

    @pytest.fixture(autouse=True)
    def servers(self) -> Iterator[None]:
        pytest.importorskip("pinecone")
        from tests.contracts.protocol_pinecone import PineconeServer

        self._running: dict[Path, Any] = {}
        self._kind = PineconeServer
        yield
        for server in self._running.values():
            server.__exit__(None, None, None)

    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        from tests.contracts.protocol_pinecone import KEY

        from tacita.vectors.pinecone import PineconeIndex

        if folder not in self._running:
            self._running[folder] = self._kind(dimensions).__enter__()
        uri = f"pinecone:tacita@{self._running[folder].url}?api_key=env:PINECONE"
        return PineconeIndex(uri, lambda _: Revealed(KEY), dimensions)

    def settled(self, read: Callable[[], Any], wanted: Any) -> None:
        until = time.monotonic() + 10
        while (found := read()) != wanted and time.monotonic() < until:
            time.sleep(0.01)
        assert found == wanted

    def test_a_wrong_key_is_an_error_that_no_retry_heals(self, tmp_path: Path) -> None:
        from tacita.vectors.pinecone import PineconeIndex

        good = self.make(tmp_path / "key")
        uri = f"pinecone:tacita@{self._running[tmp_path / 'key'].url}?api_key=env:PINECONE"
        with pytest.raises(StoreError) as caught:
            PineconeIndex(uri, lambda _: Revealed("another-key"), DIMENSIONS).count(A)
        assert not caught.value.retryable
        assert "another-key" not in str(caught.value)
        good.close()

    def test_a_server_that_goes_away_is_an_error(self, tmp_path: Path) -> None:
        index = self.make(tmp_path / "gone")
        index.upsert(A, tags(0, 3), unit(1, 3))
        self._running.pop(tmp_path / "gone").__exit__(None, None, None)
        with pytest.raises(StoreError) as caught:
            index.search(A, unit(1, 1)[0], 3)
        assert caught.value.retryable

    def test_the_address_and_the_key_are_needed(self) -> None:
        from tacita.vectors.pinecone import PineconeIndex

        for uri in (
            "pinecone:tacita",
            "pinecone:tacita@https://host.example",
            "pinecone:tacita@http://host.example?api_key=env:A",
            "pinecone:tacita@https://host.example?api_key=literal",
            "pinecone:tacita@https://user:word@host.example?api_key=env:A",
        ):
            with pytest.raises(ConfigError) as caught:
                PineconeIndex(uri, lambda _: None, 4)
            assert "literal" not in str(caught.value)
            assert "word" not in str(caught.value)


class TestWeaviate(VectorIndexContract):
    supports = Support("vectors", ("weaviate",), "our Weaviate stand-in", "protocol", ("weaviate-client",))

    @pytest.fixture(autouse=True)
    def server(self) -> Iterator[None]:
        pytest.importorskip("weaviate")
        from tests.contracts.protocol_weaviate import WeaviateServer

        with WeaviateServer() as server:
            self.running = server
            yield

    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        from tests.contracts.protocol_weaviate import KEY

        from tacita.vectors.weaviate import WeaviateIndex

        address = f"http://127.0.0.1:{self.running.port}"
        uri = f"weaviate:{folder.name}@{address}?api_key=env:WEAVIATE&grpc_port={self.running.grpc_port}"
        return WeaviateIndex(uri, lambda _: Revealed(KEY), dimensions)

    def test_a_wrong_key_is_an_error(self, tmp_path: Path) -> None:
        from tacita.vectors.weaviate import WeaviateIndex

        address = f"http://127.0.0.1:{self.running.port}"
        uri = f"weaviate:tacita@{address}?api_key=env:WEAVIATE&grpc_port={self.running.grpc_port}"
        with pytest.raises(StoreError) as caught:
            WeaviateIndex(uri, lambda _: Revealed("another-key"), DIMENSIONS).count(A)
        assert "another-key" not in str(caught.value)

    def test_the_collection_is_made_for_tenants_without_codes(self, tmp_path: Path) -> None:
        index = self.make(tmp_path / "made")
        index.upsert(A, tags(0, 1), unit(1, 1))
        made = self.running.classes["Made"]
        assert made["multiTenancyConfig"] == {"enabled": True, "autoTenantCreation": True, "autoTenantActivation": True}
        assert made["vectorConfig"]["default"]["vectorIndexConfig"]["distance"] == "dot"
        assert list(self.running.tenants["Made"]) == [A.hex()]
        index.close()
