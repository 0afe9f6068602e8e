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
from tacita.privacy.assignments import ASSIGNMENT, SPOKEN, is_secret, is_spoken_secret, name_strength
from tacita.privacy.entropy import entropy, is_placeholder
from tacita.privacy.findings import Finding
from tacita.privacy.formats import AROUND, CONTEXTS, FORMS, Context, Form
from tacita.privacy.kubernetes import kubernetes
from tacita.privacy.matching import Memo, Text, compile_pattern, without_groups
from tacita.privacy.published import PUBLISHED

_WORD: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_~")
_NO_SIGNS: Final = str.maketrans("", "", ":_.-")
_TOLD: Final = ("curl-credentials", "url-credentials", "bearer-token", "header-token")
"""Words alone ("user:password") are an example of one."""
MOST: Final = 300
"""So many secrets of one sort in one text are told apart."""
LOOKS: Final = 500
"""At so many values that are called a secret one looks."""


@cache
def _forms() -> list[tuple[re.Pattern[str], Form, re.Pattern[str]]]:
    """(where it may begin, form, pattern) for each literal of each form."""
    return [
        (re.compile(_place(form, literal)), form, re.compile(form.pattern))
        for form in FORMS
        for literal in form.literals.split()
    ]


def _place(form: Form, literal: str) -> str:
    # One that stands inside a word is none, and trying all of a long word's places would take quadratic time.
    escaped = re.escape(literal)
    return escaped if form.back or literal[0] not in _WORD else rf"{escaped}(?<![A-Za-z0-9_~]{escaped})"


@cache
def _begins() -> Any:
    """Where any form may begin: one pass over the text instead of one for each literal."""
    return compile_pattern(
        "|".join(
            ("" if form.back or literal[0] not in _WORD else r"(?:^|[^A-Za-z0-9_~])") + re2.escape(literal)
            for form in FORMS
            for literal in form.literals.split()
        )
    )


@cache
def _around() -> Any:
    return compile_pattern(AROUND)


@cache
def _contexts() -> list[tuple[Context, Any]]:
    return [(context, compile_pattern(context.pattern)) for context in CONTEXTS]


@cache
def _assignment() -> tuple[Any, re.Pattern[str]]:
    """To find assignments with, and to take one apart with."""
    return compile_pattern(without_groups(ASSIGNMENT)), re.compile(ASSIGNMENT, re.ASCII)


@cache
def _spoken() -> Any:
    return compile_pattern(SPOKEN)


def secrets(searched: Text) -> Iterator[Finding]:
    """Every secret in a text; findings may overlap.

    After `MOST` of one sort all that follows counts as one: such a text is a dump of credentials.
    """
    text = searched.text
    if searched.has(_begins()):
        yield from _bounded(_by_form(text), text)
    if searched.has(_around()):
        for context, pattern in _contexts():
            yield from _bounded(_in_context(searched, context, pattern), text)
    yield from _bounded(_assigned(searched), text)
    said = Memo(is_spoken_secret)
    for start, end in searched.spans(_spoken(), 1):
        if said(text[start:end]):
            yield Finding("password", "secret", start, start + len(text[start:end].rstrip(".,!?;:")))
    yield from kubernetes(text)


def _bounded(found: Iterator[Finding], text: str) -> Iterator[Finding]:
    for number, finding in enumerate(found):
        if number == MOST:
            yield Finding(finding.type, "secret", finding.start, len(text))
            return
        yield finding


def _in_context(searched: Text, context: Context, pattern: Any) -> Iterator[Finding]:
    def holding(value: str) -> bool:
        return _counts(value, context.bits) and not (context.type in _TOLD and value.translate(_NO_SIGNS).isalpha())

    holds = Memo(holding)
    for start, end in searched.spans(pattern, 1):
        if holds(searched.text[start:end]):
            yield Finding(context.type, "secret", start, end)


def _assigned(searched: Text) -> Iterator[Finding]:
    # A text made to be slow repeats itself. What is remembered here ends with this call.
    find, take_apart = _assignment()
    strength, holds, taken_apart = Memo(name_strength), Memo(is_secret), Memo(take_apart.match)
    looks = 0
    for start, end in searched.spans(find):
        parts = taken_apart(searched.text[start:end])
        if parts is None:
            # The two engines differ about rare letters and white space. What only one of them can read is masked.
            yield Finding("token", "secret", start, end)
            continue
        name, value = parts["name"], parts["value"].rstrip(".:!?")
        if not strength(name):
            continue
        looks += 1
        # So many names of secrets in one text are no conversation: what follows is masked unseen.
        if looks > LOOKS or (holds(name, strength(name), value) and not _published(value)):
            kind = "password" if "pass" in name.lower() or "pwd" in name.lower() else "token"
            begin = start + parts.start("value")
            yield Finding(kind, "secret", begin, begin + len(value))


def _by_form(text: str) -> Iterator[Finding]:
    for place, form, pattern in _forms():
        tried_to = 0
        for found in place.finditer(text):
            at = found.start()
            if at < tried_to or at < form.back:
                continue
            match = pattern.match(text, at - form.back)
            if match is None:
                continue
            tried_to = match.end()
            if _alone(text, *match.span()):
                start, end = match.span(1 if pattern.groups else 0)
                if _counts(text[start:end], form.bits, runs=form.runs):
                    yield Finding(form.type, "secret", start, end)


def _counts(value: str, bits: float, *, runs: bool = False) -> bool:
    """Random enough, and neither a stand-in nor a key that the whole world knows."""
    return entropy(value) >= bits and not is_placeholder(value, runs=runs) and not _published(value)


def _published(value: str) -> bool:
    return sha256(value.encode("utf-8", "surrogatepass")).hex()[:16] in PUBLISHED


def _alone(text: str, start: int, end: int) -> bool:
    """Not a piece of a longer word or blob."""
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    return not (before in _WORD and text[start] in _WORD) and not (after in _WORD and text[end - 1] in _WORD)
