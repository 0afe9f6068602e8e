"""The systems that are compared: Tacita through its public face, and the baselines of every retrieval study.

Each is opened on one haystack at a time and then ranks its turns for a question.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import Stemmer
from benchmarks.records import installed
from benchmarks.retrieval.cases import Haystack, Question, Turn
from numpy.typing import NDArray

import tacita
from tacita import Memory
from tacita.limits import TOP_K
from tacita.models import open_embedder
from tacita.ports.models import Embedder, checked_embed

Progress = Callable[[int], None]
UNDATED = datetime(2020, 1, 1, tzinfo=UTC)
"""When turns of a data set without dates are said."""
TURN_SECONDS = 20
"""Turns of a session follow each other; data sets date the session alone."""
MOST = TOP_K
"""How deep a ranking may be asked for."""


class Ranker(Protocol):
    """One system."""

    name: str
    """Short and stable: it is what records and the gate know it by."""
    version: str

    def open(self, haystack: Haystack, progress: Progress) -> None:
        """Take in a haystack in place of the one before. `progress` is told how many turns were taken."""

    def rank(self, question: Question, k: int) -> Sequence[Hashable]:
        """At most `k` turn ids of the open haystack, best first."""


class Tacita:
    """Every haystack is the vault of a person of its own; every turn one message, with name, role and time."""

    name = "tacita"

    def __init__(self, embedder: str | Embedder, folder: Path | None = None) -> None:
        self.version = tacita.__version__
        self._folder = None if folder is not None else tempfile.TemporaryDirectory()
        home = folder if folder is not None else Path(str(self._folder and self._folder.name))
        self._memory = Memory(home / "home", store="memory:", keys="ephemeral:", embedder=embedder)
        self._turn_of: dict[str, Hashable] = {}
        self._open = ""

    def open(self, haystack: Haystack, progress: Progress) -> None:
        if self._open == haystack.key:
            return
        if self._open:
            self._memory.erase(user_id=self._open)
        self._turn_of, self._open = {}, haystack.key
        for session, turns in by_session(haystack.turns):
            said = self._memory.add(
                [_message(turn, number) for number, turn in enumerate(turns)], user_id=haystack.key, run_id=session
            )
            self._turn_of.update(zip(said.ids, (turn.id for turn in turns), strict=True))
            progress(len(turns))

    def rank(self, question: Question, k: int) -> Sequence[Hashable]:
        found = self._memory.search(question.text, user_id=self._open, top_k=k, reference_time=question.when)
        return [self._turn_of[hit.id] for hit in found]

    def close(self) -> None:
        """Let go of the memory and its folder."""
        self._memory.close()
        if self._folder is not None:
            self._folder.cleanup()


def by_session(turns: Sequence[Turn]) -> list[tuple[str, list[Turn]]]:
    """Stretches of turns of one session, in order."""
    stretches: list[tuple[str, list[Turn]]] = []
    for turn in turns:
        if not stretches or stretches[-1][0] != turn.session:
            stretches.append((turn.session, []))
        stretches[-1][1].append(turn)
    return stretches


def _message(turn: Turn, number: int) -> dict[str, object]:
    message: dict[str, object] = {
        "role": turn.role,
        # An item has at least one character; some data sets have turns without.
        "content": turn.text or "-",
        "timestamp": (turn.when or UNDATED) + timedelta(seconds=TURN_SECONDS * number),
    }
    if turn.speaker:
        message["name"] = turn.speaker
    return message


class Bm25:
    """bm25s, Lucene's variant with k1 1.5 and b 0.75, English stop words, Snowball stems. Leaves out what shares no word."""

    name = "bm25"

    def __init__(self) -> None:
        # By name: it has no types of its own, and only those who compare need it.
        self._library: Any = import_module("bm25s")
        self._stemmer = Stemmer.Stemmer("english")
        self.version = f"bm25s {installed('bm25s')}"
        self._open = ""
        self._ids: list[Hashable] = []

    def open(self, haystack: Haystack, progress: Progress) -> None:
        if self._open == haystack.key:
            return
        self._index = self._library.BM25(method="lucene", k1=1.5, b=0.75)
        self._index.index(self._tokens([turn.spoken for turn in haystack.turns]), show_progress=False)
        self._ids, self._open = [turn.id for turn in haystack.turns], haystack.key
        progress(len(self._ids))

    def rank(self, question: Question, k: int) -> Sequence[Hashable]:
        asked = self._tokens([question.text])
        if not asked.vocab:
            return []
        rows, scores = self._index.retrieve(asked, k=min(k, len(self._ids)), show_progress=False)
        return [self._ids[row] for row, score in zip(rows[0], scores[0], strict=True) if score > 0]

    def _tokens(self, texts: list[str]) -> Any:
        return self._library.tokenize(texts, stopwords="en", stemmer=self._stemmer, show_progress=False)


BATCH = 128


def embedded(embedder: Embedder, texts: Sequence[str], progress: Progress) -> NDArray[np.float32]:
    """Vectors of texts, in order, shape (n, dimensions)."""
    # Texts of like length share a batch: padding is most of the cost otherwise.
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    rows: NDArray[np.float32] = np.empty((len(texts), embedder.dimensions), np.float32)
    for start in range(0, len(order), BATCH):
        part = order[start : start + BATCH]
        rows[part] = checked_embed(embedder, [texts[row] for row in part])
        progress(len(part))
    return rows


class Cosine:
    """Cosine of the embedder's vectors, the whole turn as one text: what a vector store does."""

    def __init__(self, embedder: Embedder, name: str = "minilm") -> None:
        self.name, self.version = name, embedder.name
        self._embedder = embedder
        self._open = ""
        self._ids: list[Hashable] = []

    def open(self, haystack: Haystack, progress: Progress) -> None:
        if self._open == haystack.key:
            return
        self._rows = embedded(self._embedder, [turn.spoken or "-" for turn in haystack.turns], progress)
        self._ids, self._open = [turn.id for turn in haystack.turns], haystack.key

    def rank(self, question: Question, k: int) -> Sequence[Hashable]:
        (asked,) = checked_embed(self._embedder, [question.text])
        return [self._ids[row] for row in np.argsort(-(self._rows @ asked), kind="stable")[:k]]


class Fused:
    """Reciprocal rank fusion of other rankers, over all that they rank.

    Cormack, Clarke and Büttcher (2009): sum of 1 / (constant + rank), constant 60. A small one trusts the first ranks more.
    """

    def __init__(self, arms: Sequence[Ranker], constant: int = 60) -> None:
        self.name, self.version = f"rrf{constant}", " and ".join(arm.name for arm in arms)
        self._arms, self._constant = arms, constant
        self._size = 0

    def open(self, haystack: Haystack, progress: Progress) -> None:
        for arm in self._arms:
            arm.open(haystack, lambda _: None)
        self._size = len(haystack.turns)
        progress(self._size)

    def rank(self, question: Question, k: int) -> Sequence[Hashable]:
        scores: dict[Hashable, float] = {}
        for arm in self._arms:
            for rank, turn in enumerate(arm.rank(question, self._size), 1):
                scores[turn] = scores.get(turn, 0.0) + 1 / (self._constant + rank)
        return sorted(scores, key=lambda turn: -scores[turn])[:k]


def find_embedder(uri: str) -> Embedder:
    """The local embedder of a URI, looked for where a new memory would. Raises ConfigError."""
    from tacita.config import Settings

    found = open_embedder(uri, models_dir=Settings.load().models)
    if found is None:
        raise ValueError("the baselines need an embedder")
    return found


def baselines(embedder: Embedder) -> list[Ranker]:
    """What Tacita is compared with in every run."""
    words, meaning = Bm25(), Cosine(embedder)
    return [words, meaning, Fused([words, meaning]), Fused([words, meaning], constant=5)]
