"""Pinecone, by its official client: `pinecone:INDEX@https://HOST-OF-THE-INDEX?api_key=env:NAME`.

The index must exist, for dense vectors with the metric `dotproduct`; each vault is a namespace of it. Pinecone shows what was
written only after a while: nothing counts as being there before it was read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from tacita.errors import ConfigError, StoreError
from tacita.ports.vectors import Floats, VectorIndex
from tacita.vectors._place import TRANSIENT, Secrets, parse, unhex

T = TypeVar("T")

_PREFIX = "v"
_REQUEST_BYTES = 1_500_000
"""Of the 2 MB that one request may have."""
_NUMBER_BYTES = 24
_MOST_FETCHED = 100


class PineconeIndex(VectorIndex):
    """An index of Pinecone."""

    scheme = "pinecone"
    most = 10_000
    consistent = False

    def __init__(self, uri: str, secret: Secrets, dimensions: int) -> None:
        super().__init__(dimensions)
        self._place = parse(uri, frozenset({"api_key"}))
        if not self._place.host or "api_key" not in self._place.options:
            raise ConfigError(
                "vectors pinecone: give the index's own host, pinecone:INDEX@https://HOST?api_key=env:NAME"
            )
        self.name = self._place.name
        self.hosts = self._place.hosts
        self.batch = max(1, min(_MOST_FETCHED, _REQUEST_BYTES // (_NUMBER_BYTES * dimensions)))
        self._secret = secret
        self._index: Any = None

    def _open(self) -> None:
        from pinecone import Index

        index = Index(
            host=self._place.url,
            api_key=self._secret("api_key").reveal(),
            # Named: else a variable in the environment adds some.
            additional_headers={"X-Tacita": "1"},
            timeout=self._place.seconds,
            ssl_verify=True,
        )
        try:
            stats = index.describe_index_stats()
            if stats.metric not in (None, "dotproduct"):
                raise StoreError(f"vector index {self.name}: its metric must be dotproduct, and is {stats.metric}")
            if stats.dimension != self.dimensions:
                raise self._wrong_dimensions(stats.dimension)
        except BaseException:
            index.close()
            raise
        self._index = index

    def _close(self) -> None:
        self._index.close()

    def _unless_missing(self, call: Callable[[], T], otherwise: T) -> T:
        """A namespace comes with its first vector, and goes with its last."""
        from pinecone.errors.exceptions import NotFoundError

        try:
            return call()
        except NotFoundError:
            return otherwise

    def _upsert(self, vault: bytes, tags: Sequence[bytes], vectors: Floats) -> None:
        pairs = [(tag.hex(), vector.tolist()) for tag, vector in zip(tags, vectors, strict=True)]
        self._index.upsert(vectors=pairs, namespace=_name(vault))

    def _delete(self, vault: bytes, tags: Sequence[bytes]) -> None:
        ids = [tag.hex() for tag in tags]
        self._unless_missing(lambda: self._index.delete(ids=ids, namespace=_name(vault)), None)

    def _drop(self, vault: bytes) -> None:
        self._unless_missing(lambda: self._index.delete_namespace(name=_name(vault)), None)

    def _search(self, vault: bytes, vector: Floats, k: int) -> list[tuple[bytes, float]]:
        none: list[Any] = []
        found = self._unless_missing(
            lambda: self._index.query(vector=vector.tolist(), top_k=k, namespace=_name(vault)).matches, none
        )
        return [(unhex(match.id), float(match.score)) for match in found]

    def _present(self, vault: bytes, tags: Sequence[bytes]) -> list[bytes]:
        ids = [tag.hex() for tag in tags]
        empty: dict[str, Any] = {}
        found = self._unless_missing(lambda: self._index.fetch(ids=ids, namespace=_name(vault)).vectors, empty)
        return [unhex(name) for name in found]

    def _tags(self, vault: bytes) -> Iterator[bytes]:
        pages = self._index.list(namespace=_name(vault), limit=100)
        while (page := self._unless_missing(lambda: next(pages, None), None)) is not None:
            yield from (unhex(item.id) for item in page.vectors)

    def _count(self, vault: bytes) -> int:
        found = self._unless_missing(lambda: self._index.describe_namespace(name=_name(vault)), None)
        return 0 if found is None else int(found.record_count)

    def _vaults(self) -> Iterator[bytes]:
        for page in self._index.list_namespaces():
            for each in page.namespaces:
                name = each.name
                if name.startswith(_PREFIX) and len(name) == 33 and each.record_count:
                    yield unhex(name[1:])

    def _transient(self, error: Exception) -> bool:
        from pinecone.errors.exceptions import ApiError, PineconeConnectionError, PineconeTimeoutError

        if isinstance(error, ApiError):
            return error.status_code in TRANSIENT
        return isinstance(error, PineconeConnectionError | PineconeTimeoutError) or super()._transient(error)


def _name(vault: bytes) -> str:
    return _PREFIX + vault.hex()
