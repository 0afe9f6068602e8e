"""Files of other programs: every importer, alone and through the whole `import_`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from fuzzing.kit import MARKER, Refused, Target, attempt, require
from tacita import Memory
from tacita.errors import InvalidInput
from tacita.flows.parse import parse_messages
from tacita.importers import BadLine, ImportRecord, read
from tacita.importers.base import Entry


def imported(format: str) -> Callable[[bytes], None]:
    """A target for one importer."""

    def run(data: bytes) -> None:
        found = attempt(lambda: list(read(io.BytesIO(data), format)), InvalidInput)
        if isinstance(found, Refused):
            return
        keys: set[tuple[str, str]] = set()
        for entry in found:
            if isinstance(entry, BadLine):
                require(MARKER not in entry.reason, "a bad line's reason holds none of the line")
                continue
            require(bool(entry.message.text.strip()), "a record has a text")
            key = (str(sorted(entry.ids.items())), entry.message.idempotency_key or "")
            keys.add(key)
            attempt(lambda message=entry.message: parse_messages([message]), InvalidInput)  # type: ignore[misc]
        require(list(read(io.BytesIO(data), format)) == found, "a second reading says the same")
        if _kept(found):
            _through(found)

    return run


def _kept(found: list[Entry]) -> bool:
    return any(isinstance(entry, ImportRecord) for entry in found)


def _through(found: list[Entry]) -> None:
    """All of it into a memory, twice: nothing is added twice, and nothing is said in the report."""
    with Memory(store="memory:", embedder="none", clock=lambda: 10**15) as memory:
        first = memory.import_(found[:40], user_id="ana")
        require(MARKER not in str(first.bad_lines), "a report holds no content")
        require(memory.import_(found[:40], user_id="ana").added == 0, "a second import adds nothing")
        require(memory.verify().ok, "no import damages a vault")


_OPENAI: Final = (
    {"role": "user", "content": MARKER, "name": "Ana", "timestamp": "2024-05-01", "metadata": {"a": 1}},
    {"role": "human", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "u"}}]},
    {"messages": [{"role": "user", "content": "a", "created": 1714557600}], "session_id": 7, "metadata": {"k": "v"}},
)
_CHATGPT: Final = [
    {
        "title": "Tea",
        "create_time": 1714557600.5,
        "conversation_id": "c1",
        "current_node": "n2",
        "mapping": {
            "n0": {"id": "n0", "message": None, "parent": None, "children": ["n1"]},
            "n1": {
                "message": {
                    "author": {"role": "user", "name": None},
                    "content": {"content_type": "text", "parts": [MARKER, {"asset_pointer": "file://x"}]},
                    "create_time": 1714557601,
                    "weight": 1.0,
                    "metadata": {},
                },
                "parent": "n0",
                "children": ["n2"],
            },
            "n2": {
                "message": {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["Yes."]}},
                "parent": "n1",
            },
        },
    }
]
_LOCOMO: Final = [
    {
        "sample_id": "conv-1",
        "conversation": {
            "speaker_a": "Ana",
            "session_1": [
                {"speaker": "Ana", "dia_id": "D1:1", "text": MARKER},
                {"speaker": "Rui", "dia_id": "D1:2", "text": "Hi", "blip_caption": "a cat", "img_url": ["u"]},
            ],
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_2": [],
        },
    }
]
_EXPORT: Final = (
    {"tacita_export": 1, "subject": {"kind": "user", "id": "ana"}, "items": 1},
    {
        "id": "0190a5c0-7c3e-7000-8000-000000000001",
        "text": MARKER,
        "role": "user",
        "timestamp": "2024-05-01T10:00:00+00:00",
        "metadata": {"a": 1},
        "attachments": [{"type": "image"}],
        "user_id": "ana",
        "run_id": "r",
        "valid_to": None,
        "history": [],
    },
)
_TRANSCRIPT: Final = f"[2023-05-08 13:56] Ana: {MARKER}\n  goes on\n[2023-05-08 1:57] Bot: yes\nNote: more\n".encode()


def _lines(*values: Any) -> bytes:
    return b"\n".join(json.dumps(value).encode() for value in values)


def _one(data: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter([data])


_SEEDS: Final = {
    "openai": (_lines(*_OPENAI), "lines"),
    "chatgpt": (_lines(_CHATGPT), "json"),
    "locomo": (_lines(_LOCOMO), "json"),
    "export": (_lines(*_EXPORT), "lines"),
    "transcript": (_TRANSCRIPT, "raw"),
}
_PROMISE: Final = (
    "A hostile {} file is InvalidInput or entries, the same twice, that import without adding anything twice"
)
TARGETS: Final = (
    *(
        Target(f"import-{form}", _PROMISE.format(form), imported(form), _one(seed), codec)
        for form, (seed, codec) in _SEEDS.items()
    ),
    Target(
        "import-auto",
        "A file of unknown form is told from its beginning, or InvalidInput",
        imported("auto"),
        lambda: iter([seed for seed, _ in _SEEDS.values()]),
        "lines",
    ),
)
