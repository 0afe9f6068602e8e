"""Files that hold conversations, as streams of messages. Pure: nothing is written, nothing is fetched."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from tacita.errors import InvalidInput
from tacita.importers import chatgpt, export, locomo, openai, transcript
from tacita.importers.base import BadLine, Entries, Entry, ImportRecord
from tacita.importers.source import Readable, Source, opened

__all__ = ["FORMATS", "BadLine", "ImportRecord", "detect", "read"]

_READERS: Final[dict[str, Callable[[Source], Entries]]] = {
    "openai": openai.read,
    "chatgpt": chatgpt.read,
    "locomo": locomo.read,
    "export": export.read,
    "transcript": transcript.read,
}
FORMATS: Final = tuple(_READERS)
# A transcript may begin with a bracket too: "[2026-03-02 09:00] Ana: hello".
_JSON: Final = re.compile(rb"\{|\[\s*(?:[\[{\]\"]|\Z)")


def read(file: Readable, format: str = "auto") -> Iterator[Entry]:
    """The messages of a file, and the lines of it that could not be read.

    Args:
        file: a path or a binary stream.
        format: one of `FORMATS`, or "auto" to tell it from the file's beginning.

    Raises:
        InvalidInput: the file cannot be opened, or is not text of a known form.
    """
    if format != "auto" and format not in _READERS:
        raise InvalidInput(f"unknown format; known are auto, {', '.join(FORMATS)}")
    with opened(file) as source:
        yield from _READERS[_detect(source.head) if format == "auto" else format](source)


def detect(file: Readable) -> str:
    """The format of a file, from its beginning."""
    with opened(file) as source:
        return _detect(source.head)


def _detect(head: bytes) -> str:
    start = head.lstrip()
    if not _JSON.match(start):
        return "transcript"
    if start.startswith(b'{"tacita_export"'):
        return "export"
    if b'"mapping"' in head:
        return "chatgpt"
    if b'"sample_id"' in head or b'"dia_id"' in head or (start.startswith(b"[") and b'"evidence"' in head):
        return "locomo"
    return "openai"
