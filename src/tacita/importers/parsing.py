"""Reading JSON and loosely typed fields out of other people's files. Every complaint is free of content."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from tacita.errors import InvalidInput
from tacita.importers.base import ID_NAMES, Unreadable
from tacita.importers.times import from_epoch, parse_time
from tacita.items import Metadata

_ROLES: Final = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
}
_RUN_NAMES: Final = ("conversation_id", "session_id", "thread_id")
"""What other programs call a run."""

_REFERENCE_FIELDS: Final = ("url", "file_id", "asset_pointer", "filename", "name", "detail")
_REFERENCE_CHARS: Final = 2048


def json_value(data: bytes) -> Any:
    """The JSON value that `data` is. Raises Unreadable; nesting that exhausts the stack counts as unreadable."""
    try:
        return msgspec.json.decode(data)
    except UnicodeDecodeError:
        raise Unreadable("this is not valid UTF-8") from None
    except RecursionError:
        raise Unreadable("the JSON is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError):
        raise Unreadable("this is not valid JSON") from None


def elements(document: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements of a top-level JSON array, or the one top-level object, undecoded, with the line each begins on.

    Raises InvalidInput when the document as a whole is not JSON: then nothing in it can be told apart.
    """
    if not document.lstrip().startswith(b"["):
        yield 1 + document[: len(document) - len(document.lstrip())].count(b"\n"), document
        return
    try:
        raw = msgspec.json.decode(document, type=list[msgspec.Raw])
    except RecursionError:
        raise InvalidInput("the JSON is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as error:
        at = re.search(r"\(byte (\d+)\)", str(error))
        line = 1 + document.count(b"\n", 0, int(at[1])) if at else 0
        where = f" (line {line})" if at else ""
        raise InvalidInput(f"the file is not one valid JSON document{where}") from None
    line, end = 1, 0
    for element in raw:
        data = bytes(element)
        start = document.index(data, end)
        line += document.count(b"\n", end, start)
        yield line, data
        end = start + len(data)
        line += data.count(b"\n")


def mapping(value: Any, what: str) -> dict[str, Any]:
    """`value` if it is a JSON object. Raises Unreadable, naming `what` it should have been."""
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is not a JSON object")
    return value


def role_of(value: Any) -> str:
    """One of the roles that Tacita knows. Raises Unreadable."""
    if not isinstance(value, str):
        raise Unreadable("there is no role")
    role = _ROLES.get(value.strip().lower())
    if role is None:
        raise Unreadable("the role is not user, assistant, system or tool")
    return role


def text_or_none(value: Any, what: str) -> str | None:
    """A trimmed string, None for null and for blanks. Raises Unreadable."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise Unreadable(f"{what} is not text")
    return value.strip() or None


def time_of(value: Any) -> datetime | None:
    """A moment from a string or a number of seconds or milliseconds; None for null. Raises Unreadable."""
    if value is None:
        return None
    moment = None
    if isinstance(value, str):
        moment = parse_time(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        moment = from_epoch(value)
    if moment is None:
        raise Unreadable("the time cannot be read")
    return moment


def ids_of(fields: Mapping[str, Any]) -> dict[str, str]:
    """The ids among the fields of a message or a conversation, by Tacita's names. Raises Unreadable."""
    found = {name: fields[name] for name in sorted(ID_NAMES) if fields.get(name) is not None}
    if "run_id" not in found:
        runs = [fields[name] for name in _RUN_NAMES if fields.get(name) is not None]
        if runs:
            found["run_id"] = runs[0]
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise Unreadable(f"{name} is not text")
    return {name: str(value).strip() for name, value in found.items()}


def content_of(value: Any) -> tuple[str, tuple[Metadata, ...]]:
    """The text of a message's content, and references to its other parts. Content is a string or a list of parts."""
    if value is None:
        return "", ()
    if isinstance(value, str):
        return value, ()
    if not isinstance(value, list):
        raise Unreadable("the content is neither text nor a list of parts")
    texts: list[str] = []
    references: list[Metadata] = []
    for part in value:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict):
            references.append(reference(part))
        else:
            raise Unreadable("a part of the content is neither text nor a JSON object")
    return "\n".join(text for text in texts if text), tuple(references)


def reference(part: Mapping[str, Any]) -> Metadata:
    """What a part that is not text points to: its type and its short fields. Inline data is left out, nothing is fetched."""
    kind = part.get("type", part.get("content_type"))
    kept: Metadata = {"type": kind[:64] if isinstance(kind, str) else "unknown"}
    inner = part.get(kind) if isinstance(kind, str) else None
    if isinstance(inner, str):
        inner = {"url": inner}
    for fields in (part, inner):
        if isinstance(fields, Mapping):
            for name in _REFERENCE_FIELDS:
                value = fields.get(name)
                if isinstance(value, str) and len(value) <= _REFERENCE_CHARS and not value.startswith("data:"):
                    kept[name] = value
    return kept
