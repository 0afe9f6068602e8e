"""Raw facts checked against what was really said. What its source does not support is dropped, and counted."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from tacita import limits
from tacita.items import Trust
from tacita.patterns import lazy_pattern
from tacita.pipeline.prompt import INSTRUCTIONS, one_line
from tacita.pipeline.reply import number
from tacita.retrieval.text import analyse

Relation = Literal["new", "duplicate", "refines", "supersedes", "contradicts"]

_RELATIONS: Final = frozenset({"duplicate", "refines", "supersedes", "contradicts"})
_KINDS: Final = frozenset({"fact", "preference", "event", "relation", "plan", "procedure"})
_CATEGORIES: Final = 5
_WORD: Final = lazy_pattern(r"\w+")
_SUPPORT: Final = 0.5
"""More than this share of a fact's stems must stand in the messages, or in the known fact that it changes."""
_ECHO: Final = 8
"""So many words in a row out of the instructions are no coincidence."""


class Source(msgspec.Struct, frozen=True):
    """A message that facts may cite."""

    id: bytes
    text: str
    said_at: int
    """Microseconds since 1970, UTC."""
    trust: Trust
    name: str | None = None


class Known(msgspec.Struct, frozen=True):
    """A fact that the vault holds already."""

    id: bytes
    text: str
    said_at: int
    trust: Trust


class Fact(msgspec.Struct, frozen=True):
    """A fact that its source supports."""

    text: str
    source: Source
    span: tuple[int, int]
    """The characters of the source that state it."""
    subject: str | None
    kind: str
    categories: tuple[str, ...]
    confidence: float | None
    valid_from: int
    """Microseconds since 1970: as stated, else when it was said."""
    valid_to: int | None
    relation: Relation
    of: Known | None


def check(
    raw: Sequence[Mapping[str, Any]],
    sources: Mapping[str, Source],
    known: Mapping[str, Known],
    *,
    categories: Sequence[str] = (),
) -> tuple[list[Fact], Counter[str]]:
    """Facts that hold, and how many were dropped for which reason.

    Args:
        raw: from `reply.read`, with stand-ins restored.
        sources: the messages by label.
        known: the known facts by label.
        categories: the only ones that are kept, if there are any.

    Reasons: `no_text`, `too_long`, `no_source`, `unsupported`, `echo` (it repeats the prompt), `repeated`.
    """
    dropped: Counter[str] = Counter()
    facts: list[Fact] = []
    seen: set[str] = set()
    around = words_of(source.text for source in sources.values()) | words_of(
        source.name for source in sources.values() if source.name
    )
    for each in raw:
        made = _one(each, sources, known, around, categories)
        if isinstance(made, str):
            dropped[made] += 1
        elif normal(made.text) in seen:
            dropped["repeated"] += 1
        else:
            seen.add(normal(made.text))
            facts.append(made)
    return facts, dropped


def _one(
    raw: Mapping[str, Any],
    sources: Mapping[str, Source],
    known: Mapping[str, Known],
    around: frozenset[str],
    categories: Sequence[str],
) -> Fact | str:
    text = _line(raw.get("text", raw.get("fact")))
    if not text:
        return "no_text"
    if len(text) > limits.FACT_CHARS:
        return "too_long"
    source = sources.get(_label(raw.get("source", raw.get("sources"))))
    if source is None:
        return "no_source"
    if _echoes(text):
        return "echo"
    span = locate(_line(raw.get("quote")), source.text)
    of = known.get(_label(raw.get("of")))
    relation = raw.get("relation")
    changes = of is not None and isinstance(relation, str) and relation in _RELATIONS
    about = words_of([of.text]) if changes and of is not None else frozenset()
    if span is None or not supported(text, around | about):
        return "unsupported"
    allowed = {each.casefold(): each for each in categories}
    named = [_line(each)[:64] for each in _list(raw.get("categories")) if _line(each)]
    kept = [allowed[each.casefold()] for each in named if each.casefold() in allowed] if allowed else named
    begins = _moment(raw.get("valid_from"))
    kind = raw.get("kind")
    return Fact(
        text=text,
        source=source,
        span=span,
        subject=_line(raw.get("subject"))[:256] or None,
        kind=kind if isinstance(kind, str) and kind in _KINDS else "fact",
        categories=tuple(dict.fromkeys(kept[:_CATEGORIES])),
        confidence=number(raw.get("confidence")),
        valid_from=source.said_at if begins is None else begins,
        valid_to=_moment(raw.get("valid_to")),
        relation=relation if changes else "new",  # type: ignore[arg-type]
        of=of if changes else None,
    )


def locate(quote: str, text: str) -> tuple[int, int] | None:
    """Where a quote stands in a text, but for case and white space; None if it does not, or is no quote."""
    wanted = [_fold(word) for word in _WORD.findall(quote)]
    if not wanted:
        return None
    found = [(_fold(match.group()), match.start(), match.end()) for match in _WORD.finditer(text)]
    words = [word for word, _, _ in found]
    for at in range(len(words) - len(wanted) + 1):
        if words[at] == wanted[0] and words[at : at + len(wanted)] == wanted:
            return found[at][1], found[at + len(wanted) - 1][2]
    return None


def normal(text: str) -> str:
    """A text reduced to what makes two facts the same."""
    return " ".join(_fold(word) for word in _WORD.findall(text))


def _fold(word: str) -> str:
    return word.lower() if word.isascii() else unicodedata.normalize("NFKC", word).casefold()


def supported(text: str, words: frozenset[str]) -> bool:
    """Whether enough of a text's stems are among `words` (from `words_of`)."""
    stems = set(analyse(text)[0])
    if not stems:
        return bool(words_of([text]) & words)
    return len(stems & words) > _SUPPORT * len({stem for stem in stems if not stem.isdecimal()} or stems)


def words_of(texts: Iterable[str]) -> frozenset[str]:
    """Stems and words of some texts."""
    found: set[str] = set()
    for text in texts:
        found.update(analyse(text)[0])
        found.update(_fold(word) for word in _WORD.findall(text))
    return frozenset(found)


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = normal(text).split()
    return {tuple(words[at : at + _ECHO]) for at in range(len(words) - _ECHO + 1)}


_OURS: Final = _shingles(INSTRUCTIONS)


def _echoes(text: str) -> bool:
    return not _OURS.isdisjoint(_shingles(text))


def _line(value: Any) -> str:
    return one_line(value.encode("utf-8", "ignore").decode()) if isinstance(value, str) else ""


def _label(value: Any) -> str:
    value = _list(value)[0] if _list(value) else ""
    return value.strip(" []").lower() if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _moment(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return int(found.timestamp() * 1_000_000) if 1 < found.year < 9999 else None
