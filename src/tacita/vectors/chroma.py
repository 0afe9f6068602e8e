"""Chroma, by `chromadb`'s client for its server: `chroma:PREFIX@https://HOST:8000?token=env:NAME`.

Each vault is a collection of its own in one database: `tenant` and `database` name it, and must exist. The token goes into the
header `x-chroma-token`, as Chroma Cloud and the servers' token authentication take it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any

import httpx

from tacita.errors import ConfigError
from tacita.ports.vectors import TAG_BYTES, Floats, VectorIndex
from tacita.vectors._place import TRANSIENT, Secrets, parse, unhex

_PAGE = 1_000
_KNOWN = 4_096
"""Most collections whose ids are remembered."""


class ChromaIndex(VectorIndex):
    """Collections of a Chroma server."""

    scheme = "chroma"
    batch = 500
    most = 4_096

    def __init__(self, uri: str, secret: Secrets, dimensions: int) -> None:
        super().__init__(dimensions)
        self._place = parse(uri, frozenset({"token", "tenant", "database"}), url="http://127.0.0.1:8000")
        if self._place.path:
            raise ConfigError("vectors chroma: its address is https://HOST:PORT, without a path")
        self.name = self._place.name
        self.hosts = self._place.hosts
        self._secret = secret
        options = self._place.options
        self._where = {
            "tenant": options.get("tenant", "default_tenant"),
            "database": options.get("database", "default_database"),
        }
        self._prefix = f"{self._place.collection.lower()}-"
        self._lock = Lock()
        self._known: dict[bytes, Any] = {}
        self._client: Any = None

    def _open(self) -> None:
        from tacita.vectors._chroma_api import connect

        client = connect(self._place, self._secret("token").reveal() if "token" in self._place.options else None)
        try:
            client.get_database(self._where["database"], tenant=self._where["tenant"])
        except BaseException:
            client.close()
            raise
        self._client = client

    def _close(self) -> None:
        self._client.close()

    def _collection(self, vault: bytes, *, make: bool = False) -> Any:
        """The collection of a vault; None if there is none and none is to be made."""
        from chromadb.api.models.Collection import Collection
        from chromadb.errors import NotFoundError

        with self._lock:
            found = self._known.get(vault)
        if found is not None:
            return found
        name = self._prefix + vault.hex()
        if make:
            model = self._client.get_or_create_collection(
                name,
                configuration={
                    "hnsw": {"space": "ip", "ef_search": 1_000, "ef_construction": 200, "max_neighbors": 32}
                },
                metadata={"dimensions": self.dimensions},
                **self._where,
            )
        else:
            try:
                model = self._client.get_collection(name, **self._where)
            except NotFoundError:
                return None
        found = Collection(client=self._client, model=model, embedding_function=None)
        held = (found.metadata or {}).get("dimensions")
        if held != self.dimensions:
            raise self._wrong_dimensions(held)
        with self._lock:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[vault] = found
        return found

    def _with(self, vault: bytes, verb: str, **request: Any) -> Any:
        """What a collection answers; None if there is none. One that was dropped by somebody else is looked for again."""
        from chromadb.errors import NotFoundError

        for _ in range(2):
            collection = self._collection(vault, make=verb == "upsert")
            if collection is None:
                return None
            try:
                return getattr(collection, verb)(**request)
            except NotFoundError:
                with self._lock:
                    self._known.pop(vault, None)
        return None

    def _upsert(self, vault: bytes, tags: Sequence[bytes], vectors: Floats) -> None:
        self._with(vault, "upsert", ids=[tag.hex() for tag in tags], embeddings=vectors)

    def _delete(self, vault: bytes, tags: Sequence[bytes]) -> None:
        self._with(vault, "delete", ids=[tag.hex() for tag in tags])

    def _drop(self, vault: bytes) -> None:
        from chromadb.errors import NotFoundError

        with self._lock:
            self._known.pop(vault, None)
        try:
            self._client.delete_collection(self._prefix + vault.hex(), **self._where)
        except NotFoundError:
            return

    def _search(self, vault: bytes, vector: Floats, k: int) -> list[tuple[bytes, float]]:
        found = self._with(vault, "query", query_embeddings=[vector], n_results=k, include=["distances"])
        if found is None:
            return []
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        return [(unhex(name), 1.0 - float(distance)) for name, distance in pairs]

    def _present(self, vault: bytes, tags: Sequence[bytes]) -> list[bytes]:
        found = self._with(vault, "get", ids=[tag.hex() for tag in tags], include=[])
        return [] if found is None else [unhex(name) for name in found["ids"]]

    def _tags(self, vault: bytes) -> Iterator[bytes]:
        for start in range(0, self._count(vault) + _PAGE, _PAGE):
            found = self._with(vault, "get", limit=_PAGE, offset=start, include=[])
            if found is None or not found["ids"]:
                return
            yield from map(unhex, found["ids"])

    def _count(self, vault: bytes) -> int:
        return int(self._with(vault, "count") or 0)

    def _vaults(self) -> Iterator[bytes]:
        start = 0
        while page := self._client.list_collections(limit=_PAGE, offset=start, **self._where):
            start += len(page)
            for model in page:
                rest = model.name.removeprefix(self._prefix)
                if rest != model.name and len(rest) == 2 * TAG_BYTES:
                    yield unhex(rest)

    def _transient(self, error: Exception) -> bool:
        if isinstance(error, httpx.TransportError):
            return True
        code = getattr(error, "code", None)
        return (callable(code) and code() in TRANSIENT) or super()._transient(error)
