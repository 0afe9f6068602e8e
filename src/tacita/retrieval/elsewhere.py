"""An index whose vectors are elsewhere: it knows which messages have some, of which model and how many, and holds none.

Everything else of a vault is searched as ever. What the vectors say comes through `outside`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacita.retrieval.column import Column
from tacita.retrieval.dense import Links, Space
from tacita.retrieval.index import SearchIndex
from tacita.retrieval.matrix import Halves, Matrix


class Elsewhere(Space):
    """How many vectors each message has of one model."""

    def __init__(self, dimensions: int, counts: NDArray[np.uint16]) -> None:
        none = np.zeros(0, np.int64)
        super().__init__(Matrix.empty(dimensions), Matrix.empty(dimensions), none, none)
        self._counts = Column(counts)

    @classmethod
    def empty(cls, dimensions: int) -> Elsewhere:
        return cls(dimensions, np.zeros(0, np.uint16))

    def counts(self, width: int) -> NDArray[np.uint16]:
        """Vectors by link: the message's own and those of its segments; 0 for none. `width` is one more than rows."""
        held = len(self._counts)
        if held < width:
            self._counts.extend(np.zeros(width - held, np.uint16))
        return self._counts.rows

    def add(self, links: Sequence[int], vectors: Sequence[Halves]) -> None:
        self.counts(max(links) + 1)
        self._counts.writable()[np.array(links)] = [len(each) for each in vectors]

    def replace(self, link: int, vectors: Halves) -> None:
        self.add([link], [vectors])

    def remove(self, links: Links) -> None:
        self.counts(int(links.max(initial=0)) + 1)
        self._counts.writable()[links] = 0

    def arrays(self, standing: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        counts = np.where(standing, self.counts(len(standing)), 0).astype(np.uint16)
        return {"dimensions": np.array([self.dimensions]), "counts": counts}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Elsewhere:
        return cls(int(arrays["dimensions"][0]), arrays["counts"])

    def nbytes(self) -> int:
        return self._counts.nbytes()


class BareIndex(SearchIndex):
    """A search index without vectors."""

    space_kind = Elsewhere

    def counts(self, model: str | None = None) -> NDArray[np.uint16]:
        """Vectors of a model, or of whichever model they are, by row."""
        width = len(self) + 1
        found = np.zeros(width, np.uint16)
        for number, space in enumerate(self.spaces, 1):
            if model in (None, self.models[number - 1]) and isinstance(space, Elsewhere):
                here = self.space_of == number
                found[here] = space.counts(width)[:width][here]
        return found[1:]
