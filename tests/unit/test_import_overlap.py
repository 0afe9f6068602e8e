"""An import embeds its next batch while the last one is written, and nobody can tell from what it leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tacita import AccessDenied, InvalidInput, Memory, ModelError
from tacita.config import Settings
from tacita.flows.bring import BATCH
from tacita.importers.base import BadLine, ImportRecord
from tacita.items import Message, Scope
from tacita.sealed import SealedEvent
from tacita.stores.memory import MemoryLogStore
from tacita.testing.embedder import HashEmbedder

PATIENCE = 30.0


class Watched(HashEmbedder):
    """Tells how often it was asked, and may fail at a word."""

    def __init__(self, *, fails_at: str = "\0") -> None:
        super().__init__()
        self.calls = 0
        self.second = threading.Event()
        self.threads: set[int] = set()
        self._fails_at = fails_at

    def embed(self, texts: list[str], /) -> NDArray[np.float32]:
        self.calls += 1
        self.threads.add(threading.get_ident())
        if self.calls == 2:
            self.second.set()
        if self._fails_at in texts:
            raise OSError("out of order")
        return super().embed(texts)


class Slow(MemoryLogStore):
    """Takes the first batch of an import only once the second is being embedded."""

    def __init__(self, embedder: Watched) -> None:
        super().__init__()
        self._embedder = embedder
        self.waited: list[bool] = []

    def append(self, vault_id: bytes, expected_seq: int, events: Sequence[SealedEvent], **more: Any) -> None:
        if len(events) == BATCH and not self.waited:
            self.waited.append(self._embedder.second.wait(PATIENCE))
        super().append(vault_id, expected_seq, events, **more)


def record(number: int, user: str = "ana") -> ImportRecord:
    message = Message(role="user", text=f"note {number}", idempotency_key=f"key-{number}")
    return ImportRecord(line=number + 1, message=message, ids={"user_id": user})


def kept(memory: Memory, user: str = "ana") -> list[str]:
    """Texts in the order in which they were sealed."""
    vault = memory._engine.find(Scope(tenant="default", user_id=user))
    return [] if vault is None else [str(text) for text in vault.state.texts]


def notes(count: int) -> list[str]:
    return [f"note {number}" for number in range(count)]


def test_order_is_kept() -> None:
    count = 3 * BATCH + 7
    with Memory(store="memory:", embedder=HashEmbedder()) as memory:
        report = memory.import_((record(number) for number in range(count)), user_id="ana")
        assert (report.added, report.unchanged, report.bad_lines) == (count, 0, ())
        assert kept(memory) == notes(count)
        assert memory.verify().ok
        again = memory.import_((record(number) for number in range(count)), user_id="ana")
        assert (again.added, again.unchanged) == (0, count)


def test_the_next_batch_is_embedded_while_the_last_is_written(tmp_path: Path) -> None:
    embedder = Watched()
    store = Slow(embedder)
    with Memory(tmp_path, store=store, ring="memory:", keys="ephemeral:", embedder=embedder) as memory:
        memory.import_((record(number) for number in range(2 * BATCH)), user_id="ana")
        assert kept(memory) == notes(2 * BATCH)
    assert store.waited == [True]
    assert threading.get_ident() not in embedder.threads


def test_a_failing_embedder_leaves_what_was_told() -> None:
    told: list[int] = []
    embedder = Watched(fails_at=f"note {2 * BATCH + 5}")
    with Memory(store="memory:", embedder=embedder) as memory:
        with pytest.raises(ModelError, match="OSError") as caught:
            memory.import_(
                (record(number) for number in range(9 * BATCH)),
                user_id="ana",
                progress=lambda done, _: told.append(done),
            )
        assert "note" not in str(caught.value)
        assert told == [BATCH, 2 * BATCH]
        assert kept(memory) == notes(2 * BATCH)
        # What followed was not embedded either.
        assert embedder.calls <= 4
        embedder._fails_at = "\0"
        report = memory.import_((record(number) for number in range(3 * BATCH)), user_id="ana")
        assert (report.added, report.unchanged) == (BATCH, 2 * BATCH)


def test_two_batches_are_read_ahead_at_most_and_in_the_callers_thread() -> None:
    read = written = furthest = 0
    threads = set()

    def stream() -> Iterator[ImportRecord]:
        nonlocal read, furthest
        for number in range(6 * BATCH):
            read += 1
            threads.add(threading.get_ident())
            furthest = max(furthest, read - written)
            yield record(number)

    def progress(done: int, total: int | None) -> None:
        nonlocal written
        written = done

    with Memory(store="memory:", embedder=HashEmbedder()) as memory:
        memory.import_(stream(), user_id="ana", progress=progress)
    assert BATCH < furthest <= 2 * BATCH + 1
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("error", [InvalidInput("not text any more"), AccessDenied("not yours")])
def test_what_stands_before_an_unreadable_part_is_kept(error: Exception) -> None:
    def stream() -> Iterator[ImportRecord]:
        yield from (record(number) for number in range(BATCH + 9))
        raise error

    with Memory(store="memory:", embedder=HashEmbedder()) as memory:
        with pytest.raises(type(error)):
            memory.import_(stream(), user_id="ana")
        assert kept(memory) == notes(BATCH)


def test_a_view_that_may_not_write_somebodys_memory_keeps_its_own() -> None:
    stream = [*(record(number) for number in range(BATCH)), record(BATCH, "ben")]
    with Memory(store="memory:", embedder=HashEmbedder()) as memory:
        with pytest.raises(AccessDenied):
            memory.bind(user_id="ana").import_(stream)
        assert kept(memory) == notes(BATCH)
        assert kept(memory, "ben") == []


def test_people_take_turns_where_there_is_room_for_one() -> None:
    chosen = Settings.load(config={"store": "memory:", "cache_bytes": 0, "cache_wait": 0})
    users = ["ana", "ben", "ana", "eve", "ben"]
    with Memory(settings=chosen, embedder=HashEmbedder()) as memory:
        report = memory.import_(
            record(place * 1_000 + number, user) for place, user in enumerate(users) for number in range(BATCH + 3)
        )
        assert (report.added, report.bad_lines) == (5 * (BATCH + 3), ())
        assert len(kept(memory, "ben")) == 2 * (BATCH + 3)


def test_bad_lines_stay_in_the_order_of_the_file() -> None:
    bad = [BadLine(line=line, reason="no JSON") for line in (BATCH + 1, 2 * BATCH + 2)]
    empty = ImportRecord(line=5, message=Message(role="user", text=""), ids={"user_id": "ana"})
    records = [record(number) for number in range(2 * BATCH)]
    stream = [*records[:4], empty, *records[4:BATCH], bad[0], *records[BATCH:], bad[1]]
    with Memory(store="memory:", embedder=HashEmbedder()) as memory:
        report = memory.import_(stream, user_id="ana")
        assert [line for line, _ in report.bad_lines] == [5, BATCH + 1, 2 * BATCH + 2]
        assert kept(memory) == notes(2 * BATCH)
