"""Searching in bounded time: offsets, gates that lose nothing, and texts that are dense with findings."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from tacita.privacy.assignments import ASSIGNMENT
from tacita.privacy.detect import scan
from tacita.privacy.formats import AROUND, CONTEXTS, FORMS, Context, Form
from tacita.privacy.matching import Memo, Text, compile_pattern, without_groups
from tacita.privacy.personal import MOST, PATTERNS, Pattern, personal
from tacita.privacy.personal import _needed as needed
from tacita.privacy.secrets import LOOKS, _begins
from tacita.privacy.secrets import MOST as MOST_SECRETS

_FEW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@given(st.text(alphabet="aä漢😀 ab1@.de", max_size=60))
def test_spans_are_characters_whatever_the_encoding_takes(text: str) -> None:
    pattern = r"[a-z]+"
    assert list(Text(text).spans(compile_pattern(pattern))) == [found.span() for found in re.finditer(pattern, text)]


def test_what_is_remembered_is_asked_once_and_shown_to_nobody() -> None:
    asked: list[tuple[str, int]] = []
    memo = Memo(lambda text, number: asked.append((text, number)) or len(asked))
    assert [memo("hunter2", 1), memo("hunter2", 1), memo("hunter2", 2)] == [1, 1, 2]
    assert asked == [("hunter2", 1), ("hunter2", 2)]
    for shown in (repr(memo), str([memo]), pretty_repr(memo), pretty_repr({"memo": memo})):
        assert "hunter2" not in shown


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda each: each.type)
@_FEW
@given(data=st.data())
def test_the_first_look_passes_whatever_a_pattern_finds(pattern: Pattern, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(re.compile(pattern.pattern, re.ASCII)))
    spans = Text(text).spans(compile_pattern(pattern.pattern), 1 if re.compile(pattern.pattern).groups else 0)
    if any(pattern.holds(text[start:end]) for start, end in spans):
        assert Text(text).has(compile_pattern(pattern.needs or needed(pattern)))


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda each: each.type)
@_FEW
@given(data=st.data())
def test_the_first_look_passes_whatever_a_context_finds(context: Context, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(re.compile(context.pattern, re.ASCII)))
    if list(Text(text).spans(compile_pattern(context.pattern))):
        assert Text(text).has(compile_pattern(AROUND))


@pytest.mark.parametrize("form", FORMS, ids=lambda each: each.type)
@pytest.mark.parametrize("before", ["", "it is ", '"', "ä"])
def test_the_first_look_passes_wherever_a_form_may_begin(form: Form, before: str) -> None:
    for literal in form.literals.split():
        assert Text(f"{before}{'0' * form.back}{literal}").has(_begins())


def test_an_assignment_is_found_the_same_without_its_groups() -> None:
    text = 'say db_password = "hunter-2-horse" and api_token: q8Zk-3xLm-77Pw-aa91, key=(x)'
    grouped = [found.span() for found in re.finditer(ASSIGNMENT, text, re.ASCII)]
    assert list(Text(text).spans(compile_pattern(without_groups(ASSIGNMENT)))) == grouped
    assert len(grouped) == 2


def test_after_many_of_one_kind_the_rest_of_the_text_counts_as_one() -> None:
    text = " ".join(f"u{number}@example.org" for number in range(MOST + 50)) + " and then nothing"
    found = [one for one in personal(Text(text)) if one.type == "email"]
    assert len(found) == MOST + 1
    assert found[-1].end == len(text)
    assert text[found[-1].start :].startswith(f"u{MOST}@")


def test_a_dump_of_credentials_is_masked_to_its_end() -> None:
    text = "\n".join(f"db_password = q{number:05x}Zr{number:x}w" for number in range(MOST_SECRETS + 40)) + "\nthe end"
    found = [one for one in scan(text) if one.kind == "secret"]
    assert found[-1].end == len(text)


def test_after_many_harmless_values_those_that_are_called_secrets_are_masked_unseen() -> None:
    lines = [f"auth_token: page-{'abcdefghijkl'[number % 12]}{'mnopqrs'[number % 7]}" for number in range(LOOKS + 20)]
    text = "\n".join([*lines, "colour: green-ish-blue"])
    found = [one for one in scan(text) if one.kind == "secret"]
    assert len(found) == 20
    assert found[0].start > text.index(lines[0])
    assert "colour" not in "".join(text[one.start : one.end] for one in found)
