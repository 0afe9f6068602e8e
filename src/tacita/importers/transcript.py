"""Plain-text transcripts: `Name: text` or `[2023-05-08 13:56] Name: text`, and the lines that go on below.

When the first turn carries a time, every turn must: a line without one goes on with the turn above it, however much
it looks like `Note: text`. Indented lines always go on with the turn above.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec

from tacita.importers.base import BadLine, Draft, Entries, Entry, Keys, Unreadable, records
from tacita.importers.source import LINE_BYTES, Source
from tacita.importers.times import parse_time
from tacita.patterns import lazy_pattern

FORMAT: Final = "transcript"
_TURN: Final = lazy_pattern(
    r"(?:\[(?P<time>[^\]]{4,40})\]\s*)?(?P<name>[^\W_][^:\[\]{}\"<>|]{0,59}?)\s?:(?:\s+(?P<text>.*))?", re.DOTALL
)
_NAME_WORDS: Final = 5
"""A longer "name" is the beginning of a sentence with a colon in it."""

_ASSISTANTS: Final = frozenset({"assistant", "ai", "bot", "chatgpt", "model"})
_USERS: Final = frozenset({"user", "human", "me", "you"})
_TURN_BYTES: Final = LINE_BYTES
"""A turn that grows beyond this is ended, so that a file without speakers cannot fill the memory."""


class _Turn(msgspec.Struct):
    line: int
    name: str
    timestamp: datetime | None
    lines: list[str] = msgspec.field(default_factory=list)
    size: int = 0


def turn_start(line: str) -> tuple[str | None, str, str] | None:
    """(time, name, text) if `line` begins a turn, else None."""
    match = _TURN.fullmatch(line)
    if match is None or len(match["name"].split()) > _NAME_WORDS or match["name"].lower() in ("http", "https"):
        return None
    return match["time"], match["name"].strip(), match["text"] or ""


def read(source: Source) -> Entries:
    """Every turn in order."""
    keys = Keys(FORMAT)
    turn: _Turn | None = None
    timed: bool | None = None
    for number, data in source.lines():
        try:
            if data is None:
                raise Unreadable(f"the line is longer than {LINE_BYTES} bytes")
            line = data.decode().rstrip()
        except UnicodeDecodeError:
            yield BadLine(line=number, reason="the line is not valid UTF-8")
            continue
        except Unreadable as bad:
            yield BadLine(line=number, reason=str(bad))
            continue
        start = turn_start(line)
        if start is not None and (turn is None or not timed or start[0] is not None):
            if turn is not None:
                yield from _finished(turn, keys)
            if timed is None:
                timed = start[0] is not None
            try:
                turn = _begun(number, *start)
            except Unreadable as bad:
                turn = None
                yield BadLine(line=number, reason=str(bad))
        elif turn is not None and turn.size < _TURN_BYTES:
            turn.lines.append(line.strip())
            turn.size += len(line)
        elif line.strip():
            yield BadLine(line=number, reason="this text belongs to no speaker")
    if turn is not None:
        yield from _finished(turn, keys)


def _begun(number: int, time: str | None, name: str, text: str) -> _Turn:
    timestamp = None if time is None else parse_time(time)
    if time is not None and timestamp is None:
        raise Unreadable("the time cannot be read")
    return _Turn(number, name, timestamp, [text], len(text))


def _finished(turn: _Turn, keys: Keys) -> Iterator[Entry]:
    known = turn.name.lower()
    role = "assistant" if known in _ASSISTANTS else "user"
    name = None if known in _ASSISTANTS | _USERS else turn.name
    text = "\n".join(turn.lines).strip()
    try:
        yield from records(Draft(line=turn.line, role=role, text=text, name=name, timestamp=turn.timestamp), keys)
    except Unreadable as bad:
        yield BadLine(line=turn.line, reason=str(bad))
