"""The texts of a file, one record at a time: of a JSONL line its `text`, of any other line the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tacita.errors import InvalidInput


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, text) for every line. Raises InvalidInput when the file cannot be read."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                yield number, _text(raw.decode("utf-8", "replace").rstrip("\r\n"))
    except OSError as error:
        raise InvalidInput(f"the file cannot be read: {error.strerror}") from None


def _text(line: str) -> str:
    if line.lstrip().startswith("{"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return line
        if isinstance(record, dict) and isinstance(record.get("text"), str):
            text: str = record["text"]
            return text
    return line
