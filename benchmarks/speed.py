"""Speed of the whole path through `tacita.Memory` on SQLite with FULL sync, embedding excluded unless said.

    python benchmarks/speed.py [--quick] [--json] [--embedder local:minilm]

Messages and questions are as long as those of LoCoMo, and a question's words stand in as many messages; they follow a
Zipf law. Vectors are random unit vectors that cost nothing to make. Medians; machines are noisy, so
compare ratios of one run, not times of two.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from tacita import Memory

DIMENSIONS = 384
WORDS = [f"{a}{b}{c}" for a in ("ka", "to", "mi", "ru", "se", "lo", "ven", "bri") for b in "bdfgklmnprst" for c in
         ("ana", "ent", "il", "or", "ush", "eck", "ist", "ome", "und", "ive", "ark", "ola")]  # fmt: skip
FUNCTION_WORDS = "the a and to of in that it was for on with she he my we".split()


class FreeEmbedder:
    """Random unit vectors from a pool: an embedder whose time does not count."""

    name = "benchmark:free"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        pool = np.random.default_rng(1).standard_normal((4096, DIMENSIONS), np.float32)
        self._pool = pool / np.linalg.norm(pool, axis=1, keepdims=True)
        self._next = 0

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        if len(texts) > 1:
            return self._pool[np.arange(len(texts)) % len(self._pool)]
        self._next = (self._next + 1) % len(self._pool)
        return self._pool[self._next : self._next + 1]


def make_texts(count: int, seed: int, words: tuple[int, int] = (16, 32)) -> list[str]:
    """Messages of one sentence, about 120 characters: function words and Zipf-distributed others in turn.

    `words` are the least and the most that a message has.
    """
    rng = np.random.default_rng(seed)
    weights = 1 / (np.arange(len(WORDS)) + 1)
    lengths = rng.integers(words[0], words[1] + 1, count)
    drawn = rng.choice(WORDS, lengths.sum(), p=weights / weights.sum())
    drawn[::2] = rng.choice(FUNCTION_WORDS, len(drawn[::2]))
    ends = np.cumsum(lengths)
    return [" ".join(drawn[end - length : end]) for end, length in zip(ends, lengths, strict=True)]


def make_queries(count: int, seed: int) -> list[str]:
    """Questions about as long, and with words about as frequent, as those of LoCoMo."""
    return make_texts(count, seed, (8, 11))


def median_ms(action: Callable[[int], object], repeats: int) -> float:
    """The median of the quietest of four stretches: other users of the machine can only make a stretch slower."""
    for warm in range(3):
        action(warm)
    medians = []
    for stretch in range(4):
        times = []
        for number in range(stretch * repeats // 4, (stretch + 1) * repeats // 4):
            start = time.perf_counter()
            action(number)
            times.append(time.perf_counter() - start)
        medians.append(statistics.median(times))
    return 1000 * min(medians)


def fill(memory: Memory, user: str, count: int, seed: int = 3) -> float:
    """Add `count` items in batches of 5,000; returns seconds."""
    texts = make_texts(count, seed)
    start = time.perf_counter()
    for at in range(0, count, 5_000):
        memory.add([{"role": "user", "content": text} for text in texts[at : at + 5_000]], user_id=user)
    return time.perf_counter() - start


def cold_first_search(home: Path, user: str) -> float:
    """Milliseconds from a new Memory, imports done, to the first result."""
    memory = Memory(home, embedder=FreeEmbedder())
    start = time.perf_counter()
    memory.search(make_queries(1, 9)[0], user_id=user)
    elapsed = 1000 * (time.perf_counter() - start)
    memory.close()
    return elapsed


def import_ms() -> float:
    code = "import time; s=time.perf_counter(); import tacita; print(1000*(time.perf_counter()-s))"
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(7)
    ]
    return statistics.median(runs)


def measure(sizes: list[int], neighbours: int, embedder: str | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def row(what: str, value: float, unit: str, limit: float, *, at_least: bool = False) -> None:
        met = value >= limit if at_least else value <= limit
        rows.append({"what": what, "value": round(value, 3), "unit": unit, "limit": limit, "met": met})
        print(
            f"{'ok ' if met else 'MISS'} {what:58s} {value:12.3f} {unit:8s} limit {limit}", file=sys.stderr, flush=True
        )

    search_limit = {1_000: 0.4, 10_000: 1.0, 100_000: 10.0}
    cold_limit = {10_000: 60.0, 100_000: 600.0}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        row("import tacita", import_ms(), "ms", 150)
        memory = Memory(home, embedder=FreeEmbedder())
        queries = make_queries(64, 5)
        for size in sizes:
            user = f"user-{size}"
            seconds = fill(memory, user, size)
            if size == 10_000:
                # The quietest of four, as everywhere. The index is built by the next read, which is told beside it.
                seconds = min([seconds, *(fill(memory, f"bulk-{number}", size) for number in range(3))])
                row("bulk add, 10,000 items", size / seconds, "items/s", 20_000, at_least=True)
                start = time.perf_counter()
                memory.search(queries[0], user_id="bulk-0")
                print(
                    f"    and {1000 * (time.perf_counter() - start):.0f} ms for their index, in the first search after"
                )
            repeats = 400 if size <= 10_000 else 100
            took = median_ms(lambda n, user=user: memory.search(queries[n % 64], user_id=user), repeats)
            row(f"search, warm vault of {size:,}", took, "ms", search_limit[size])
        texts = make_texts(600, 7)
        took = median_ms(lambda n: memory.add(texts[n % 600], user_id="user-1000"), 400)
        row("one durable add", took, "ms", 0.8)
        few, many = _beside_others(memory, queries, neighbours)
        row(f"search of 1,000 beside {neighbours:,} vaults / beside 10", many / few, "ratio", 1.1)
        memory.close()
        for size in sizes:
            if size in cold_limit:
                took = statistics.median(cold_first_search(home, f"user-{size}") for _ in range(5))
                row(f"first search, cold vault of {size:,}", took, "ms", cold_limit[size])
        largest = max(sizes)
        row(f"RAM of an open vault of {largest:,}, in its vectors and text", _ram(home, largest), "x", 1.6)
    if embedder:
        with tempfile.TemporaryDirectory() as folder:
            memory = Memory(Path(folder) / "home", embedder=embedder)
            memory.add([{"content": text} for text in make_texts(1_000, 2)], user_id="ana")
            asked = ["what did she say about the new job?", "when did we go to the lake?", "which drugs to avoid?"]
            took = median_ms(lambda n: memory.search(asked[n % 3], user_id="ana"), 100)
            row(f"search of 1,000 with its embedding ({embedder})", took, "ms", 8)
            memory.close()
    return rows


def _beside_others(memory: Memory, queries: list[str], neighbours: int) -> tuple[float, float]:
    """Search medians with 10 and with `neighbours` other vaults, taken in turn."""

    def take() -> float:
        return median_ms(lambda n: memory.search(queries[n % 64], user_id="user-1000"), 800)

    for number in range(10):
        memory.add(queries[number], user_id=f"other-{number}")
    few = take()
    for number in range(10, neighbours):
        memory.add(queries[number % 64], user_id=f"other-{number}")
    return few, take()


def _ram(home: Path, size: int) -> float:
    """RAM that opening takes, as a multiple of float32 vectors plus UTF-8 text; measured in a process of its own."""
    code = (
        "import sys, gc, psutil; sys.path.insert(0, sys.argv[3]); import speed; from tacita import Memory\n"
        "m = Memory(sys.argv[1], embedder=speed.FreeEmbedder()); m.add('warm', user_id='warm')\n"
        "m.search('warm', user_id='warm'); gc.collect(); before = psutil.Process().memory_info().rss\n"
        "m.search('nothing', user_id='user-' + sys.argv[2]); gc.collect()\n"
        "print(psutil.Process().memory_info().rss - before)"
    )
    here = str(Path(__file__).parent)
    ran = subprocess.run([sys.executable, "-c", code, str(home), str(size), here], capture_output=True, check=True)
    text_bytes = sum(len(text.encode()) for text in make_texts(size, 3))
    return int(ran.stdout) / (size * DIMENSIONS * 4 + text_bytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="up to 10,000 items and 500 vaults")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--embedder", default=None, help="also measure a search with this embedder")
    given = parser.parse_args()
    gc.collect()
    sizes = [1_000, 10_000] if given.quick else [1_000, 10_000, 100_000]
    rows = measure(sizes, 500 if given.quick else 10_000, given.embedder)
    if given.json:
        print(json.dumps({"rows": rows, "cpus": psutil.cpu_count(), "load": psutil.getloadavg()}))
    else:
        print("| what | measured | unit | limit | met |\n|---|---|---|---|---|")
        for one in rows:
            print(
                f"| {one['what']} | {one['value']} | {one['unit']} | {one['limit']} | {'yes' if one['met'] else 'NO'} |"
            )


if __name__ == "__main__":
    main()
