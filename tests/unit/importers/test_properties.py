"""What holds for every importer: it never crashes, streams, and gives the same keys in every run."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.importers.test_formats import conversation, jsonl, locomo

from tacita import InvalidInput, Memory
from tacita.importers import FORMATS, BadLine, ImportRecord, read

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                "role content messages mapping message author parts parent current_node conversation session_1 "
                "sample_id speaker text dia_id tacita_export timestamp metadata user_id create_time".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def outcome(data: bytes, form: str) -> list[Any]:
    try:
        return list(read(io.BytesIO(data), format=form))
    except InvalidInput as error:
        return [str(error)]


@pytest.mark.parametrize("form", FORMATS)
@given(data=st.binary(max_size=300))
def test_any_bytes(form: str, data: bytes) -> None:
    assert all(isinstance(one, ImportRecord | BadLine | str) for one in outcome(data, form))


@pytest.mark.parametrize("form", FORMATS)
@given(value=JSON, listed=st.booleans())
def test_any_json(form: str, value: object, listed: bool) -> None:
    data = json.dumps([value] if listed else value).encode()
    for one in outcome(data, form):
        assert isinstance(one, ImportRecord | BadLine | str)
        if isinstance(one, ImportRecord):
            assert one.message.idempotency_key
            assert one.message.text.strip() or one.message.attachments


@pytest.mark.parametrize("form", FORMATS)
@given(data=st.data())
def test_damaged_files(form: str, data: st.DataObject) -> None:
    whole = {
        "openai": jsonl(*({"role": "user", "content": f"words {n}"} for n in range(5))),
        "chatgpt": json.dumps([conversation(), conversation(id="c-2")]),
        "locomo": json.dumps([locomo()]),
        "export": jsonl({"tacita_export": 1}, {"text": "words", "role": "user"}),
        "transcript": "Ana: one\nRui: two\n",
    }[form].encode()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    damaged = whole[:start] + data.draw(st.binary(max_size=6)) + whole[end:]
    assert all(isinstance(one, ImportRecord | BadLine | str) for one in outcome(damaged, form))


def test_deeply_nested_json_is_a_bad_line() -> None:
    deep = '{"role": "user", "content": ' + "[" * 20_000 + "]" * 20_000 + "}\n"
    entries = outcome((deep + jsonl({"role": "user", "content": "after"})).encode(), "openai")
    assert isinstance(entries[0], BadLine)
    assert isinstance(entries[1], ImportRecord)


class Endless(io.RawIOBase):
    """A file that has no end, and counts how much of it was read."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "asked for everything"
        line = json.dumps({"role": "user", "content": f"message {self.given}"}).encode() + b"\n"
        self.given += len(line) * (size // len(line) + 1)
        return line * (size // len(line) + 1)


@pytest.mark.parametrize("form", ["openai", "export"])
def test_lines_are_read_as_they_are_needed(form: str) -> None:
    endless = Endless()
    entries = read(endless, format=form)  # type: ignore[arg-type]
    for _ in range(100):
        next(entries)
    assert endless.given < 300_000


def lines(count: int) -> str:
    return jsonl(
        *({"role": "user", "content": f"message number {n % 700}", "user_id": f"u{n % 2}"} for n in range(count))
    )


def texts(memory: Memory) -> dict[str, list[str]]:
    found = {}
    for user in ("u0", "u1"):
        found[user] = [record["text"] for record in memory.export(user_id=user) if "text" in record]
    return found


class Interrupted(Exception):
    pass


def test_an_interrupted_import_is_resumed_by_starting_again(tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text(lines(1_000))
    whole = Memory(store="memory:", embedder="none")
    whole.import_(file)

    def broken_off() -> Iterator[ImportRecord | BadLine]:
        for number, entry in enumerate(read(file)):
            if number == 777:
                raise Interrupted
            yield entry

    with Memory(store="memory:", embedder="none") as memory:
        with pytest.raises(Interrupted):
            memory.import_(broken_off())
        before = memory.stats().items
        assert 0 < before < 1_000
        report = memory.import_(file)
        assert (report.added, report.unchanged) == (1_000 - before, before)
        assert texts(memory) == texts(whole)
        again = memory.import_(file)
        assert (again.added, again.unchanged) == (0, 1_000)
        file.write_text(lines(1_003))
        assert memory.import_(file).added == 3
    whole.close()


def test_the_rest_is_kept_and_every_bad_line_has_its_number(tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    good = jsonl({"role": "user", "content": "kept", "user_id": "ana"})
    file.write_text(good + "{broken\n" + good + jsonl({"role": "user", "content": "whose?"}) + good)
    seen = []
    with Memory(store="memory:", embedder="none") as memory:
        report = memory.import_(file, progress=lambda done, total: seen.append((done, total)))
        assert report.added == 3
        assert sorted(line for line, _ in report.bad_lines) == [2, 4]
        assert memory.get_all(user_id="ana").total == 3
    assert seen


def test_an_export_imports_as_it_was(tmp_path: Path) -> None:
    with Memory(store="memory:", embedder="none") as memory:
        memory.add(
            [
                {"role": "user", "name": "Ana", "content": "I moved.", "timestamp": "2026-01-05T10:00:00+02:00"},
                {"role": "assistant", "content": "Noted.", "metadata": {"a": {"b": [1, 2.5, None]}}},
            ],
            user_id="ana",
            run_id="r1",
        )
        exported = list(memory.export(user_id="ana"))
    file = tmp_path / "ana.jsonl"
    file.write_text(jsonl(*exported))
    with Memory(store="memory:", embedder="none") as other:
        assert other.import_(file).added == 2
        again = list(other.export(user_id="ana"))
    same = ("text", "role", "name", "timestamp", "metadata", "user_id", "run_id")
    assert [[one.get(field) for field in same] for one in again[1:]] == [
        [one.get(field) for field in same] for one in exported[1:]
    ]
