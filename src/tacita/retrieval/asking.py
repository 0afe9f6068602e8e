"""What kind of question is asked, whose words it wants, and which part of it is its topic. English only: other questions are
searched as they stand.

"Can you list the order in which I brought up aspects of my budget?" is about a budget; its vector lies near messages
about lists. And who said something is the signal `speaker`: a name in the embedded question draws that person's
greetings. So the frame and the names are left out of what is embedded. Words are searched as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from itertools import pairwise, product
from typing import Final

from tacita.patterns import lazy_pattern
from tacita.retrieval.languages import ENGLISH
from tacita.retrieval.names import Names


class Asking(Enum):
    """Kinds of questions that are searched differently."""

    FACT = "fact"
    """Anything else."""
    SUMMARY = "summary"
    """A summary or an overview of a topic."""
    ORDER = "order"
    """In which order the asker brought things up."""
    REPLY = "reply"
    """What the assistant said."""
    ADVICE = "advice"
    """How to do something: the asker's standing wishes matter, though they may say little about the topic."""


_BROAD: Final = frozenset(
    "summary summaries summarize summarise summarizing summarising overview recap "
    "order timeline chronology chronological chronologically sequence".split()
)
_SUMMARY = lazy_pattern(r"\b(?:summar(?:y|ies|i[sz]e|i[sz]ing)|overview|recap)\b", re.IGNORECASE)
_ORDER = lazy_pattern(
    r"\b(?:in (?:what|which) order|order (?:in which|of|that|i|we)\b|chronolog\w*|timeline|sequence of|in order[,.?!])",
    re.IGNORECASE,
)
_MOST_FRAME_CHARS: Final = 1_000
"""A longer question is embedded as it stands: most of it would be cut off by the model anyway."""

_FRAME = lazy_pattern(
    r"\b(?:"
    r"(?:can|could|would|will) you(?: please)?|please"
    r"|(?:give|provide|list|tell|show|write|make)(?: (?:me|us))?|walk (?:me|us) through"
    r"|(?:(?:an?|the) )?(?:(?:clear|comprehensive|complete|full|brief|short|quick|detailed|concise) )*"
    r"(?:summary|overview|recap|timeline|chronology|order|sequence)(?: of| in which| that)?"
    r"|summari[sz]e(?: for me)?"
    r"|(?:i|we)(?:'ve| have)? (?:brought up|mentioned|discussed|talked about|raised|covered|went over|gone over)"
    r"|(?:the )?(?:different|various|main|key|all)(?: the)? "
    r"(?:aspects|concepts|topics|parts|things|points|events|subjects)(?: of| related to| about)?"
    r"|(?:throughout|across|over|during|in|through)(?: all)?(?: of)? (?:our|my|all|the|these)"
    r"(?: past| entire| previous)? (?:conversations?|discussions?|chats?|sessions?|messages)"
    r"|so far|over time|how|in order(?=\s*(?:[,.?!]|$))|mention only\b[^.?!]*"
    r")(?:\b|(?=[.?!])|$)",
    re.IGNORECASE,
)
_SPACES = lazy_pattern(r"\s+")
_SPACE_BEFORE_MARK = lazy_pattern(r"\s+(?=[,.?!;:])")
# One mark at the end is kept: a question's vector is not that of the same words without it.
_MARKS_AT_END = lazy_pattern(r"[,;:\s]*([.?!])[,.?!;:\s]*$")
_MARKS: Final = " ,.?!;:"

_JOINING: Final = frozenset({"and", "or"})
_SOURCE: Final = frozenset({"by", "from"})

_Pairs = frozenset[tuple[str, str]]


def _pairs(first: str, second: str) -> _Pairs:
    return frozenset(product(first.split(), second.split()))


_WANTED: Final = (
    _pairs("can could would will", "you")
    | _pairs("should", "i we")
    | _pairs("help show teach advise", "me us")
    | _pairs("you", "recommend suggest advise")
    | _pairs("any some good", "advice tips ideas suggestions recommendations")
    | _pairs("i'm am we're", "planning looking trying thinking considering hoping going working updating applying")
    | _pairs("are", "some common typical good")
    | _pairs("best good different", "way ways")
)
_HOW: Final = _pairs("how", "do can could should would might")
_DO_I: Final = _pairs("do can could should would might", "i we")
_REPLIED: Final = (
    _pairs("did have had", "you")
    | _pairs(
        "you",
        "recommended suggested advised told said explained gave mentioned proposed outlined described showed wrote",
    )
    | _pairs(
        "your", "advice recommendation recommendations suggestion suggestions answer answers explanation explanations"
    )
)
_FIRST: Final = frozenset(first for first, _ in _WANTED | _HOW | _REPLIED)
"""Without one of these neither advice nor a reply is wanted, as in most questions."""
_PAST: Final = _pairs("did have had has", "i we") | _pairs("you", "tell remind recall remember list find look give say")
"""What was said or done, or may be read out: memory is asked, not advice."""


def asking(text: str, found: Sequence[str]) -> Asking:
    """The kind of a question, from its text and its `words`."""
    if not _BROAD.isdisjoint(found):
        if _SUMMARY.search(text):
            return Asking.SUMMARY
        if _ORDER.search(text):
            return Asking.ORDER
    if _FIRST.isdisjoint(found):
        return Asking.FACT
    pairs = set(pairwise(found))
    if not _REPLIED.isdisjoint(pairs):
        return Asking.REPLY
    wanted = not _WANTED.isdisjoint(pairs) or (not _HOW.isdisjoint(pairs) and not _DO_I.isdisjoint(pairs))
    return Asking.ADVICE if wanted and _PAST.isdisjoint(pairs) else Asking.FACT


def teller(found: Sequence[str], guessed: str, speakers: frozenset[str], names: Names) -> str | None:
    """The known speaker whose own messages answer a question: the only one that it names, or its subject.

    Of several, who stands behind "by", "from" or "according to"; else the first who is more than a possessor ("What did
    Bo say about Ana's garden?"). None where they share the question ("Ana and Bo"), or a word is the name of several.

    Args:
        found: the question's `words`.
        guessed: its language.
        speakers: whom it names.
        names: of the vault.
    """
    if len(speakers) < 2 or guessed != ENGLISH:
        return next(iter(speakers)) if len(speakers) == 1 else None
    people: list[tuple[int, str]] = []
    for place, word in enumerate(found):
        named = names.mentioned((word,))
        if len(named) > 1:
            return None
        people += ((place, name) for name in named)
    for (place, one), (following, other) in pairwise(people):
        if one != other and (following == place + 1 or (following == place + 2 and found[place + 1] in _JOINING)):
            return None
    for place, name in people:
        if place and (found[place - 1] in _SOURCE or tuple(found[max(0, place - 2) : place]) == ("according", "to")):
            return name
    return next((name for place, name in people if not found[place].endswith("'s")), people[0][1])


def topic(text: str, kind: Asking, speakers: frozenset[str], names: Names | None) -> str:
    """What is embedded for a question: without its frame if it is a broad one, without the names of known speakers.

    The question itself where nothing would be left. A name is known by its capital, so that a word that happens to be
    a name stays.
    """
    if len(text) > _MOST_FRAME_CHARS:
        return text
    left = text
    if kind in (Asking.SUMMARY, Asking.ORDER):
        left = _FRAME.sub(" ", left)
    if speakers and names is not None:
        left = names.taken_out(left)
    if left is text:
        return text
    left = _MARKS_AT_END.sub(r"\1", _SPACE_BEFORE_MARK.sub("", _SPACES.sub(" ", left)).strip())
    return left if left.strip(_MARKS) else text
