"""Which words of a message stand in its questions.

"Got any pets?" says nothing about the pets of whoever asks; the next message does. So a word in a question counts less for its
own message, and more for the one that follows (`profile.ContextBM25F`).
"""

from __future__ import annotations

from typing import Final

from tacita.retrieval.segment import sentences
from tacita.retrieval.text import words

MARKS: Final = ("?", "\uff1f")
"""Question marks, the second one of full width, as `segment` knows them."""

_AFTER: Final = " \t\r\n!.\u2026\uff01\"'*_)]\u201d\u2019\u300d"
"""What may follow a question mark in its sentence."""


def parted(text: str) -> tuple[list[str], list[str]]:
    """The `words` of a text outside its questions, and those inside, each in order."""
    if MARKS[0] not in text and MARKS[1] not in text:
        return words(text), []
    told: list[str] = []
    asked: list[str] = []
    for sentence in sentences(text):
        (asked if sentence.rstrip(_AFTER).endswith(MARKS) else told).extend(words(sentence))
    return told, asked
