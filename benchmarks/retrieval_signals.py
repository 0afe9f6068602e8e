"""What each signal of a search is worth, and what a search costs.

    python benchmarks/retrieval_signals.py --metrics EVAL_RETRIEVAL.py [--locomo FILE] [--beam DIR] [--cache FILE.npz]
    python benchmarks/retrieval_signals.py --speed 1000 10000 100000

The first form ranks with the library's own functions, on data and definitions of recall that you name, with signals
taken away one by one, added one by one, and with weights chosen on all conversations but the one they are tried on.
Nothing of the data is kept, except vectors in the cache file if you name one. The second form makes its own vault.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib.util
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import dateparser
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from tacita.models import open_embedder
from tacita.ports.models import Embedder, checked_embed
from tacita.retrieval.index import Doc, SearchIndex
from tacita.retrieval.profile import HYBRID, ContextBM25F, Profile
from tacita.retrieval.search import Query, prepare, rank
from tacita.retrieval.segment import message_text, segments

NO_CONTEXT = ContextBM25F(before=(0, 0), after=(0, 0), asked=1, answered=0)
NO_QUESTIONS = replace(HYBRID.bm25f, asked=1, answered=HYBRID.bm25f.before[0])
AS_WRITTEN = "embedded as written"
WITHOUT = {
    "all signals": HYBRID,
    AS_WRITTEN: HYBRID,
    "without vectors": replace(HYBRID, dense=0.0),
    "without words": replace(HYBRID, lexical=0.0),
    "without neighbours": replace(HYBRID, bm25f=NO_CONTEXT),
    "without questions": replace(HYBRID, bm25f=NO_QUESTIONS),
    "without kinds of answers": replace(HYBRID, answer=0.0),
    "without what speakers ask": replace(HYBRID, asking=1.0),
    "without whom they tell": replace(HYBRID, addressed=0.0),
    "without segments": replace(HYBRID, short_message=1.0, long_message=1.0),
    "without date words": replace(HYBRID, dates=0.0),
    "without time windows": replace(HYBRID, window=0.0),
    "without speakers": replace(HYBRID, speaker=0.0),
    "without roles": replace(HYBRID, role=0.0, role_in_order=0.0),
    "without the asker's order": replace(HYBRID, role_in_order=HYBRID.role),
    "without wishes": replace(HYBRID, guidance=0.0),
    "without floors": replace(HYBRID, lexical_floor=0.0, dense_floor=0.0),
}
BARE = replace(
    HYBRID,
    dense=0.0,
    role=0.0,
    role_in_order=0.0,
    speaker=0.0,
    window=0.0,
    dates=0.0,
    guidance=0.0,
    answer=0.0,
    bm25f=NO_CONTEXT,
)
ALONE = {
    "words alone": BARE,
    "+ neighbours": replace(BARE, bm25f=NO_QUESTIONS),
    "+ questions": replace(BARE, bm25f=HYBRID.bm25f),
    "message vector alone": replace(BARE, lexical=0.0, dense=1.0, short_message=1.0, long_message=1.0),
    "+ segments": replace(BARE, lexical=0.0, dense=1.0),
    "+ roles": replace(BARE, lexical=0.0, dense=HYBRID.dense, role=HYBRID.role, role_in_order=HYBRID.role_in_order),
    "words and vectors": replace(BARE, bm25f=HYBRID.bm25f, dense=HYBRID.dense),
    "+ roles (and words)": replace(HYBRID, speaker=0.0, window=0.0, dates=0.0, guidance=0.0, answer=0.0),
    "+ date words": replace(HYBRID, speaker=0.0, window=0.0, guidance=0.0, answer=0.0),
    "+ speakers": replace(HYBRID, window=0.0, guidance=0.0, answer=0.0),
    "+ time windows": replace(HYBRID, guidance=0.0, answer=0.0),
    "+ wishes": replace(HYBRID, answer=0.0),
    "+ kinds of answers": HYBRID,
}
GRID: dict[str, tuple[float, ...]] = {
    "lexical": (0.35, 0.4, 0.45, 0.5, 0.55),
    "role": (0.05, 0.1, 0.15, 0.2, 0.25),
    "role_in_order": (0.15, 0.3, 0.45, 0.6),
    "guidance": (0.0, 0.2, 0.3, 0.4, 0.5, 0.6),
    "guiding": (1, 2, 3, 4),
    "speaker": (0.0, 0.1, 0.15, 0.2, 0.25, 0.3),
    "asked": (0.4, 0.5, 0.6, 0.7, 0.8, 1.0),
    "answered": (0.5, 0.8, 1.0, 1.2, 1.5),
    "addressed": (0.0, 0.05, 0.1, 0.15, 0.2),
    "asking": (0.0, 0.25, 0.5, 0.75, 1.0),
    "answer": (0.0, 0.05, 0.1, 0.15, 0.2, 0.25),
    "window": (0.0, 0.05, 0.1, 0.2, 0.3),
    "dates": (0.0, 0.4, 0.7, 1.0),
    "lexical_floor": (0.0, 0.2, 0.3, 0.4),
    "dense_floor": (0.0, 0.3, 0.4, 0.5),
}


@dataclass(frozen=True)
class Question:
    """One question of a data set, ready to be searched."""

    haystack: str
    index: SearchIndex
    ids: Sequence[Any]
    query: Query
    as_written: Query
    """The same with the vector of all its words, and not of its topic alone."""
    gold: frozenset[Any]
    category: str


class Cached:
    """An embedder that remembers its vectors in a file."""

    def __init__(self, embedder: Embedder, path: Path | None) -> None:
        self._embedder, self._path = embedder, path
        self._known: dict[str, NDArray[np.float16]] = {}
        if path is not None and path.exists():
            with np.load(path) as held:
                self._known = dict(zip(held["keys"].tolist(), held["vectors"], strict=True))

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float16]:
        keys = [hashlib.sha256(f"{self._embedder.name}\0{text}".encode()).hexdigest() for text in texts]
        todo = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        ordered = sorted(todo, key=lambda key: len(todo[key]))
        for start in range(0, len(ordered), 256):
            part = ordered[start : start + 256]
            rows = checked_embed(self._embedder, [todo[key] for key in part]).astype(np.float16)
            self._known.update(zip(part, rows, strict=True))
        return np.stack([self._known[key] for key in keys])

    def save(self) -> None:
        if self._path is not None and self._known:
            np.savez(self._path, keys=np.array(list(self._known)), vectors=np.stack(list(self._known.values())))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("metrics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_moments: dict[str, datetime] = {}


def moment(text: str) -> datetime:
    if text not in _moments:
        cleaned = re.sub(r"(\d)-(\d)", r"\1 \2", text.replace("-", " "))
        parsed = dateparser.parse(cleaned, languages=["en"]) if text else None
        _moments[text] = (parsed or datetime(2020, 1, 1, tzinfo=UTC)).replace(tzinfo=UTC)
    return _moments[text]


def index_of(haystack: Any, embed: Cached) -> SearchIndex:
    """The index that the vault would hold for one haystack, one document a message."""
    texts: list[str] = []
    docs: list[Doc] = []
    sizes: list[int] = []
    turn: dict[str, int] = {}
    for row, doc in enumerate(haystack):
        session, name = doc.meta["session"], doc.meta.get("speaker")
        turn[session] = turn.get(session, -1) + 1
        when = moment(doc.meta.get("timestamp", "")) + timedelta(seconds=20 * turn[session])
        text = doc.text.removeprefix(f"{name}: ") if name else doc.text
        groups = segments(text, name)
        embedded = [message_text(text, name), *(groups if len(groups) > 1 else ())]
        texts += embedded
        sizes.append(len(embedded))
        stamp = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        docs.append(Doc(row, text, doc.meta.get("role", "user"), name, session, stamp))
    vectors = np.split(embed(texts), np.cumsum(sizes)[:-1])
    index = SearchIndex()
    index.add([replace(doc, vectors=each, model="model") for doc, each in zip(docs, vectors, strict=True)])
    return index


def questions(cases: Sequence[Any], embed: Cached) -> list[Question]:
    indexes: dict[str, SearchIndex] = {}
    ready = []
    counted = [case for case in cases if not case.extra]
    for case in counted:
        if case.hay.key not in indexes:
            indexes[case.hay.key] = index_of(case.hay, embed)
    asked = [prepare(str(case.query), names=indexes[case.hay.key].names) for case in counted]
    topics, whole = embed([each.topic for each in asked]), embed([str(case.query) for case in counted])
    for case, query, topic, written in zip(counted, asked, topics, whole, strict=True):
        key = case.hay.key
        ready.append(
            Question(
                key,
                indexes[key],
                [doc.id for doc in case.hay],
                query.near(topic, "model"),
                query.near(written, "model"),
                frozenset(case.gold),
                str(case.cat),
            )
        )
    embed.save()
    return ready


def recall(asked: Sequence[Question], profile: Profile, k: int = 10) -> NDArray[np.float64]:
    """Recall at k of each question, in %."""
    found = []
    for each in asked:
        rows = rank(each.index, each.query, top_k=k, profile=profile).rows.tolist()
        found.append(100 * len({each.ids[row] for row in rows} & each.gold) / len(each.gold))
    return np.array(found)


def table(title: str, sets: dict[str, list[Question]], profiles: dict[str, Profile]) -> None:
    print(f"\n{title}: recall@10, and its difference to all signals; conversations better / worse")
    base = {name: recall(asked, HYBRID) for name, asked in sets.items()}
    for label, profile in profiles.items():
        cells = []
        for name, asked in sets.items():
            if label == AS_WRITTEN:
                found = recall([dataclasses.replace(each, query=each.as_written) for each in asked], profile)
            else:
                found = recall(asked, profile)
            by = [found[rows].mean() - base[name][rows].mean() for rows in conversations(asked).values()]
            better, worse = sum(each > 0.05 for each in by), sum(each < -0.05 for each in by)
            cells.append(f"{name} {found.mean():5.1f} {found.mean() - base[name].mean():+5.1f} {better:2d}/{worse:<2d}")
        print(f"  {label:22s} " + "   ".join(cells))


def conversations(asked: Sequence[Question]) -> dict[str, NDArray[np.int64]]:
    keys = np.array([each.haystack for each in asked])
    return {str(key): np.flatnonzero(keys == key) for key in np.unique(keys)}


def folds(sets: dict[str, list[Question]]) -> None:
    """Choose a weight on all conversations but one, by the sum of the sets' means, and try it on that one."""
    print("\nWeights chosen without the conversation that they are tried on: recall@10, fixed -> chosen")
    for weight, values in GRID.items():
        found = {
            value: {name: recall(asked, profile_with(weight, value)) for name, asked in sets.items()}
            for value in values
        }
        chosen_values: list[float] = []
        cells = []
        for name, asked in sets.items():
            fixed, chosen = recall(asked, HYBRID), np.zeros(len(asked))
            for rows in conversations(asked).values():
                others = np.setdiff1d(np.arange(len(asked)), rows)

                best = max(values, key=lambda value, others=others, name=name: merit(found[value], name, others))
                chosen_values.append(best)
                chosen[rows] = found[best][name][rows]
            cells.append(f"{name} {fixed.mean():5.1f} -> {chosen.mean():5.1f}")
        spread = ", ".join(f"{value:g} x{chosen_values.count(value)}" for value in values if value in chosen_values)
        print(f"  {weight:14s} " + "   ".join(cells) + f"   chosen: {spread}")


def merit(found: dict[str, NDArray[np.float64]], name: str, rows: NDArray[np.int64]) -> float:
    """Mean recall over some questions of one set, plus the means of the other sets."""
    return sum(float(each[rows].mean() if other == name else each.mean()) for other, each in found.items())


def profile_with(weight: str, value: float) -> Profile:
    if weight == "lexical":
        return replace(HYBRID, lexical=value, dense=1.0 - value)
    if weight in ("asked", "answered"):
        return replace(HYBRID, bm25f=replace(HYBRID.bm25f, **{weight: value}))
    return replace(HYBRID, **{weight: value})


def categories(sets: dict[str, list[Question]]) -> None:
    for name, asked in sets.items():
        found = {k: recall(asked, HYBRID, k) for k in (5, 10, 20)}
        print(f"\n{name}: " + ", ".join(f"recall@{k} {each.mean():.1f}" for k, each in found.items()))
        names = np.array([each.category for each in asked])
        for category in np.unique(names):
            rows = names == category
            cells = " ".join(f"{each[rows].mean():6.1f}" for each in found.values())
            print(f"  {category:26s} n={rows.sum():4d} {cells}")


# ------------------------------------------------------------------ speed


def vault(count: int, dimensions: int = 384, seed: int = 1) -> tuple[list[Doc], list[str]]:
    """Messages of 4 to 18 words whose frequencies follow Zipf's law, in sessions of 20; and a query's words."""
    rng = np.random.default_rng(seed)
    weights = 1 / (np.arange(60_000) + 21.0) ** 1.05
    words = np.array([f"w{np.base_repr(number, 36).lower()}x" for number in range(len(weights))])
    drawn = rng.choice(len(weights), (count, 18), p=weights / weights.sum())
    lengths = rng.integers(4, 19, count)
    topics = rng.standard_normal((64, dimensions))
    docs = []
    for row in range(count):
        if row % 4096 == 0:
            rows = min(4096, count - row)
            near = 0.9 * rng.standard_normal((rows, dimensions)) + 0.6 * topics[rng.integers(0, 64, rows)]
            vectors = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float16)
        docs.append(
            Doc(
                row,
                " ".join(words[drawn[row, : lengths[row]]]),
                "user" if row % 2 else "assistant",
                "Ana" if row % 2 else None,
                str(row // 20),
                row * 60_000_000,
                vectors[row % 4096 : row % 4096 + 1],
                "model",
            )
        )
    held = np.zeros(len(words))
    for row in range(count):
        held[np.unique(drawn[row, : lengths[row]])] += 1 / count
    wanted: list[int] = []
    for share in (0.10, 0.08, 0.04, 0.02, 0.01, 0.005, 0.002, 0.001):
        wanted.append(min((word for word in range(5_000) if word not in wanted), key=lambda w: abs(held[w] - share)))
    return docs, [*words[wanted]]


def milliseconds(work: Callable[[], object], seconds: float = 1.0) -> str:
    """Median and fastest of many runs."""
    work()
    took: list[float] = []
    end = time.perf_counter() + seconds
    while len(took) < 20 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - start))
    return f"{sorted(took)[len(took) // 2]:7.3f} ({min(took):.3f})"


def speed(counts: Sequence[int]) -> None:
    print("Milliseconds, median (fastest); a query of 8 words that 0.1 to 10 % of the messages hold, top_k 10")
    for count in counts:
        docs, words = vault(count)
        index = SearchIndex()
        start = time.perf_counter()
        for first in range(0, count, 1000):
            index.add(docs[first : first + 1000])
        each = 1e6 * (time.perf_counter() - start) / count
        rng = np.random.default_rng(2)
        near = docs[count // 3].vectors
        assert near is not None
        vector = near[0] + 0.04 * rng.standard_normal(near.shape[1])
        query = prepare(
            " ".join(words), (vector / np.linalg.norm(vector)).astype(np.float16), "model", None, index.names
        )
        most, few = np.arange(count) % 97 != 0, np.arange(count) % 20 == 0
        print(f"\n{count} messages: added in {each:.1f} us each, {index.nbytes() / count:.0f} bytes each")
        words_only, arrays = query.near(None, query.model), index.arrays()
        works: dict[str, Callable[[], object]] = {
            "rank, all signals": partial(rank, index, query),
            "  99 % allowed": partial(rank, index, query, allowed=most),
            "  5 % allowed": partial(rank, index, query, allowed=few),
            "  top_k 1,000": partial(rank, index, query, top_k=1000),
            "  explained": partial(rank, index, query, explain=True),
            "  words only": partial(rank, index, words_only),
            "prepare": partial(prepare, " ".join(words), None, "", 10**15, index.names),
            "  with a date": partial(prepare, "who came two weeks ago?", None, "", 10**15, index.names),
            "arrays, for a snapshot": index.arrays,
            "from_arrays": partial(SearchIndex.from_arrays, arrays),
        }
        for label, work in works.items():
            print(f"  {label:24s} {milliseconds(work)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--metrics", type=Path)
    parser.add_argument("--locomo", type=Path)
    parser.add_argument("--beam", type=Path)
    parser.add_argument("--size", default="100K")
    parser.add_argument("--embedder", default="local:minilm")
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--speed", type=int, nargs="+", metavar="N")
    given = parser.parse_args()
    if given.speed:
        speed(given.speed)
    if given.metrics is None:
        return
    embedder = open_embedder(given.embedder, models_dir=given.models_dir)
    assert embedder is not None
    embed = Cached(embedder, given.cache)
    metrics = load(given.metrics)
    common = {"level": "turn", "beam_sample": 0, "seed": 1}
    sets: dict[str, list[Question]] = {}
    if given.locomo:
        arguments = SimpleNamespace(
            **common, locomo_file=str(given.locomo), locomo_text="caption", session_docs="turns"
        )
        sets["LoCoMo"] = questions(metrics.load_locomo(arguments)[0], embed)
    if given.beam:
        arguments = SimpleNamespace(**common, beam_dir=str(given.beam))
        sets[f"BEAM {given.size}"] = questions(metrics.load_beam(arguments, given.size)[0], embed)
    categories(sets)
    table("Taken away", sets, WITHOUT)
    table("Added", sets, ALONE)
    folds(sets)


if __name__ == "__main__":
    main()
