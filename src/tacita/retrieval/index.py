"""The arrays of one open vault that searches read: postings, vectors, links between neighbours, small
columns.

Grows with the vault, shrinks when something is removed, and is no more than arrays in a snapshot. Ranking is
elsewhere. Not for concurrent use while something is being added or removed; any number of readers otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacita.retrieval.answers import has_quantity, has_time
from tacita.retrieval.column import Column
from tacita.retrieval.dense import Space, under
from tacita.retrieval.guidance import guides
from tacita.retrieval.lexical import TABLE, Neighbours, Table
from tacita.retrieval.names import Names
from tacita.retrieval.postings import Postings, Run, numbered
from tacita.retrieval.profile import HYBRID, ContextBM25F
from tacita.retrieval.questions import parted
from tacita.retrieval.segment import message_text
from tacita.retrieval.text import head, language, stems

USER: Final = 1
"""Flag of a message that the user wrote."""

LONG: Final = 2
"""Flag of a message of more than `LONG_CHARS` characters."""

GUIDANCE: Final = 4
"""Flag of a message of the user that tells an assistant how to answer."""

QUANTITY: Final = 8
"""Flag of a short message with a number in it."""

TIME: Final = 16
"""Flag of a message that speaks of time."""

ASKS: Final = 32
"""Flag of a message that has more words in its questions than outside."""

LONG_CHARS: Final = 1_200

MODELS: Final = 255
"""Most models whose vectors one vault may hold at a time."""

ALONE: Final = "\x00"
"""The session of a message that has no neighbours."""

SWEEP: Final = 2_048
"""Removed messages are swept out of the postings when there is one for so many postings."""


TABLE_AFTER: Final = 4
"""From so many searches on without a change in between, a table of the words is worth making."""


class DocLike(Protocol):
    """What the index learns about a new row."""

    @property
    def row(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def session(self) -> str: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def vectors(self) -> NDArray[np.float16] | None: ...
    @property
    def model(self) -> str: ...
    @property
    def replaces(self) -> int | None: ...
    @property
    def trusted(self) -> bool: ...


class Doc(msgspec.Struct, frozen=True):
    """One version of one memory item."""

    row: int
    """0, 1, 2, ... in the order of the log."""
    text: str
    role: str = "user"
    name: str | None = None
    session: str = ""
    """Opaque. Only messages of one session are each other's neighbours."""
    timestamp: int = 0
    """Microseconds since 1970, UTC."""
    vectors: NDArray[np.float16] | None = None
    """Shape (1 + segments, d): the message, then its segments unless it is a single one."""
    model: str = ""
    """Name of the embedder that made the vectors."""
    replaces: int | None = None
    """Row of the older version whose place among its neighbours this one takes."""
    trusted: bool = True
    """Whether the user said it, by a channel that vouches for that: nothing else is taken for the user's wish."""


class SearchIndex:
    """Everything that a search of one vault reads. Rows are numbered from 0; a link is row + 1."""

    space_kind: type[Space] = Space
    """What keeps the vectors of one model."""

    def __init__(self) -> None:
        self.postings = Postings()
        self.names = Names()
        self.models: list[str] = []
        self.spaces: list[Space] = []
        self._held: list[int] = []
        """How many messages have their vectors in each space."""
        # Index 0 of every column belongs to link 0, "none".
        self._previous = Column(np.zeros(1, np.int64))
        self._following = Column(np.zeros(1, np.int64))
        self._lengths = Column(np.zeros(1, np.uint16))
        self._flags = Column(np.zeros(1, np.uint8))
        self._speakers = Column(np.zeros(1, np.int32))
        self._stamps = Column(np.zeros(1, np.int64))
        self._space_of = Column(np.zeros(1, np.uint8))
        self._alive = Column(np.zeros(1, np.bool_))
        self._ends: dict[str, int] = {}
        self.languages: set[str] = set()
        self.living = 0
        self.words = 0
        self._unswept = 0
        self._by_user: NDArray[np.bool_] | None = None
        self._neighbours: tuple[ContextBM25F, Neighbours] | None = None
        self._table: Table | None = None
        self._asked = 0
        """Searches since something was added or removed."""

    def __len__(self) -> int:
        return len(self._alive) - 1

    # ------------------------------------------------------------------ reading

    @property
    def previous(self) -> NDArray[np.int64]:
        """Link of the message before, in its session; like all columns indexed by link."""
        return self._previous.rows

    @property
    def following(self) -> NDArray[np.int64]:
        return self._following.rows

    @property
    def lengths(self) -> NDArray[np.uint16]:
        """Stems in the head of each message."""
        return self._lengths.rows

    @property
    def flags(self) -> NDArray[np.uint8]:
        return self._flags.rows

    @property
    def speakers(self) -> NDArray[np.int32]:
        """Number in `names`, 0 for nobody."""
        return self._speakers.rows

    @property
    def stamps(self) -> NDArray[np.int64]:
        """Microseconds since 1970, UTC."""
        return self._stamps.rows

    @property
    def space_of(self) -> NDArray[np.uint8]:
        """Number of the space that holds the vectors of a message, from 1; 0 if it has none."""
        return self._space_of.rows

    @property
    def alive(self) -> NDArray[np.bool_]:
        return self._alive.rows

    @property
    def by_user(self) -> NDArray[np.bool_]:
        """Whether the user wrote it; kept until something is added or removed."""
        if self._by_user is None:
            self._by_user = (self.flags & USER).view(np.bool_)
        return self._by_user

    @property
    def unswept(self) -> bool:
        """Whether postings of removed messages are still there and have to be passed over."""
        return self._unswept > 0

    @property
    def average_length(self) -> float:
        """Mean number of stems of the living messages."""
        return max(1.0, self.words / max(1, self.living))

    def neighbours(self, setting: ContextBM25F) -> Neighbours:
        """Links and length norms as BM25F reads them; kept until something is added or removed."""
        kept = self._neighbours
        # Nearly always the very same setting, and to compare all its numbers takes longer than to ask that.
        if kept is None or (kept[0] is not setting and kept[0] != setting):
            made = Neighbours.of(self.previous, self.following, self.lengths, self.average_length, setting)
            kept = self._neighbours = setting, made
            self._table, self._asked = None, 0
        return kept[1]

    def table(self, around: Neighbours) -> Table | None:
        """The words of a small vault in which nothing was unswept; None for a large one, and until it is searched again
        and again as it is: one table costs as much as a few searches.

        Args:
            around: what `neighbours` gave.
        """
        if self._table is None:
            self._asked += 1
            terms = len(self.postings.terms)
            if self._asked < TABLE_AFTER or terms * around.width > TABLE:
                return None
            self._table = Table.of(self.postings.everything(), terms, self.living, around)
        return self._table

    def space(self, model: str) -> tuple[int, Space] | None:
        """The vectors of a model and their number in `space_of`; None if there are none."""
        if model not in self.models:
            return None
        number = self.models.index(model)
        return number + 1, self.spaces[number]

    def vector(self, row: int, model: str) -> NDArray[np.float16] | None:
        """The vector of a whole message, if it has one of that model; shape (d,)."""
        found = self.space(model)
        if found is None or int(self.space_of[row + 1]) != found[0]:
            return None
        return found[1].vector(row + 1)

    def sizes(self) -> dict[str, int]:
        """Numbers in each vector of a model, by its name."""
        return {model: space.dimensions for model, space in zip(self.models, self.spaces, strict=True)}

    def all_in(self, number: int) -> bool:
        """Whether every living message has its vectors in that space."""
        return self._held[number - 1] == self.living

    # ------------------------------------------------------------------ writing

    def add(self, docs: Sequence[DocLike]) -> None:
        """Append rows, in order.

        Raises:
            ValueError: row numbers that do not go on where the last ones ended.
        """
        first = len(self) + 1
        if [doc.row for doc in docs] != list(range(first - 1, first - 1 + len(docs))):
            raise ValueError(f"rows must go on at {first - 1}")
        self._neighbours = self._by_user = self._table = None
        heads = [parted(head(message_text(doc.text, doc.name))) for doc in docs]
        found = [told + asked if asked else told for told, asked in heads]
        spoken = [language(each) for each in found]
        self.languages.update(spoken)
        told = [stems(each, guessed) for (each, _), guessed in zip(heads, spoken, strict=True)]
        asked = [stems(each, guessed) if each else each for (_, each), guessed in zip(heads, spoken, strict=True)]
        lengths = self.postings.add(told, first, asked)
        none = np.zeros(len(docs), np.int64)
        self._previous.extend(none)
        self._following.extend(none)
        self._lengths.extend(lengths)
        asks = [len(asked) > len(told) for told, asked in heads]
        self._flags.extend(np.array([_flags(*each) for each in zip(docs, found, asks, strict=True)], np.uint8))
        self._speakers.extend(np.array([self.names.number(doc.name) for doc in docs], np.int32))
        self._stamps.extend(np.array([doc.timestamp for doc in docs], np.int64))
        self._space_of.extend(np.zeros(len(docs), np.uint8))
        self._alive.extend(np.ones(len(docs), np.bool_))
        self.living += len(docs)
        self.words += int(lengths.sum())
        self._link(docs, first)
        self._embed(docs, first)

    def _link(self, docs: Sequence[DocLike], first: int) -> None:
        """Find the neighbours of new rows."""
        ends = self._ends
        earlier: list[int] = []
        later: list[int] = []
        for link, doc in enumerate(docs, first):
            if doc.replaces is not None:
                self._join(earlier, later)
                earlier, later = [], []
                self._take_place(doc.replaces + 1, link, doc.session)
                continue
            if doc.session == ALONE:
                continue
            end = ends.get(doc.session)
            if end is not None:
                earlier.append(end)
                later.append(link)
            ends[doc.session] = link
        self._join(earlier, later)

    def _join(self, earlier: list[int], later: list[int]) -> None:
        if not earlier:
            return
        before, after = np.array(earlier), np.array(later)
        near = np.abs(self.stamps[after] - self.stamps[before]) <= HYBRID.session_gap
        before, after = before[near], after[near]
        self._previous.writable()[after] = before
        self._following.writable()[before] = after

    def _take_place(self, old: int, new: int, session: str) -> None:
        previous, following = self._previous.writable(), self._following.writable()
        before, after = previous[old], following[old]
        previous[new], following[new] = before, after
        if before:
            following[before] = new
        if after:
            previous[after] = new
        # The older version keeps its words and vectors for searches of the past, but is nobody's neighbour.
        previous[old] = following[old] = 0
        if session != ALONE and (self._ends.get(session) == old or session not in self._ends):
            self._ends[session] = new

    def _embed(self, docs: Sequence[DocLike], first: int) -> None:
        by_model: dict[tuple[str, int], list[int]] = {}
        for at, doc in enumerate(docs):
            if doc.vectors is not None:
                by_model.setdefault((doc.model, doc.vectors.shape[1]), []).append(at)
        for (model, dimensions), chosen in by_model.items():
            number, space = self._space(model, dimensions)
            links = [first + at for at in chosen]
            space.add(links, [vectors for at in chosen if (vectors := docs[at].vectors) is not None])
            self._space_of.writable()[links] = number
            self._held[number - 1] += len(links)

    def _space(self, model: str, dimensions: int) -> tuple[int, Space]:
        found = self.space(model)
        if found is not None:
            if found[1].dimensions != dimensions:
                raise ValueError(f"vectors of {model} have {found[1].dimensions} dimensions, not {dimensions}")
            return found
        space = self.space_kind.empty(dimensions)
        if 0 in self._held:
            # The place of a model that was replaced everywhere.
            free = self._held.index(0)
            self.models[free], self.spaces[free] = model, space
            return free + 1, space
        if len(self.models) == MODELS:
            raise ValueError(f"vectors of more than {MODELS} models in one vault")
        self.models.append(model)
        self.spaces.append(space)
        self._held.append(0)
        return len(self.spaces), space

    def _release(self, number: int, count: int) -> None:
        """Some messages have their vectors elsewhere now; an empty space gives its memory back."""
        self._held[number - 1] -= count
        if not self._held[number - 1]:
            self.spaces[number - 1] = self.space_kind.empty(self.spaces[number - 1].dimensions)

    def set_vectors(self, row: int, vectors: NDArray[np.float16] | None, model: str) -> None:
        """Other vectors for a row that is there: another model's, or none."""
        link = row + 1
        held = int(self.space_of[link])
        number, space = (0, None) if vectors is None else self._space(model, vectors.shape[1])
        if held and held != number:
            self.spaces[held - 1].remove(np.array([link]))
            self._release(held, 1)
        if space is not None and vectors is not None:
            space.replace(link, vectors)
            self._held[number - 1] += held != number
        self._space_of.writable()[link] = number

    def remove(self, rows: Sequence[int]) -> None:
        """Forget rows for good. They keep their numbers; nothing finds them again."""
        links = np.unique(np.asarray(rows, np.int64) + 1)
        links = links[self.alive[links]]
        if not len(links):
            return
        self._neighbours = self._by_user = self._table = None
        self._unlink(links)
        self.words -= int(self.lengths[links].sum())
        self.living -= len(links)
        for number, space in enumerate(self.spaces, 1):
            here = links[self.space_of[links] == number]
            if len(here):
                space.remove(here)
                self._release(number, len(here))
        for column in self._columns():
            column.writable()[links] = 0
        self._unswept += len(links)
        if self._unswept * SWEEP >= self.postings.size:
            self.sweep()

    def _unlink(self, links: NDArray[np.int64]) -> None:
        """Close the gaps that messages leave between their neighbours."""
        previous, following = self._previous.writable(), self._following.writable()
        heirs: dict[int, int] = {}
        for link in links.tolist():
            before, after = int(previous[link]), int(following[link])
            if before:
                following[before] = after
            if after:
                previous[after] = before
            else:
                heirs[link] = before
            previous[link] = following[link] = 0
        if heirs:
            for session, end in list(self._ends.items()):
                while end in heirs:
                    end = heirs[end]
                if end:
                    self._ends[session] = end
                else:
                    del self._ends[session]

    def sweep(self) -> None:
        """Take the words of removed rows out of the postings and the vocabulary."""
        if self._unswept:
            self.postings.remove(~self.alive)
            self._unswept = 0

    # ------------------------------------------------------------------ snapshots

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as plain arrays, without anything of removed rows. The inverse is `from_arrays`."""
        self.sweep()
        vocabulary, run = self.postings.compacted()
        spoken = np.unique(self.speakers)
        names = [self.names.known[number - 1] for number in spoken.tolist() if number]
        renumbered = spoken.searchsorted(self.speakers).astype(np.int32)
        if not len(spoken) or spoken[0] != 0:
            renumbered += 1
        found: dict[str, NDArray[Any]] = {
            "previous": self.previous,
            "following": self.following,
            "lengths": self.lengths,
            "flags": self.flags,
            "speakers": renumbered,
            "stamps": self.stamps,
            "space_of": self.space_of,
            "alive": self.alive,
            "run.starts": run.starts,
            "run.links": run.links,
            "run.counts": run.counts,
            "session.ends": np.fromiter(self._ends.values(), np.int64, len(self._ends)),
            **_packed("session.keys", self._ends),
            **_packed("vocabulary", vocabulary),
            **_packed("names", names),
            **_packed("models", self.models),
            **_packed("languages", sorted(self.languages)),
        }
        for number, space in enumerate(self.spaces, 1):
            standing = self.space_of == number
            found.update({f"space.{number}.{key}": value for key, value in space.arrays(standing).items()})
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """An index that reads the given arrays, which it never changes."""
        index = cls()
        index._previous = Column(arrays["previous"])
        index._following = Column(arrays["following"])
        index._lengths = Column(arrays["lengths"])
        index._flags = Column(arrays["flags"])
        index._speakers = Column(arrays["speakers"])
        index._stamps = Column(arrays["stamps"])
        index._space_of = Column(arrays["space_of"])
        index._alive = Column(arrays["alive"])
        index.living = int(np.count_nonzero(arrays["alive"]))
        index.words = int(arrays["lengths"].sum(dtype=np.int64))
        vocabulary = _unpacked("vocabulary", arrays)
        run = Run(numbered(len(vocabulary)), arrays["run.starts"], arrays["run.links"], arrays["run.counts"])
        index.postings = Postings(vocabulary, [run])
        index.names = Names(_unpacked("names", arrays))
        sessions = _unpacked("session.keys", arrays)
        index._ends = dict(zip(sessions, arrays["session.ends"].tolist(), strict=True))
        index.models = _unpacked("models", arrays)
        index.languages = set(_unpacked("languages", arrays))
        for number in range(1, len(index.models) + 1):
            index.spaces.append(cls.space_kind.from_arrays(under(f"space.{number}.", arrays)))
            index._held.append(int(np.count_nonzero(arrays["space_of"] == number)))
        return index

    def _columns(self) -> tuple[Column[Any], ...]:
        """All columns by link."""
        return (
            self._previous,
            self._following,
            self._lengths,
            self._flags,
            self._speakers,
            self._stamps,
            self._space_of,
            self._alive,
        )

    def nbytes(self) -> int:
        """Bytes of RAM: arrays exactly, dictionaries by an estimate."""
        arrays = sum(column.nbytes() for column in self._columns()) + sum(space.nbytes() for space in self.spaces)
        arrays += self._neighbours[1].nbytes() if self._neighbours else 0
        arrays += self._table.nbytes() if self._table else 0
        return arrays + self.postings.nbytes() + self.names.nbytes() + 200 * len(self._ends)


def _flags(doc: DocLike, found: Sequence[str], asks: bool) -> int:
    """The flags of a message, from it and the words of its head, most of which are in questions or not."""
    flags = LONG if len(doc.text) > LONG_CHARS else 0
    if doc.role == "user":
        flags |= USER
        if doc.trusted and guides(doc.text, found):
            flags |= GUIDANCE
    if has_quantity(doc.text, found):
        flags |= QUANTITY
    if has_time(doc.name, found):
        flags |= TIME
    if asks:
        flags |= ASKS
    return flags


def _packed(key: str, strings: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Strings as one array of UTF-8 bytes and one of lengths in characters."""
    strings = list(strings)
    data = np.frombuffer("".join(strings).encode("utf-8", "surrogatepass"), np.uint8)
    return {key: data, f"{key}.lengths": np.array([len(each) for each in strings], np.uint32)}


def _unpacked(key: str, arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    text = arrays[key].tobytes().decode("utf-8", "surrogatepass")
    ends = np.cumsum(arrays[f"{key}.lengths"], dtype=np.int64).tolist()
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
