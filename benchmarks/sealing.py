"""What sealing costs: the same engine with its cipher and with a null cipher, which exists only in this benchmark.

    python -m benchmarks.sealing [--quick] [--json FILE]

Two processes, one for each cipher, with a home of their own and the same texts, vectors and questions, are asked in turn for
blocks of the same work. Told: the median ratio of neighbouring blocks with its quartiles, by the clock and in CPU seconds;
and which share of a search and of an add each step takes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.records import Record, Writer
from benchmarks.speed import FreeEmbedder, fill, make_queries, make_texts
from benchmarks.steps import ADDING, SEARCHING, Step, shares
from tqdm import tqdm

from tacita import Memory, hazmat

WHO = "ana"
TARGETS = {"search": 1.05, "add": 1.15}
BLOCKS = {"search": 200, "add": 50, "bulk": 2_000, "cold": 1}
"""How many operations one block has."""
CIPHERS = ("sealed", "null")
OURS = {"sealed": "tacita", "null": "null"}
"""What records call a side."""


def null_seal(key: hazmat.SecretKey, context: bytes, plaintext: bytes) -> bytes:
    """As long as what `hazmat.committed_seal` returns, and not sealed at all."""
    del key, context
    return bytes(hazmat.SALT_BYTES + hazmat.COMMITMENT_BYTES) + plaintext + bytes(hazmat.TAG_BYTES)


def null_open(key: hazmat.SecretKey, context: bytes, sealed: bytes) -> bytes:
    """The inverse of `null_seal`."""
    del key, context
    return sealed[hazmat.SALT_BYTES + hazmat.COMMITMENT_BYTES : -hazmat.TAG_BYTES]


@contextlib.contextmanager
def null_cipher() -> Iterator[None]:
    """Events and snapshots are written as they are. Chain, digests, tags and padding stay: they are no cipher."""
    real = hazmat.committed_seal, hazmat.committed_open
    hazmat.committed_seal, hazmat.committed_open = null_seal, null_open
    try:
        yield
    finally:
        hazmat.committed_seal, hazmat.committed_open = real


class Work:
    """Blocks of work on one home."""

    def __init__(self, home: Path, items: int) -> None:
        self._home = home
        self._memory = Memory(home, embedder=FreeEmbedder())
        fill(self._memory, WHO, items)
        self._queries, self._texts = make_queries(64, 5), make_texts(5_000, 7)
        self._done = 0
        self.block("search")

    def block(self, kind: str) -> tuple[float, float]:
        """(seconds, CPU seconds) of a block."""
        prepared = getattr(self, f"_{kind}")(BLOCKS[kind])
        clock, cpu = time.perf_counter(), time.process_time()
        prepared()
        return time.perf_counter() - clock, time.process_time() - cpu

    def _search(self, count: int) -> Callable[[], None]:
        def run() -> None:
            for number in range(count):
                self._memory.search(self._queries[number % len(self._queries)], user_id=WHO)

        return run

    def _add(self, count: int) -> Callable[[], None]:
        def run() -> None:
            for number in range(count):
                self._memory.add(self._texts[number], user_id=WHO)

        return run

    def _bulk(self, count: int) -> Callable[[], None]:
        self._done += 1
        messages = [{"role": "user", "content": text} for text in self._texts[:count]]

        def run() -> None:
            self._memory.add(messages, user_id=f"bulk-{self._done}")

        return run

    def _cold(self, count: int) -> Callable[[], None]:
        self._memory.close()
        self._memory = Memory(self._home, embedder=FreeEmbedder())
        return self._search(count)

    def steps(self, kind: str) -> dict[str, float]:
        """Which share of a search or an add each step takes."""
        of: tuple[Step, ...] = SEARCHING if kind == "search" else ADDING
        run = self._search(1_000) if kind == "search" else self._add(500)
        return shares(of, run)

    def close(self) -> None:
        self._memory.close()


def child(home: str, cipher: str, items: str) -> None:
    """In a process of its own: answers each line, a kind of work, with what a block of it took."""
    with null_cipher() if cipher == "null" else contextlib.nullcontext():
        work = Work(Path(home), int(items))
        print("ready", flush=True)
        for line in iter(sys.stdin.readline, ""):
            verb, _, kind = line.strip().partition(" ")
            print(json.dumps(work.block(kind) if verb == "block" else work.steps(kind)), flush=True)
        work.close()


class Side:
    """The process of one cipher."""

    def __init__(self, folder: Path, cipher: str, items: int) -> None:
        command = [sys.executable, "-m", "benchmarks.sealing", "--child", str(folder / cipher), cipher, str(items)]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        if self._line() != "ready":
            raise RuntimeError(f"the process with the cipher {cipher} did not start")

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ask(self, what: str) -> Any:
        """What it answers to a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return json.loads(self._line())

    def end(self) -> None:
        """Let it close its memory."""
        self._process.communicate(timeout=300)


def compared(taken: dict[str, list[tuple[float, float]]], kind: str, items: int) -> list[Record]:
    """What one operation took, and ratios of neighbouring blocks with their quartiles."""
    case, count = f"{items:,} items", len(taken["sealed"])
    found = []
    for cipher, system in OURS.items():
        each = 1000 * statistics.median(clock for clock, _ in taken[cipher]) / BLOCKS[kind]
        found.append(Record("sealing", system, case, kind, round(each, 5), "ms", n=count))
    note = f"at most {TARGETS[kind]}" if kind in TARGETS else ""
    for which, name in enumerate(("", "_cpu")):
        ratios = [a[which] / b[which] for a, b in zip(taken["sealed"], taken["null"], strict=True)]
        low, middle, high = (round(each, 4) for each in statistics.quantiles(ratios, n=4))
        measure = f"{kind}_ratio{name}"
        found.append(Record("sealing", "tacita", case, measure, middle, "times", "", low, high, count, note=note))
    return found


def steps_of(told: dict[str, float], kind: str, items: int) -> list[Record]:
    """Which share of one kind of work each step takes, the largest first."""
    ordered = sorted(told.items(), key=lambda each: -each[1])
    case = f"{items:,} items"
    return [
        Record("sealing", "tacita", case, f"{kind}_share", round(100 * share, 2), "%", n=1, category=step)
        for step, share in ordered
    ]


def measure(items: int, blocks: dict[str, int], folder: Path) -> list[Record]:
    """All records for vaults of one size. `blocks` says how many of each kind."""
    chance, found = random.Random(5), []
    sides = {cipher: Side(folder, cipher, items) for cipher in CIPHERS}
    for kind, count in blocks.items():
        taken: dict[str, list[tuple[float, float]]] = {cipher: [] for cipher in CIPHERS}
        for cipher in CIPHERS:
            sides[cipher].ask(f"block {kind}")
        for _ in tqdm(range(count), desc=f"{kind}, {items} items", file=sys.stderr, leave=False):
            for cipher in chance.sample(CIPHERS, 2):
                taken[cipher].append(tuple(sides[cipher].ask(f"block {kind}")))
        found += compared(taken, kind, items)
    for kind in ("search", "add"):
        found += steps_of(sides["sealed"].ask(f"steps {kind}"), kind, items)
    for side in sides.values():
        side.end()
    return found


def main() -> None:
    """Measure, print."""
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:5])
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a vault of 1,000, and few blocks")
    parser.add_argument("--json", type=Path, default=None, help="write records here")
    given = parser.parse_args()
    few, many = {"search": 8, "add": 8, "bulk": 5, "cold": 5}, {"search": 40, "add": 40, "bulk": 15, "cold": 21}
    with Writer("sealing", given.json) as writer:
        for items in (1_000,) if given.quick else (1_000, 10_000):
            with tempfile.TemporaryDirectory(prefix="sealing-") as folder:
                for one in measure(items, few if given.quick else many, Path(folder)):
                    writer.add(one)
                    between = "" if one.low is None else f" [{one.low:.3f} to {one.high:.3f}]"
                    print(f"{one.case:14} {one.measure:18} {one.category:36} {one.value:9.3f} {one.unit}{between}")


if __name__ == "__main__":
    main()
