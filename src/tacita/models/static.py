"""`local:minilm-static`: one vector for each word piece, made on this machine from the weights of `local:minilm`.

A text's vector is the sum of its pieces' vectors. That costs microseconds, and it knows neither the order of words nor
what one does to another. `tacita.models.distil` makes the table; nothing here does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from tacita.errors import ConfigError
from tacita.models.minilm import LONGEST, TOKENIZER, WEIGHTS, read_pinned
from tacita.models.runtime import LocalEmbedder
from tacita.models.table import read, read_head
from tacita.models.words import PlainWords

NAME: Final = "local:minilm-static/v1"
"""The digest of the table follows."""
FOLDER: Final = "minilm-static"
TABLE: Final = "table.f16"
_EMPTY: Final = 101
"""[CLS], which stands for a text without pieces."""


class StaticMiniLM(LocalEmbedder):
    """Distilled from all-MiniLM-L6-v2. English first, the first 256 word pieces of a text.

    The table's own digest is in the name, for another processor may round a number otherwise: a vault whose vectors
    were made with another table is searched by words until it is embedded anew.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` holds the table and `tokenizer.json`; they are read and verified at the first use.

        Raises ConfigError if there is no table, or one of other weights.
        """
        self._head = read_head(folder / TABLE)
        if (self._head.weights, self._head.tokenizer) != (WEIGHTS.sha256, TOKENIZER.sha256):
            raise ConfigError(f"the table in {folder} was made from another model: run `tacita models distil`")
        self._folder = folder
        super().__init__(f"{NAME}/{self._head.digest[:16]}", self._head.dimensions)

    @classmethod
    def find(cls, models_dir: Path, *, path: Path | None = None) -> Self:
        """The table at `path`, else the one that was made in `models_dir`. Raises ConfigError."""
        return cls(models_dir / FOLDER if path is None else path)

    @property
    def folder(self) -> Path:
        """Where the table is."""
        return self._folder

    def _load(self) -> _Sums:
        words = PlainWords(read_pinned(self._folder, TOKENIZER), LONGEST)
        return _Sums(words, read(self._folder / TABLE, self._head).astype(np.float32))


class _Sums:
    def __init__(self, words: PlainWords, table: NDArray[np.float32]) -> None:
        self._words = words
        self._table = table

    def pooled(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """As `Encoder`."""
        ids, lengths = self._words.ids(texts)
        rows = np.empty((len(texts), self._table.shape[1]), np.float32)
        start = 0
        for row, length in zip(rows, lengths.tolist(), strict=True):
            # One text at a time stays in the processor's cache: four times as fast as np.add.reduceat over many.
            row[:] = self._table[ids[start : start + length]].sum(axis=0) if length else self._table[_EMPTY]
            start += length
        return rows
