"""A remembered sentence must not act on the terminal of whoever looks at it, nor hide a part of itself from a reviewer."""

import io
import json

import pytest
from rich.console import Console

from tacita.operations import Response
from tacita.surfaces.render import show

CLEARS = "harmless\x1b[2J\x1b[Hall is well"
HIDES = "approve me \u202e\u2066 \U000e0069\U000e0067 \u200b\x9b31m\r\x08"
ITEM = {
    "timestamp": "2026-01-01T00:00:00Z", "created_at": "2026-01-01T00:00:00Z", "name": CLEARS, "role": "user",
    "text": HIDES, "id": "x", "channel": f"tool:{CLEARS}", "labels": [CLEARS], "metadata": {CLEARS: HIDES},
    "attachments": [{"url": CLEARS}],
}  # fmt: skip
SHOWN = {
    "search": {"warnings": [CLEARS], "hits": [{**ITEM, "score": 1.0}]},
    "get_all": {"items": [ITEM], "total": 1, "next_cursor": None},
    "get": ITEM,
    "context": {"text": CLEARS + HIDES},
    "history": [{"version": 1, "at": "2026-01-01T00:00:00Z", "event": "added", "actor": CLEARS, "text": HIDES}],
    "profile": {"text": HIDES},
    "quarantine": [{"item": ITEM, "reason": "instruction", "digest": "00"}],
    "extract": {
        "facts": [{"event": "added", "text": HIDES, "id": "x"}],
        "dropped": {},
        "failure": "model",
        "reason": CLEARS,
        "pending": 0,
    },
}


def printed(operation: str, *, as_json: bool = False) -> str:
    console = Console(file=io.StringIO(), soft_wrap=True, highlight=False, no_color=True)
    show(Response(operation, SHOWN[operation]), as_json=as_json, console=console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("operation", SHOWN)
def test_no_control_reaches_the_terminal(operation: str) -> None:
    written = printed(operation)
    assert not [char for char in written if not (char.isprintable() or char == "\n")]
    assert "\\x1b" in written or "\\u202e" in written, "what is there is shown for what it is"


@pytest.mark.parametrize("operation", SHOWN)
def test_json_keeps_every_character_and_escapes_controls(operation: str) -> None:
    written = printed(operation, as_json=True)
    assert "\x1b" not in written
    assert json.loads(written) == SHOWN[operation]


def test_a_reviewer_sees_all_that_carries_words() -> None:
    assert printed("quarantine").count("approve me") == 2, "the text and the metadata"
    assert "attachments" in printed("quarantine")


def test_scripts_that_need_joiners_keep_them() -> None:
    console = Console(file=io.StringIO(), soft_wrap=True, highlight=False)
    text = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\u2695\ufe0f"
    show(Response("context", {"text": text}), as_json=False, console=console)
    assert console.file.getvalue().strip() == text  # type: ignore[attr-defined]
