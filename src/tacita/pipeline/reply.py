"""From what a model answers to raw facts, whatever it answers. Never raises on odd answers; what is lost is counted."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import msgspec

from tacita import limits
from tacita.patterns import lazy_pattern

_THINKING: Final = lazy_pattern(r"<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_LIST_KEYS: Final = ("facts", "memories", "memory", "items", "results")
_DEPTH: Final = 32


class Reply(msgspec.Struct, frozen=True):
    """What could be read."""

    facts: tuple[dict[str, Any], ...] = ()
    problems: Counter[str] = msgspec.field(default_factory=Counter)
    """`no_json`, `truncated`, `wrong_shape`, `not_an_object`, `too_many`: how often each."""

    @property
    def readable(self) -> bool:
        """Whether there was an answer at all, if only an empty list."""
        return "no_json" not in self.problems and "wrong_shape" not in self.problems


def read(answer: str) -> Reply:
    """The facts of an answer: a JSON object with a list, a bare list, or what is left of one that was cut off."""
    problems: Counter[str] = Counter()
    text = _THINKING.sub(" ", answer)
    entries = _complete(text)
    if entries is None:
        entries = list(_salvaged(text))
        if entries:
            problems["truncated"] += 1
        else:
            problems["wrong_shape" if "{" in text or "[" in text else "no_json"] += 1
    facts: list[dict[str, Any]] = []
    for entry in entries:
        if isinstance(entry, str) and entry.strip():
            entry = {"text": entry}
        if not isinstance(entry, dict):
            problems["not_an_object"] += 1
        elif len(facts) >= limits.FACTS:
            problems["too_many"] += 1
        else:
            facts.append(entry)
    return Reply(tuple(facts), problems)


def _complete(text: str) -> list[Any] | None:
    """The entries of the first JSON value in the text that holds a list of facts; None if there is none."""
    for value, whole in _values(text):
        if isinstance(value, dict):
            for key in _LIST_KEYS:
                if isinstance(value.get(key), list):
                    return list(value[key])
                if isinstance(value.get(key), dict):
                    return [value[key]]
            if whole and isinstance(value.get("text", value.get("fact")), str):
                return [value]
        elif whole and isinstance(value, list) and all(isinstance(each, dict | str) for each in value):
            return value
    return None


def _salvaged(text: str) -> Iterator[Any]:
    """The whole objects inside a list that was cut off, or that something in it spoiled."""
    start = max((text.find(f'"{key}"') for key in _LIST_KEYS), default=-1)
    at = text.find("[", max(start, 0))
    if at < 0:
        return
    for value, _ in _values(text[at + 1 :]):
        if isinstance(value, dict) and isinstance(value.get("text", value.get("fact")), str):
            yield value


def _values(text: str) -> Iterator[tuple[Any, bool]]:
    """JSON objects and lists in a text, and whether each is whole: not the inside of one that could not be read."""
    decoder = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_first_wins, strict=False)
    at, tried, whole = 0, 0, True
    while tried < 4 * limits.FACTS:
        starts = [place for place in (text.find("{", at), text.find("[", at)) if place >= 0]
        if not starts:
            return
        start = min(starts)
        tried += 1
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            at, whole = start + 1, False
            continue
        if _depth(value) <= _DEPTH:
            yield value, whole
        at = end


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        made.setdefault(key, value)
    return made


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level and deepest <= _DEPTH:
        deepest += 1
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        ]
    return deepest


def number(value: Any) -> float | None:
    """A finite number between 0 and 1, however it is written; None for anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return min(1.0, max(0.0, found)) if math.isfinite(found) else None
