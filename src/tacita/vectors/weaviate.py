"""Weaviate, by its official client: `weaviate:COLLECTION@https://HOST:443?api_key=env:NAME`.

Its gRPC is at `grpc_host` and `grpc_port`, by default the same host and 443.
One collection with multi-tenancy: each vault is a tenant, which is a shard of its own with an index of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from uuid import UUID

from tacita.errors import ConfigError, StoreError
from tacita.ports.vectors import TAG_BYTES, Floats, VectorIndex
from tacita.vectors._place import Secrets, parse, unhex

T = TypeVar("T")

_MADE = "Vectors of Tacita, of so many dimensions: "


class WeaviateIndex(VectorIndex):
    """A collection of Weaviate."""

    scheme = "weaviate"
    most = 10_000
    """QUERY_MAXIMUM_RESULTS of a server that was not told otherwise."""
    batch = 500

    def __init__(self, uri: str, secret: Secrets, dimensions: int) -> None:
        super().__init__(dimensions)
        self._place = parse(uri, frozenset({"api_key", "grpc_host", "grpc_port"}), url="http://127.0.0.1:8080")
        port = self._place.options.get("grpc_port", "443" if self._place.tls else "50051")
        if self._place.path or not port.isdigit() or not 0 < int(port) < 65_536:
            raise ConfigError("vectors weaviate: its address is https://HOST:PORT, and grpc_port is a port")
        self._grpc = (self._place.options.get("grpc_host", self._place.host), int(port))
        self.name = self._place.name
        self.hosts = tuple(dict.fromkeys((*self._place.hosts, f"{self._grpc[0]}:{self._grpc[1]}")))
        # The server makes the first letter a capital in any case.
        self._name = self._place.collection[:1].upper() + self._place.collection[1:]
        self._secret = secret
        self._client: Any = None

    def _open(self) -> None:
        import weaviate
        from weaviate.classes.init import AdditionalConfig, Auth, Timeout
        from weaviate.config import GrpcConfig

        place = self._place
        client = weaviate.connect_to_custom(
            http_host=place.host,
            http_port=place.port or (443 if place.tls else 8080),
            http_secure=place.tls,
            grpc_host=self._grpc[0],
            grpc_port=self._grpc[1],
            grpc_secure=place.tls,
            auth_credentials=Auth.api_key(self._secret("api_key").reveal()) if "api_key" in place.options else None,
            additional_config=AdditionalConfig(
                timeout=Timeout(init=place.seconds, query=place.seconds, insert=place.seconds),
                trust_env=False,
                # gRPC would look into the environment for a proxy by itself.
                grpc_config=GrpcConfig(channel_options=[("grpc.enable_http_proxy", 0)]),
            ),
            # Among them is a look at the package index for a newer client.
            skip_init_checks=True,
        )
        try:
            self._prepare(client)
        except BaseException:
            client.close()
            raise
        self._client = client

    def _prepare(self, client: Any) -> None:
        from weaviate.classes.config import Configure, VectorDistances

        if not client.collections.exists(self._name):
            client.collections.create(
                self._name,
                description=f"{_MADE}{self.dimensions}",
                multi_tenancy_config=Configure.multi_tenancy(auto_tenant_creation=True, auto_tenant_activation=True),
                vector_config=Configure.Vectors.self_provided(
                    vector_index_config=Configure.VectorIndex.hnsw(
                        distance_metric=VectorDistances.DOT, quantizer=Configure.VectorIndex.Quantizer.none()
                    )
                ),
            )
        config = client.collections.use(self._name).config.get(simple=True)
        made, _, size = (config.description or "").rpartition(" ")
        if f"{made} " != _MADE:
            raise StoreError(f"vector index {self.name}: its collection was not made by Tacita")
        if size != str(self.dimensions):
            raise self._wrong_dimensions(size)

    def _close(self) -> None:
        self._client.close()

    def _all(self) -> Any:
        return self._client.collections.use(self._name)

    def _of(self, vault: bytes) -> Any:
        return self._all().with_tenant(vault.hex())

    def _unless_missing(self, vault: bytes, call: Callable[[], T], otherwise: T) -> T:
        """A tenant comes with its first vector. That there is none yet is not told by a code, so it is asked for."""
        from weaviate.exceptions import WeaviateBaseError

        try:
            return call()
        except WeaviateBaseError:
            if self._all().tenants.exists(vault.hex()):
                raise
            return otherwise

    def _upsert(self, vault: bytes, tags: Sequence[bytes], vectors: Floats) -> None:
        from weaviate.classes.data import DataObject

        objects = [
            DataObject(uuid=UUID(bytes=tag), vector=vector.tolist()) for tag, vector in zip(tags, vectors, strict=True)
        ]
        done = self._of(vault).data.insert_many(objects)
        if done.has_errors:
            raise StoreError(
                f"vector index {self.name}: {len(done.errors)} of {len(tags)} were refused", retryable=True
            )

    def _delete(self, vault: bytes, tags: Sequence[bytes]) -> None:
        from weaviate.classes.query import Filter

        chosen = Filter.by_id().contains_any([UUID(bytes=tag) for tag in tags])
        done = self._unless_missing(vault, lambda: self._of(vault).data.delete_many(where=chosen), None)
        if done is not None and done.failed:
            raise StoreError(f"vector index {self.name}: {done.failed} of {len(tags)} were not deleted", retryable=True)

    def _drop(self, vault: bytes) -> None:
        self._all().tenants.remove([vault.hex()])

    def _search(self, vault: bytes, vector: Floats, k: int) -> list[tuple[bytes, float]]:
        from weaviate.classes.query import MetadataQuery

        none: list[Any] = []
        found = self._unless_missing(
            vault,
            lambda: (
                self._of(vault)
                .query.near_vector(
                    near_vector=vector.tolist(),
                    limit=k,
                    return_metadata=MetadataQuery(distance=True),
                    return_properties=[],
                )
                .objects
            ),
            none,
        )
        # Its distance is the dot product with the sign turned.
        return [(_tag(each), -float(each.metadata.distance)) for each in found]

    def _present(self, vault: bytes, tags: Sequence[bytes]) -> list[bytes]:
        ids = [UUID(bytes=tag) for tag in tags]
        none: list[Any] = []
        found = self._unless_missing(
            vault,
            lambda: self._of(vault).query.fetch_objects_by_ids(ids, limit=len(ids), return_properties=[]).objects,
            none,
        )
        return [_tag(each) for each in found]

    def _tags(self, vault: bytes) -> Iterator[bytes]:
        pages = iter(self._of(vault).iterator(return_properties=[], cache_size=1_000))
        while (each := self._unless_missing(vault, lambda: next(pages, None), None)) is not None:
            yield _tag(each)

    def _count(self, vault: bytes) -> int:
        found = self._unless_missing(vault, lambda: self._of(vault).aggregate.over_all(total_count=True).total_count, 0)
        return int(found or 0)

    def _vaults(self) -> Iterator[bytes]:
        return (unhex(name) for name in self._all().tenants.get() if len(name) == 2 * TAG_BYTES)

    def _transient(self, error: Exception) -> bool:
        import httpx
        from weaviate.exceptions import (
            AuthenticationFailedError,
            InsufficientPermissionsError,
            WeaviateBaseError,
            WeaviateInvalidInputError,
        )

        final = AuthenticationFailedError | InsufficientPermissionsError | WeaviateInvalidInputError
        if isinstance(error, WeaviateBaseError):
            return not isinstance(error, final)
        return isinstance(error, httpx.TransportError) or super()._transient(error)


def _tag(found: Any) -> bytes:
    return UUID(str(found.uuid)).bytes
