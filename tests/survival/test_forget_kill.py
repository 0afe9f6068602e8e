"""`kill -9` at any moment of forgetting: what was said to be gone is gone, what was said to be kept is there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tacita import Memory

KILLS = int(os.environ.get("TACITA_FORGET_KILLS", "60"))
WORKER = Path(__file__).with_name("forgetter.py")


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("how", ["delete", "erase", "purge", "snapshot"])
def test_kill_9_while_forgetting(tmp_path: Path, how: str, record_property: Callable[[str, object], None]) -> None:
    home = tmp_path / "home"
    Memory(home, embedder="none").close()
    chance = random.Random(31)
    forgotten = 0
    for number in range(KILLS):
        kept, gone = _round(home, how, f"r{number}", chance.uniform(0.0, 0.12))
        forgotten += len(gone)
        with Memory(home, embedder="none") as memory:
            memory.sweep()
            report = memory.verify()
            assert report.ok, [problem.problem for problem in report.problems]
            for user in {"ana"} if how != "erase" else set(gone):
                texts = {item.text for item in memory.get_all(user_id=user, limit=1_000).items}
                assert not gone & texts, f"kill {number}: {len(gone & texts)} deleted items are back"
                assert how == "erase" or kept - gone <= texts | _last(kept), f"kill {number}: kept items are missing"
                assert how != "erase" or not texts, f"kill {number}: an erased subject is back"
            if how != "erase":
                memory.erase(user_id="ana")
    assert forgotten > KILLS // 4, "the worker was killed before it did anything"
    record_property("figure", f"{KILLS} kills, {forgotten} acknowledged, 0 came back")


def _round(home: Path, how: str, token: str, wait: float) -> tuple[set[str], set[str]]:
    worker = subprocess.Popen(
        [sys.executable, str(WORKER), str(home), how, token], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert worker.stdout is not None
    line = worker.stdout.readline()
    assert line == b"ready\n", worker.stderr.read() if worker.stderr else b""
    time.sleep(wait)
    worker.kill()
    out, _ = worker.communicate(timeout=60)
    lines = out.decode().rpartition("\n")[0].split()
    return {line[1:] for line in lines if line[0] == "+"}, {line[1:] for line in lines if line[0] == "-"}


def _last(kept: set[str]) -> set[str]:
    """The items of the last add: their deletion may have become durable without having been said."""
    number = max((int(text.split("-")[1]) for text in kept), default=-1)
    return {text for text in kept if int(text.split("-")[1]) == number}
