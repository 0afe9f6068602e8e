"""What is embedded for one message: the message itself and, when it is long enough, groups of its sentences.

The vector of a whole message blurs a detail said in passing; a group of one or two sentences keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tacita.limits import SEGMENTS
from tacita.patterns import lazy_pattern

GROUP_CHARS: Final = 100
"""Sentences are joined until a group has this many characters."""

LONGEST_CHARS: Final = 500
"""A longer sentence is cut, at a space where there is one."""

TAIL_CHARS: Final = 40
"""A last group shorter than this joins the one before it."""

_SHORTEST: Final = GROUP_CHARS + TAIL_CHARS
"""Less is one group: what follows a first full group would be too short to stand alone."""

_NOTE: Final = "[", ": ", "]"
"""What a note begins with, what follows its label, and what it ends with."""

# A class of characters comes first, so that the engine leaps from one candidate to the next.
_SENTENCE_END = lazy_pattern(r"[.!?\u2026\u3002\uff01\uff1f\u0964\n](?:(?<![.!?\u2026])|(?=\s))\s*")


def message_text(text: str, name: str | None) -> str:
    """What is embedded and indexed for a message: `Name: text` when the speaker has a name."""
    return f"{name}: {text}" if name else text


def segments(text: str, name: str | None) -> list[str]:
    """Sentence groups of about 100 to 500 characters, each with the speaker's name, in order.

    A note at the end, like "[shared photo: a dog on a beach]", is grouped by itself: it tells of something else than what
    was said. At most `limits.SEGMENTS`; what comes later is searched by the message's own vector. A message that is one
    group gives that group alone, equal to `message_text` up to white space, and needs no vector of its own.
    """
    said, note = _parted(text)
    if not note and len(text) < _SHORTEST:
        return [message_text(whole, name)] if (whole := text.strip()) else []
    return [message_text(group, name) for group in (_groups(said) + _groups(note))[:SEGMENTS]]


def _parted(text: str) -> tuple[str, str]:
    """What was said, and the note behind it."""
    bracket, label, end = _NOTE
    start = text.rfind(bracket) if text.rstrip().endswith(end) else -1
    return (text[:start], text[start:]) if start >= 0 and label in text[start:] else (text, "")


def _groups(text: str) -> list[str]:
    groups: list[str] = []
    current = ""
    for sentence in sentences(text):
        for piece in _cut(sentence.strip()):
            current = f"{current} {piece}" if current else piece
            if len(current) >= GROUP_CHARS:
                groups.append(current)
                current = ""
    if current:
        if groups and len(current) < TAIL_CHARS:
            groups[-1] = f"{groups[-1]} {current}"
        else:
            groups.append(current)
    return groups


def sentences(text: str) -> Iterator[str]:
    """A text cut behind the marks and line breaks that end sentences; nothing is left out."""
    start = 0
    for end in _SENTENCE_END.finditer(text):
        yield text[start : end.end()]
        start = end.end()
    yield text[start:]


def _cut(sentence: str) -> list[str]:
    pieces = []
    while len(sentence) > LONGEST_CHARS:
        space = sentence.rfind(" ", LONGEST_CHARS // 2, LONGEST_CHARS)
        end = space if space > 0 else LONGEST_CHARS
        pieces.append(sentence[:end])
        sentence = sentence[end:].lstrip()
    if sentence:
        pieces.append(sentence)
    return pieces
