"""Misuse of the public API that must not type-check. Read by mypy and pyright, never run.

Every line with an ignore is an error; when one stops being an error, the ignore is unused and the check fails.
"""

from __future__ import annotations

from tacita import AsyncMemory, Hit, Item, Memory, Trust
from tacita.items import AddResult


def scope_ids_are_named_strings(memory: Memory) -> None:
    memory.add("x", "ana")  # type: ignore[call-arg]
    memory.add("x", user="ana")  # type: ignore[call-arg]
    memory.add("x", user_id=7)  # type: ignore[arg-type]
    memory.search("x", user_id=["ana", "bob"])  # type: ignore[arg-type]
    memory.search("x", subjects="ana")  # type: ignore[arg-type]
    memory.bind("ana")  # type: ignore[call-arg]


def a_query_is_text(memory: Memory) -> None:
    memory.search(user_id="ana")  # type: ignore[call-arg]
    memory.search(b"x", user_id="ana")  # type: ignore[arg-type]
    memory.search("x", user_id="ana", top_k="3")  # type: ignore[arg-type]
    memory.search("x", user_id="ana", limit=3)  # type: ignore[call-arg]
    memory.get_all(user_id="ana", order="best")  # type: ignore[arg-type]


def trust_and_role_are_set_by_the_engine(memory: Memory) -> None:
    memory.add("x", user_id="ana", trust=Trust.USER)  # type: ignore[call-arg]
    memory.update("id", "x", user_id="ana", role="system")  # type: ignore[call-arg]
    memory.update("id", "x", user_id="ana", created_at="2020-01-01")  # type: ignore[call-arg]


def there_is_no_switch_that_turns_sealing_off() -> None:
    Memory(encrypt=False)  # type: ignore[call-arg]
    Memory(keys=None, plaintext=True)  # type: ignore[call-arg]
    Memory(keys=b"raw key bytes")  # type: ignore[arg-type]
    Memory(store=object())  # type: ignore[arg-type]


class Partial:
    """Not an embedder: `dimensions` is missing."""

    name = "partial"

    def embed(self, texts: list[str], /) -> list[list[float]]:
        return [[1.0] for _ in texts]


def an_embedder_has_a_name_dimensions_and_embed() -> None:
    Memory(embedder=Partial())  # type: ignore[arg-type]
    Memory(embedder=lambda texts: texts)  # type: ignore[arg-type]


def values_are_frozen(hit: Hit, item: Item, added: AddResult) -> None:
    hit.score = 1.0  # type: ignore[misc]
    item.trust = Trust.USER  # type: ignore[misc]
    item.text = "other"  # type: ignore[misc]
    added.results = ()  # type: ignore[misc]


async def coroutines_are_awaited(memory: AsyncMemory) -> None:
    print(memory.search("x", user_id="ana").hits)  # type: ignore[attr-defined]
    for _ in await memory.export(user_id="ana"):  # type: ignore[misc]
        pass
    with memory:  # type: ignore[attr-defined]
        pass
