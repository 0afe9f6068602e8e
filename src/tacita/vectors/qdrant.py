"""Qdrant, by `qdrant-client`: `qdrant:COLLECTION@https://HOST:6333?api_key=env:NAME`.

One collection for a home. The vault is a payload field with a tenant index, each tenant has a graph of its own
(`payload_m`), and every request filters by it inside the engine. With `shard_key=NAME` everything lies in that shard.
`qdrant:COLLECTION?path=FOLDER` is the client's own engine over a folder, for one process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from threading import RLock
from typing import Any
from uuid import UUID

from tacita.errors import ConfigError, StoreError
from tacita.hazmat import sha256
from tacita.ports.vectors import Floats, VectorIndex
from tacita.vectors._place import TRANSIENT, Secrets, parse, unhex

_MOST_VAULTS = 1_000_000


class QdrantIndex(VectorIndex):
    """A collection of Qdrant."""

    scheme = "qdrant"
    batch = 512

    def __init__(self, uri: str, secret: Secrets, dimensions: int) -> None:
        super().__init__(dimensions)
        self._place = parse(uri, frozenset({"api_key", "path", "shard_key"}))
        self._path = self._place.options.get("path")
        if bool(self._path) == bool(self._place.host):
            raise ConfigError("vectors qdrant: give an address, as in qdrant:tacita@https://HOST:6333, or path=FOLDER")
        self.name = self._place.name + (f"?path={self._path}" if self._path else "")
        self.hosts = self._place.hosts
        self._collection = self._place.collection
        self._secret = secret
        self._shard = {"shard_key_selector": key} if (key := self._place.options.get("shard_key")) else {}
        # The engine over a folder is not made for several threads.
        self._turn = RLock() if self._path else nullcontext()
        self._client: Any = None

    def _open(self) -> None:
        from qdrant_client import QdrantClient

        if self._path:
            client = QdrantClient(path=self._path, force_disable_check_same_thread=True)
        else:
            place = self._place
            client = QdrantClient(
                url=place.url,
                port=place.port or (443 if place.tls else 6333),
                api_key=self._secret("api_key").reveal() if "api_key" in place.options else None,
                timeout=int(place.seconds),
                # It asks the server at once, on a thread, and warns.
                check_compatibility=False,
                trust_env=False,
                verify=True,
                follow_redirects=False,
            )
        try:
            self._prepare(client)
        except BaseException:
            client.close()
            raise
        self._client = client

    def _prepare(self, client: Any) -> None:
        from qdrant_client import models

        if not client.collection_exists(self._collection):
            sharding = {"sharding_method": models.ShardingMethod.CUSTOM} if self._shard else {}
            client.create_collection(
                self._collection,
                vectors_config=models.VectorParams(size=self.dimensions, distance=models.Distance.DOT),
                # No graph over all tenants: each has its own, so that none is searched through another's.
                hnsw_config=models.HnswConfigDiff(m=0, payload_m=16),
                **sharding,
            )
            if self._shard:
                client.create_shard_key(self._collection, self._place.options["shard_key"])
            if not self._path:
                client.create_payload_index(
                    self._collection,
                    field_name="vault",
                    field_schema=models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
                    wait=True,
                )
        params = client.get_collection(self._collection).config.params.vectors
        if not isinstance(params, models.VectorParams) or params.distance != models.Distance.DOT:
            raise StoreError(f"vector index {self.name}: its collection was not made by Tacita")
        if params.size != self.dimensions:
            raise self._wrong_dimensions(params.size)

    def _close(self) -> None:
        with self._turn:
            self._client.close()

    def _of(self, vault: bytes) -> Any:
        from qdrant_client import models

        return models.Filter(must=[models.FieldCondition(key="vault", match=models.MatchValue(value=_name(vault)))])

    def _upsert(self, vault: bytes, tags: Sequence[bytes], vectors: Floats) -> None:
        from qdrant_client import models

        points = models.Batch(
            ids=_ids(vault, tags),
            vectors=vectors.tolist(),
            payloads=[{"vault": _name(vault), "tag": tag.hex()} for tag in tags],
        )
        with self._turn:
            self._client.upsert(self._collection, points=points, wait=True, **self._shard)

    def _delete(self, vault: bytes, tags: Sequence[bytes]) -> None:
        from qdrant_client import models

        with self._turn:
            chosen = models.PointIdsList(points=_ids(vault, tags))
            self._client.delete(self._collection, points_selector=chosen, wait=True, **self._shard)

    def _drop(self, vault: bytes) -> None:
        from qdrant_client import models

        with self._turn:
            chosen = models.FilterSelector(filter=self._of(vault))
            self._client.delete(self._collection, points_selector=chosen, wait=True, **self._shard)

    def _search(self, vault: bytes, vector: Floats, k: int) -> list[tuple[bytes, float]]:
        from qdrant_client import models

        with self._turn:
            found = self._client.query_points(
                self._collection,
                query=vector.tolist(),
                query_filter=self._of(vault),
                limit=k,
                with_payload=["tag"],
                # The engine over a folder searches exactly, and warns if it is told how well.
                search_params=None if self._path else models.SearchParams(hnsw_ef=max(128, k)),
                **self._shard,
            )
        return [(unhex(point.payload["tag"]), point.score) for point in found.points]

    def _present(self, vault: bytes, tags: Sequence[bytes]) -> list[bytes]:
        with self._turn:
            found = self._client.retrieve(self._collection, ids=_ids(vault, tags), with_payload=True, **self._shard)
        return [unhex(point.payload["tag"]) for point in found if point.payload["vault"] == _name(vault)]

    def _tags(self, vault: bytes) -> Iterator[bytes]:
        after = None
        while True:
            with self._turn:
                points, after = self._client.scroll(
                    self._collection,
                    scroll_filter=self._of(vault),
                    limit=4_096,
                    offset=after,
                    with_payload=["tag"],
                    **self._shard,
                )
            yield from (unhex(point.payload["tag"]) for point in points)
            if after is None:
                return

    def _count(self, vault: bytes) -> int:
        with self._turn:
            found = self._client.count(self._collection, count_filter=self._of(vault), exact=True, **self._shard)
        return int(found.count)

    def _vaults(self) -> Iterator[bytes]:
        with self._turn:
            found = self._client.facet(self._collection, key="vault", limit=_MOST_VAULTS, exact=True, **self._shard)
        if len(found.hits) == _MOST_VAULTS:
            raise StoreError(f"vector index {self.name}: holds more than {_MOST_VAULTS} vaults")
        return (unhex(str(hit.value)[1:]) for hit in found.hits if hit.count)

    def _transient(self, error: Exception) -> bool:
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        if isinstance(error, UnexpectedResponse):
            return error.status_code in TRANSIENT
        return isinstance(error, ResponseHandlingException) or super()._transient(error)


def _name(vault: bytes) -> str:
    """A letter before the digits: 32 of them alone would be taken for a UUID and come back with hyphens."""
    return f"v{vault.hex()}"


def _ids(vault: bytes, tags: Sequence[bytes]) -> list[str]:
    """Points of a collection have one space of ids: the same tag in two vaults is two of them."""
    return [str(UUID(bytes=sha256(vault + tag)[:16])) for tag in tags]
