"""An embedder for tests: instant, deterministic, without a model. Its vectors know words, not meaning."""

from __future__ import annotations

import re
import threading
import zlib

import numpy as np
from numpy.typing import NDArray


class HashEmbedder:
    """A bag of words under a random projection: texts that share words are alike, others are about orthogonal.

    The same text has the same vector in every process and on every machine. For tests only: it finds no synonym, and
    whoever sees a vector can guess its words.
    """

    def __init__(self, dimensions: int = 64) -> None:
        self._dimensions = dimensions
        self._words: dict[str, NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """`test:hash/<dimensions>/v1`."""
        return f"test:hash/{self._dimensions}/v1"

    @property
    def dimensions(self) -> int:
        """Components of one vector."""
        return self._dimensions

    def embed(self, texts: list[str], /) -> NDArray[np.float32]:
        """Unit rows, float32 `(len(texts), dimensions)`. A text without words has the vector of the empty word."""
        rows = np.zeros((len(texts), self._dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.casefold()) or [""]:
                row += self._word(word)
            row /= np.linalg.norm(row)
        return rows

    def _word(self, word: str) -> NDArray[np.float32]:
        with self._lock:
            if word not in self._words:
                self._words[word] = _noise(zlib.crc32(word.encode("utf-8", "replace")), self._dimensions)
            return self._words[word]


def _noise(seed: int, count: int) -> NDArray[np.float32]:
    """`count` numbers in [-1, 1) from a 32-bit seed: SplitMix64 (Steele, Lea and Flood, 2014), counted from `seed`."""
    z = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed << 20)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)).astype(np.float64) / 2.0**52 - 1.0).astype(np.float32)
