"""`make bench` and `make bench-quick`: measure, hold the ratios to the committed ones, write the pages.

    python -m benchmarks [--quick] [--metrics EVAL_RETRIEVAL.py] [--locomo FILE] [--beam CHATS] [--lme-s FILE] [--lme-m FILE]
        [--model URI] [--peers PYTHON]

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
from pathlib import Path

from benchmarks.records import ROOT

from benchmarks import gate, report

SCRATCH = ROOT / "build" / "bench"
RESULTS = report.PAGES / "results"
SETS = ("metrics", "locomo", "beam", "lme_s", "lme_m")
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


def measure(given: argparse.Namespace) -> tuple[list[Path], bool]:
    """Files of records, and whether something failed to run."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    quick = ["--quick"] if given.quick else []
    prefix = "quick-" if given.quick else ""
    paths = {name: path for name in SETS if (path := getattr(given, name))}
    sets = [f"--{name.replace('_', '-')}={path}" for name, path in paths.items()]
    data = [each for each in sets if not each.startswith("--metrics")]
    steps: list[tuple[str, list[str]]] = [("yardsticks", ["benchmarks.yardsticks", *quick])]
    steps.append(
        ("retrieval", ["benchmarks.retrieval", "--synthetic", *sets, *(["--sizes=100K"] if given.quick else [])])
    )
    if given.model:
        steps.append(("answering", ["benchmarks.answering", f"--model={given.model}", *data]))
    made, failed = [], False
    if not given.quick:
        failed |= _run(sys.executable, ["benchmarks.speed", "--embedder", "local:minilm"]) != 0
    for name, command in steps:
        path = SCRATCH / f"{prefix}{name}.jsonl"
        path.unlink(missing_ok=True)
        if _run(sys.executable, [*command, f"--json={path}"]) == 0:
            made.append(path)
        else:
            failed = True
    if given.peers:
        path = SCRATCH / f"{prefix}peers.jsonl"
        # It appends.
        path.unlink(missing_ok=True)
        if _run(given.peers, ["benchmarks.peers", *quick, f"--json={path}"]) == 0:
            made.append(path)
        else:
            failed = True
    if not data:
        print(
            "\nMore is measured on data that you name: make bench METRICS=... LOCOMO=... BEAM=... LME_S=... LME_M=..."
        )
    return made, failed


def _run(python: str, command: list[str]) -> int:
    print(f"\n== {' '.join(command)}", flush=True)
    timed = command[0] in ("benchmarks.yardsticks", "benchmarks.speed")
    environment = {**os.environ, **(ONE_THREAD if timed else {})}
    return subprocess.run([python, "-m", *command], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
