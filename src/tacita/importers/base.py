"""What every importer yields, and the errors and limits they share. No format lives here, and nothing is written.

An importer is a pure function from a `Source` to a stream of `ImportRecord` and `BadLine`: it may be stopped and
started again at any point, because each message carries a key that is the same in every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from tacita import limits
from tacita.hazmat import sha256
from tacita.importers.split import split_text
from tacita.items import ID_FIELDS, Message, Metadata, Value

FILE_KEY_CHARS: Final = 32
"""Hex digits of an import's idempotency key: 128 bits of SHA-256."""

ID_NAMES: Final = frozenset(field for _, field in ID_FIELDS)


class ImportRecord(Value, frozen=True, kw_only=True):
    """One message of a file, ready to add, and the ids that the file itself gives it."""

    line: int
    """The line it stands on, from 1; in a JSON document, the line its conversation begins on."""
    message: Message
    ids: dict[str, str]
    """Such as `{"user_id": "conv-26", "run_id": "session_1"}`; empty when the file names nobody."""


class BadLine(Value, frozen=True, kw_only=True):
    """A line, or a part of a conversation, that could not be read. The rest of the file goes on."""

    line: int
    reason: str
    """What is wrong, in words that never come from the file."""


Entry: TypeAlias = ImportRecord | BadLine
Entries: TypeAlias = Iterator[Entry]


class Unreadable(Exception):
    """Raised inside an importer for one bad line or turn; `read` turns it into a `BadLine`. Holds no content."""


class Draft(msgspec.Struct, frozen=True):
    """A message as a format describes it, before it is checked, keyed and split."""

    line: int
    role: str
    text: str
    name: str | None = None
    timestamp: datetime | None = None
    metadata: Metadata | None = None
    attachments: tuple[Metadata, ...] = ()
    ids: Mapping[str, str] | None = None
    position: str | None = None
    """What names this message for ever within its conversation (a node id, a dialogue id), if the format has it."""


class Keys:
    """Gives each message of one file a key that is the same in every run over the same or a grown file.

    Where a format names its messages, that name is the position. Elsewhere the position is "the n-th time that exactly
    this was said in this conversation", so that a line put in, mended or cut off elsewhere moves nothing.
    """

    def __init__(self, format: str) -> None:
        self._format = format
        self._seen: dict[bytes, int] = {}

    def key(self, draft: Draft) -> str:
        content = [
            self._format,
            sorted((draft.ids or {}).items()),
            draft.position,
            draft.role,
            draft.name,
            draft.timestamp,
            draft.text,
        ]
        digest = sha256(msgspec.json.encode(content))[: FILE_KEY_CHARS // 2]
        if draft.position is not None:
            return digest.hex()
        count = self._seen.get(digest, 0)
        self._seen[digest] = count + 1
        return digest.hex() if count == 0 else f"{digest.hex()}+{count}"


def records(draft: Draft, keys: Keys) -> Iterator[ImportRecord]:
    """Check a draft and yield its record, or several when the text is longer than one item may be."""
    _check(draft)
    key = keys.key(draft)
    parts = split_text(draft.text, limits.TEXT_BYTES)
    for number, part in enumerate(parts, start=1):
        metadata = dict(draft.metadata or {})
        if len(parts) > 1:
            metadata |= {"part": number, "parts": len(parts)}
        yield ImportRecord(
            line=draft.line,
            message=Message(
                role=draft.role,
                text=part,
                name=draft.name,
                timestamp=draft.timestamp,
                metadata=metadata,
                attachments=draft.attachments if number == 1 else (),
                idempotency_key=key if number == 1 else f"{key}#{number}",
            ),
            ids=dict(draft.ids or {}),
        )


def _check(draft: Draft) -> None:
    if not draft.text.strip():
        raise Unreadable("there is no text")
    if draft.name is not None and len(draft.name) > limits.NAME_CHARS:
        raise Unreadable(f"the name is longer than {limits.NAME_CHARS} characters")
    for field, value in (draft.ids or {}).items():
        if not 0 < len(value.strip()) <= limits.ID_CHARS:
            raise Unreadable(f"{field} must have 1 to {limits.ID_CHARS} characters")
    if draft.metadata:
        _check_metadata(draft.metadata)


def _check_metadata(metadata: Metadata) -> None:
    if len(metadata) > limits.METADATA_KEYS:
        raise Unreadable(f"the metadata has more than {limits.METADATA_KEYS} keys")
    if len(msgspec.json.encode(metadata)) > limits.METADATA_BYTES:
        raise Unreadable(f"the metadata is larger than {limits.METADATA_BYTES} bytes")
    if depth(metadata) > limits.METADATA_DEPTH:
        raise Unreadable(f"the metadata is nested deeper than {limits.METADATA_DEPTH}")


def depth(value: Any) -> int:
    """How deep lists and dicts are nested in a JSON value; 0 for a plain one. Does not recurse."""
    deepest = 0
    todo: list[tuple[Any, int]] = [(value, 0)]
    while todo:
        inner, level = todo.pop()
        if isinstance(inner, dict):
            todo.extend((child, level + 1) for child in inner.values())
            deepest = max(deepest, level + 1)
        elif isinstance(inner, list):
            todo.extend((child, level + 1) for child in inner)
            deepest = max(deepest, level + 1)
    return deepest
