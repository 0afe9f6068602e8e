"""Finding somebody or something in texts in whatever form it is written: case, separators, quotes; never a part of more.

`alice@acme.io` is found in `"ALICE@Acme.io"` and not in `alice.smith@acme.io`; `+49 30 1234567` in `+49-30/123 45 67`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from tacita.discreet import Discreet
from tacita.patterns import lazy_pattern
from tacita.privacy.detect import scan

TermKind = Literal["email", "identifier", "name"]
_EMAIL: Final = lazy_pattern(r"(?<![\w.+%-])[\w.+%-]++@[\w-]++(?:\.[\w-]++)+")
_SEPARATORS: Final = r"[\s\-./_()\u2010-\u2015'\"]*"
_EDGE: Final = "\"'\u201c\u201d\u2018\u2019\u00ab\u00bb`()[]{}<>,.;:!?"
_WORD: Final = lazy_pattern(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_IDENTIFIER: Final = lazy_pattern(r"\+?(?:\b[A-Z]{1,6}[-/ .]?)?\d[\dA-Za-z]*(?:[-/ .]?\d[\dA-Za-z]*)*|[@#]\w[\w.-]*")
_LEAST: Final = 4
"""Fewest letters and digits of an identifier: shorter ones stand for too much."""
_PLAIN: Final = frozenset(
    "i a an the my me mine we our us you your he she they his her their everything anything all about of on from with forget "
    "delete remove erase please and or that which who whom is was were are ex not any every what ever said told mr mrs ms dr "
    "miss sir madam".split()
)


class Term(Discreet, frozen=True):
    """One thing to look for."""

    kind: TermKind
    pattern: re.Pattern[str]

    def __repr__(self) -> str:
        return f"<Term {self.kind}>"


def folded(text: str) -> str:
    """A text as terms are compared: compatibility forms and case folded away, one character for one where possible."""
    return "".join(_fold(char) for char in text)


def _fold(char: str) -> str:
    # Only what keeps the length: spans found in the folded text are spans of the text itself.
    plain = unicodedata.normalize("NFKC", char).casefold()
    return plain if len(plain) == 1 else char


def email(address: str) -> Term:
    """Exactly this address."""
    body = re.escape(folded(address.strip(_EDGE + " ")))
    return Term("email", re.compile(rf"(?<![\w.+%-]){body}(?![\w-]|\.\w)"))


def identifier(text: str) -> Term | None:
    """A number or code, however it is divided; None if it is too short to stand for something."""
    core = [char for char in folded(text) if char.isalnum()]
    if len(core) < _LEAST:
        return None
    body = _SEPARATORS.join(map(re.escape, core))
    return Term("identifier", re.compile(rf"(?<![^\W_]){body}(?![^\W_])"))


def name(words: Sequence[str]) -> Term:
    """A name of one or more words, with or without a possessive ending."""
    body = r"[\s.\-]+".join(re.escape(folded(word)) for word in words)
    return Term("name", re.compile(rf"(?<![^\W_]){body}(?:['\u2019]s)?(?![^\W_]|['\u2019-][^\W\d_])"))


def terms_of(request: str, known: Iterable[str] = ()) -> list[Term]:
    """What a request names: addresses, numbers and codes, and names: quoted, capitalised or `known` in the vault.

    The first word of a sentence counts as a name only when it is known or quoted.
    """
    found: list[Term] = []
    rest = request
    for match in _EMAIL.finditer(request):
        found.append(email(match.group()))
    rest = _EMAIL.sub(" ", rest)
    for quoted in re.findall(r"[\"\u201c\u00ab]([^\"\u201d\u00bb]{2,100})[\"\u201d\u00bb]", rest):
        made = identifier(quoted) if any(char.isdigit() for char in quoted) else name(quoted.split())
        found += [made] if made is not None else []
    rest = re.sub(r"[\"\u201c\u00ab][^\"\u201d\u00bb]{2,100}[\"\u201d\u00bb]", " ", rest)
    for start, end in _codes(rest):
        made = identifier(rest[start:end])
        found += [made] if made is not None else []
        rest = rest[:start] + " " * (end - start) + rest[end:]
    found += [name(words) for words in _names(rest, {folded(each) for each in known})]
    return list({(term.kind, term.pattern.pattern): term for term in found}.values())


def _codes(text: str) -> list[tuple[int, int]]:
    spans = [(one.start, one.end) for one in scan(text)]
    for match in _IDENTIFIER.finditer(text):
        if not any(start < match.end() and match.start() < end for start, end in spans):
            spans.append(match.span())
    return sorted(spans)


def _names(text: str, known: set[str]) -> list[list[str]]:
    """Runs of words that are names."""
    runs: list[list[str]] = []
    previous_end = -2
    for match in _WORD.finditer(text):
        word = re.sub(r"['\u2019]s$", "", match.group())
        before = text[: match.start()].rstrip()
        first = not before or before[-1] in ".!?\n"
        plain = folded(word) in _PLAIN
        is_name = folded(word) in known or (word[:1].isupper() and not first and not plain)
        if not is_name:
            continue
        if runs and text[previous_end : match.start()].isspace() and not first:
            runs[-1].append(word)
        else:
            runs.append([word])
        previous_end = match.end()
    return runs


def spans(text: str, terms: Sequence[Term]) -> list[tuple[int, int]]:
    """Where any of the terms stands in a text, in order, without overlaps."""
    plain = folded(text)
    found = sorted({match.span() for term in terms for match in term.pattern.finditer(plain)})
    kept: list[tuple[int, int]] = []
    for start, end in found:
        if kept and start < kept[-1][1]:
            kept[-1] = (kept[-1][0], max(end, kept[-1][1]))
        else:
            kept.append((start, end))
    return kept


def replaced(text: str, terms: Sequence[Term], replacement: str) -> str:
    """The text with every term replaced."""
    pieces, last = [], 0
    for start, end in spans(text, terms):
        pieces += [text[last:start], replacement]
        last = end
    return "".join([*pieces, text[last:]])
