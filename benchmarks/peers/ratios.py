"""Systems that take turns: how many times Tacita's milliseconds each of them takes, whatever else the machine does.

    python -m benchmarks.peers.ratios [--only NAME,...] [--people 10] [--items 10000] [--rounds 40] [--json FILE] [--cores 1]

All are open at once, each in a process of its own over the same data. In each round each of them, in random order, does
a block of ten searches, or of ten single durable adds. A ratio is of two blocks of the same round; told are the median over
the rounds with its quartiles, and the milliseconds of the quickest block.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peers.__main__ import machine
from benchmarks.peers.data import even
from benchmarks.peers.harness import Died, Effort, Record, Run
from benchmarks.peers.systems import SYSTEMS, by_name
from tqdm import tqdm

OURS = "tacita"
SECONDS = 2.0
"""That a block may take before it is cut."""


class Turn:
    """A system that waits for its turn."""

    def __init__(self, run: Run, opened: contextlib.ExitStack) -> None:
        self.run = run
        run.prepare()
        server = opened.enter_context(run.served())
        stages = ("fill", "blocks") if run.system.in_ram else ("blocks",)
        if not run.system.in_ram:
            run.through("fill", server=server)
        self._process = run.start(stages, server, stdin=subprocess.PIPE)
        opened.callback(self._end)
        if self._answer() != b"ready\n":
            raise Died(run.last_words())

    def _answer(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def block(self, kind: str) -> float:
        """Median milliseconds of a block. Raises Died."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kind}\n".encode())
        self._process.stdin.flush()
        said = self._answer()
        if not said:
            raise Died(self.run.last_words())
        return float(said)

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()


def taken_in_turn(turns: list[Turn], kind: str, rounds: int) -> list[Record]:
    """The ratios of one kind of work. Everybody was searched before; the first round does not count. Raises Died."""
    chance = random.Random(3)
    taken: dict[str, list[float]] = {turn.run.system.name: [] for turn in turns}
    for _ in tqdm(range(1 + rounds), desc=kind, file=sys.stderr):
        for turn in chance.sample(turns, len(turns)):
            taken[turn.run.system.name].append(turn.block(kind))
    found = []
    for turn in turns:
        name = turn.run.system.name
        ratios = [one / ours for one, ours in zip(taken[name][1:], taken[OURS][1:], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        ratio = turn.run.record(f"{kind}_ratio", middle, rounds)
        if name != OURS:
            ratio |= {"low": round(low, 4), "high": round(high, 4)}
        found += [ratio, turn.run.record(f"{kind}_least", min(taken[name][1:]), rounds)]
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="systems beside Tacita, with commas; default: all")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path, default=None, help="append to this file instead of standard output")
    parser.add_argument("--cores", type=int, default=1)
    given = parser.parse_args()
    names = [name for name in given.only.split(",") if name] or [system.name for system in SYSTEMS]
    # So that what was started ends, too, and nothing of it is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-given.cores :])
    case = even(given.items, given.people)
    effort = Effort(seconds=SECONDS, spare=40 * (1 + given.rounds), patience=1_800.0)
    found: list[Record] = []
    with contextlib.ExitStack() as opened:
        turns = []
        for name in dict.fromkeys([OURS, *names]):
            system = by_name(name)
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True))
            run = Run(system, case, effort, Path(folder))
            if system.missing() is not None:
                found.append(run.record("search_ratio", None, 0, system.missing() or ""))
                continue
            turns.append(Turn(run, opened))
        for kind in ("search", "add"):
            found += taken_in_turn(turns, kind, given.rounds)
        out = sys.stdout if given.json is None else opened.enter_context(given.json.open("a"))
        for one in (machine(given.cores), *found):
            print(json.dumps(one), file=out, flush=True)


if __name__ == "__main__":
    main()
