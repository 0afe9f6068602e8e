"""What is found, what is not, and that any text is survived. Secrets here are drawn by the tests themselves."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacita.privacy import personal as personal_data
from tacita.privacy.detect import scan
from tacita.privacy.findings import Finding, without_overlaps
from tacita.privacy.matching import Text

DRAW = random.Random(11)


def drawn(alphabet: str, length: int) -> str:
    return "".join(DRAW.choices(alphabet, k=length))


UPPER = string.ascii_uppercase + "234567"
WORD = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
SECRETS = {
    "aws-access-key": "AKIA" + drawn(UPPER, 16),
    "gcp-api-key": "AIza" + drawn(WORD, 35),
    "github-token": "ghp_" + drawn(WORD, 36),
    "gitlab-token": "glpat-" + drawn(WORD, 20),
    "stripe-key": "sk_live_" + drawn(WORD, 24),
    "npm-token": "npm_" + drawn(WORD, 36),
    "slack-token": f"xoxb-{drawn('123456789', 12)}-{drawn('123456789', 12)}-{drawn(WORD, 24)}",
    "anthropic-key": "sk-ant-api03-" + drawn(WORD, 93) + "AA",
    "openai-key": "sk-proj-" + drawn(WORD, 40) + "T3BlbkFJ" + drawn(WORD, 40),
    "sendgrid-key": "SG." + drawn(WORD, 66),
    "private-key": "-----BEGIN RSA PRIVATE KEY-----\n" + drawn(WORD, 64) + "\n" + drawn(WORD, 64),
    "digitalocean-token": "dop_v1_" + drawn(HEX, 64),
    "jwt": "eyJ" + drawn(WORD, 30) + ".eyJ" + drawn(WORD, 40) + "." + drawn(WORD, 43),
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("around", ["{}", "use {} for it", 'X = "{}";', "key:{}\n", "naïve – {} – naïve"])
def test_a_secret_is_found_where_it_stands(kind: str, around: str) -> None:
    text = around.format(SECRETS[kind])
    (found,) = [one for one in scan(text) if one.kind == "secret"]
    assert (found.type, text[found.start : found.end]) == (kind, SECRETS[kind])


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgres://app:s3cr3tW0rd@db.example.org/x", "s3cr3tW0rd"),
        ("my password is Tr0ub4dor&3, remember it", "Tr0ub4dor&3"),
        ('db_password = "h7!kk2-Pq"', "h7!kk2-Pq"),
        ('{"api_token": "' + "q8Zr51mB0xLw77TyUe9d" + '"}', "q8Zr51mB0xLw77TyUe9d"),
        ("Authorization: Bearer q8Zr51mB0xLw77TyUe9d", "q8Zr51mB0xLw77TyUe9d"),
        ("curl -u ana:Xk29fm3 https://example.org", "ana:Xk29fm3"),
        ("DefaultEndpointsProtocol=https;AccountKey=c3ludGhldGljIGtleSBmb3I=;", "c3ludGhldGljIGtleSBmb3I="),
    ],
)
def test_a_secret_is_known_by_its_surroundings(text: str, secret: str) -> None:
    assert secret in [text[one.start : one.end] for one in scan(text) if one.kind == "secret"]


@pytest.mark.parametrize(
    "text",
    [
        "AKIAXXXXXXXXXXXXXXXX",
        "token = ${API_TOKEN}",
        "password: <your password>",
        "my password is wrong",
        "I forgot my password yesterday at 10",
        "the key question of 2024 is simple",
        "password = request.form",
        "sha256:" + "a" * 64,
        "https://example.org/a/b?c=1",
        "ghp_" + "x" * 36,
        "see issue #1234567 and commit 3f2a91c0",
    ],
)
def test_what_only_looks_like_a_secret(text: str) -> None:
    assert [one.type for one in scan(text) if one.kind == "secret"] == []


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("write to ana.lima@example.org.", "email", "ana.lima@example.org"),
        ("card 4111 1111 1111 1111 please", "payment-card", "4111 1111 1111 1111"),
        ("to GB82 WEST 1234 5698 7654 32 today", "iban", "GB82 WEST 1234 5698 7654 32"),
        ("to gb82west12345698765432 today", "iban", "gb82west12345698765432"),
        ("SSN 078-05-1120", "us-ssn", "078-05-1120"),
        ("from 203.0.113.9 it came", "ip-address", "203.0.113.9"),
        ("from 2001:db8::8a2e:370:7334 it came", "ip-address", "2001:db8::8a2e:370:7334"),
        ("mac 00:1b:44:11:3a:b7", "mac-address", "00:1b:44:11:3a:b7"),
        ("call +351 912 345 678 now", "phone", "+351 912 345 678"),
        ("call 555-867-5309 now", "phone", "555-867-5309"),
        ("DNI 12345678Z", "es-dni", "12345678Z"),
        ("CPF 529.982.247-25", "br-cpf", "529.982.247-25"),
        ("NHS number 943 476 5919", "uk-nhs-number", "943 476 5919"),
        ("NINO AB123456C", "uk-nino", "AB123456C"),
        ("codice RSSMRA85T10A562S", "it-codice-fiscale", "RSSMRA85T10A562S"),
        ("her passport is XK1234567", "passport", "XK1234567"),
        ("MRN: 00482913", "medical-record", "00482913"),
        ("born on 3 May 1984 in Faro", "date-of-birth", "3 May 1984"),
        ("at 38.72225, -9.13933 by noon", "gps", "38.72225, -9.13933"),
        ("pay 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "crypto-wallet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    ],
)
def test_personal_data_is_found_where_it_stands(text: str, kind: str, value: str) -> None:
    assert [(one.type, text[one.start : one.end]) for one in scan(text)] == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "card 4111 1111 1111 1112",
        "order 12345678",
        "GB82 WEST 1234 5698 7654 33",
        "version 1.2.3.4000",
        "on 2024-05-03 we met, 2019 2021",
        "000-12-3456",
        "467 3395 Main Street",
        "pi is 3.14159265",
        "localhost is 127.0.0.1",
    ],
)
def test_what_only_looks_personal(text: str) -> None:
    assert scan(text) == []


@given(st.text(max_size=200) | st.text(string.printable, max_size=200))
def test_any_text(text: str) -> None:
    end = 0
    for one in scan(text):
        assert end <= one.start < one.end <= len(text)
        end = one.end


def test_overlaps_go_to_the_secret_then_to_the_longer() -> None:
    secret, long, short = Finding("a", "secret", 4, 8), Finding("b", "pii", 0, 9), Finding("c", "pii", 9, 12)
    longer = Finding("d", "pii", 9, 14)
    assert without_overlaps([long, short, secret, longer]) == [secret, longer]


@pytest.mark.parametrize("piece", ["eyJ", "sk-", "a@", "12 ", "ab:", "GB00", "token=", "-----BEGIN ", "  a: YWJj\n"])
def test_hostile_repetition_does_not_grow_quadratically(piece: str) -> None:
    """Counted in characters that patterns are started at, not in time: twice the text, about twice the findings."""
    short, long = (piece * (size // len(piece)) for size in (4_000, 64_000))
    assert len(scan(long)) <= 17 * (len(scan(short)) + 1)


_PIECES = st.sampled_from(
    [
        *(
            "ana@example.org",
            "4111 1111 1111 1111",
            "DE89 3704 0044 0532 0130 00",
            "GB82WEST12345698765432",
            "536-22-8726",
        ),
        *(
            "192.168.17.4",
            "2001:db8::8a2e:370:7334",
            "00:1A:2B:3C:4D:5E",
            "NHS number 943 476 5919",
            "AB 12 34 56 C",
            "12345678Z",
        ),
        *("2 55 08 14 168 025 38", "529.982.247-25", "RSSMRA85T10A562S", "Steuer-ID 86 095 742 719", "BSN 111222333"),
        *(
            "PESEL 44051401359",
            "NIF 123456789",
            "2341 2341 2346",
            "SIN 046 454 286",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        ),
        *("0x52908400098527886E0F7030069857D2E4169EE7", "48.85837, 2.29448", "passport C01234567", "MRN 00123456"),
        *(
            "born on 12 March 1984",
            "+1 (555) 010-9999",
            "call 020 7946 0958",
            "at 10:30",
            "in 2023",
            "3 km",
            "7",
            "\u00e9",
            "x",
            " ",
        ),
    ]
)


@given(st.lists(st.one_of(_PIECES, st.text("0123456789-+.:() @ax", max_size=12)), max_size=6))
def test_all_patterns_at_once_miss_nothing_that_one_by_one_finds(parts: list[str]) -> None:
    text = " ".join(parts)
    together = list(personal_data.personal(Text(text)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(personal_data, "_TOGETHER", -1)
        assert list(personal_data.personal(Text(text))) == together


def test_each_kind_is_among_the_pieces() -> None:
    kinds = {one.type for piece in _PIECES.elements for one in personal_data.personal(Text(piece))}
    assert {pattern.type for pattern in personal_data.PATTERNS} - kinds == set()
