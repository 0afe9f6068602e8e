"""One realistic file of each form, and what is wrong with real files."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tacita import InvalidInput
from tacita.importers import BadLine, ImportRecord, detect, read


def parsed(data: bytes | str) -> tuple[list[ImportRecord], list[BadLine]]:
    raw = data.encode() if isinstance(data, str) else data
    entries = list(read(io.BytesIO(raw)))
    return [e for e in entries if isinstance(e, ImportRecord)], [e for e in entries if isinstance(e, BadLine)]


def said(records: list[ImportRecord]) -> list[tuple[str, str | None, str]]:
    return [(record.message.role, record.message.name, record.message.text) for record in records]


def jsonl(*objects: Any) -> str:
    return "".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in objects)


# ------------------------------------------------------------------ OpenAI-style


def test_messages_one_a_line() -> None:
    records, bad = parsed(
        jsonl(
            {"role": "user", "content": "I moved to Braga.", "timestamp": "2026-01-05T10:00:00Z", "user_id": "ana"},
            "not json\n",
            "\n",
            {"role": "assistant", "content": [{"type": "text", "text": "Noted."}, {"type": "image_url", "url": "x:y"}]},
            {"role": "wizard", "content": "abracadabra"},
            {"content": ""},
            {"role": "user", "content": "done"},
        )
    )
    assert said(records) == [
        ("user", None, "I moved to Braga."),
        ("assistant", None, "Noted."),
        ("user", None, "done"),
    ]
    assert records[0].message.timestamp == datetime(2026, 1, 5, 10, tzinfo=UTC)
    assert records[0].ids == {"user_id": "ana"}
    assert records[1].message.attachments == ({"type": "image_url", "url": "x:y"},)
    assert [line.line for line in bad] == [2, 5, 6]
    assert "abracadabra" not in "".join(line.reason for line in bad)


def test_conversations_one_a_line_and_as_a_document() -> None:
    one = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}], "user_id": "rui"}
    for text in (jsonl(one), json.dumps([one]), json.dumps(one, indent=2)):
        records, bad = parsed(text)
        assert said(records) == [("user", None, "hi"), ("assistant", None, "hello")]
        assert [record.ids for record in records] == [{"user_id": "rui"}] * 2
        assert bad == []


def test_a_byte_order_mark_and_windows_line_ends() -> None:
    records, bad = parsed(b"\xef\xbb\xbf" + b'{"role": "user", "content": "ol\xc3\xa1"}\r\n' * 2)
    assert [record.message.text for record in records] == ["olá", "olá"]
    assert records[0].message.idempotency_key != records[1].message.idempotency_key
    assert bad == []


# ------------------------------------------------------------------ ChatGPT


def node(parent: str | None, role: str | None = None, text: str = "", **more: Any) -> dict[str, Any]:
    message = None
    if role is not None:
        content = {"content_type": "text", "parts": [text]}
        message = {"author": {"role": role}, "content": content, "create_time": 1767607200.5, "metadata": {}, **more}
    return {"parent": parent, "children": [], "message": message}


def conversation(**changes: Any) -> dict[str, Any]:
    nodes = {
        "root": node(None),
        "sys": node("root", "system", "be kind", metadata={"is_visually_hidden_from_conversation": True}),
        "q": node("sys", "user", "What is for dinner?"),
        "a1": node("q", "assistant", "Soup."),
        "a2": node("q", "assistant", "Lentils."),
    }
    return {
        "title": "Dinner",
        "id": "c-1",
        "create_time": 1767607200.0,
        "mapping": nodes,
        "current_node": "a2",
    } | changes


def test_the_branch_that_was_seen_last() -> None:
    records, bad = parsed(json.dumps([conversation()]))
    assert said(records) == [("user", None, "What is for dinner?"), ("assistant", None, "Lentils.")]
    assert records[0].ids == {"run_id": "c-1"}
    assert records[0].message.metadata == {"title": "Dinner"}
    assert records[0].message.timestamp == datetime(2026, 1, 5, 10, 0, 0, 500_000, tzinfo=UTC)
    assert bad == []


@pytest.mark.parametrize(
    "changes",
    [{"current_node": "gone"}, {"mapping": []}, {"mapping": {"a": node("b"), "b": node("a")}, "current_node": "a"}],
)
def test_a_broken_tree_costs_its_own_conversation_only(changes: dict[str, Any]) -> None:
    records, bad = parsed(json.dumps([conversation(**changes), conversation(id="c-2")]))
    assert {record.ids["run_id"] for record in records} == {"c-2"}
    assert len(bad) == 1
    assert bad[0].reason.startswith("conversation 1")


# ------------------------------------------------------------------ LoCoMo


def locomo() -> dict[str, Any]:
    return {
        "sample_id": "conv-1",
        "qa": [{"question": "who?", "evidence": ["D1:1"]}],
        "conversation": {
            "speaker_a": "Ana",
            "speaker_b": "Rui",
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                {"speaker": "Ana", "dia_id": "D1:1", "text": "I adopted a dog."},
                {"speaker": "Rui", "dia_id": "D1:2", "text": "Look!", "blip_caption": "a photo of a dog"},
            ],
            "session_2_date_time": "some day",
            "session_2": [{"speaker": "Ana", "dia_id": "D2:1", "text": "He is called Bolota."}],
        },
    }


def test_sessions_speakers_and_times() -> None:
    records, bad = parsed(json.dumps([locomo()]))
    assert [record.message.name for record in records] == ["Ana", "Rui", "Ana"]
    assert [record.ids for record in records] == [
        {"user_id": "conv-1", "run_id": "session_1"},
        {"user_id": "conv-1", "run_id": "session_1"},
        {"user_id": "conv-1", "run_id": "session_2"},
    ]
    assert records[0].message.timestamp == datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
    assert records[0].message.metadata["dia_id"] == "D1:1"
    assert "a photo of a dog" in records[1].message.text
    assert records[2].message.timestamp is None
    assert len(bad) == 1, "the time that could not be read"


# ------------------------------------------------------------------ transcripts


def test_turns_with_and_without_times() -> None:
    records, bad = parsed(
        "[2026-03-02 09:00] Ana: The hike is on\nSunday.\n[2026-03-02 09:05] Assistant: Note: take water.\n"
    )
    assert said(records) == [("user", "Ana", "The hike is on\nSunday."), ("assistant", None, "Note: take water.")]
    assert records[1].message.timestamp == datetime(2026, 3, 2, 9, 5, tzinfo=UTC)
    records, bad = parsed("lost words\nAna: hello\n  Rui: quoted\nUser: bye\n")
    assert said(records) == [("user", "Ana", "hello\nRui: quoted"), ("user", None, "bye")]
    assert [line.line for line in bad] == [1]


def test_a_line_that_is_no_utf8_is_named() -> None:
    records, bad = parsed(b"Ana: hello\nRui: \xff\xfe\nAna: bye\n")
    assert [record.message.text for record in records] == ["hello", "bye"]
    assert [line.line for line in bad] == [2]


# ------------------------------------------------------------------ all


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (b"PK\x03\x04rest", "zip"),
        (b"\x1f\x8brest", "gzip"),
        ("Ana: hello".encode("utf-16"), "UTF-16"),
        (b"%PDF-1.7", "PDF"),
        (b"SQLite format 3\x00", "database"),
    ],
)
def test_files_of_another_kind_get_advice(data: bytes, advice: str) -> None:
    with pytest.raises(InvalidInput, match=advice):
        parsed(data)


def test_the_form_is_told_from_the_beginning() -> None:
    files = {
        "openai": jsonl({"role": "user", "content": "x"}),
        "chatgpt": json.dumps([conversation()]),
        "locomo": json.dumps([locomo()]),
        "export": jsonl({"tacita_export": 1}),
        "transcript": "Ana: hello\n",
    }
    assert {name: detect(io.BytesIO(text.encode())) for name, text in files.items()} == {name: name for name in files}
    with pytest.raises(InvalidInput, match="unknown format"):
        list(read(io.BytesIO(b""), format="docx"))
    with pytest.raises(InvalidInput, match="cannot be opened"):
        list(read("/nowhere/at/all.jsonl"))
    assert parsed(b"") == ([], [])
