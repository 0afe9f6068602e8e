"""The model port: what an embedder is, and the check that every vector passes before it is kept or searched.

A local embedder runs inside the engine and may see text. One that talks to a network must not be called through here:
text leaves the machine only as a `Disclosed` value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tacita.errors import ModelError, TacitaError
from tacita.limits import DIMENSIONS

NAME_CHARS = 256
UNIT_TOLERANCE = 1e-3
"""How far the length of a row may be from 1."""


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


def checked_embed(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """The rows of `embedder` for `texts`, verified: C-contiguous float32 `(len(texts), dimensions)`, finite, unit.

    Raises:
        ModelError: the embedder failed or broke its contract. Carries its name and counts, never a text.
        ConfigError: the embedder says that the operator must act (a model file is missing or damaged).
    """
    name, dimensions = _identity(embedder)
    failure, retryable = "", False
    rows: object = None
    try:
        rows = embedder.embed(list(texts))
    except TacitaError:
        raise
    except Exception as error:  # noqa: BLE001  a foreign model may throw anything, and ports map it
        failure, retryable = type(error).__name__[:64], isinstance(error, (TimeoutError, ConnectionError))
    if failure:
        # Raised out here, not `from None`: a foreign model's exception may quote the text, and inside the handler it
        # would ride along as `__context__` into error trackers.
        raise ModelError(f"embedder {name} failed on {len(texts)} texts: {failure}", retryable=retryable)
    return _checked(rows, name, len(texts), dimensions)


def _identity(embedder: Embedder) -> tuple[str, int]:
    name, dimensions = getattr(embedder, "name", None), getattr(embedder, "dimensions", None)
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS or not name.isprintable():
        raise ModelError(f"an embedder's name is 1 to {NAME_CHARS} printable characters")
    if type(dimensions) is not int or not 0 < dimensions <= DIMENSIONS:
        raise ModelError(f"embedder {name}: dimensions must be a whole number from 1 to {DIMENSIONS}")
    return name, dimensions


def _checked(rows: object, name: str, count: int, dimensions: int) -> NDArray[np.float32]:
    if not isinstance(rows, np.ndarray) or rows.dtype != np.float32:
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
