"""Who speaks: the names of a vault's speakers, and which of them a query mentions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tacita.patterns import lazy_pattern
from tacita.retrieval.languages import ENGLISH, STOP_WORDS
from tacita.retrieval.text import words

_WORD = lazy_pattern(r"[^\W_]+(?:['\u2019\u02bc\uff07][^\W\d_]+)?")


class Names:
    """Speakers by number; 0 is nobody."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.known: list[str] = []
        self._number: dict[str, int] = {}
        self._by_word: dict[str, list[int]] = {}
        for name in known:
            self.number(name)

    def number(self, name: str | None) -> int:
        """The number of a name, a new one if need be."""
        if not name:
            return 0
        found = self._number.get(name)
        if found is None:
            self.known.append(name)
            found = self._number[name] = len(self.known)
            for word in set(words(name)):
                # "Will" and "May" would be found in every other question.
                if len(word) > 1 and word not in STOP_WORDS[ENGLISH]:
                    self._by_word.setdefault(word, []).append(found)
        return found

    def mentioned(self, query_words: Iterable[str]) -> frozenset[str]:
        """Names of which a word stands in the query ("Ana" for "Ana Lima"; "Ana's" too)."""
        if not self._by_word:
            return frozenset()
        numbers: set[int] = set()
        for word in query_words:
            numbers.update(self._by_word.get(word.removesuffix("'s"), ()))
        return frozenset(self.known[number - 1] for number in numbers)

    def taken_out(self, text: str) -> str:
        """A text without the words of known names, where these are not written like any other word."""

        def kept(word: re.Match[str]) -> str:
            written = word.group()
            return written if written[0].islower() or not self.mentioned(words(written)) else ""

        return _WORD.sub(kept, text)

    def known_number(self, name: str | None) -> int | None:
        """The number of a name that is known here."""
        return None if name is None else self._number.get(name)

    def nbytes(self) -> int:
        return 400 * len(self.known)
