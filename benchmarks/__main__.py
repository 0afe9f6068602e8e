"""`make bench` and `make bench-quick`: measure, hold the ratios to the committed ones, write the pages.

    python -m benchmarks [--quick] [--metrics EVAL_RETRIEVAL.py] [--locomo FILE] [--beam CHATS] [--lme-s FILE] [--lme-m FILE]
        [--friendsqa DAT] [--model URI] [--peers PYTHON] [--only STEP,...]

The quick run measures small vaults and the synthetic set, and whatever data it is given. The full one adds large vaults, every
size of BEAM, question answering when a model is named, and peers when an interpreter is named that has them.
Data sets belong to others and are not bundled.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.records import ROOT

from benchmarks import gate, report

SCRATCH = ROOT / "build" / "bench"
RESULTS = report.PAGES / "results"
SETS = ("metrics", "locomo", "beam", "lme_s", "lme_m", "friendsqa")
TURNS = ((10_000, 10), (50_000, 10), (10_000, 1_000))
"""Items and people of what Tacita and its peers are asked in turn."""
QUICK_TURNS = ((1_000, 10),)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""For what is timed: where cores are shared, a product on many threads measures the others."""


def main(arguments: list[str] | None = None) -> int:
    """The exit code is not 0 when something fails to run or a ratio got worse; the pages are written in either case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="minutes, not hours")
    for name in SETS:
        parser.add_argument(f"--{name.replace('_', '-')}", default="", help="see python -m benchmarks.retrieval --help")
    parser.add_argument("--model", default="", help="see python -m benchmarks.answering --help")
    parser.add_argument("--peers", default="", help="a Python that has what benchmarks/peers compares with")
    parser.add_argument("--only", default="", help="speed, yardsticks, sealing, retrieval, answering, peers or turns")
    given = parser.parse_args(arguments)
    made, failed = measure(given)
    if not made:
        return 1
    RESULTS.mkdir(parents=True, exist_ok=True)
    for path in made:
        shutil.copyfile(path, RESULTS / path.name)
    report.main([])
    print()
    worse = gate.main([str(path) for path in made])
    return 1 if failed or worse else 0


@dataclass(frozen=True, slots=True)
class Step:
    """One program to run."""

    name: str
    """Of its file of records; several steps may share one, to which they append."""
    command: list[str]
    python: str = sys.executable
    records: bool = True
    """Whether it writes any."""


def steps(given: argparse.Namespace) -> Iterator[Step]:
    """What is to be run, in order."""
    quick = ["--quick"] if given.quick else []
    paths = {name: path for name in SETS if (path := getattr(given, name))}
    sets = [f"--{name.replace('_', '-')}={path}" for name, path in paths.items()]
    if not given.quick:
        yield Step("speed", ["benchmarks.speed", "--embedder", "local:minilm"], records=False)
    yield Step("yardsticks", ["benchmarks.yardsticks", *quick])
    yield Step("sealing", ["benchmarks.sealing", *quick])
    peers = [f"--peers={given.peers}"] if given.peers else []
    sizes = ["--sizes=100K"] if given.quick else []
    yield Step("retrieval", ["benchmarks.retrieval", "--synthetic", *sets, *sizes, *peers])
    if given.model:
        data = [each for each in sets if not each.startswith("--metrics")]
        yield Step("answering", ["benchmarks.answering", f"--model={given.model}", *data])
    if given.peers:
        yield Step("peers", ["benchmarks.peers", *quick], given.peers)
        for items, people in QUICK_TURNS if given.quick else TURNS:
            yield Step("turns", ["benchmarks.peers.ratios", f"--items={items}", f"--people={people}"], given.peers)


def measure(given: argparse.Namespace) -> tuple[list[Path], bool]:
    """Files of records, and whether something failed to run."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    only = set(filter(None, given.only.split(",")))
    chosen = [step for step in steps(given) if not only or step.name in only]
    made: dict[Path, bool] = {}
    failed = not chosen
    for step in chosen:
        path = SCRATCH / f"{'quick-' if given.quick else ''}{step.name}.jsonl"
        if step.records and path not in made:
            path.unlink(missing_ok=True)
        ran = _run(step.python, [*step.command, *([f"--json={path}"] if step.records else [])]) == 0
        failed |= not ran
        if step.records:
            made[path] = made.get(path, True) and ran
    if not chosen:
        print(f"nothing to run: --only has {', '.join(dict.fromkeys(step.name for step in steps(given)))}")
    elif not any(getattr(given, name) for name in SETS if name != "metrics"):
        print(
            "\nMore is measured on data that you name: "
            "make bench METRICS=... LOCOMO=... BEAM=... LME_S=... LME_M=... FRIENDSQA=..."
        )
    return [path for path, whole in made.items() if whole], failed


def _run(python: str, command: list[str]) -> int:
    print(f"\n== {' '.join(command)}", flush=True)
    timed = command[0] in ("benchmarks.yardsticks", "benchmarks.speed", "benchmarks.sealing")
    environment = {**os.environ, **(ONE_THREAD if timed else {})}
    return subprocess.run([python, "-m", *command], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
