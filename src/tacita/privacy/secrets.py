"""Finding secrets in a text, with checks that throw out what only looks like one.

Time is linear in the length of the text: contexts and names are searched with RE2; a form is tried only where its literal
begins a word, and reads a bounded number of characters there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import re2

from tacita.hazmat import sha256
from tacita.privacy.assignments import ASSIGNMENT, SPOKEN, is_secret, is_spoken_secret
from tacita.privacy.entropy import entropy, is_placeholder
from tacita.privacy.findings import Finding
from tacita.privacy.formats import CONTEXTS, FORMS, Form
from tacita.privacy.kubernetes import kubernetes
from tacita.privacy.published import PUBLISHED

_WORD: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_~")
_NO_SIGNS: Final = str.maketrans("", "", ":_.-")
_TOLD: Final = ("curl-credentials", "url-credentials", "bearer-token", "header-token")
"""Words alone ("user:password") are an example of one."""


@cache
def _forms() -> list[tuple[str, Form, re.Pattern[str]]]:
    """(literal, form, pattern) for each literal of each form."""
    return [(literal, form, re.compile(form.pattern)) for form in FORMS for literal in form.literals.split()]


@cache
def _searches() -> tuple[list[Any], Any, Any]:
    return [re2.compile(context.pattern) for context in CONTEXTS], re2.compile(ASSIGNMENT), re2.compile(SPOKEN)


def secrets(text: str) -> Iterator[Finding]:
    """Every secret in a text; findings may overlap."""
    yield from _by_form(text)
    contexts, assignment, spoken = _searches()
    for context, pattern in zip(CONTEXTS, contexts, strict=True):
        for match in pattern.finditer(text):
            if _counts(match.group(1), context.bits) and not (
                context.type in _TOLD and match.group(1).translate(_NO_SIGNS).isalpha()
            ):
                yield Finding(context.type, "secret", *match.span(1))
    for match in assignment.finditer(text):
        name, value = match.group(1), match.group(2).rstrip(".:!?")
        if is_secret(name, value) and _counts(value, 0.0):
            kind = "password" if "pass" in name.lower() or "pwd" in name.lower() else "token"
            start = match.span(2)[0]
            yield Finding(kind, "secret", start, start + len(value))
    for match in spoken.finditer(text):
        if is_spoken_secret(match.group(1)):
            start = match.span(1)[0]
            yield Finding("password", "secret", start, start + len(match.group(1).rstrip(".,!?;:")))
    yield from kubernetes(text)


def _by_form(text: str) -> Iterator[Finding]:
    for literal, form, pattern in _forms():
        at = text.find(literal)
        while at >= 0:
            # One that stands inside a word is none, and trying all of a long word's places would take quadratic time.
            begins = at >= form.back and not (at and not form.back and text[at - 1] in _WORD and literal[0] in _WORD)
            match = pattern.match(text, at - form.back) if begins else None
            if match is not None and _alone(text, *match.span()):
                start, end = match.span(1 if pattern.groups else 0)
                if _counts(text[start:end], form.bits, runs=form.runs):
                    yield Finding(form.type, "secret", start, end)
            at = text.find(literal, at + len(literal) if match is None else max(match.end(), at + 1))


def _counts(value: str, bits: float, *, runs: bool = False) -> bool:
    """Random enough, and neither a stand-in nor a key that the whole world knows."""
    return (
        entropy(value) >= bits
        and not is_placeholder(value, runs=runs)
        and sha256(value.encode("utf-8", "surrogatepass")).hex()[:16] not in PUBLISHED
    )


def _alone(text: str, start: int, end: int) -> bool:
    """Not a piece of a longer word or blob."""
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    return not (before in _WORD and text[start] in _WORD) and not (after in _WORD and text[end - 1] in _WORD)
