"""A home, a memory over it, and a way to look at its files as an attacker would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tacita import Memory
from tacita.testing.embedder import HashEmbedder


@pytest.fixture
def opened(home: Path) -> Iterator[Callable[..., Memory]]:
    """Opens memories over the test's home, all closed afterwards."""
    memories: list[Memory] = []

    def open_memory(**options: object) -> Memory:
        options.setdefault("embedder", HashEmbedder())
        memories.append(Memory(home, **options))
        return memories[-1]

    yield open_memory
    for memory in memories:
        memory.close()


@pytest.fixture
def memory() -> Iterator[Memory]:
    """A memory that leaves nothing behind; quicker than one on disk."""
    with Memory(store="memory:", embedder=HashEmbedder()) as memory:
        yield memory


@pytest.fixture
def database(home: Path) -> Path:
    """The file of the sealed logs."""
    return home / "data" / "log.db"


@pytest.fixture
def found_in() -> Callable[[Path, bytes], list[str]]:
    """Names of the files under a folder that hold some bytes, in their names or inside."""

    def search(folder: Path, needle: bytes) -> list[str]:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return [path.name for path in files if needle in path.read_bytes() or needle in bytes(path)]

    return search
