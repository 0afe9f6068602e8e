"""Speed of Tacita beside two yardsticks of the same run: a bare numpy scan, and SQLite without anything around it.

    python -m benchmarks.yardsticks [--quick] [--json RECORDS.jsonl]

Machines differ and so do hours on the same machine; ratios to what every memory must at least do differ much less, and those
are what `benchmarks.gate` compares. Systems take turns, a stretch each, and the quietest stretch of each counts.
Embedding costs nothing here. Neither yardstick is a peer: one keeps nothing, the other finds nothing.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.progress import bars
from benchmarks.records import Record, Writer
from benchmarks.speed import FreeEmbedder, make_queries, make_texts

import tacita
from tacita import Memory

SUITE = "speed"
TACITA, NUMPY, SQLITE = "tacita", "numpy", "sqlite"
NOTES = {
    NUMPY: "dot product with a float32 matrix in RAM, then the ten largest; keeps nothing",
    SQLITE: "rows of text and float16 vector, WAL, synchronous=FULL; finds nothing",
}
STRETCHES = 6
TOP_K = 10

Action = Callable[[int], object]


def in_turns(actions: Mapping[str, Action], repeats: int) -> dict[str, tuple[float, float]]:
    """(p50, p95) in ms of each action in its quietest of `STRETCHES` stretches; they take turns."""
    for action in actions.values():
        for warm in range(3):
            action(warm)
    best: dict[str, tuple[float, float]] = {}
    for stretch in range(STRETCHES):
        for name, action in actions.items():
            times = []
            for number in range(stretch * repeats, (stretch + 1) * repeats):
                start = time.perf_counter()
                action(number)
                times.append(1000 * (time.perf_counter() - start))
            taken = (statistics.median(times), float(np.percentile(times, 95)))
            best[name] = min(best.get(name, taken), taken)
    return best


def _record(system: str, case: str, measure: str, value: float, unit: str, n: int) -> Record:
    version = {TACITA: tacita.__version__, NUMPY: np.__version__, SQLITE: sqlite3.sqlite_version}[system]
    return Record(SUITE, system, case, measure, round(value, 4), unit, version, n=n, note=NOTES.get(system, ""))


def searching(memory: Memory, size: int, repeats: int) -> list[Record]:
    """Search of one person's `size` items, all signals on, beside the numpy scan of as many vectors."""
    person = f"person-{size}"
    texts = make_texts(size, 3)
    for at in range(0, size, 5_000):
        memory.add([{"content": text} for text in texts[at : at + 5_000]], user_id=person)
    queries = make_queries(64, 5)
    rows = np.random.default_rng(2).standard_normal((size, FreeEmbedder.dimensions), np.float32)
    asked = rows[:64].copy()

    def scan(number: int) -> object:
        scores = rows @ asked[number % 64]
        return np.argpartition(scores, -TOP_K)[-TOP_K:]

    def search(number: int) -> object:
        return memory.search(queries[number % 64], user_id=person, top_k=TOP_K)

    case = f"{size:,} items of one person"
    made = []
    for system, (p50, p95) in in_turns({TACITA: search, NUMPY: scan}, repeats).items():
        made.append(_record(system, case, "search_p50", p50, "ms", STRETCHES * repeats))
        made.append(_record(system, case, "search_p95", p95, "ms", STRETCHES * repeats))
    return made


def adding(memory: Memory, folder: Path, repeats: int, bulk: int) -> list[Record]:
    """Durable adds, one by one and many at once, beside rows of SQLite in the same folder."""
    texts = make_texts(repeats * STRETCHES + 3, 7)
    vectors = np.random.default_rng(4).standard_normal((bulk, FreeEmbedder.dimensions), np.float32).astype(np.float16)
    with closing(sqlite3.connect(folder / "yardstick.db", isolation_level=None)) as rows:
        rows.execute("PRAGMA journal_mode=WAL")
        rows.execute("PRAGMA synchronous=FULL")
        rows.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, text TEXT, vector BLOB)")
        insert = "INSERT INTO items (text, vector) VALUES (?, ?)"

        def row(number: int) -> object:
            return rows.execute(insert, (texts[number], vectors[number % bulk].tobytes()))

        def add(number: int) -> object:
            return memory.add(texts[number], user_id="adder")

        one = in_turns({TACITA: add, SQLITE: row}, repeats)
        many_texts = make_texts(bulk, 8)

        def rows_at_once(_: int) -> object:
            rows.execute("BEGIN")
            rows.executemany(
                insert, ((text, vector.tobytes()) for text, vector in zip(many_texts, vectors, strict=True))
            )
            return rows.execute("COMMIT")

        def add_at_once(number: int) -> object:
            return memory.add([{"content": text} for text in many_texts], user_id=f"bulk-{number}")

        # One call is one measurement: few of them, after a warm one.
        many = in_turns({TACITA: add_at_once, SQLITE: rows_at_once}, 1)
    made = []
    for system in (TACITA, SQLITE):
        made.append(_record(system, "one person", "add_per_s", 1000 / one[system][0], "items/s", STRETCHES * repeats))
        made.append(
            _record(system, f"{bulk:,} at once", "bulk_per_s", 1000 * bulk / many[system][0], "items/s", STRETCHES)
        )
    return made


def beside_others(folder: Path, size: int, others: int, repeats: int) -> list[Record]:
    """Search of one person among 10 and among `others` people: two homes that take turns."""
    queries = make_queries(64, 5)
    texts = make_texts(size, 11)
    with ExitStack() as opened:
        actions: dict[str, Action] = {}
        for people in (10, others):
            home = folder / f"beside-{people}"
            memory = opened.enter_context(Memory(home, keys="ephemeral:", embedder=FreeEmbedder()))
            memory.add([{"content": text} for text in texts], user_id="neighbour")
            for number in range(people):
                memory.add(queries[number % 64], user_id=f"other-{number}")
            actions[f"{size:,} items beside {people:,} people"] = partial(_ask, memory, queries)
        return [
            _record(TACITA, case, "search_p50", p50, "ms", STRETCHES * repeats)
            for case, (p50, _) in in_turns(actions, repeats).items()
        ]


def _ask(memory: Memory, queries: list[str], number: int) -> object:
    return memory.search(queries[number % 64], user_id="neighbour", top_k=TOP_K)


def measure(quick: bool, writer: Writer) -> None:
    """Everything, into `writer`."""
    sizes = (1_000, 10_000) if quick else (1_000, 10_000, 100_000)
    repeats = 60 if quick else 150
    with tempfile.TemporaryDirectory() as name, bars() as shown:
        folder = Path(name)
        task = shown.add_task("yardsticks", total=len(sizes) + 2)
        with Memory(folder / "home", keys="ephemeral:", embedder=FreeEmbedder()) as memory:
            steps: list[Callable[[], list[Record]]] = [
                *(lambda size=size: searching(memory, size, repeats) for size in sizes),
                lambda: adding(memory, folder, repeats, 2_000 if quick else 10_000),
                lambda: beside_others(folder, 1_000, 200 if quick else 2_000, repeats),
            ]
            for step in steps:
                for record in step():
                    writer.add(record)
                shown.advance(task)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.yardsticks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="up to 10,000 items and 200 people")
    parser.add_argument("--json", type=Path, help="write records here")
    given = parser.parse_args(arguments)
    with Writer(SUITE, given.json) as writer:
        measure(given.quick, writer)
    for record in writer.run.records:
        print(f"{record.case:32s} {record.measure:12s} {record.system:8s} {record.value:12.3f} {record.unit}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
