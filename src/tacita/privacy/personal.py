"""Finding personal data that has a form: searched with RE2 in linear time, then checked.

Names, health and other free text have no form; they are a plug-in's business.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from tacita.patterns import lazy_pattern
from tacita.privacy import checksums
from tacita.privacy.checksums import digits
from tacita.privacy.findings import Finding
from tacita.privacy.matching import Memo, Text, compile_pattern

_TWO_GROUPS: Final = frozenset({(3, 4), (4, 4), (3, 6), (4, 6), (5, 5), (5, 6)})
"""Lengths of the parts of telephone numbers that are written in two."""
_DIGITS: Final = lazy_pattern(r"\d+")
MOST: Final = 500
LOOKS: Final = 1_000
"""So many of one kind in one text are told apart."""
_TOGETHER: Final = 2_000
"""Characters of a text in which all patterns are looked for at once. A longer one, made to be slow, would cost more so."""


class Pattern(NamedTuple):
    """One kind of personal data."""

    type: str
    pattern: str
    """RE2. Group 1 is what was found; without a group, all of it."""
    holds: Callable[[str], bool] = lambda _: True
    """Whether it can be what it looks like."""
    alone: bool = False
    """Whether it must not touch other words, signs and numbers."""
    needs: str = ""
    """RE2. A text without it holds none: one pass instead of thousands of matches that come to nothing."""


def _card(text: str) -> bool:
    number = digits(text)
    known = number.startswith(("3", "4", "5", "6", "1800", "2131", *(str(first) for first in range(22, 28))))
    return 12 <= len(number) <= 19 and known and len(set(number)) > 1 and checksums.luhn(number)


def _iban(text: str) -> bool:
    number = text.replace(" ", "").replace("-", "").upper()
    return 15 <= len(number) <= 34 and checksums.iban(number)


def _ssn(text: str) -> bool:
    area, group, serial = text[:3], text[4:6], text[7:]
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def _ip(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # The addresses of no machine and of this one tell nothing of anybody.
    return not (address.is_loopback or address.is_unspecified)


def _phone(text: str) -> bool:
    number = digits(text)
    if text.startswith("+") or (text.startswith("00") and text[2:3] not in "0 -"):
        return 8 <= len(number) <= 15
    groups = _groups(text)
    lengths = tuple(map(len, groups))
    # Dates, years, versions, and American social security numbers (valid or not) are no telephone numbers.
    years = sum(len(group) == 4 and group[:2] in ("19", "20") for group in groups)
    if years == len(groups) or (years and len(number) == 8 and len(groups) == 3):
        return False
    if lengths == (3, 2, 4) or lengths.count(1) > 1:
        return False
    if len(groups) == 1:
        return len(number) == 10 and number[0] != "1"
    if len(groups) == 2 and not text.startswith("("):
        return lengths in _TWO_GROUPS
    return 7 <= len(digits(text.partition("x")[0])) <= 12


def _groups(text: str) -> list[str]:
    return _DIGITS.findall(text.partition("x")[0])


def _alone(text: str, start: int, end: int) -> bool:
    """Not a part of a longer number, and no house number ("467 3395 Main Street")."""
    before, after = text[start - 1 : start], text[end : end + 2]
    if (before and (before.isalnum() or before in "_.+/:-$€£#")) or (
        after and (after[0].isalnum() or after[0] in "_/:%")
    ):
        return False
    if len(_groups(text[start:end])) == 2 and after[:1] == " " and after[1:].isalpha() and text[start] not in "+(":
        return False
    return after[:1] != "-" or after[1:].isalpha()


def _gps(text: str) -> bool:
    latitude, longitude = (float(each) for each in text.replace(" ", "").split(","))
    return abs(latitude) <= 90 and abs(longitude) <= 180


def _number(check: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda text: check(digits(text))


_MONTH = r"[A-Z][a-z]{2,8}"
_DATE = (
    r"(?:\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}-\d{1,2}-\d{1,2}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)? {_MONTH},? \d{{4}}|{_MONTH} \d{{1,2}},? \d{{4}})"
)

PATTERNS: Final = (
    Pattern("email", r"\b[A-Za-z0-9][A-Za-z0-9._%+'-]*@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}\b"),
    Pattern("payment-card", r"\b\d(?:[ -]?\d){11,18}\b", _card, alone=True),
    Pattern("iban", r"\b[A-Za-z]{2}\d{2}[A-Za-z0-9]{11,30}\b", _iban),
    Pattern("iban", r"\b[A-Z]{2}\d{2}(?:[ -][A-Z0-9]{4}){2,7}(?:[ -][A-Z0-9]{1,3})?\b", _iban),
    Pattern("us-ssn", r"\b\d{3}-\d{2}-\d{4}\b", _ssn),
    Pattern("ip-address", r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", _ip),
    Pattern("ip-address", r"(?:^|[\s(\[])((?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})(?:$|[\s)\],])", _ip),
    Pattern("mac-address", r"\b[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}\b"),
    Pattern("uk-nhs-number", r"(?i)\bnhs\b[^\d\n]{0,20}(\d{3}[ -]?\d{3}[ -]?\d{4})\b", _number(checksums.nhs)),
    Pattern("uk-nino", r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b"),
    Pattern("es-dni", r"\b(?:\d{8}|[XYZ]\d{7})[A-HJ-NP-TV-Z]\b", checksums.dni),
    Pattern("fr-nir", r"\b[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?\d{2} ?\d{3} ?\d{3} ?\d{2}\b", _number(checksums.nir)),
    Pattern("br-cpf", r"\b\d{3}\.\d{3}\.\d{3}-\d{2}\b", _number(checksums.cpf)),
    Pattern("it-codice-fiscale", r"\b[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]\b"),
    Pattern("de-steuer-id", r"(?i)steuer[^\d\n]{0,30}(\d{2} ?\d{3} ?\d{3} ?\d{3})\b", _number(checksums.steuer_id)),
    Pattern("nl-bsn", r"(?i)\b(?:bsn|burgerservicenummer)\b[^\d\n]{0,10}(\d{9})\b", checksums.bsn),
    Pattern("pl-pesel", r"(?i)\bpesel\b[^\d\n]{0,10}(\d{11})\b", checksums.pesel),
    Pattern("pt-nif", r"(?i)\b(?:nif|contribuinte)\b[^\d\n]{0,10}(\d{9})\b", checksums.nif),
    Pattern("in-aadhaar", r"\b[2-9]\d{3} \d{4} \d{4}\b", _number(checksums.verhoeff)),
    Pattern("ca-sin", r"(?i)\b(?:sin|social insurance)\b[^\d\n]{0,20}(\d{3}[ -]?\d{3}[ -]?\d{3})\b", _number(checksums.luhn)),
    Pattern("crypto-wallet", r"\b[13][1-9A-HJ-NP-Za-km-z]{25,34}\b", checksums.base58check),
    Pattern("crypto-wallet", r"\b(?:bc1|BC1)[0-9A-Za-z]{11,71}\b", checksums.bech32),
    Pattern("crypto-wallet", r"\b0x[0-9A-Fa-f]{40}\b"),
    Pattern("gps", r"(-?\d{1,3}\.\d{4,9}, ?-?\d{1,3}\.\d{4,9})\b", _gps),
    Pattern("passport", r"(?i)\bpassport\b[^\d\n]{0,20}?\b([A-Z]{0,3}\d{6,9}[A-Z]?)\b"),
    Pattern("medical-record", r"(?i)\b(?:mrn|medical record|patient (?:id|number))\b[^\d\n]{0,16}?\b([A-Z]{0,4}-?\d{5,12})\b"),
    Pattern(
        "date-of-birth",
        rf"(?i:\b(?:born(?: on)?|birthday|birth ?date|date of birth|d\.?o\.?b\.?))(?-i:[^\d\n]{{0,15}}?({_DATE}))",
    ),
    Pattern(
        "phone",
        r"(?:\+|\b|\()\(?\d{1,5}\)?(?:[ .-]?\(?\d{1,5}\)?){1,6}(?: ?(?:x|ext\.?) ?\d{2,5})?",
        _phone,
        alone=True,
        needs=r"(?:\d[ .()-]{0,3}){6}\d",
    ),
)  # fmt: skip


_NAMED: Final = lazy_pattern(r"\(\?i:?\)?\\b|steuer")
_NAMES: Final = (
    r"(?i)nhs|steuer|bsn|burgerservicenummer|pesel|nif|contribuinte|sin|social insurance|passport|mrn|medical record"
    r"|patient|born|birth|d\.?o\.?b"
)
"""One of these stands before whatever is known by its name only."""


@cache
def _compiled() -> list[tuple[Pattern, Any, Any]]:
    """(pattern, compiled, what must match anywhere for it to be worth a search)."""
    return [
        (pattern, compile_pattern(pattern.pattern), compile_pattern(pattern.needs or _needed(pattern)))
        for pattern in PATTERNS
    ]


def _needed(pattern: Pattern) -> str:
    if pattern.type == "email":
        return "@"
    return _NAMES if _NAMED.match(pattern.pattern) else r"[0-9:]"


@cache
def _any() -> Any:
    """Matches wherever one of the patterns does, or what that one needs."""
    return compile_pattern("|".join(f"(?:{each.needs or each.pattern})" for each in PATTERNS))


def personal(searched: Text) -> Iterator[Finding]:
    """Everything personal in a text that has a form; findings may overlap, those of rarer kinds come first.

    Where one kind is found more than `MOST` times, or looked at more than `LOOKS` times, all that follows counts as
    one finding of it: a text made to be slow is taken for the worst, in bounded time.
    """
    text = searched.text
    if len(text) <= _TOGETHER and not searched.has(_any()):
        return
    # Many patterns need the same: a digit, or a name.
    has = Memo(searched.has)
    for pattern, compiled, needed in _compiled():
        if not has(needed):
            continue
        # A text made to be slow repeats itself. What is remembered here ends with this call.
        holds = Memo(pattern.holds)
        found = 0
        for looks, (start, end) in enumerate(searched.spans(compiled, 1 if compiled.groups else 0)):
            if found == MOST or looks == LOOKS:
                yield Finding(pattern.type, "pii", start, len(text))
                break
            if holds(text[start:end]) and (not pattern.alone or _alone(text, start, end)):
                found += 1
                yield Finding(pattern.type, "pii", start, end)
