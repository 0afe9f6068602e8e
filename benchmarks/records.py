"""Results as lines of JSON: what every benchmark writes and what the report and the gate read.

A run is one line about the machine, then one line for each measured value. Lines that are not of that form are refused.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import msgspec
import psutil

ROOT = Path(__file__).resolve().parents[1]
MACHINE = "machine"
"""The measure of a run's first line."""


Fact = str | int | float | list[float]
"""One thing that is known of a machine."""


class Malformed(ValueError):
    """A line that is not a record; says which one and why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One measured value."""

    suite: str
    """`retrieval`, `speed`, `sealing` or `answering`."""
    system: str
    case: str
    """What it was measured on: a data set, or a load such as `10,000 items of 10 people`."""
    measure: str
    value: float | None
    """None when the system cannot do it; then `note` says why."""
    unit: str = ""
    version: str = ""
    low: float | None = None
    high: float | None = None
    """A 95 % interval, where one was made."""
    n: int | None = None
    """How many questions, repeats or kills the value stands on."""
    category: str = ""
    """A part of the case; empty for all of it."""
    note: str = ""

    def __post_init__(self) -> None:
        if not (self.suite and self.system and self.case and self.measure):
            raise ValueError("suite, system, case and measure must not be empty")
        if self.measure == MACHINE:
            raise ValueError("a line about the machine has no value")
        if self.value is None and not self.note:
            raise ValueError("a value that is missing needs a note that says why")
        if any(number is not None and not math.isfinite(number) for number in (self.value, self.low, self.high)):
            raise ValueError("numbers must be finite")
        if self.n is not None and self.n < 0:
            raise ValueError("n is a count")

    @property
    def place(self) -> tuple[str, str, str, str, str]:
        """What the value is of: no two records of a run share it."""
        return (self.suite, self.system, self.case, self.measure, self.category)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one suite."""

    suite: str
    machine: Mapping[str, Fact]
    records: list[Record] = field(default_factory=list)


_FIELDS = {each.name for each in fields(Record)}


def machine() -> dict[str, Fact]:
    """This machine, now: names no host and no path."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "ram_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit that is checked out, `+` if files differ from it; empty outside a git work tree."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


def installed(package: str) -> str:
    """The version of an installed package; empty when it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


class Writer:
    """Writes a run line by line, so that an interrupted one keeps what it had. Without a path it only collects."""

    def __init__(self, suite: str, path: Path | None = None) -> None:
        self.run = Run(suite, machine())
        self._file: TextIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8")
            self._write(_first(self.run))

    def add(self, record: Record) -> None:
        """Append one record. Raises ValueError for one of another suite."""
        if record.suite != self.run.suite:
            raise ValueError(f"a record of {record.suite} in a run of {self.run.suite}")
        self.run.records.append(record)
        self._write(_line(record))

    def _write(self, line: str) -> None:
        if self._file is not None:
            self._file.write(line + "\n")
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()


def _first(run: Run) -> str:
    head = {"suite": run.suite, "system": "", "case": "", "measure": MACHINE, "machine": dict(run.machine)}
    return json.dumps(head, ensure_ascii=False)


def _line(record: Record) -> str:
    return json.dumps(asdict(record), ensure_ascii=False, allow_nan=False)


def write(path: Path, runs: Iterable[Run]) -> None:
    """Write whole runs, one after the other."""
    lines = [line for run in runs for line in (_first(run), *map(_line, run.records))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read(path: Path) -> list[Run]:
    """The runs of a file, in order.

    Raises:
        Malformed: a line is no JSON object of the form above, two say the same thing, or the machine is missing.
    """
    runs: list[Run] = []
    seen: set[tuple[str, ...]] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            parsed = json.loads(line, parse_constant=_refuse)
            if not isinstance(parsed, dict):
                raise ValueError("not an object")
            if parsed.get("measure") == MACHINE:
                runs.append(_run(parsed))
                seen.clear()
                continue
            record = _record(parsed)
            if not runs:
                raise ValueError("a run begins with a line about the machine")
            if record.suite != runs[-1].suite:
                raise ValueError(f"a record of {record.suite} in a run of {runs[-1].suite}")
            if record.place in seen:
                raise ValueError("the same thing is measured twice in one run")
        except ValueError as error:
            raise Malformed(f"{path.name}, line {number}: {error}") from error
        seen.add(record.place)
        runs[-1].records.append(record)
    if not runs:
        raise Malformed(f"{path.name} is empty")
    return runs


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _run(parsed: dict[str, Any]) -> Run:
    about, suite = parsed.get("machine"), parsed.get("suite")
    if not isinstance(suite, str) or not suite:
        raise ValueError("a run has a suite")
    if not isinstance(about, dict) or not about:
        raise ValueError("a run begins with what the machine is")
    return Run(suite, msgspec.convert(about, dict[str, Fact]))


def _record(parsed: dict[str, Any]) -> Record:
    unknown = sorted(parsed.keys() - _FIELDS)
    if unknown:
        raise ValueError(f"unknown fields: {', '.join(unknown)}")
    return msgspec.convert(parsed, Record)
