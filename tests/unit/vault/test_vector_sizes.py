"""Two embedders that go by one name: the second is refused before it writes anything that the vault could not open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tacita import Memory, ModelError
from tacita.testing.embedder import HashEmbedder


class SameName(HashEmbedder):
    name = "same"


def embedder(dimensions: int) -> HashEmbedder:
    return SameName(dimensions)


def test_vectors_of_another_size_are_refused_before_they_are_written(home: Path) -> None:
    with Memory(home, embedder=embedder(32)) as memory:
        first = memory.add("said with the first", user_id="ana").ids[0]
    with Memory(home, embedder=embedder(48)) as memory:
        for attempt in (
            lambda: memory.add("said with the second", user_id="ana"),
            lambda: memory.update(first, "said with the second", user_id="ana"),
        ):
            with pytest.raises(ModelError, match="another name"):
                attempt()
        assert memory.get_all(user_id="ana").total == 1
        memory.add("another vault knows nothing of it", user_id="rui")
    with Memory(home, embedder=embedder(32)) as memory:
        assert memory.search("first", user_id="ana").hits[0].text == "said with the first"
        assert memory.verify(deep=True).ok


def test_nor_after_a_snapshot_or_within_one_process(home: Path) -> None:
    with Memory(home, embedder=embedder(32)) as memory:
        memory.add([f"text {number}" for number in range(600)], user_id="ana")
        memory.add("last", user_id="ana")
    with Memory(home, embedder=embedder(48)) as memory:
        with pytest.raises(ModelError, match="another name"):
            memory.add("again", user_id="ana")
        assert memory.get_all(user_id="ana").total == 601
