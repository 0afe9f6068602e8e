"""What callers send, checked and turned into messages and moments. Everything is refused before anything is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from tacita import limits
from tacita.errors import InvalidInput
from tacita.items import Message, Metadata

ROLES = ("user", "assistant", "system", "developer", "tool", "function")
_FIELDS = {"role", "content", "name", "timestamp", "metadata"}
_EARLIEST, _LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def parse_messages(messages: object, *, metadata: object = None, timestamp: object = None) -> list[Message]:
    """A string, a message or a sequence of messages, as `add` takes them. Raises InvalidInput."""
    shared = parse_metadata(metadata)
    moment = None if timestamp is None else parse_moment("timestamp", timestamp)
    entries = [messages] if isinstance(messages, str | Mapping | Message) else messages
    if not isinstance(entries, Sequence) or isinstance(entries, bytes | bytearray):
        raise InvalidInput("messages is a string, a message or a list of messages")
    if not 0 < len(entries) <= limits.BATCH_MESSAGES:
        raise InvalidInput(f"one add takes 1 to {limits.BATCH_MESSAGES} messages; use import_ for more")
    parsed = [_parse_message(number, entry, shared, moment) for number, entry in enumerate(entries)]
    if sum(_utf8_size(message.text) for message in parsed) > limits.BATCH_BYTES:
        raise InvalidInput(f"one add takes at most {limits.BATCH_BYTES} bytes of text; use import_ for more")
    return parsed


def _parse_message(number: int, entry: object, shared: Metadata, timestamp: datetime | None) -> Message:
    where = f"message {number}: "
    if isinstance(entry, Message):
        if not entry.text and not entry.attachments:
            raise InvalidInput(where + "content is empty")
        check_text(entry.text, where)
        metadata = parse_metadata({**shared, **entry.metadata}, where)
        attachments = tuple(parse_metadata(part, where + "content part: ") for part in entry.attachments)
        moment = entry.timestamp or timestamp
        return msgspec.structs.replace(entry, metadata=metadata, attachments=attachments, timestamp=moment)
    if isinstance(entry, str):
        entry = {"role": "user", "content": entry}
    if not isinstance(entry, Mapping):
        raise InvalidInput(where + f"must be a string or a mapping, not {type(entry).__name__}")
    if not entry.keys() <= _FIELDS:
        unknown = len(entry.keys() - _FIELDS)
        raise InvalidInput(where + f"unknown fields ({unknown}); known are {', '.join(sorted(_FIELDS))}")
    role = entry.get("role", "user")
    if role not in ROLES:
        raise InvalidInput(where + f"role must be one of {', '.join(ROLES)}")
    text, attachments = _parse_content(entry.get("content"), where)
    name = entry.get("name")
    if name is not None:
        name = parse_name(name, where)
    said = entry.get("timestamp")
    own = entry.get("metadata")
    return Message(
        role=role,
        text=text,
        name=name,
        timestamp=timestamp if said is None else parse_moment(where + "timestamp", said),
        metadata=_with_shared(shared, own, where),
        attachments=attachments,
    )


def _with_shared(shared: Metadata, own: object, where: str) -> Metadata:
    """A message's own metadata over those of all messages."""
    if own is None:
        return dict(shared)
    both = {**shared, **parse_metadata(own, where)}
    return parse_metadata(both, where) if shared else both


def parse_name(name: object, where: str = "") -> str:
    """A speaker's name: one line, at most `limits.NAME_CHARS` characters."""
    if not isinstance(name, str) or not 0 < len(name.strip()) <= limits.NAME_CHARS:
        raise InvalidInput(where + f"name must be a string of 1 to {limits.NAME_CHARS} characters")
    if not name.replace(" ", "").isprintable():
        raise InvalidInput(where + "name must not hold control characters")
    return name.strip()


def _parse_content(content: object, where: str) -> tuple[str, tuple[Metadata, ...]]:
    attachments: list[Metadata] = []
    if isinstance(content, str):
        text = content
    elif isinstance(content, Sequence) and not isinstance(content, bytes | bytearray):
        texts = []
        for part in content:
            if isinstance(part, str):
                texts.append(part)
            elif not isinstance(part, Mapping):
                raise InvalidInput(where + "a content part is a string or a mapping with a type")
            elif part.get("type") in ("text", "input_text", "output_text") and isinstance(part.get("text"), str):
                texts.append(part["text"])
            else:
                # Kept as a reference. Never fetched: a URL from a stranger could reach into private networks.
                attachments.append(parse_metadata(part, where + "content part: "))
        text = "\n".join(texts)
    else:
        raise InvalidInput(where + "content must be a string or a list of parts")
    if not text.strip() and not attachments:
        raise InvalidInput(where + "content is empty")
    return check_text(text, where), tuple(attachments)


def check_text(text: object, where: str = "") -> str:
    """A text that can be kept: a str of valid Unicode, at most `limits.TEXT_BYTES` bytes of UTF-8."""
    if not isinstance(text, str):
        raise InvalidInput(where + f"text must be a string, not {type(text).__name__}")
    try:
        size = _utf8_size(text)
    except UnicodeEncodeError:
        size = -1
    if size < 0:
        raise InvalidInput(where + "text holds lone surrogates, which no encoding can keep")
    if size > limits.TEXT_BYTES:
        raise InvalidInput(where + f"text has {size} bytes, at most {limits.TEXT_BYTES} are allowed; split it")
    return text


def _utf8_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def parse_metadata(metadata: object, where: str = "") -> Metadata:
    """A JSON object within the limits, copied. Raises InvalidInput without naming keys or values."""
    if metadata is None or metadata == {}:
        return {}
    if not isinstance(metadata, Mapping):
        raise InvalidInput(where + "metadata must be a mapping")
    copied = _copy_json(metadata, where, 0)
    if len(metadata) > limits.METADATA_KEYS:
        raise InvalidInput(where + f"metadata has {len(metadata)} keys, at most {limits.METADATA_KEYS} are allowed")
    size = len(msgspec.json.encode(copied)) if copied else 0
    if size > limits.METADATA_BYTES:
        raise InvalidInput(where + f"metadata has {size} bytes, at most {limits.METADATA_BYTES} are allowed")
    return copied  # type: ignore[no-any-return]


def _copy_json(value: object, where: str, depth: int) -> Any:
    if depth > limits.METADATA_DEPTH:
        raise InvalidInput(where + f"metadata is nested deeper than {limits.METADATA_DEPTH}")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return check_text(value, where)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise InvalidInput(where + "metadata holds an integer beyond 64 bits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput(where + "metadata holds NaN or an infinity")
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) and key for key in value):
            raise InvalidInput(where + "metadata keys must be non-empty strings")
        return {check_text(key, where): _copy_json(inner, where, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_copy_json(inner, where, depth + 1) for inner in value]
    raise InvalidInput(where + f"metadata holds a {type(value).__name__}; JSON types only")


def parse_moment(field: str, value: object) -> datetime:
    """A datetime, an ISO 8601 string or seconds since 1970. Without a zone it is UTC."""
    moment: datetime | None = None
    try:
        if isinstance(value, datetime):
            moment = value
        elif isinstance(value, str):
            moment = datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            moment = datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None:
        raise InvalidInput(f"{field} must be a datetime, an ISO 8601 string or seconds since 1970")
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    if not _EARLIEST <= moment <= _LATEST:
        raise InvalidInput(f"{field} is outside the calendar")
    return moment.astimezone(UTC)


def with_key(message: Message, key: str) -> Message:
    """The message under an idempotency key."""
    return msgspec.structs.replace(message, idempotency_key=key)
