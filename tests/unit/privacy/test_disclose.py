"""The one way to a model, step by step: refused, prepared, audited, and only then told."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from tacita.disclosed import Disclosed, Picture
from tacita.errors import AccessDenied, Blocked
from tacita.privacy.disclose import DEFAULT_TERMS, Request, Terms, disclose, prepare
from tacita.privacy.policy import PROFILES, Policy
from tacita.privacy.pseudonyms import Pseudonyms

KEY = "AKIAQ3EGRT7ZLN2HWXJP"
MAIL = "ana.lima@example.org"
KEEP = Policy("keep", for_secrets="keep", for_pii="keep")
PICTURE = Picture("image/png", b"png")


class Trail:
    def __init__(self) -> None:
        self.entries: list[tuple[str, str, int]] = []

    def __call__(self, operation: str, outcome: str, count: int) -> None:
        self.entries.append((operation, outcome, count))


def stand_ins() -> Pseudonyms:
    return Pseudonyms(lambda value: bytes(8))


def asked(**fields: Any) -> Request:
    return Request(**{"provider": "openai:m", "operation": "extract", "purpose": None, "consent": None, **fields})


def told(
    request: Request, *texts: str, terms: Terms = DEFAULT_TERMS, policy: Policy = KEEP, **more: Any
) -> tuple[Any, Trail]:
    trail = Trail()
    try:
        return disclose(request, texts, policy=policy, terms=terms, pseudonyms=stand_ins(), audit=trail, **more), trail
    except (AccessDenied, Blocked) as error:
        return error, trail


def test_what_is_told_is_what_was_prepared_and_it_is_audited_first() -> None:
    made, trail = told(asked(purpose="care"), "one", f"two {MAIL}", instructions="do it", pictures=[PICTURE],
                       terms=Terms(pictures=True))  # fmt: skip
    assert type(made) is Disclosed
    assert (made.provider, made.purpose, made.instructions) == ("openai:m", "care", "do it")
    assert made.texts == ("one", "two <EMAIL_000000>")
    assert made.pictures == (PICTURE,)
    assert trail.entries == [("extract", "ok", 3)]
    made, trail = told(asked(), "one", "two", compose=" and ".join)
    assert (made.texts, trail.entries) == (("one and two",), [("extract", "ok", 2)])


def test_an_entry_that_cannot_be_written_stops_it() -> None:
    def broken(*_: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        disclose(asked(), ["one"], policy=KEEP, terms=Terms(), pseudonyms=stand_ins(), audit=broken)


@pytest.mark.parametrize(
    ("request_fields", "terms", "words"),
    [
        ({"purpose": None}, Terms(purposes=("care", "law")), "purpose; allowed are care, law"),
        ({"purpose": "ads"}, Terms(purposes=("care",)), "for this purpose"),
        ({"consent": False}, Terms(), "does not agree"),
        ({"consent": False, "purpose": "care"}, Terms(purposes=("care",), consent="required"), "does not agree"),
        ({"consent": None}, Terms(consent="required"), "is not recorded"),
        ({"pictures": True}, Terms(), "pictures may not be told"),
    ],
)
def test_what_is_refused_is_audited_as_refused(request_fields: dict[str, Any], terms: Terms, words: str) -> None:
    pictures = [PICTURE] if request_fields.pop("pictures", False) else []
    refused, trail = told(asked(**request_fields), f"secret {KEY}", terms=terms, pictures=pictures)
    assert isinstance(refused, AccessDenied)
    assert words in str(refused)
    assert trail.entries == [("extract", "denied", 0)]


@pytest.mark.parametrize(
    ("request_fields", "terms"),
    [
        ({"purpose": "care"}, Terms(purposes=("care",))),
        ({"purpose": "anything"}, Terms()),
        ({"consent": True}, Terms(consent="required")),
        ({"consent": None}, Terms()),
    ],
)
def test_what_is_allowed_is_told(request_fields: dict[str, Any], terms: Terms) -> None:
    made, trail = told(asked(**request_fields), "one", terms=terms)
    assert (made.texts, trail.entries) == (("one",), [("extract", "ok", 1)])


def test_no_terms_and_no_policy_tell_a_secret() -> None:
    for pii in ("keep", "mask", "pseudonymise"):
        made, _ = told(asked(), f"my key is {KEY}!", terms=Terms(pii=pii))  # type: ignore[arg-type]
        assert made.texts == ("my key is [aws-access-key]!",)


@pytest.mark.parametrize(
    ("pii", "text"),
    [("keep", f"a {MAIL} b"), ("mask", "a [email] b"), ("pseudonymise", "a <EMAIL_000000> b")],
)
def test_personal_data_are_told_as_the_terms_say(pii: Any, text: str) -> None:
    assert prepare(f"a {MAIL} b", KEEP, Terms(pii=pii), stand_ins()) == text


@pytest.mark.parametrize("at_rest", ["mask", "drop", "block", "quarantine"])
def test_what_may_not_be_kept_is_not_told_however_generous_the_terms_are(at_rest: Any) -> None:
    policy = replace(KEEP, for_pii=at_rest)
    for pii in ("keep", "pseudonymise", "mask"):
        assert prepare(f"a {MAIL} b", policy, Terms(pii=pii), stand_ins()) == "a [email] b"
    assert (
        prepare(f"a {MAIL} b", replace(KEEP, for_pii="pseudonymise"), Terms(pii="keep"), stand_ins()) == f"a {MAIL} b"
    )


def test_blocked_is_the_whole_request() -> None:
    refused, trail = told(asked(), "harmless", f"a {MAIL}", terms=Terms(pii="block"), policy=PROFILES["strict"])
    assert isinstance(refused, Blocked)
    assert MAIL not in str(refused)
    assert trail.entries == [("extract", "blocked", 0)]


def test_speakers_are_hidden_where_the_terms_say_so_and_never_inside_what_was_found() -> None:
    text = f"Ana wrote {MAIL} to Rui. Ana!"
    names = ("Ana", "Rui", "ana.lima")
    shown = prepare(text, KEEP, Terms(pii="keep"), stand_ins(), names)
    assert shown == text
    hidden = prepare(text, KEEP, Terms(pii="keep", names=True), stand_ins(), names)
    assert re.fullmatch(rf"<PERSON_\d+> wrote {re.escape(MAIL)} to <PERSON_\d+>\. <PERSON_\d+>!", hidden)
    made, _ = told(asked(names=frozenset({"Ana"})), "Ana and Rui", terms=Terms(names=True))
    assert made.texts == ("<PERSON_000000> and Rui",)


def test_what_looks_like_a_stand_in_is_made_to_look_otherwise() -> None:
    assert "<EMAIL_000001>" not in prepare("send to <EMAIL_000001>", KEEP, Terms(), stand_ins())


def test_what_is_looked_for_is_the_callers() -> None:
    assert prepare(f"a {MAIL}", KEEP, Terms(), stand_ins(), find=lambda _: []) == f"a {MAIL}"
