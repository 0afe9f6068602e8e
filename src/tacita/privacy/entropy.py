"""Whether a string looks drawn at random, or like something that stands for a secret in a manual."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

from tacita.patterns import lazy_pattern

_RUN: Final = lazy_pattern(r"(.)\1{5}|(?:xx|XX|\*\*|\.\.){2}|#{4}|abcdefghij", re.IGNORECASE)
_TEMPLATE: Final = lazy_pattern(r"[$%]\w*[{(]|(?:^|:)\$\w+(?:$|:)|\{\{|^%.*%$|^<.*>$|^\{.*\}$|^\[.*\]$|^`")
_SHORT: Final = 256
_WORDS: Final = (
    "example",
    "placeholder",
    "changeme",
    "redacted",
    "your-",
    "your_",
    "yourtoken",
    "dummy",
    "sample",
    "here>",
)


def entropy(text: str) -> float:
    """Bits for each character, by the frequencies of its characters (Shannon)."""
    if not text:
        return 0.0
    total = len(text)
    # Counting with `str.count` takes a third of what a Counter takes for texts as short as secrets are.
    counts = [text.count(char) for char in set(text)] if total < _SHORT else Counter(text).values()
    return math.log2(total) - sum([count * math.log2(count) for count in counts if count > 1]) / total


def is_placeholder(text: str, *, runs: bool = False) -> bool:
    """True for `${TOKEN}`, `xxxxxxxx`, `<your token>`, `AKIA...EXAMPLE` and the like.

    Args:
        text: what stands where a secret would.
        runs: whether real ones may repeat a character many times.
    """
    lowered = text.lower()
    if _TEMPLATE.search(text) or any(word in lowered for word in _WORDS):
        return True
    return not runs and _RUN.search(text) is not None
