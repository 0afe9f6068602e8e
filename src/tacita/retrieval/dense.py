"""The vectors of one embedding model: one for each message, and those of its sentence segments.

A message's likeness to a query blends the cosine of the whole message with that of its best segment. Messages
are called by their link: row + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacita.retrieval.column import Column
from tacita.retrieval.matrix import Floats, Halves, Matrix

Links = NDArray[np.int64]
Shares = Callable[[Links], Floats]


class Groups(msgspec.Struct, frozen=True):
    """Runs of neighbouring segments that belong to one message."""

    cuts: Links
    """Where a run begins, those of removed messages included."""
    valid: NDArray[np.int64]
    """Which runs belong to a message, in the order of its link; the next three are given for these."""
    links: Links
    starts: Links
    sizes: Links


class Space:
    """Vectors of one model. Whether a message's vectors are to be found here is the index's to say."""

    def __init__(self, messages: Matrix, parts: Matrix, links: Links, owners: Links) -> None:
        self.messages = messages
        self.parts = parts
        self.links = Column(links)
        """Link of the message of each vector in `messages`, ascending until some are embedded anew."""
        self.owners = Column(owners)
        """The same for each vector in `parts`, 0 for one that was removed."""
        self._groups: Groups | None = None
        self._ascending = bool((links[1:] > links[:-1]).all())

    @classmethod
    def empty(cls, dimensions: int) -> Space:
        return cls(Matrix.empty(dimensions), Matrix.empty(dimensions), np.zeros(0, np.int64), np.zeros(0, np.int64))

    @property
    def dimensions(self) -> int:
        return int(self.messages.vectors.rows.shape[1])

    def add(self, links: Sequence[int], vectors: Sequence[Halves]) -> None:
        """Vectors of messages that have none here yet, each of shape (1 + segments, d)."""
        held = self.links.rows
        self._ascending = self._ascending and (not len(held) or links[0] > held[-1])
        self._ascending = self._ascending and all(a < b for a, b in pairwise(links))
        self.messages.extend(np.concatenate([each[:1] for each in vectors]))
        self.links.extend(np.array(links, np.int64))
        self._add_parts(links, vectors)

    def _add_parts(self, links: Sequence[int], vectors: Sequence[Halves]) -> None:
        sizes = [len(each) - 1 for each in vectors]
        if any(sizes):
            self.parts.extend(np.concatenate([each[1:] for each in vectors]))
            self.owners.extend(np.repeat(np.array(links, np.int64), sizes))
            self._groups = None

    def replace(self, link: int, vectors: Halves) -> None:
        """New vectors for a message, which may or may not have had some here."""
        at = self._positions(np.array([link]))
        if len(self.links) and self.links.rows[at[0]] == link:
            self._remove_parts(np.array([link]))
            self.messages.replace(at, vectors[:1])
            self._add_parts([link], [vectors])
        else:
            self.add([link], [vectors])

    def remove(self, links: Links) -> None:
        """Overwrite the vectors of messages that are gone."""
        at = self._positions(links)
        at = at[self.links.rows[at] == links] if len(self.links) else at[:0]
        if len(at):
            self.messages.replace(at, np.zeros((len(at), self.dimensions), np.float16))
        self._remove_parts(links)

    def _remove_parts(self, links: Links) -> None:
        at = np.flatnonzero(np.isin(self.owners.rows, links)) if len(self.owners) else links[:0]
        if len(at):
            self.parts.replace(at, np.zeros((len(at), self.dimensions), np.float16))
            self.owners.writable()[at] = 0
            self._groups = None

    def exact(self, query: Halves, links: Links, shares: Shares) -> Floats:
        """Blended cosines of some messages, all of which have vectors here.

        Args:
            query: float16, shape (d,).
            links: ascending.
            shares: from links, the weight of the whole message's cosine beside its best segment's.
        """
        whole = len(links) == len(self.links) and self._ascending
        blended = self.messages.exact(query, None if whole else self._positions(links))
        groups = self.groups
        if not len(groups.links):
            return blended
        among = groups.links.searchsorted(links)
        has = groups.links[np.minimum(among, len(groups.links) - 1)] == links
        which = among[has]
        if len(which):
            sizes = groups.sizes[which]
            ends = np.cumsum(sizes)
            inside = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
            best = np.maximum.reduceat(
                self.parts.exact(query, np.repeat(groups.starts[which], sizes) + inside), ends - sizes
            )
            share = shares(links[has])
            blended[has] = share * blended[has] + (1 - share) * best
        return blended

    def approximate(self, query: Halves, width: int, shares: Shares) -> tuple[Floats, float]:
        """Blended cosines of all messages by link, 0 where there is no vector, and how far each may be off."""
        blended: Floats
        if self._ascending and len(self.messages) == width - 1:
            blended = np.empty(width, np.float32)
            blended[0] = 0
            error = self.messages.approximate(query, blended[1:])
        else:
            first: Floats = np.empty(len(self.messages), np.float32)
            error = self.messages.approximate(query, first)
            blended = np.zeros(width, np.float32)
            blended[self.links.rows] = first
        groups = self.groups
        if len(groups.links):
            parts: Floats = np.empty(len(self.parts), np.float32)
            error_of_parts = self.parts.approximate(query, parts)
            best = np.maximum.reduceat(parts, groups.cuts)[groups.valid]
            share = shares(groups.links)
            blended[groups.links] = share * blended[groups.links] + (1 - share) * best
            error = max(error, error_of_parts)
        return blended, error

    def vector(self, link: int) -> Halves:
        """The vector of a whole message that has one here."""
        found: Halves = self.messages.vectors.rows[int(self._positions(np.array([link]))[0])]
        return found

    def _positions(self, links: Links) -> NDArray[np.int64]:
        """Where the vectors of these messages lie in `messages`; for one that has none, some valid
        position."""
        held = self.links.rows
        if self._ascending:
            return np.minimum(held.searchsorted(links), max(0, len(held) - 1))
        order = np.argsort(held, kind="stable")
        return order[np.minimum(held[order].searchsorted(links), len(held) - 1)]

    @property
    def groups(self) -> Groups:
        if self._groups is None:
            owners = self.owners.rows
            cuts = np.flatnonzero(np.diff(owners, prepend=-1))
            who, sizes = owners[cuts], np.diff(cuts, append=len(owners))
            valid = np.flatnonzero(who)
            if not (who[valid][1:] > who[valid][:-1]).all():
                valid = valid[np.argsort(who[valid], kind="stable")]
            self._groups = Groups(cuts, valid, who[valid], cuts[valid], sizes[valid])
        return self._groups

    def arrays(self, standing: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """Plain arrays with nothing of messages that do not stand here any more (flags by link)."""
        keep = standing[self.links.rows]
        messages = None if keep.all() and self._ascending else np.flatnonzero(keep)
        if messages is not None:
            messages = messages[np.argsort(self.links.rows[messages], kind="stable")]
        owners = self.owners.rows
        parts = None if owners.all() else np.flatnonzero(owners)
        return {
            "links": self.links.rows if messages is None else self.links.rows[messages],
            "owners": owners if parts is None else owners[parts],
            **{f"messages.{key}": value for key, value in self.messages.arrays(messages).items()},
            **{f"parts.{key}": value for key, value in self.parts.arrays(parts).items()},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Space:
        return cls(
            Matrix.from_arrays(under("messages.", arrays)),
            Matrix.from_arrays(under("parts.", arrays)),
            arrays["links"],
            arrays["owners"],
        )

    def nbytes(self) -> int:
        return self.messages.nbytes() + self.parts.nbytes() + self.links.nbytes() + self.owners.nbytes()


def under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays whose keys begin with a prefix, by the rest of their keys."""
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
