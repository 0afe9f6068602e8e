"""The process beside the processes that are measured: starts them, kills them, weighs what they leave, writes records."""

from __future__ import annotations

import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from benchmarks.peers import data
from benchmarks.peers.data import Case
from benchmarks.peers.systems import System
from benchmarks.peers.work import CANARIES, SMALL, Order

from tacita.testing.canary import forms

REPOSITORY = Path(__file__).parents[2]
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "LANCE_CPU_THREADS"), "1"
)
QUIET = {
    "MEM0_TELEMETRY": "False",
    "ANONYMIZED_TELEMETRY": "False",
    "LANGCHAIN_TRACING_V2": "false",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}
"""Each system's own documented switch."""
LOOKED_FOR = ("utf-8", "utf-16-le", "utf-16-be", "json escapes", *(f"base64, alignment {shift}" for shift in range(3)))
COLD_RUNS = 3
ADDS_BEFORE = 5, 80
"""Acknowledged adds before a kill, at least and at most."""
Record = dict[str, Any]
UNITS = {
    "search_p50": "ms",
    "search_p95": "ms",
    "add_per_s": "items/s",
    "bulk_per_s": "items/s",
    "cold_ms": "ms",
    "rss_mb": "MB",
    "disk_mb": "MB",
    "cpu_s": "s",
    "mixed_per_s": "operations/s",
    "delete_p50": "ms",
    "erase_ms": "ms",
    "lost_of_kills": "items",
    "acknowledged": "items",
    "canary_left": "files",
    "small_beside_large": f"of {SMALL}",
    "search_ratio": "times Tacita's",
    "search_least": "ms",
    "add_ratio": "times Tacita's",
    "add_least": "ms",
}
"""Every measure that there is."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    seconds: float
    """For one measure."""
    spare: int
    """Items to add while it is measured."""
    patience: float
    """Seconds that one process may take."""
    kills: int = 0


def environment(folder: Path) -> dict[str, str]:
    """For a process of a system: on one core, sending nothing home, and with the folder for its home.

    Whatever a system keeps outside the folder that it was given is found there, too.
    """
    paths = [str(REPOSITORY / "src"), str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    made = {**os.environ, **ONE_THREAD, **QUIET, "PYTHONPATH": os.pathsep.join(paths)}
    # A wheel is compiled when it is installed; sources that run from a checkout, when they may be.
    made.pop("PYTHONDONTWRITEBYTECODE", None)
    return made | {"HOME": str(folder), "MEM0_DIR": str(folder / "mem0")}


class Died(Exception):
    """A system's process ended, or was ended, before its work was done; says how."""


@dataclass(frozen=True, slots=True)
class Run:
    """One system in one case, in folders of their own."""

    system: System
    case: Case
    effort: Effort
    root: Path

    @property
    def folder(self) -> Path:
        """The system's."""
        return self.root / "system"

    @property
    def data(self) -> Path:
        """Ours."""
        return self.root / "data"

    def prepare(self) -> None:
        """Write the files of the case; make an empty folder for the system."""
        data.write(self.data, self.case, self.effort.spare)
        self.folder.mkdir()

    def record(self, measure: str, value: float | None, n: int = 1, note: str = "") -> Record:
        """One line of the result."""
        found: Record = {
            "suite": "speed",
            "system": self.system.name,
            "version": version_of(self.system),
            "case": self.case.name,
            "measure": measure,
            "value": None if value is None else round(value, 4),
            "unit": UNITS[measure],
            "n": n,
        }
        return {**found, "note": note} if note else found

    @contextlib.contextmanager
    def served(self) -> Iterator[int | None]:
        """The process id of the system's server, which runs for as long as this is open; None if it has none."""
        serve = self.system.serve()
        if serve is None:
            yield None
            return
        with serve(self.folder) as process_id:
            yield process_id

    def start(
        self, stages: tuple[str, ...], server: int | None, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """A process that carries the stages out."""
        script = self.root / "order.json"
        order = Order(
            stages=stages,
            place=self.system.place,
            folder=str(self.folder),
            data=str(self.data),
            asked=tuple((number, self.case.sizes[number]) for number in self.case.asked),
            begun=time.monotonic(),
            seconds=self.effort.seconds,
            server=server,
        )
        script.write_text(json.dumps(asdict(order)))
        with (self.root / "stderr").open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmarks.peers.work", str(script)],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(self.folder),
                cwd=self.root,
            )

    def last_words(self) -> str:
        """The end of what the last process wrote on standard error."""
        lines = (self.root / "stderr").read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "no words"

    def through(self, *stages: str, server: int | None) -> tuple[list[Record], float]:
        """Records of one process that carries the stages out, and its CPU seconds. Raises Died."""
        process, named = self.start(stages, server), "+".join(stages)
        try:
            said, _ = process.communicate(timeout=self.effort.patience)
        except subprocess.TimeoutExpired:
            raise Died(f"{named}: took longer than {self.effort.patience:.0f} s") from None
        finally:
            process.kill()
            process.communicate()
        if process.returncode != 0:
            raise Died(f"{named}: exit code {process.returncode}, {self.last_words()}")
        told = json.loads(said)
        found = [self.record(one["measure"], one["value"], one["n"], one["note"]) for one in told["found"]]
        return found, told["cpu"]


def speed(run: Run) -> list[Record]:
    """All that is timed or weighed of one system in one case."""
    found: list[Record] = []
    wanted = ["bulk_per_s", "cold_ms", "disk_mb", "search_p50", "search_p95", "rss_mb"]
    wanted += ["add_per_s", "mixed_per_s", "delete_p50", "erase_ms", "cpu_s"]
    cpu, why = 0.0, ""
    with run.served() as server:
        try:
            if run.system.in_ram:
                found, cpu = run.through("fill", "read", "write", server=server)
                why = "nothing of it outlives its process"
            else:
                got, used = run.through("fill", server=server)
                found, cpu = [*found, *got], cpu + used
                found.append(run.record("disk_mb", _bytes_under(run.folder) / 1e6))
                starts = []
                for _ in range(COLD_RUNS):
                    (start,), used = run.through("cold", server=server)
                    starts.append(start["value"])
                    cpu += used
                found.append(run.record("cold_ms", statistics.median(starts), COLD_RUNS))
                for stage in ("read", "write"):
                    got, used = run.through(stage, server=server)
                    found, cpu = [*found, *got], cpu + used
            found.append(run.record("cpu_s", cpu + _cpu_of(server)))
        except Died as error:
            why = str(error)
    told = {one["measure"] for one in found}
    return found + [run.record(measure, None, 0, why) for measure in wanted if measure not in told]


def kills(run: Run, seed: int = 11) -> list[Record]:
    """Kill a writer at several moments; count the acknowledged items that are gone afterwards."""
    chance = random.Random(seed)
    acknowledged: list[tuple[int, str]] = []
    place = run.data / "acknowledged.json"
    if run.system.in_ram:
        why = "nothing of it outlives its process"
        return [run.record(measure, None, 0, why) for measure in ("lost_of_kills", "acknowledged")]
    with run.served() as server:
        try:
            run.through("fill", server=server)
            for _ in range(run.effort.kills):
                place.write_text(json.dumps(acknowledged))
                acknowledged += _killed(run, server, chance.randint(*ADDS_BEFORE))
            place.write_text(json.dumps(acknowledged))
            return run.through("check", server=server)[0]
        except Died as error:
            # What cannot be opened any more is lost.
            count = len(acknowledged)
            return [
                run.record("lost_of_kills", count or None, count, str(error)),
                run.record("acknowledged", count),
            ]


def _killed(run: Run, server: int | None, after: int) -> list[tuple[int, str]]:
    """What a writer acknowledged until it was killed, a moment after so many adds. Raises Died if it did not get that far."""
    writer = run.start(("add_until_killed",), server)
    assert writer.stdout is not None
    late = threading.Timer(run.effort.patience, writer.kill)
    late.start()
    try:
        said = [writer.stdout.readline() for _ in range(1 + after)]
    finally:
        writer.kill()
        rest, _ = writer.communicate()
        late.cancel()
    if not said[-1]:
        raise Died(f"{sum(map(bool, said))} lines, then: {run.last_words()}")
    # The last line may be cut; what it would say was then not acknowledged.
    lines = b"".join([*said[1:], rest]).decode().split("\n")[:-1]
    return [(int(number), key) for number, _, key in (line.partition(" ") for line in lines)]


def canary(run: Run) -> list[Record]:
    """Files under a system's folder that hold a deleted item's words after an orderly end."""
    if run.system.in_ram:
        return [run.record("canary_left", None, 0, "it writes no files")]
    try:
        with run.served() as server:
            run.through("plant", server=server)
    except Died as error:
        return [run.record("canary_left", None, 0, str(error))]
    left = files_with(run.folder, CANARIES)
    note = ", ".join(f"{name} ({form})" for name, form in sorted(left.items())[:4])
    return [run.record("canary_left", len(left), len(CANARIES), note)]


def beside(run: Run) -> list[Record]:
    """What a person with few items gets beside one with many."""
    with run.served() as server:
        try:
            return run.through("beside", server=server)[0]
        except Died as error:
            return [run.record("small_beside_large", None, 0, str(error))]


def files_with(folder: Path, words: tuple[str, ...]) -> dict[str, str]:
    """Files that hold one of the words, with the form in which they do. What is compressed in them is not seen."""
    needles = {form: [forms(word)[form] for word in words] for form in LOOKED_FOR}
    left: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            held = path.read_bytes()
            for form, of in needles.items():
                if any(needle in held for needle in of):
                    left.setdefault(str(path.relative_to(folder)), form)
    return left


def version_of(system: System) -> str:
    """Of all its packages; for an adapter without packages, Tacita's own."""
    if system.missing() is not None:
        return ""
    if system.packages:
        return system.version()
    import tacita

    return f"tacita {tacita.__version__}"


def _bytes_under(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _cpu_of(server: int | None) -> float:
    """CPU seconds of a server and its processes, those included that have ended."""
    if server is None:
        return 0.0
    parent = psutil.Process(server)
    times = parent.cpu_times()
    used = float(times.user + times.system + times.children_user + times.children_system)
    for child in parent.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += child.cpu_times().user + child.cpu_times().system
    return used
