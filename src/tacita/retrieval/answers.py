"""What kind of answer a question wants, and which messages hold something of that kind.

"How many dogs did she adopt?" is answered by a message with a number in it, "When did he move?" by one that speaks of time; and
such a message often shares fewer words with the question than others do. English only, but for figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from itertools import pairwise, product
from typing import Final

from tacita.patterns import lazy_pattern
from tacita.retrieval.text import words

SHORT_CHARS: Final = 300
"""A longer text has a number somewhere, whatever it is about."""


class Answer(Enum):
    """Kinds of answers that can be seen in a message."""

    QUANTITY = "quantity"
    """A number, an age, a length of time."""
    TIME = "time"
    """A date, a time of day, or how long ago."""


_ASKING: Final = frozenset({"how", "when", "what", "which"})
_HOW_MUCH: Final = frozenset(product(("how",), "many much long old often".split()))
# With an auxiliary verb, for "I was glad when ..." asks nothing.
_WHEN: Final = frozenset(
    (
        *product(("when",), "did do does is are was were will would has have had".split()),
        *product(("what", "which"), "date day week month year time".split()),
        *product(("many",), "days weeks months years".split()),
        ("how", "long"),
    )
)

_FIGURE = lazy_pattern(r"\d")
_NUMBERS: Final = frozenset(
    "two three four five six seven eight nine ten eleven twelve dozen once twice second third fourth fifth "
    "another both couple".split()
)
_TIMES: Final = frozenset(
    "yesterday today tonight tomorrow last next ago since recently day days week weeks weekend month months year years "
    "monday tuesday wednesday thursday friday saturday sunday january february march april june july august "
    "september october november december o'clock past quarter noon midnight".split()
)


def wanted(found: Sequence[str]) -> tuple[Answer, ...]:
    """The kinds of answers that a question wants, from its `words`; none for most questions."""
    if _ASKING.isdisjoint(found):
        return ()
    pairs = frozenset(pairwise(found))
    kinds = []
    if not _HOW_MUCH.isdisjoint(pairs):
        kinds.append(Answer.QUANTITY)
    if found[0] == "when" or not _WHEN.isdisjoint(pairs):
        kinds.append(Answer.TIME)
    return tuple(kinds)


def has_quantity(text: str, found: Sequence[str]) -> bool:
    """Whether a message may say how many or how much; `found` are the words of its head."""
    return len(text) <= SHORT_CHARS and (_FIGURE.search(text) is not None or not _NUMBERS.isdisjoint(found))


def has_time(name: str | None, found: Sequence[str]) -> bool:
    """Whether a message speaks of time; `found` are the words of its head, the speaker's name among them."""
    times = _TIMES.intersection(found)
    # Not everything that June says is about a time.
    return bool(times) and (name is None or not times.issubset(words(name)))
