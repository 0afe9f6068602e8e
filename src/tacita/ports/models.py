"""The model port: what embedders and language models are, and the checks that their answers pass.

A local embedder runs inside the engine and may see text. Whatever talks to a network, and every language model, gets a
`Disclosed` value and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tacita.disclosed import Disclosed
from tacita.errors import ModelError
from tacita.limits import ANSWER_CHARS, DIMENSIONS
from tacita.ports.foreign import Failed, tried

NAME_CHARS = 256
UNIT_TOLERANCE = 1e-3
"""How far the length of a row may be from 1."""
# Made from the type it costs as much as the product of a row with itself, for every query.
_FLOAT32 = np.dtype(np.float32)


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into unit vectors whose dot product is their likeness. Must be safe to call from several threads."""

    @property
    def name(self) -> str:
        """Names the vector space for ever: another model, precision or pooling is another name."""

    @property
    def dimensions(self) -> int:
        """Components of one vector, 1 to `limits.DIMENSIONS`."""

    def embed(self, texts: list[str], /) -> NDArray[np.float32]:
        """One row for each text, in order: float32, shape `(len(texts), dimensions)`, every row of length 1."""


@runtime_checkable
class RemoteEmbedder(Protocol):
    """An embedder elsewhere: it gets only what was disclosed to it. Must be safe to call from several threads."""

    @property
    def name(self) -> str:
        """As `Embedder.name`."""

    @property
    def dimensions(self) -> int:
        """As `Embedder.dimensions`."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that it may contact."""

    def embed_disclosed(self, texts: Disclosed, /) -> NDArray[np.float32]:
        """One row for each text, as `Embedder.embed`."""


@runtime_checkable
class LanguageModel(Protocol):
    """Answers a prompt. Must be safe to call from several threads."""

    @property
    def name(self) -> str:
        """Names the model for audit and consent, such as `openai:gpt-4.1-mini`."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that it may contact; empty for one that runs in this process."""

    def complete(self, prompt: Disclosed, /) -> str:
        """The answer's text. Raises ModelError, which never quotes prompt or answer."""


@runtime_checkable
class PictureSource(Protocol):
    """Gets the pictures that messages name by their address."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that it may contact."""

    def fetch(self, url: str, /) -> bytes:
        """The bytes at an address. Raises AccessDenied for one that is not allowed, ModelError when it cannot be got."""


@runtime_checkable
class Reranker(Protocol):
    """Reads a question and a text together and says how well they fit. Runs in this process."""

    @property
    def name(self) -> str:
        """Names the model."""

    def score(self, query: str, texts: list[str], /) -> NDArray[np.float32]:
        """One number from 0 to 1 for each text, in order."""


@runtime_checkable
class RemoteReranker(Protocol):
    """The same elsewhere: it gets only what was disclosed to it."""

    @property
    def name(self) -> str:
        """Names the model."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that it may contact."""

    def score_disclosed(self, texts: Disclosed, /) -> NDArray[np.float32]:
        """The first text is the question. One number from 0 to 1 for each of the others, in order."""


def checked_scores(reranker: Reranker | RemoteReranker, call: Callable[[], object], count: int) -> NDArray[np.float32]:
    """What a reranker's call gives, verified: `count` finite float32 numbers from 0 to 1. Raises ModelError."""
    scores = tried(call)
    if isinstance(scores, Failed):
        raise ModelError(f"reranker {reranker.name} failed: {scores.kind}", retryable=scores.retryable)
    if not isinstance(scores, np.ndarray) or scores.dtype != np.float32 or scores.shape != (count,):
        raise ModelError(f"reranker {reranker.name} did not give {count} float32 numbers")
    if not bool(np.all((scores >= 0) & (scores <= 1))):
        raise ModelError(f"reranker {reranker.name} gave numbers outside 0 to 1")
    return scores


def checked_complete(model: LanguageModel, prompt: Disclosed) -> str:
    """The answer of `model`, of at most `limits.ANSWER_CHARS` characters.

    Raises:
        ModelError: the model failed or broke its contract. Carries its name, never a text.
        ConfigError: it says that the operator must act (a key that is missing or refused).
    """
    if type(prompt) is not Disclosed:
        raise TypeError("a model takes Disclosed and nothing else")
    if prompt.provider != model.name:
        raise TypeError("this was disclosed to another model")
    answer = tried(lambda: model.complete(prompt))
    if isinstance(answer, Failed):
        raise ModelError(f"model {model.name} failed: {answer.kind}", retryable=answer.retryable)
    if not isinstance(answer, str):
        raise ModelError(f"model {model.name} gave {type(answer).__name__}, not text")
    return answer[:ANSWER_CHARS]


def checked_embed_disclosed(embedder: RemoteEmbedder, texts: Disclosed) -> NDArray[np.float32]:
    """The rows of a remote embedder, verified as `checked_embed` does. Raises ModelError, ConfigError."""
    if type(texts) is not Disclosed:
        raise TypeError("a model takes Disclosed and nothing else")
    if texts.provider != embedder.name:
        raise TypeError("this was disclosed to another model")
    name, dimensions = _identity(embedder)
    rows = tried(lambda: embedder.embed_disclosed(texts))
    if isinstance(rows, Failed):
        raise ModelError(f"embedder {name} failed on {len(texts.texts)} texts: {rows.kind}", retryable=rows.retryable)
    return _checked(rows, name, len(texts.texts), dimensions)


def checked_embed(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """The rows of `embedder` for `texts`, verified: C-contiguous float32 `(len(texts), dimensions)`, finite, unit.

    Raises:
        ModelError: the embedder failed or broke its contract. Carries its name and counts, never a text.
        ConfigError: the embedder says that the operator must act (a model file is missing or damaged).
    """
    name, dimensions = _identity(embedder)
    given = list(texts)
    rows = tried(lambda: embedder.embed(given))
    if isinstance(rows, Failed):
        raise ModelError(f"embedder {name} failed on {len(texts)} texts: {rows.kind}", retryable=rows.retryable)
    return _checked(rows, name, len(texts), dimensions)


def _identity(embedder: Embedder | RemoteEmbedder) -> tuple[str, int]:
    name, dimensions = getattr(embedder, "name", None), getattr(embedder, "dimensions", None)
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS or not name.isprintable():
        raise ModelError(f"an embedder's name is 1 to {NAME_CHARS} printable characters")
    if type(dimensions) is not int or not 0 < dimensions <= DIMENSIONS:
        raise ModelError(f"embedder {name}: dimensions must be a whole number from 1 to {DIMENSIONS}")
    return name, dimensions


def _checked(rows: object, name: str, count: int, dimensions: int) -> NDArray[np.float32]:
    if not isinstance(rows, np.ndarray) or rows.dtype != _FLOAT32:
        kind = str(rows.dtype) if isinstance(rows, np.ndarray) else type(rows).__name__
        raise ModelError(f"embedder {name} gave {kind}, not a float32 array")
    if rows.shape != (count, dimensions):
        raise ModelError(f"embedder {name} gave shape {rows.shape} for {count} texts of {dimensions} dimensions")
    if count == 1:
        # A query's, in every search: one product instead of five passes.
        wrong = int(not abs(float(np.dot(rows[0], rows[0])) - 1.0) <= 2 * UNIT_TOLERANCE)
    else:
        wrong = count - _units(rows)
    if wrong:
        raise ModelError(f"embedder {name}: {wrong} of {count} rows are not finite vectors of length 1")
    return np.ascontiguousarray(rows, dtype=np.float32)


def _units(rows: NDArray[np.float32]) -> int:
    """How many rows are finite and of length 1."""
    # A NaN or an infinity in a row makes its length NaN or infinite, so one comparison finds all of them.
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(np.einsum("ij,ij->i", rows, rows, dtype=np.float64) - 1.0)
    return int(np.count_nonzero(off <= 2 * UNIT_TOLERANCE))
