"""What it brings to send each subject's requests to the same worker, on PostgreSQL, with RAM for a part of the vaults in each.

    python benchmarks/affinity.py [--workers 8] [--vaults 240] [--items 1000] [--seconds 12] [--json] [--folder DIR]

Worker processes serve one request at a time; as many clients as workers ask, each waiting for its answer. Whose memory is
asked follows a Zipf law. All workers together have RAM for the working set, so one alone has it for its part. Routed (by
`tacita.routing`) and at random are measured in turn, with new workers for each turn, and compared in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

import database
import speed
from tacita.routing import affinity, ranked

TURNS = 2


def work(folder: str, port: str, cache_bytes: str) -> None:
    """In a process of its own: answers each line, a vault's number, when it has searched it; at the end, how many it opened."""
    memory = database.Database(Path(folder), int(port)).memory(int(cache_bytes))
    queries, opened, vaults = speed.make_queries(64, os.getpid() % 1000), 0, memory._engine.vaults
    told = vaults.on_open

    def count(vault_id: bytes) -> None:
        nonlocal opened
        opened += 1
        told(vault_id)

    vaults.on_open = count
    print("ready", flush=True)
    for number, line in enumerate(iter(sys.stdin.readline, "\n")):
        memory.search(queries[number % 64], user_id=f"user-{int(line)}")
        print("done", flush=True)
    print(opened, flush=True)
    memory.close()


@dataclass
class Measured:
    """Of all turns of one way to route."""

    times: list[float] = field(default_factory=list)
    opened: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.times) / self.seconds

    @property
    def cold(self) -> float:
        return self.opened / len(self.times)

    def quantile(self, part: float) -> float:
        return 1000 * float(np.quantile(self.times, part))


class Workers:
    """Processes that serve one request at a time."""

    def __init__(self, place: database.Database, count: int, cache_bytes: int) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--work", str(place.folder), str(place.port), str(cache_bytes)]
        self.processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(count)
        ]
        self.locks = [threading.Lock() for _ in range(count)]
        for number in range(count):
            assert self.answer(number) == "ready"

    def answer(self, number: int) -> str:
        out = self.processes[number].stdout
        assert out is not None
        return out.readline().strip()

    def say(self, number: int, line: str) -> None:
        into = self.processes[number].stdin
        assert into is not None
        into.write(line + "\n")
        into.flush()

    def ask(self, number: int, vault: int) -> None:
        with self.locks[number]:
            self.say(number, str(vault))
            assert self.answer(number) == "done"

    def end(self) -> int:
        """How many vaults they opened."""
        opened = 0
        for number, process in enumerate(self.processes):
            self.say(number, "")
            opened += int(self.answer(number))
            process.communicate(timeout=60)
        return opened


def turn(workers: Workers, drawn: list[int], routed: list[int] | None, seconds: float, into: Measured) -> None:
    """Clients ask for so long, each for what is drawn next."""
    place, lock = iter(range(len(drawn))), threading.Lock()
    begun = time.perf_counter()

    def client(seed: int) -> None:
        chance = random.Random(seed)
        times = []
        while time.perf_counter() - begun < seconds:
            with lock:
                vault = drawn[next(place) % len(drawn)]
            start = time.perf_counter()
            workers.ask(chance.randrange(len(workers.locks)) if routed is None else routed[vault], vault)
            times.append(time.perf_counter() - start)
        with lock:
            into.times += times

    clients = [threading.Thread(target=client, args=(seed,)) for seed in range(len(workers.locks))]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    into.seconds += time.perf_counter() - begun


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--vaults", type=int, default=240)
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each of the four turns")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, default=None, help="on which disk; default: that of temporary files")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(*given.work)
        return
    names = [f"worker-{number}" for number in range(given.workers)]
    keys = [affinity(bytes(16), tenant="default", kind="user", subject_id=f"user-{n}") for n in range(given.vaults)]
    routed = [names.index(ranked(names, key)[0]) for key in keys]
    weights = 1 / (np.arange(given.vaults) + 1)
    drawn = np.random.default_rng(4).choice(given.vaults, 1_000_000, p=weights / weights.sum()).tolist()
    found = {"routed": Measured(), "at random": Measured()}
    with database.running(given.folder) as place:
        with place.memory(1 << 34) as memory:
            for number in range(given.vaults):
                speed.fill(memory, f"user-{number}", given.items, seed=number)
                memory.search("so that there is a snapshot", user_id=f"user-{number}")
            # A third more than its part: no split is even.
            cache_bytes = int(memory.stats(user_id="user-0").open_bytes / given.workers * 1.33)
        for _ in range(TURNS):
            for how, into in found.items():
                workers = Workers(place, given.workers, cache_bytes)
                turn(workers, drawn, routed if how == "routed" else None, given.seconds, into)
                into.opened += workers.end()
    shown = {
        how: {
            "searches/s": m.rate,
            "cold opens of searches": m.cold,
            "p50 ms": m.quantile(0.5),
            "p99 ms": m.quantile(0.99),
        }
        for how, m in found.items()
    }
    if given.json:
        print(json.dumps({**shown, "cpus": psutil.cpu_count(), "load": psutil.getloadavg()}))
        return
    print(f"{given.workers} workers with {cache_bytes >> 20} MiB each for {given.vaults} vaults of {given.items:,}, on")
    print(f"{psutil.cpu_count()} cores, load {', '.join(f'{load:.1f}' for load in psutil.getloadavg())}\n")
    print("| | routed | at random | ratio |\n|---|---|---|---|")
    for what, ours in shown["routed"].items():
        other = shown["at random"][what]
        print(f"| {what} | {ours:.3f} | {other:.3f} | {ours / other:.2f} |")


if __name__ == "__main__":
    main()
