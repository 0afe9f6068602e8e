"""The file of `local:minilm-static`: a vector for each word piece, and what it was made from.

One file, so that nothing can be half of one making and half of another. Header: magic, rows, dimensions, then three
SHA-256: of the weights, of the tokenizer, and of all that follows. Then float16, little-endian, row by row.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacita.durable import replace_file
from tacita.errors import ConfigError
from tacita.hazmat import equal, sha256
from tacita.limits import DIMENSIONS

_HEAD: Final = struct.Struct("<8sII32s32s32s")
_MAGIC: Final = b"TACTABL1"
"""Another recipe of making is another digit."""
_MOST_ROWS: Final = 1 << 20


class Head(msgspec.Struct, frozen=True):
    """What the file says of itself. Believed as far as the name of a vector space goes; `read` holds the rest to it."""

    rows: int
    dimensions: int
    weights: str
    """SHA-256 of the model's weights, hexadecimal; so are the next two."""
    tokenizer: str
    digest: str

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors."""
        return 2 * self.rows * self.dimensions


def write(path: Path, table: NDArray[np.float16], *, weights: str, tokenizer: str) -> Head:
    """Put a table in the place of the one that may be there, all at once. Raises OSError."""
    body = table.astype("<f2", copy=False).tobytes()
    rows, dimensions = table.shape
    head = Head(rows, dimensions, weights, tokenizer, sha256(body).hex())
    digests = map(bytes.fromhex, (head.weights, head.tokenizer, head.digest))
    replace_file(path, _HEAD.pack(_MAGIC, rows, dimensions, *digests) + body)
    return head


def read_head(path: Path) -> Head:
    """What a table was made from. Raises ConfigError if there is none, or none of this version."""
    with _opened(path) as file:
        return _head(file.read(_HEAD.size), path)


def read(path: Path, expected: Head) -> NDArray[np.float16]:
    """The vectors, (rows, dimensions). Raises ConfigError unless they are what `expected` says, byte for byte."""
    with _opened(path) as file:
        head = _head(file.read(_HEAD.size), path)
        body = file.read(expected.nbytes + 1)
    whole = len(body) == expected.nbytes
    if head != expected or not whole or not equal(sha256(body), bytes.fromhex(expected.digest)):
        raise ConfigError(f"{path} was changed since it was made or opened: run `tacita models distil`")
    return np.frombuffer(body, "<f2").reshape(expected.rows, expected.dimensions)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise ConfigError("the table of local:minilm-static is not made yet: run `tacita models distil`") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None


def _head(raw: bytes, path: Path) -> Head:
    if len(raw) != _HEAD.size or not raw.startswith(_MAGIC):
        raise ConfigError(f"{path} is no table of this version: run `tacita models distil`")
    _, rows, dimensions, *digests = _HEAD.unpack(raw)
    head = Head(rows, dimensions, *(digest.hex() for digest in digests))
    if not (0 < head.rows <= _MOST_ROWS and 0 < head.dimensions <= DIMENSIONS):
        raise ConfigError(f"{path} is no table of this version: run `tacita models distil`")
    return head
