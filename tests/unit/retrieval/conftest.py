"""Small synthetic vaults for the tests of this folder."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tacita.packing import fitted
from tacita.retrieval.index import Doc, SearchIndex

WORDS = "ant bee cat dog eel fox gnu hen ibis jay kite lynx mole newt owl pig rat seal toad wolf".split()
MINUTE = 60_000_000


def unit(rng: np.random.Generator, count: int, dimensions: int = 16) -> NDArray[np.float16]:
    rows = rng.standard_normal((count, dimensions))
    return fitted(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def docs(seed: int, count: int, *, dimensions: int = 16, first: int = 0, model: str = "m") -> list[Doc]:
    """Messages of a few words in a few interleaved sessions, some with segments, some without vectors."""
    rng = np.random.default_rng(seed)
    made = []
    for row in range(first, first + count):
        text = " ".join(rng.choice(WORDS, rng.integers(0, 9), p=ZIPF))
        vectors = None if rng.random() < 0.1 else unit(rng, int(rng.choice([1, 1, 1, 3, 4])), dimensions)
        made.append(
            Doc(
                row=row,
                text=text * (60 if rng.random() < 0.05 else 1),
                role=str(rng.choice(["user", "assistant", "tool"])),
                name=[None, "Ana Lima", "Bo"][rng.integers(3)],
                session=str(rng.integers(3)),
                timestamp=row * MINUTE * int(rng.choice([1, 1, 2])),
                vectors=vectors,
                model=model if vectors is not None else "",
            )
        )
    return made


ZIPF = 1 / np.arange(1, len(WORDS) + 1)
ZIPF /= ZIPF.sum()


@pytest.fixture(scope="session")
def make_docs() -> Callable[..., list[Doc]]:
    return docs


@pytest.fixture(scope="session")
def make_vault() -> Callable[..., SearchIndex]:
    def make(seed: int, count: int, dimensions: int = 16) -> SearchIndex:
        index = SearchIndex()
        index.add(docs(seed, count, dimensions=dimensions))
        return index

    return make


@pytest.fixture(scope="session")
def make_unit() -> Callable[..., NDArray[np.float16]]:
    return unit
