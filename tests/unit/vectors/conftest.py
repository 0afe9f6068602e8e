"""A home whose vectors are in an index in RAM, which can be down, late or wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tacita import Memory
from tacita.config import Settings
from tacita.ports.vectors import Floats, VectorIndex
from tacita.testing.embedder import HashEmbedder

DIMENSIONS = 64


class RamIndex(VectorIndex):
    """Exact, and as unwell as a test wants it."""

    scheme = "ram"
    name = "ram:test"

    def __init__(self, dimensions: int = DIMENSIONS) -> None:
        super().__init__(dimensions)
        self.held: dict[bytes, dict[bytes, Any]] = defaultdict(dict)
        self.down = False
        self.deaf = False
        """Deletes nothing, and says nothing."""
        self.calls: list[str] = []
        self.sent: list[Any] = []

    def _open(self) -> None:
        self._reach("open")

    def _close(self) -> None:
        pass

    def _reach(self, call: str) -> None:
        self.calls.append(call)
        if self.down:
            raise ConnectionRefusedError("no")

    def _upsert(self, vault: bytes, tags: Sequence[bytes], vectors: Floats) -> None:
        self._reach("upsert")
        self.sent.append((vault, tags, vectors))
        self.held[vault].update(zip(tags, vectors, strict=True))

    def _delete(self, vault: bytes, tags: Sequence[bytes]) -> None:
        self._reach("delete")
        for tag in tags:
            if not self.deaf:
                self.held[vault].pop(tag, None)

    def _drop(self, vault: bytes) -> None:
        self._reach("drop")
        if not self.deaf:
            self.held.pop(vault, None)

    def _search(self, vault: bytes, vector: Floats, k: int) -> list[tuple[bytes, float]]:
        self._reach("search")
        self.sent.append(vector)
        scored = [(tag, float(np.dot(each, vector))) for tag, each in self.held[vault].items()]
        return sorted(scored, key=lambda pair: -pair[1])[:k]

    def _present(self, vault: bytes, tags: Sequence[bytes]) -> list[bytes]:
        self._reach("present")
        return [tag for tag in tags if tag in self.held[vault]]

    def _tags(self, vault: bytes) -> Iterator[bytes]:
        self._reach("tags")
        return iter(list(self.held[vault]))

    def _count(self, vault: bytes) -> int:
        self._reach("count")
        return len(self.held.get(vault, {}))

    def _vaults(self) -> Iterator[bytes]:
        self._reach("vaults")
        return iter([vault for vault, held in self.held.items() if held])


@pytest.fixture
def index() -> RamIndex:
    return RamIndex()


@pytest.fixture
def opened(home: Path, index: RamIndex) -> Iterator[Callable[..., Memory]]:
    """Opens memories over the test's home, exposed unless told otherwise; all closed afterwards."""
    memories: list[Memory] = []

    def open_memory(**given: Any) -> Memory:
        config = {"home": str(home), "profile": "exposed-vectors", **given.pop("config", {})}
        exposed = config["profile"] == "exposed-vectors" and "vectors" not in config
        options = {"embedder": HashEmbedder(DIMENSIONS), **({"vectors": index} if exposed else {}), **given}
        memories.append(Memory(settings=Settings.load(config=config), **options))
        return memories[-1]

    yield open_memory
    for memory in memories:
        index.down = False
        memory.close()
