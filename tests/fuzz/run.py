"""Fuzzes the parsers: `python tests/fuzz/run.py [--target NAME ...] [--seconds N] [--jobs N] [--json]`.

Each target runs in a process of its own under atheris, which watches the branches of `tacita` only. One JSON line a target goes
to the output with `--json`, and to `results.jsonl` in the folder of findings always. Exit code 1 when anything was found; each
finding is a file, with how it failed and how to see it again beside it.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
HANG_SECONDS: Final = 5
MEGABYTES: Final = 512
_STATUS: Final = re.compile(r"cov: (\d+) ft: (\d+)")
_COUNT: Final = re.compile(r"^#(\d+)\s", re.MULTILINE)
_GRACE: Final = 60
"""Seconds that a target may need to start and to end."""


@dataclass(frozen=True)
class Outcome:
    """What became of one target."""

    target: str
    seconds: float
    executions: int
    per_second: int
    branches: int
    """Edges of `tacita` that were reached."""
    crashes: tuple[str, ...]
    """Files of inputs that break the promise."""
    ended: str
    """"done", or why the process ended before its time."""


def fuzz(name: str, seconds: int, folder: Path, seed: int = 0) -> Outcome:
    """Run one target. What it finds is kept in `folder/NAME`. Unless `seed` is 0, each run tries the same inputs."""
    findings = folder / name
    findings.mkdir(parents=True, exist_ok=True)
    for old in findings.iterdir():
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="tacita-fuzz-", dir=_memory_disk()) as work:
        corpus = Path(work, "corpus")
        corpus.mkdir()
        command = [
            *(sys.executable, "-W", "error", str(HERE / "child.py"), name, str(findings)),
            *(f"-max_total_time={seconds}", f"-timeout={HANG_SECONDS}", f"-rss_limit_mb={MEGABYTES}"),
            # Entropic scheduling goes by the clock, so with it no two runs are the same.
            *([f"-seed={seed}", "-entropic=0"] if seed else []),
            *(f"-artifact_prefix={findings}{os.sep}", "-print_final_stats=1", "-verbosity=1", str(corpus)),
        ]
        began = time.monotonic()
        path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "TMPDIR": work, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
        try:
            ran = subprocess.run(
                command, capture_output=True, env=environment, cwd=work, timeout=seconds + _GRACE, check=False
            )
            words, code = ran.stderr.decode(errors="replace"), ran.returncode
        except subprocess.TimeoutExpired as error:
            words, code = (error.stderr or b"").decode(errors="replace"), -1
    return _outcome(name, time.monotonic() - began, words, code, findings)


def _memory_disk() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _outcome(name: str, seconds: float, words: str, code: int, findings: Path) -> Outcome:
    total = re.search(r"number_of_executed_units:\s*(\d+)", words)
    executions = int(total[1]) if total else max(map(int, _COUNT.findall(words)), default=0)
    covered = _STATUS.findall(words)
    ended = "done" if code == 0 and total else f"exit code {code}"
    if ended != "done" or not executions:
        # A hang, too much memory, or a target that does not even start: the last words say which.
        (findings / "output.txt").write_text(words[-20_000:])
    crashes = sorted(each for each in findings.iterdir() if each.suffix == ".input" or "-" in each.name)
    for crash in crashes:
        how = f"\nSee it again:\n    {sys.executable} {HERE / 'replay.py'} {name} {crash}\n"
        with crash.with_suffix(".txt").open("a") as file:
            file.write(how)
    running = re.search(r"^Done \d+ runs in (\d+) second", words, re.MULTILINE)
    rate = executions // max(1, int(running[1]) if running else int(seconds))
    branches = int(covered[-1][0]) if covered else 0
    return Outcome(name, round(seconds, 1), executions, rate, branches, tuple(map(str, crashes)), ended)


def failed(outcome: Outcome) -> bool:
    """Whether a target found something, ended early, or never ran."""
    return bool(outcome.crashes) or outcome.ended != "done" or not outcome.executions


def atheris_is_there() -> bool:
    """Whether the fuzzer can be imported by this Python."""
    return importlib.util.find_spec("atheris") is not None


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line names."""
    sys.path.insert(0, str(HERE))
    from fuzzing.targets import TARGETS

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), metavar="NAME", help="only this one")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="not 0: the same inputs at each run (default: others)")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    parser.add_argument("--findings", type=Path, default=ROOT / "build" / "fuzz", help="folder (default: build/fuzz)")
    parser.add_argument("--list", action="store_true", help="show the targets and what each promises")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        for name, target in TARGETS.items():
            print(f"{name:16} {target.promise}")
        return 0
    if not atheris_is_there():
        print("atheris is not installed for this Python: pip install atheris (Python 3.11 and 3.12)", file=sys.stderr)
        return 2
    findings = chosen.findings.absolute()
    findings.mkdir(parents=True, exist_ok=True)
    names = chosen.target or list(TARGETS)
    outcomes = []
    with ThreadPoolExecutor(chosen.jobs) as pool, (findings / "results.jsonl").open("w") as kept:
        running = [pool.submit(fuzz, name, chosen.seconds, findings, chosen.seed) for name in names]
        for number, future in enumerate(as_completed(running), 1):
            outcome = future.result()
            outcomes.append(outcome)
            line = json.dumps(asdict(outcome))
            print(line, file=kept, flush=True)
            print(line if chosen.json else _row(number, len(names), outcome), flush=True)
    bad = [outcome for outcome in outcomes if failed(outcome)]
    for outcome in bad:
        print(f"{outcome.target}: {outcome.ended}; {', '.join(outcome.crashes) or findings}", file=sys.stderr)
        for crash in map(Path, outcome.crashes):
            # A log of CI is all that may be left of a run: it has to hold what is needed to see it again.
            print(crash.with_suffix(".txt").read_text()[-2_000:], file=sys.stderr)
            print(f"base64: {base64.b64encode(crash.read_bytes()).decode()}", file=sys.stderr)
    return 1 if bad else 0


def _row(number: int, of: int, outcome: Outcome) -> str:
    found = f"{len(outcome.crashes)} FOUND" if failed(outcome) else "ok"
    return (
        f"[{number:2}/{of}] {outcome.target:16} {outcome.executions:10,} runs {outcome.per_second:7,}/s "
        f"{outcome.branches:6,} branches  {found}"
    )


if __name__ == "__main__":
    sys.exit(main())
