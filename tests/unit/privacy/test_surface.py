"""Somebody is found in every surface form, and nobody else with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacita.privacy.surface import email, folded, identifier, name, replaced, spans, terms_of


def holds(request: str, text: str, known: tuple[str, ...] = ()) -> bool:
    return bool(spans(text, terms_of(request, known)))


@pytest.mark.parametrize(
    "text",
    [
        "mail alice@acme.io",
        "Mail ALICE@Acme.IO!",
        '"alice@acme.io"',
        "<alice@acme.io>,",
        "mailto:alice@acme.io.",
        "(alice@acme.io)",
        "alice@acme.io's",
    ],
)
def test_an_address_is_found_however_it_is_written(text: str) -> None:
    assert holds("everything from alice@acme.io", text)


@pytest.mark.parametrize(
    "text",
    [
        "alice.smith@acme.io",
        "malice@acme.io",
        "alice@acme.io.uk",
        "alice@acme.ion",
        "alice+x@acme.io",
        "x-alice@acme.io",
        "alice@acme-io",
        "alice at home",
    ],
)
def test_an_address_is_never_part_of_another(text: str) -> None:
    assert not holds("everything from alice@acme.io", text)


@pytest.mark.parametrize(
    "text",
    ["+49 30 1234567", "+49-30-123 45 67", "(+49) 30/1234567", "+49301234567", "tel:+49.30.1234567;", "4930 1234567"],
)
def test_a_number_is_found_however_it_is_divided(text: str) -> None:
    assert holds("forget the number +49 30 1234567", text)


@pytest.mark.parametrize("text", ["+49 30 12345678", "149301234567", "4930123456", "x4930 1234567"])
def test_a_number_is_never_part_of_a_longer_one(text: str) -> None:
    assert not holds("forget the number +49 30 1234567", text)


@pytest.mark.parametrize(
    ("request_", "text", "found"),
    [
        ("everything about my ex-husband Tom", "Tom called again.", True),
        ("everything about my ex-husband Tom", "that was TOM's car", True),
        ("everything about my ex-husband Tom", "tom", True),
        ("everything about my ex-husband Tom", "Tomas and Tommy and atom", False),
        ("everything about my ex-husband Tom", "my ex-husband", False),
        ("forget Ana Lima please", "Ana  Lima moved", True),
        ("forget Ana Lima please", "Ana moved", False),
        ('forget "the red house"', "in The Red House, yes", True),
        ("forget MRN-44-1021", "patient mrn 441021", True),
        ("forget MRN-44-1021", "MRN-44-10215", False),
        ("forget @tomcat", "by @TomCat:", True),
        ("Tom", "Tom", False),
        ("Delete everything that was said about José", "jose\u0301 no; JOSÉ yes", True),
    ],
)
def test_names_and_codes(request_: str, text: str, found: bool) -> None:
    assert holds(request_, text) is found


def test_the_first_word_is_a_name_when_the_vault_knows_it() -> None:
    assert holds("tom and his car", "I saw Tom", ("Tom",))
    assert not terms_of("tom and his car")
    assert not terms_of("Everything. All of it, please!")


def test_short_numbers_stand_for_nothing() -> None:
    assert identifier("12") is None
    assert terms_of("forget the 12 of them") == []


def test_replacing_leaves_the_rest() -> None:
    terms = [name(["Tom"]), email("tom@acme.io")]
    assert replaced("Tom (tom@acme.io) and Tomas", terms, "[redacted]") == "[redacted] ([redacted]) and Tomas"


@given(st.text(max_size=80))
def test_folding_keeps_the_length(text: str) -> None:
    assert len(folded(text)) == len(text)


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_request_and_any_text_are_survived(request_: str, text: str) -> None:
    end = 0
    for start, stop in spans(text, terms_of(request_)):
        assert end <= start < stop <= len(text)
        end = stop


def test_a_long_word_is_no_address_and_is_read_once() -> None:
    """Each start of a word is tried once: with one try for each character this would take minutes."""
    assert terms_of("a" * 2_000_000) == []
