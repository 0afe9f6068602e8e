"""Word pieces of many plain English texts at once: whole words are looked up, and what is not plain goes to the tokenizer.

The ids are the tokenizer's own, without its special tokens: a test compares them. Nothing of a text outlives the call.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tacita.models.runtime import CHARS_PER_PIECE, encodable

# BERT's uncased tokenizer on ASCII: lower case, cut at white space, each mark a word of its own.
_WORD: Final = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
# Other control characters are taken out of the middle of words, and a special token is found before all else.
_PLAIN: Final = re.compile(r"[\t\n\r -~]*")


class PlainWords:
    """An uncased BERT tokenizer. Safe for threads; starts none."""

    def __init__(self, description: bytes, longest: int) -> None:
        """`description` is the content of a `tokenizer.json`; of a text its first `longest` word pieces are used."""
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_str(description.decode("utf-8"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._longest = longest
        self._chars = longest * CHARS_PER_PIECE
        self._known: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=False)
        self._special = tuple(token.content for token in self._tokenizer.get_added_tokens_decoder().values())

    @property
    def vocabulary(self) -> list[str]:
        """All pieces by id, special tokens among them."""
        ids: dict[str, int] = self._tokenizer.get_vocab()
        return sorted(ids, key=ids.__getitem__)

    def ids(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        """The ids of all texts in one row, and how many are of each."""
        every: list[int] = []
        lengths = np.empty(len(texts), np.intp)
        # For this call only: words that are no piece are names, codes and passwords.
        rare: dict[str, list[int]] = {}
        for number, text in enumerate(texts):
            pieces = self._pieces(text[: self._chars], rare)
            lengths[number] = min(len(pieces), self._longest)
            every += pieces[: self._longest]
        return np.array(every, np.int32), lengths

    def _pieces(self, text: str, rare: dict[str, list[int]]) -> list[int]:
        if _PLAIN.fullmatch(text) is None or ("[" in text and any(token in text for token in self._special)):
            return self._encoded(encodable(text))
        words = _WORD.findall(text.lower())
        # A word that is a piece is one: the longest match is taken.
        found = list(map(self._known.get, words))
        if None not in found:
            return found  # type: ignore[return-value]  # just looked
        pieces: list[int] = []
        for word, piece in zip(words, found, strict=True):
            if piece is not None:
                pieces.append(piece)
                continue
            parts = rare.get(word)
            if parts is None:
                parts = rare[word] = self._encoded(word)
            pieces += parts
        return pieces

    def _encoded(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return found
