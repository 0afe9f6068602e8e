"""From text to the words that are searched: normalising, splitting, stop words and stems, in any script.

What lives here sees one text at a time. Counting and weighting belong to `lexical`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from threading import Lock
from typing import Any, Final

import Stemmer

from tacita.patterns import lazy_pattern
from tacita.retrieval.languages import ENGLISH, FOREIGN_MARKS, STOP_WORDS

HEAD_CHARS: Final = 400
"""Words are taken from this many first characters: a long answer says early what it is about."""

CACHED_WORDS: Final = 50_000
"""Most words whose stems are remembered, per language."""

_CODE = lazy_pattern(r"```.*?(?:```|\Z)", re.DOTALL)
_ASCII_WORD = lazy_pattern(r"[a-z0-9]+(?:'[a-z]+)?")
# Vowel signs and tone marks are no word characters to `re`, but words of these scripts fall apart without them.
_MARKS = (
    r"\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0e3a\u0e40-\u0eff\u1000-\u109f\u1780-\u17ff"
)
_WORD = lazy_pattern(rf"(?:[^\W_]|[{_MARKS}])+(?:'[^\W\d_]+)?")
_APOSTROPHES = str.maketrans("\u2019\u02bc\uff07", "'''")
# Scripts written without spaces between words: these are indexed by pairs of characters.
_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = lazy_pattern(rf"[{_HAN}\u3041-\u30ff\u31f0-\u31ff\uac00-\ud7af\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+")
_ONE_HAN = lazy_pattern(rf"[{_HAN}]")
_STEMMER_BY_SCRIPT: Final = (
    (0x0370, 0x0400, "greek"),
    (0x0400, 0x0530, "russian"),
    (0x0530, 0x0590, "armenian"),
    (0x0600, 0x0780, "arabic"),
    (0x0900, 0x0980, "hindi"),
    (0x0B80, 0x0C00, "tamil"),
    (0x1F00, 0x2000, "greek"),
)


def head(text: str) -> str:
    """The part of a text whose words are indexed: without fenced code, at most `HEAD_CHARS` characters."""
    if "```" in text:
        text = _CODE.sub(" ", text)
    return text[:HEAD_CHARS]


def words(text: str) -> list[str]:
    """Words in order, case-folded and NFKC-normalised; pairs of characters where the script has no spaces."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    if text.isascii():
        return _ASCII_WORD.findall(text)
    found = _WORD.findall(text)
    if _UNSPACED.search(text) is None:
        return found
    return [piece for word in found for piece in _pieces(word)]


def _pieces(word: str) -> Iterable[str]:
    """Unspaced runs give pairs of characters, and Han characters one by one too; the rest stays whole."""
    end = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > end:
            yield word[end : run.start()]
        end = run.end()
        chars = run.group()
        if len(chars) == 1:
            yield chars
        else:
            yield from _ONE_HAN.findall(chars)
            for first, second in pairwise(chars):
                yield first + second
    if end < len(word):
        yield word[end:]


def language(found: list[str]) -> str:
    """The language of Latin-script words, by their stop words; English unless another has more of them."""
    if FOREIGN_MARKS.keys().isdisjoint(found):
        return ENGLISH
    votes: dict[str, int] = {}
    english = STOP_WORDS[ENGLISH]
    for word in set(found):
        if word in english:
            votes[ENGLISH] = votes.get(ENGLISH, 0) + 1
        for each in FOREIGN_MARKS.get(word, ()):
            votes[each] = votes.get(each, 0) + 1
    return max(votes, key=lambda each: (votes[each], each == ENGLISH))


def stems(found: Iterable[str], language: str) -> list[str]:
    """The stems of `words`, stop words left out, in order."""
    return [stem for stem in map(_STEMS[language].__getitem__, found) if stem]


def analyse(text: str) -> tuple[list[str], str]:
    """The stems of a text, and the language that was guessed for it."""
    found = words(text)
    guessed = language(found)
    return stems(found, guessed), guessed


class _Stems(dict[str, str]):
    """Word -> stem, "" for a stop word. Filled on demand, emptied when full."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._stop = STOP_WORDS[language]

    def __missing__(self, word: str) -> str:
        stem = self._stem(word)
        if len(self) >= CACHED_WORDS:
            self.clear()
        self[word] = stem
        return stem

    def _stem(self, word: str) -> str:
        if word in self._stop:
            return ""
        if word.endswith("'s"):
            word = word[:-2]
            if word in self._stop:
                return ""
        return _stem(word, _stemmer_of(word, self._language))


def _stemmer_of(word: str, latin: str) -> str:
    first = ord(word[0])
    if first < 0x0370:
        return latin
    return next((name for start, end, name in _STEMMER_BY_SCRIPT if start <= first < end), latin)


_STEMS: Final = {name: _Stems(name) for name in STOP_WORDS}
_stemmers: dict[str, Any] = {}
# A Snowball stemmer works in place and must not be entered twice.
_stemming = Lock()


def _stem(word: str, algorithm: str) -> str:
    with _stemming:
        stemmer = _stemmers.get(algorithm)
        if stemmer is None:
            stemmer = _stemmers[algorithm] = Stemmer.Stemmer(algorithm, 0)
        stem: str = stemmer.stemWord(word)
    return stem
