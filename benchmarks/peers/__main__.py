"""Tacita and its peers side by side: speed, cost, and what is left after a kill or a deletion.

    python -m benchmarks.peers [--quick] [--only NAME,...] [--case PART]... [--json FILE] [--folder DIR] [--cores 1]

One JSON object a line. Every system and case runs in processes of its own, with the same texts, vectors and questions, on one
core and with one thread for each numeric library; embedding costs nobody anything. Median and percentiles are of the quietest
of four stretches. A system that is not installed, or that cannot do a task, is a line whose value is null and says why.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
from benchmarks.peers.data import Case, beside, even, single
from benchmarks.peers.harness import REPOSITORY, UNITS, Effort, Record, Run, canary, kills, speed
from benchmarks.peers.harness import beside as neighbours
from benchmarks.peers.systems import SYSTEMS, System
from tqdm import tqdm

FULL = Effort(seconds=8.0, spare=4_000, patience=1_800.0)
QUICK = Effort(seconds=1.5, spare=800, patience=300.0)
KILLED = Effort(seconds=5.0, spare=20_000, patience=600.0)
KILLS, QUICK_KILLS = 10, 3
FIRST: dict[Callable[[Run], list[Record]], str] = {
    speed: "search_p50",
    kills: "lost_of_kills",
    canary: "canary_left",
    neighbours: "small_beside_large",
}
"""The measure under which a system says why it takes no part."""
Task = tuple[System, Case, Effort, Callable[[Run], list[Record]]]


def cases(quick: bool) -> list[Case]:
    """What is timed."""
    if quick:
        return [even(2_000, 10), beside(200, 10), beside(200, 500)]
    alone = [*(beside(1_000, 10**n) for n in range(1, 6)), *(single(10**n) for n in range(3, 6))]
    return [even(10_000, 10), even(50_000, 10), even(10_000, 1_000), *alone]


def tasks(quick: bool) -> Iterator[Task]:
    """Everything, one case after the other, so that the systems of one case meet the same machine."""
    effort = QUICK if quick else FULL
    for case in cases(quick):
        for system in SYSTEMS:
            if not case.alone or system.name == "tacita":
                yield system, case, effort, speed
    large, times = (500, QUICK_KILLS) if quick else (5_000, KILLS)
    others: list[tuple[Case, Effort, Callable[[Run], list[Record]]]] = [
        (Case(f"{times} kills", (20,), (0,)), replace(KILLED, kills=times), kills),
        (Case("4 deleted of 44", (40,), (0,)), effort, canary),
        (Case(f"5 items beside {large}", (large, 5), (0, 1)), effort, neighbours),
    ]
    for case, of, what in others:
        for system in SYSTEMS:
            yield system, case, of, what


def machine(cores: int) -> Record:
    """What it ran on, and on how many of its cores."""
    with Path("/proc/cpuinfo").open() as lines:
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, check=False)
    return {
        "suite": "speed",
        "system": "",
        "case": "",
        "measure": "machine",
        "value": None,
        "unit": "",
        "n": 1,
        "machine": {
            "cpu": models[0] if models else platform.processor(),
            "cores": psutil.cpu_count(),
            "cores_used": cores,
            "ram_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "python": platform.python_version(),
            "kernel": platform.release(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit.stdout.decode().strip(),
            "load": [round(load, 2) for load in psutil.getloadavg()],
        },
    }


def measured(task: Task, where: Path | None) -> list[Record]:
    """The records of one task."""
    system, case, effort, what = task
    with tempfile.TemporaryDirectory(prefix="peers-", dir=where, ignore_cleanup_errors=True) as folder:
        run = Run(system, case, effort, Path(folder))
        why = system.missing()
        if why is not None:
            return [run.record(FIRST[what], None, 0, why)]
        run.prepare()
        return what(run)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, minutes in total")
    parser.add_argument("--only", default="", help="systems: " + ",".join(system.name for system in SYSTEMS))
    parser.add_argument("--case", action="append", default=[], help="part of a case's name; may be given several times")
    parser.add_argument("--json", type=Path, default=None, help="append to this file instead of standard output")
    parser.add_argument("--folder", type=Path, default=None, help="on which disk; default: that of temporary files")
    parser.add_argument(
        "--cores", type=int, default=1, help="how many each system may use; more on a machine that is not idle"
    )
    given = parser.parse_args()
    only = set(filter(None, given.only.split(",")))
    if unknown := only - {system.name for system in SYSTEMS}:
        parser.error(f"no such system: {', '.join(sorted(unknown))}")
    # So that what was started ends, too, and nothing of it is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # The same for all; what they start inherits it.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-given.cores :])
    chosen = [
        task
        for task in tasks(given.quick)
        if (not only or task[0].name in only) and (not given.case or any(part in task[1].name for part in given.case))
    ]
    with contextlib.ExitStack() as opened:
        out = sys.stdout if given.json is None else opened.enter_context(given.json.open("a"))
        print(json.dumps(machine(given.cores)), file=out, flush=True)
        bar = opened.enter_context(tqdm(chosen, unit="task", file=sys.stderr))
        for task in bar:
            bar.set_description(f"{task[0].name}, {task[1].name}")
            for one in measured(task, given.folder):
                assert one["measure"] in UNITS
                print(json.dumps(one), file=out, flush=True)


if __name__ == "__main__":
    main()
