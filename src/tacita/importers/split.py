"""Cutting a text that is too long for one item at the best place. Pure: text in, pieces out."""

from __future__ import annotations

from typing import Final

from tacita.patterns import lazy_pattern

_ENDS: Final = (
    lazy_pattern(r"\n\s*\n"),
    lazy_pattern(r"\n"),
    lazy_pattern(r"[.!?。！？][\"'”’)\]]*\s+|[。！？]"),
    lazy_pattern(r"\s+"),
)
"""Where to cut, best first: after a paragraph, a line, a sentence, a word."""


def split_text(text: str, limit: int) -> list[str]:
    """Pieces of at most `limit` UTF-8 bytes, cut after a paragraph, line, sentence or word in that order of liking.

    Joined they are the text again, but for white space around the cuts. A cut is only made in the second half of what
    fits, so that one early paragraph end does not leave crumbs; a text without any white space is cut hard, between
    characters.
    """
    if len(text) <= limit and len(text.encode()) <= limit:
        return [text]
    pieces = []
    rest = text
    while len(rest.encode()) > limit:
        fitting = rest.encode()[:limit].decode(errors="ignore")
        cut = _cut(fitting)
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces.append(rest)
    return [piece.strip() for piece in pieces if piece.strip()]


def _cut(fitting: str) -> int:
    """Characters of `fitting` to keep in this piece."""
    half = len(fitting) // 2
    for end in _ENDS:
        last = 0
        for match in end.finditer(fitting, half):
            last = match.end()
        if last:
            return last
    return len(fitting)
