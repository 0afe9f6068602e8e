"""Runs `power_worker.py` with the recorder `power_shim.c` loaded, and reads what it wrote down."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
_HEAD = struct.Struct("<ciqqII")

Digests = dict[str, str]
"""The files of a folder, by their path in it, but for SQLite's shared memory: the SHA-256 of each."""


@dataclass(frozen=True, slots=True)
class Record:
    """One change, or one line that the worker said. The letters of `op` are explained in `power_shim.c`."""

    op: str
    fd: int
    a: int
    b: int
    one: bytes
    two: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """What a worker did, and how the files really were at the moments when it paused."""

    records: list[Record]
    paused: list[Digests]


def compiled_shim(folder: Path) -> Path:
    """The recorder, built by the C compiler of this machine. Fails, and does not skip, where there is none."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        raise AssertionError(
            "the power-failure test records system calls on Linux and needs a C compiler: apt-get install gcc libc6-dev"
        )
    shim = folder / "power_shim.so"
    source = str(HERE / "power_shim.c")
    built = subprocess.run(
        [compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(shim), source, "-ldl", "-lpthread"],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, f"the recorder does not compile (apt-get install gcc libc6-dev?):\n{built.stderr}"
    return shim


def digests(folder: Path) -> Digests:
    """What lies in a folder, as one can read it from outside."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


def record(shim: Path, world: Path, trace: Path, lives: int, *arguments: str) -> Recording:
    """Run the worker `lives` times, one after the other, in the folder `world`."""
    paused: list[Digests] = []
    # As in `tests/conftest.py`, whose fences stand around single tests only.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TACITA_")} | {
        "HOME": str(trace.parent),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        "LD_PRELOAD": str(shim),
        "POWER_ROOT": str(world.resolve()),
        "POWER_TRACE": str(trace),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for life in range(lives):
        command = [sys.executable, "-W", "error", str(HERE / "power_worker.py"), str(world.resolve()), str(life)]
        with subprocess.Popen(
            [*command, *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            assert worker.stderr is not None
            for line in worker.stdout:
                if line == "pause\n":
                    paused.append(digests(world))
                    worker.stdin.write("\n")
                    worker.stdin.flush()
            errors = worker.stderr.read()
        assert worker.returncode == 0, f"life {life} of the worker ended with {worker.returncode}:\n{errors}"
    records = list(_read(trace.read_bytes()))
    begun = sum(each.op == "B" for each in records)
    assert begun == lives, f"{begun} processes were recorded, not {lives}"
    return Recording(records, paused)


def _read(raw: bytes) -> Iterator[Record]:
    at = 0
    while at < len(raw):
        op, fd, a, b, one, two = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        yield Record(op.decode(), fd, a, b, raw[at : at + one], raw[at + one : at + one + two])
        at += one + two
    assert at == len(raw), "the trace ends in the middle of a record"
