"""Speed of the whole path through `tacita.Memory` on PostgreSQL on loopback with durable commits, embedding excluded.

    python benchmarks/postgres.py [--quick] [--json] [--many] [--folder DIR]

The server is started for it, on the disk of DIR, and runs on the same cores. Items and questions are those of
`benchmarks/speed.py`. Medians of the quietest of four stretches; machines are noisy, so compare ratios of one run. `--many`
also measures beside 100,000 vaults, which takes a quarter of an hour to fill.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

import database
import speed
from tacita import Memory

SIZE = 10_000
_TURNS = 12


class Table:
    """What was measured, and against what."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def row(self, what: str, value: float, unit: str, limit: float | None = None, *, at_least: bool = False) -> None:
        met = limit is None or (value >= limit if at_least else value <= limit)
        self.rows.append({"what": what, "value": round(value, 3), "unit": unit, "limit": limit, "met": met})
        print(
            f"{'ok  ' if met else 'MISS'} {what:60s} {value:12.3f} {unit:10s} limit {limit}",
            file=sys.stderr,
            flush=True,
        )


def cold(place: database.Database, user: str) -> float:
    """Milliseconds from a new Memory, whose connections are open, to the first result."""
    memory = place.memory()
    memory.search("another vault", user_id="small-0")
    start = time.perf_counter()
    memory.search(speed.make_queries(1, 9)[0], user_id=user)
    elapsed = 1000 * (time.perf_counter() - start)
    memory.close()
    return elapsed


def one_vault(table: Table, memory: Memory, place: database.Database) -> None:
    """Search, add, bulk and cold opening of a vault of 10,000."""
    memory.add("small", user_id="small-0")
    seconds = min(speed.fill(memory, f"bulk-{number}", SIZE) for number in range(4))
    table.row(f"bulk add, {SIZE:,} items", SIZE / seconds, "items/s", 8_000, at_least=True)
    queries = speed.make_queries(64, 5)
    memory.search(queries[0], user_id="bulk-0")
    took = speed.median_ms(lambda n: memory.search(queries[n % 64], user_id="bulk-0"), 400)
    table.row(f"search, warm vault of {SIZE:,}", took, "ms", 2.5)
    store, vault_id = memory._parts.store, memory._engine.keys.vault_id("default", "user", "bulk-0")
    table.row("  of that, one head check", speed.median_ms(lambda _: store.head(vault_id), 400), "ms")
    texts = speed.make_texts(400, 7)
    table.row("one durable add", speed.median_ms(lambda n: memory.add(texts[n % 400], user_id="bulk-1"), 200), "ms", 5)
    table.row(
        f"first search, cold vault of {SIZE:,}", statistics.median(cold(place, "bulk-0") for _ in range(5)), "ms", 150
    )


# ---------------------------------------------------------------------- worker processes


def work(folder: str, port: str, seconds: str, seed: str) -> None:
    """In a process of its own: says how many searches it made over the bulk vaults, each of which it has open."""
    memory = database.Database(Path(folder), int(port)).memory()
    queries, chance, users = speed.make_queries(64, int(seed)), random.Random(seed), [f"bulk-{n}" for n in range(4)]
    for user in users:
        memory.search(queries[0], user_id=user)
    print("ready", flush=True)
    sys.stdin.readline()
    count, ends = 0, time.monotonic() + float(seconds)
    while time.monotonic() < ends:
        memory.search(queries[count % 64], user_id=chance.choice(users))
        count += 1
    print(count, flush=True)
    memory.close()


@contextmanager
def processes(place: database.Database, count: int, seconds: float) -> Iterator[list[subprocess.Popen[str]]]:
    """Workers that have opened their vaults and wait."""
    # One core each, as `numpy` would use all of them for one product.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--work", str(place.folder), str(place.port), str(seconds)]
    started = [
        subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for n in range(count)
    ]
    try:
        for each in started:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        yield started
    finally:
        for each in started:
            each.communicate(timeout=120)


def scaling(table: Table, place: database.Database, counts: list[int], seconds: float) -> None:
    """Searches a second of 1, 2, 4 and 8 worker processes."""
    cores = os.cpu_count() or 1
    first = 0.0
    for count in counts:
        with processes(place, count, seconds) as started:
            for each in started:
                assert each.stdin is not None
                each.stdin.write("go\n")
                each.stdin.flush()
            made = 0
            for each in started:
                assert each.stdout is not None
                made += int(each.stdout.readline())
        rate = made / seconds
        first = first or rate
        table.row(f"searches of {count} workers on {cores} cores, {rate / first:.2f} times one", rate, "searches/s")


# ---------------------------------------------------------------------- many vaults


def neighbours(table: Table, place: database.Database, sizes: list[int]) -> None:
    """Latency beside more and more vaults against that beside the fewest, in tables of their own, taken in turn."""
    queries = speed.make_queries(64, 5)
    fewest = sizes[0]
    with replace(place, part="few").memory() as few, replace(place, part="many").memory() as many:
        for memory in (few, many):
            speed.fill(memory, "steady", 1_000)
            for number in range(fewest):
                memory.add(queries[number % 64], user_id=f"other-{number}")
        made = fewest
        for size in sizes[1:]:
            for number in range(made, size):
                many.add(queries[number % 64], user_id=f"other-{number}")
            made = size
            for what, limit, repeats in (("search", 1.15, 160), ("add", 1.15, 40)):
                took: dict[Memory, list[float]] = {few: [], many: []}
                for _ in range(_TURNS):
                    for memory, medians in took.items():
                        verb = partial(getattr(memory, what), user_id="steady" if what == "search" else "grows")
                        medians.append(speed.median_ms(lambda n, verb=verb: verb(queries[n % 64]), repeats))
                table.row(f"{what} beside {fewest:,} vaults", min(took[few]), "ms")
                table.row(f"{what} beside {size:,} vaults", min(took[many]), "ms")
                table.row("  against the fewest", min(took[many]) / min(took[few]), "ratio", limit)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer workers and vaults, shorter")
    parser.add_argument("--many", action="store_true", help="also beside 100,000 vaults")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, default=None, help="on which disk; default: that of temporary files")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(*given.work)
        return
    table = Table()
    with database.running(given.folder) as place:
        with place.memory() as memory:
            one_vault(table, memory, place)
        scaling(table, place, [1, 2] if given.quick else [1, 2, 4, 8], 2 if given.quick else 5)
        sizes = [100, 1_000] if given.quick else [100, 1_000, 10_000]
        neighbours(table, place, [*sizes, 100_000] if given.many else sizes)
    if given.json:
        print(json.dumps({"rows": table.rows, "cpus": psutil.cpu_count(), "load": psutil.getloadavg()}))
        return
    print(f"{psutil.cpu_count()} cores, load {', '.join(f'{load:.1f}' for load in psutil.getloadavg())}\n")
    print("| what | measured | unit | limit | met |\n|---|---|---|---|---|")
    for one in table.rows:
        limit = "" if one["limit"] is None else one["limit"]
        met = "" if one["limit"] is None else "yes" if one["met"] else "NO"
        print(f"| {one['what'].strip()} | {one['value']} | {one['unit']} | {limit} | {met} |")


if __name__ == "__main__":
    main()
