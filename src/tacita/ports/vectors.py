"""The vector port: what an engine outside must do that is told plain vectors under keyed names, and the checks around it.

Only the profile `exposed-vectors` uses one. It is derived from the log, may be lost at any time, and is never believed: an
answer names candidates, whose vectors are then taken from the sealed log.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Lock
from typing import Any, ClassVar, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from tacita.errors import ConfigError, StoreError, TacitaError
from tacita.limits import DIMENSIONS

TAG_BYTES: Final = 16
"""Length of the keyed name of a vault, and of an entry."""
LEARNS: Final = (
    "every vector in plain, from which words can be guessed; which vectors are of one vault; when they come, go and are "
    "searched; every query's vector. No text, no label, no id, no time of a message"
)
"""What the operator of an engine learns. Shown by `doctor`, logged when the profile is first used."""

T = TypeVar("T")
Floats = NDArray[np.float32]


class VectorIndex(ABC):
    """Vectors of vaults, each apart from all others. Thread-safe; every failure is a `StoreError`.

    A client that is not installed is a `ConfigError` when it is first needed.
    A vault is called by a tag of 16 bytes and so is an entry in it. The score of two vectors is their dot product. A
    provider writes the underscored methods and may throw what it likes: nothing of it is quoted.
    """

    scheme: ClassVar[str]
    """How it is named in a URI: `qdrant`, `faiss`, ..."""
    name: str
    """Names engine and place for messages, audit and `doctor`; never secret."""
    hosts: tuple[str, ...] = ()
    """Every host that it may contact; empty for one in this process."""
    most: ClassVar[int] = 10_000
    """Most entries that one search can return."""
    batch: int = 256
    """Most entries that are written, deleted or asked for in one request."""
    consistent: bool = True
    """Whether a search finds what an earlier call wrote. If not, only what was read back counts as being there."""

    def __init__(self, dimensions: int) -> None:
        if not 1 <= dimensions <= DIMENSIONS:
            raise ConfigError(f"a vector index takes 1 to {DIMENSIONS} dimensions")
        self.dimensions = dimensions
        self._opening = Lock()
        self._opened = False
        self._closed = False

    def upsert(self, vault: bytes, tags: Sequence[bytes], vectors: Floats) -> None:
        """Keep vectors (float32, shape `(len(tags), dimensions)`) under their tags, in place of what was there."""
        _tag(vault)
        found = np.asarray(vectors)
        if found.dtype != np.float32 or found.shape != (len(tags), self.dimensions):
            raise TypeError(f"vectors are float32 of shape (n, {self.dimensions})")
        if not np.isfinite(found).all():
            raise TypeError("vectors hold finite numbers")
        for start in range(0, len(_tags(tags)), self.batch):
            part = slice(start, start + self.batch)
            self._do("write", partial(self._upsert, vault, tags[part], found[part]))

    def delete(self, vault: bytes, tags: Sequence[bytes]) -> None:
        """Remove entries; those that are not there are passed over. `present` says whether they are gone."""
        _tag(vault)
        for start in range(0, len(_tags(tags)), self.batch):
            part = tags[start : start + self.batch]
            self._do("delete", partial(self._delete, vault, part))

    def drop(self, vault: bytes) -> None:
        """Remove every entry of a vault. `count` says whether they are gone."""
        _tag(vault)
        self._do("drop", partial(self._drop, vault))

    def search(self, vault: bytes, vector: Floats, k: int) -> list[tuple[bytes, float]]:
        """(tag, score) of the k entries of this vault that are most alike, best first; fewer if it has fewer.

        The vault is chosen inside the engine, before anything is compared.
        """
        _tag(vault)
        query = np.asarray(vector)
        if query.dtype != np.float32 or query.shape != (self.dimensions,):
            raise TypeError(f"a query is float32 of shape ({self.dimensions},)")
        if not 1 <= k <= self.most:
            raise TypeError(f"a search of this index asks for 1 to {self.most} entries")
        answer = self._do("search", partial(self._search, vault, query, k))
        found: dict[bytes, float] = {}
        for tag, score in answer:
            if type(tag) is not bytes or len(tag) != TAG_BYTES or not math.isfinite(score):
                raise StoreError(f"vector index {self.name}: its answer is none")
            found[tag] = max(score, found.get(tag, score))
        return sorted(found.items(), key=lambda each: -each[1])[:k]

    def present(self, vault: bytes, tags: Sequence[bytes]) -> frozenset[bytes]:
        """Which of these entries are there, read from the engine."""
        _tag(vault)
        found: set[bytes] = set()
        for start in range(0, len(_tags(tags)), self.batch):
            part = tags[start : start + self.batch]
            found.update(self._do("read", partial(self._present, vault, part)))
        return frozenset(found).intersection(tags)

    def tags(self, vault: bytes) -> frozenset[bytes]:
        """Every entry of a vault, read from the engine."""
        _tag(vault)
        return frozenset(self._do("list", lambda: set(self._tags(vault))))

    def count(self, vault: bytes) -> int:
        """How many entries a vault has, read from the engine."""
        _tag(vault)
        return self._do("count", partial(self._count, vault))

    def vaults(self) -> frozenset[bytes]:
        """Every vault that has entries here; of other homes too, if they share the place."""
        return frozenset(_tag(vault) for vault in self._do("list", lambda: set(self._vaults())))

    def close(self) -> None:
        """Release every resource. Closing twice is harmless; any other use afterwards is a StoreError."""
        with self._opening:
            was_open, self._opened, self._closed = self._opened, False, True
        if was_open:
            self._close()

    def _do(self, verb: str, call: Callable[[], T]) -> T:
        """The result of a provider's call, or a StoreError that quotes nothing of what it threw."""
        self._ready()
        failed = None
        try:
            return call()
        except TacitaError:
            raise
        except Exception as error:  # noqa: BLE001  a client may throw anything, and ports map it
            failed = type(error).__name__[:64], self._transient(error)
        # Outside of the handler: a foreign exception may quote a vector or an address, and would ride along.
        raise StoreError(f"vector index {self.name}: {verb} failed ({failed[0]})", retryable=failed[1])

    def _ready(self) -> None:
        """Connect and make what is needed, at the first use: an engine that is down keeps nobody from opening a home."""
        if self._opened:
            return
        with self._opening:
            if self._closed:
                raise StoreError(f"vector index {self.name}: closed")
            failed = self._try_to_open()
        if failed is not None:
            kind, transient = failed
            raise StoreError(f"vector index {self.name}: cannot be reached ({kind})", retryable=transient)

    def _try_to_open(self) -> tuple[str, bool] | None:
        """None if that went well, else what it was and whether trying again may help."""
        if self._opened:  # by another thread
            return None
        try:
            self._open()
        except TacitaError:
            raise
        except ImportError as error:
            raise ConfigError(
                f"vector index {self.name} needs its client: pip install 'tacita[{self.scheme}]' ({error.name} is missing)"
            ) from None
        except Exception as error:  # noqa: BLE001  as above
            return type(error).__name__[:64], self._transient(error)
        self._opened = True
        return None

    def _transient(self, error: Exception) -> bool:
        """Whether trying again may help."""
        return isinstance(error, OSError | TimeoutError)

    def _wrong_dimensions(self, found: object) -> StoreError:
        return StoreError(
            f"vector index {self.name}: holds vectors of {found} dimensions, the embedder makes {self.dimensions}; "
            "name another place for them, and delete the old one"
        )

    @abstractmethod
    def _open(self) -> None: ...
    @abstractmethod
    def _upsert(self, vault: bytes, tags: Sequence[bytes], vectors: Floats) -> None: ...
    @abstractmethod
    def _delete(self, vault: bytes, tags: Sequence[bytes]) -> None: ...
    @abstractmethod
    def _drop(self, vault: bytes) -> None: ...
    @abstractmethod
    def _search(self, vault: bytes, vector: Floats, k: int) -> Sequence[tuple[bytes, float]]: ...
    @abstractmethod
    def _present(self, vault: bytes, tags: Sequence[bytes]) -> Sequence[bytes]: ...
    @abstractmethod
    def _tags(self, vault: bytes) -> Iterator[bytes]: ...
    @abstractmethod
    def _count(self, vault: bytes) -> int: ...
    @abstractmethod
    def _vaults(self) -> Iterator[bytes]: ...
    @abstractmethod
    def _close(self) -> None: ...


def _tag(tag: Any) -> bytes:
    # Exact type: what is a string may be an id, and what is an id may be a wildcard.
    if type(tag) is not bytes or len(tag) != TAG_BYTES:
        raise TypeError(f"a tag is exactly {TAG_BYTES} bytes")
    return tag


def _tags(tags: Sequence[bytes]) -> Sequence[bytes]:
    for tag in tags:
        _tag(tag)
    if len(set(tags)) != len(tags):
        raise TypeError("a tag is named once")
    return tags
