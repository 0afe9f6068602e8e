"""The public API as programs use it: what type checkers must accept, and which types they must see.

Read by mypy and pyright, never run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from tacita import AsyncMemory, Hit, Item, Kind, Memory, NotFound, SearchResult, TacitaError, Tampered, Trust
from tacita.items import (
    AddResult,
    Change,
    ContextBlock,
    DeleteReceipt,
    EraseReceipt,
    ImportReport,
    Page,
    Stats,
    VerifyReport,
)
from tacita.ports.keys import KeyContext, KeyProvider
from tacita.ports.models import Embedder
from tacita.testing.embedder import HashEmbedder


class Letters:
    """An embedder of the user's own: no base class, three names."""

    name = "letters/1"
    dimensions = 26

    def embed(self, texts: list[str], /) -> NDArray[np.float32]:
        return np.ones((len(texts), 26), np.float32)


def opening(provider: KeyProvider) -> None:
    Memory()
    Memory("folder")
    Memory(Path("folder"), store="memory:", keys="env:ROOT", embedder="none")
    Memory(keys=provider, embedder=Letters())
    own: Embedder = Letters()
    assert_type(own.embed(["a"]), NDArray[np.float32])
    Memory(embedder=own)
    assert_type(Memory.from_config({"store": "memory:"}), Memory)
    assert_type(Memory.from_config(Path("tacita.toml")), Memory)
    with Memory() as memory:
        assert_type(memory, Memory)


def verbs(memory: Memory, filters: Mapping[str, Any]) -> None:
    assert_type(memory.add("I'm allergic to penicillin.", user_id="ana"), AddResult)
    memory.add({"role": "user", "content": "hello"}, user_id="ana")
    memory.add([{"role": "user", "content": [{"type": "text", "text": "hello"}]}], user_id="ana", run_id="r")
    memory.add("x", user_id="ana", metadata={"a": [1]}, timestamp=datetime.now(UTC), expires_at="2030-01-01")
    assert_type(memory.add("x", user_id="ana").ids, list[str])

    found = memory.search("which drugs?", user_id="ana", filters=filters, top_k=3, threshold=0.2, explain=True)
    assert_type(found, SearchResult)
    assert_type(found.taint, Trust | None)
    for hit in found:
        assert_type(hit, Hit)
        assert_type((hit.id, hit.text, hit.score, hit.trust), tuple[str, str, float, Trust])
        assert_type(hit.item.kind, Kind)
        assert_type(hit.to_dict(), dict[str, Any])
    memory.search("x", subjects=[{"user_id": "ana"}, {"agent_id": "coach"}])

    assert_type(memory.context("x", budget=500, user_id="ana"), ContextBlock)
    assert_type(memory.get("id", user_id="ana"), Item)
    assert_type(memory.get_all(user_id="ana", order="oldest"), Page)
    assert_type(memory.update("id", "new", user_id="ana"), Item)
    assert_type(memory.history("id", user_id="ana"), list[Change])
    assert_type(memory.delete("id", user_id="ana"), DeleteReceipt)
    assert_type(memory.erase(user_id="ana"), EraseReceipt)
    assert_type(memory.export(user_id="ana"), Iterator[dict[str, Any]])
    assert_type(memory.import_("chat.jsonl", user_id="ana"), ImportReport)
    assert_type(memory.verify(), VerifyReport)
    assert_type(memory.stats(user_id="ana"), Stats)
    assert_type(memory.bind(user_id="ana"), Memory)
    memory.close()


async def asynchronous() -> None:
    async with AsyncMemory(embedder=HashEmbedder()) as memory:
        assert_type(memory, AsyncMemory)
        assert_type(await memory.add("x", user_id="ana"), AddResult)
        assert_type(await memory.search("x", user_id="ana"), SearchResult)
        ana = memory.bind(user_id="ana")
        assert_type(ana, AsyncMemory)
        assert_type(await ana.get("id"), Item)
        lines = ana.export()
        assert_type(lines, AsyncIterator[dict[str, Any]])
        async for line in lines:
            assert_type(line, dict[str, Any])
    assert_type(await AsyncMemory.from_config({}), AsyncMemory)


def errors(memory: Memory) -> str:
    try:
        return memory.get("id", user_id="ana").text
    except NotFound as error:
        assert_type(error.code, str)
        return ""
    except (Tampered, TacitaError) as error:
        assert_type(error.retryable, bool)
        raise


def a_key_provider_of_ones_own(provider: KeyProvider, context: KeyContext) -> None:
    from tacita.hazmat import SecretKey

    key = SecretKey.generate()
    assert_type(provider.wrap(key, context), bytes)
    assert_type(provider.unwrap(b"", context), SecretKey)
