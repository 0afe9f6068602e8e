"""Which messages tell an assistant how to answer from then on: "always use metric units", "I prefer small libraries".

Such a message matters to a question for advice whose words and meaning it does not share. English only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise, product
from typing import Final

from tacita.patterns import lazy_pattern

SHORT_CHARS: Final = 300
"""A longer text that says "always" is rarely an instruction."""

_STRONG: Final = frozenset({"always", "never", "don't", "not"})
# At the beginning of a sentence, where English puts what is to be done.
_IMPERATIVE = lazy_pattern(r"(?:^|[.!?:\n]\s*|\bplease )(?:always|never|do not|don['\u2019]t)\b", re.IGNORECASE)
_INSTRUCTION: Final = frozenset(
    {("i", "ask"), ("i", "request"), ("now", "on"), ("going", "forward"), ("remember", "to")}
)
_PREFERENCE: Final = frozenset(product(("i", "i'd", "would", "really", "also", "always", "generally", "usually"),
                                       ("prefer", "rather", "favor", "favour"))) | {
    ("my", "preference"), ("my", "preferences"),
}  # fmt: skip


def guides(text: str, found: Sequence[str]) -> bool:
    """Whether a message of the user is a standing instruction or a preference; `found` are the words of its head."""
    if not _PREFERENCE.isdisjoint(pairwise(found)):
        return True
    if len(text) > SHORT_CHARS:
        return False
    if not _INSTRUCTION.isdisjoint(pairwise(found)):
        return True
    return not _STRONG.isdisjoint(found) and _IMPERATIVE.search(text) is not None
