"""Milvus, by `pymilvus`: `milvus:COLLECTION@https://HOST:19530?token=env:NAME`, with `db_name` for another database.

One collection for a home, whose partition key is the vault: Milvus puts each into one of its partitions and searches only
that one, by a condition on the key. `milvus:COLLECTION?path=FILE.db` is Milvus Lite, for one process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tacita.errors import ConfigError, StoreError
from tacita.ports.vectors import TAG_BYTES, Floats, VectorIndex
from tacita.vectors._place import Secrets, parse, unhex

_HEX = 2 * TAG_BYTES


class MilvusIndex(VectorIndex):
    """A collection of Milvus."""

    scheme = "milvus"
    most = 16_384
    batch = 500

    def __init__(self, uri: str, secret: Secrets, dimensions: int) -> None:
        super().__init__(dimensions)
        self._place = parse(uri, frozenset({"token", "db_name", "path"}))
        self._path = self._place.options.get("path")
        if bool(self._path) == bool(self._place.host):
            raise ConfigError(
                "vectors milvus: give an address, as in milvus:tacita@https://HOST:19530, or path=FILE.db"
            )
        if self._path and not self._path.endswith(".db"):
            raise ConfigError("vectors milvus: path names a file that ends with .db")
        self.name = self._place.name + (f"?path={self._path}" if self._path else "")
        self.hosts = self._place.hosts
        self._collection = self._place.collection
        self._secret = secret
        self._client: Any = None

    def _open(self) -> None:
        from pymilvus import MilvusClient

        place = self._place
        if self._path:
            client = MilvusClient(uri=self._path, timeout=place.seconds)
        else:
            client = MilvusClient(
                uri=f"{'https' if place.tls else 'http'}://{place.host}:{place.port or 19530}",
                token=self._secret("token").reveal() if "token" in place.options else "",
                db_name=place.options.get("db_name", "default"),
                timeout=place.seconds,
                secure=place.tls,
                # gRPC would look into the environment for a proxy.
                grpc_options={"grpc.enable_http_proxy": 0},
                dedicated=True,
            )
        try:
            self._prepare(client)
        except BaseException:
            client.close()
            raise
        self._client = client

    def _prepare(self, client: Any) -> None:
        from pymilvus import DataType, MilvusClient

        if not client.has_collection(self._collection):
            schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=2 * _HEX)
            schema.add_field("vault", DataType.VARCHAR, max_length=_HEX, is_partition_key=True)
            schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=self.dimensions)
            index = client.prepare_index_params()
            index.add_index("embedding", index_type="AUTOINDEX", metric_type="IP")
            client.create_collection(self._collection, schema=schema, index_params=index, consistency_level="Strong")
        fields = {field["name"]: field for field in client.describe_collection(self._collection)["fields"]}
        if not {"id", "vault", "embedding"} <= fields.keys() or not fields["vault"].get("is_partition_key"):
            raise StoreError(f"vector index {self.name}: its collection was not made by Tacita")
        size = int(fields["embedding"]["params"]["dim"])
        if size != self.dimensions:
            raise self._wrong_dimensions(size)
        client.load_collection(self._collection)

    def _close(self) -> None:
        self._client.close()

    def _query(self, vault: bytes, **request: Any) -> list[dict[str, Any]]:
        # Hexadecimal digits and nothing else ever stand between these quotes.
        found: list[dict[str, Any]] = self._client.query(
            self._collection,
            filter=f'vault == "{vault.hex()}"',
            timeout=self._place.seconds,
            consistency_level="Strong",
            **request,
        )
        return found

    def _upsert(self, vault: bytes, tags: Sequence[bytes], vectors: Floats) -> None:
        rows = [
            {"id": vault.hex() + tag.hex(), "vault": vault.hex(), "embedding": vector.tolist()}
            for tag, vector in zip(tags, vectors, strict=True)
        ]
        self._client.upsert(self._collection, rows, timeout=self._place.seconds)

    def _delete(self, vault: bytes, tags: Sequence[bytes]) -> None:
        named = ", ".join(f'"{vault.hex()}{tag.hex()}"' for tag in tags)
        condition = f'vault == "{vault.hex()}" and id in [{named}]'
        self._client.delete(self._collection, filter=condition, timeout=self._place.seconds)

    def _drop(self, vault: bytes) -> None:
        self._client.delete(self._collection, filter=f'vault == "{vault.hex()}"', timeout=self._place.seconds)

    def _search(self, vault: bytes, vector: Floats, k: int) -> list[tuple[bytes, float]]:
        [found] = self._client.search(
            self._collection,
            data=[vector.tolist()],
            filter=f'vault == "{vault.hex()}"',
            anns_field="embedding",
            limit=k,
            output_fields=["id"],
            search_params={"metric_type": "IP"},
            timeout=self._place.seconds,
            consistency_level="Strong",
        )
        return [(_tag(vault, hit["id"]), float(hit["distance"])) for hit in found]

    def _present(self, vault: bytes, tags: Sequence[bytes]) -> list[bytes]:
        named = ", ".join(f'"{vault.hex()}{tag.hex()}"' for tag in tags)
        found = self._client.query(
            self._collection,
            filter=f'vault == "{vault.hex()}" and id in [{named}]',
            output_fields=["id"],
            timeout=self._place.seconds,
            consistency_level="Strong",
        )
        return [_tag(vault, row["id"]) for row in found]

    def _tags(self, vault: bytes) -> Iterator[bytes]:
        pages = self._client.query_iterator(
            self._collection,
            batch_size=self.most,
            filter=f'vault == "{vault.hex()}"',
            output_fields=["id"],
            timeout=self._place.seconds,
            consistency_level="Strong",
        )
        try:
            while page := pages.next():
                yield from (_tag(vault, row["id"]) for row in page)
        finally:
            pages.close()

    def _count(self, vault: bytes) -> int:
        return int(self._query(vault, output_fields=["count(*)"])[0]["count(*)"])

    def _vaults(self) -> Iterator[bytes]:
        pages = self._client.query_iterator(
            self._collection, batch_size=self.most, output_fields=["vault"], consistency_level="Strong"
        )
        try:
            while page := pages.next():
                yield from {unhex(row["vault"]) for row in page}
        finally:
            pages.close()

    def _transient(self, error: Exception) -> bool:
        from pymilvus.exceptions import MilvusException, ParamError

        return (isinstance(error, MilvusException) and not isinstance(error, ParamError)) or super()._transient(error)


def _tag(vault: bytes, name: str) -> bytes:
    """Of the primary key. Raises ValueError for one of another vault."""
    if not name.startswith(vault.hex()):
        raise ValueError("not of this vault")
    return unhex(name[_HEX:])
