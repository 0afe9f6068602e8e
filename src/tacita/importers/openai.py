"""OpenAI-style messages: one JSON object a line, or one JSON document.

A line is one message (`{"role": ..., "content": ...}`) or a conversation (`{"messages": [...]}`, as in fine-tuning
files), whose other fields are the defaults for its messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tacita.importers.base import BadLine, Draft, Entries, Entry, Keys, Unreadable, records
from tacita.importers.parsing import content_of, elements, ids_of, json_value, mapping, role_of, text_or_none, time_of
from tacita.importers.source import LINE_BYTES, Source

FORMAT: Final = "openai"
_TIMES: Final = ("timestamp", "created_at", "create_time", "created", "date")


def read(source: Source) -> Entries:
    """Every message of the file in order."""
    keys = Keys(FORMAT)
    for line, data in _objects(source):
        if data is None:
            yield BadLine(line=line, reason=f"the line is longer than {LINE_BYTES} bytes")
        elif data.strip():
            yield from _object(line, data, keys)


def _objects(source: Source) -> Iterator[tuple[int, bytes | None]]:
    """JSON texts with their line numbers: the lines of the file, or the elements of the one document that it is."""
    first = source.first_line()
    if first is None:
        return
    line, data = first
    if data is not None and _begins_document(data):
        yield from elements(source.document(before=b"\n" * (line - 1) + data + b"\n"))
        return
    yield first
    yield from source.lines()


def _begins_document(line: bytes) -> bool:
    """True if the file is one JSON document: an array, or an object that goes on over several lines."""
    stripped = line.strip()
    return stripped.startswith(b"[") or (stripped.startswith(b"{") and stripped.endswith((b"{", b"[", b",")))


def _object(line: int, data: bytes, keys: Keys) -> Iterator[Entry]:
    try:
        fields = mapping(json_value(data), "the line")
        if "messages" not in fields:
            yield from records(_draft(line, fields, {}), keys)
            return
        messages = fields["messages"]
        if not isinstance(messages, list):
            raise Unreadable("`messages` is not a list")
        defaults = {"ids": ids_of(fields), "metadata": _metadata(fields), "time": _time(fields)}
    except Unreadable as bad:
        yield BadLine(line=line, reason=str(bad))
        return
    for number, message in enumerate(messages, start=1):
        try:
            yield from records(_draft(line, mapping(message, "the message"), defaults), keys)
        except Unreadable as bad:
            yield BadLine(line=line, reason=f"message {number}: {bad}")


def _draft(line: int, fields: dict[str, Any], defaults: dict[str, Any]) -> Draft:
    text, attachments = content_of(fields.get("content"))
    return Draft(
        line=line,
        role=role_of(fields.get("role")),
        text=text,
        name=text_or_none(fields.get("name"), "the name"),
        timestamp=_time(fields) or defaults.get("time"),
        metadata=defaults.get("metadata", {}) | _metadata(fields),
        attachments=attachments,
        ids=defaults.get("ids", {}) | ids_of(fields),
    )


def _time(fields: dict[str, Any]) -> Any:
    return next((time_of(fields[name]) for name in _TIMES if fields.get(name) is not None), None)


def _metadata(fields: dict[str, Any]) -> dict[str, Any]:
    metadata = fields.get("metadata")
    return {} if metadata is None else mapping(metadata, "the metadata")
