"""`tacita models distil`: makes the table of `local:minilm-static` from the weights of `local:minilm`, on this machine.

The method is Model2Vec's (Minish Lab, 2024, "Model2Vec: Fast State-of-the-Art Static Embeddings"): run the model once over
each word piece alone, keep the directions in which they differ most, and let frequent pieces count less. The weights are those
of Arora, Liang and Ma (2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings"), a / (a + p), with the
frequency p guessed by Zipf's law from a piece's place in the vocabulary. ADR 87 has what was tried.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tacita.durable import replace_file
from tacita.errors import ConfigError
from tacita.models.minilm import DIMENSIONS, LONGEST, TOKENIZER, WEIGHTS, encode_alone, holds_model, places, read_pinned
from tacita.models.static import FOLDER, TABLE, StaticMiniLM
from tacita.models.table import write
from tacita.models.words import PlainWords

Progress = Callable[[int, int | None], None]
"""Told how many pieces of how many were run."""

KEPT: Final = 256
"""Directions of the model's 384."""
FREQUENT: Final = 3e-4
"""Arora's a: a piece of this frequency counts half."""
_FIRST_WORD: Final = 1996
"""BERT's vocabulary: special and unused tokens and single characters, then all others, most frequent first."""
_RARE_RANK: Final = 5_000
"""For characters of other scripts, whose places say nothing."""
_AT_ONCE: Final = 512


def distil(models_dir: Path, *, progress: Progress | None = None) -> StaticMiniLM:
    """Make the table, or find the one that is there and sound. Takes 20 to 60 seconds on two processors.

    Raises ConfigError: `local:minilm` is not on this machine or not the pinned one, or the folder cannot be written.
    """
    target = models_dir / FOLDER
    if (sound := _sound(target)) is not None:
        return sound
    source = next((folder for folder in places(models_dir) if holds_model(folder)), None)
    if source is None:
        raise ConfigError("local:minilm-static is made from local:minilm: run `tacita models fetch` first")
    tokenizer = read_pinned(source, TOKENIZER)
    vocabulary = PlainWords(tokenizer, LONGEST).vocabulary
    table = table_of(_alone(source, len(vocabulary), progress or _silent), vocabulary)
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(target / TOKENIZER.file, tokenizer)
        # The table last: who finds it finds the rest.
        write(target / TABLE, table, weights=WEIGHTS.sha256, tokenizer=TOKENIZER.sha256)
    except OSError as error:
        raise ConfigError(f"cannot write the table to {target}: {error.strerror or error}") from None
    return StaticMiniLM(target)


def table_of(alone: NDArray[np.float32], vocabulary: list[str]) -> NDArray[np.float16]:
    """Rows to add up, (pieces, KEPT), from what the model says of each piece alone, (pieces, DIMENSIONS)."""
    used = np.array([not piece.startswith("[unused") for piece in vocabulary])
    centred = alone.astype(np.float64)
    centred -= centred[used].mean(axis=0)
    _, directions = np.linalg.eigh(centred[used].T @ centred[used])
    kept = directions[:, ::-1][:, :KEPT]
    # An eigenvector has no sign of its own: the largest component is made positive.
    kept = kept * np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])
    table: NDArray[np.float64] = centred @ kept * weights_of(vocabulary)[:, None]
    return table.astype(np.float16)


def weights_of(vocabulary: list[str]) -> NDArray[np.float64]:
    """How much each piece counts, from 0 to 1."""
    ranks = np.arange(len(vocabulary), dtype=np.float64) - _FIRST_WORD + 1
    for place, piece in enumerate(vocabulary[:_FIRST_WORD]):
        if len(piece) > 1:
            # Special and unused tokens: none is in a text.
            ranks[place] = len(vocabulary)
        else:
            # Marks, digits and single letters are everywhere: "'", "s", "a".
            ranks[place] = 1 if piece.isascii() else _RARE_RANK
    frequency = 1 / ranks
    frequency /= frequency.sum()
    weights: NDArray[np.float64] = FREQUENT / (FREQUENT + frequency)
    return weights


def _alone(source: Path, pieces: int, progress: Progress) -> NDArray[np.float32]:
    encode = encode_alone(source)
    rows = np.empty((pieces, DIMENSIONS), np.float32)
    for start in range(0, pieces, _AT_ONCE):
        stop = min(pieces, start + _AT_ONCE)
        rows[start:stop] = encode(np.arange(start, stop, dtype=np.int32))
        progress(stop, pieces)
    return rows


def _sound(folder: Path) -> StaticMiniLM | None:
    try:
        found = StaticMiniLM(folder)
        found.load()
    except ConfigError:
        return None
    return found


def _silent(done: int, total: int | None) -> None:
    """Tell nobody."""
