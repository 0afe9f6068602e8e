"""`kill -9` of real writers at any moment loses nothing that was acknowledged and damages nothing."""

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

KILLS = 18
SLOW_KILLS = int(os.environ.get("TACITA_KILLS", "300"))
WRITERS = 3
WORKER = Path(__file__).with_name("writer.py")


def start(home: Path, user: str, token: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(WORKER), str(home), user, token, "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def kill_round(home: Path, number: int, chance: random.Random) -> dict[str, set[str]]:
    """Start writers, two of them for one user, kill each at its own moment. What they acknowledged, by user."""
    users = [f"user{number % 2}", f"user{number % 2}", f"user{number % 3}"][:WRITERS]
    writers = [start(home, user, f"r{number}w{index}") for index, user in enumerate(users)]
    for writer in writers:
        assert writer.stdout is not None
        line = writer.stdout.readline()
        assert line == b"ready\n", writer.stderr.read() if writer.stderr else b""
    acknowledged: dict[str, set[str]] = {}
    for writer, user in sorted(zip(writers, users, strict=True), key=lambda _: chance.random()):
        time.sleep(chance.uniform(0, 0.15))
        writer.kill()
        out, err = writer.communicate(timeout=60)
        assert writer.returncode == -9, err
        whole = out.decode().rpartition("\n")[0]
        acknowledged.setdefault(user, set()).update(whole.split())
    return acknowledged


def run(home: Path, kills: int) -> int:
    chance = random.Random(20)
    Memory(home, embedder="none").close()
    kept: dict[str, set[str]] = {}
    for number in range(kills // WRITERS):
        for user, texts in kill_round(home, number, chance).items():
            kept.setdefault(user, set()).update(texts)
        with Memory(home, embedder="none") as memory:
            report = memory.verify()
            assert report.ok, report.problems
            for user, texts in kept.items():
                stored = [record["text"] for record in memory.export(user_id=user) if "text" in record]
                assert texts <= set(stored), f"round {number}: {len(texts - set(stored))} acknowledged adds lost"
                assert len(stored) == len(set(stored)), f"round {number}: an add is there twice"
    acknowledged = sum(map(len, kept.values()))
    assert acknowledged > kills
    return acknowledged


def test_kill_9_loses_no_acknowledged_add(tmp_path: Path) -> None:
    run(tmp_path / "home", KILLS)


@pytest.mark.slow
@pytest.mark.timeout(36_000)
def test_kill_9_three_hundred_times(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    acknowledged = run(tmp_path / "home", SLOW_KILLS)
    record_property("figure", f"{SLOW_KILLS} kills, {acknowledged:,} adds acknowledged, 0 lost")


def test_writers_side_by_side_all_get_through(tmp_path: Path) -> None:
    home = tmp_path / "home"
    Memory(home, embedder="none").close()
    writers = [
        subprocess.Popen([sys.executable, str(WORKER), str(home), "alice", f"w{n}", "40"], stdout=subprocess.PIPE)
        for n in range(WRITERS)
    ]
    said = [writer.communicate(timeout=120)[0].decode().split() for writer in writers]
    assert [len(lines) for lines in said] == [41] * WRITERS
    with Memory(home, embedder="none") as memory:
        page = memory.get_all(user_id="alice", limit=1000)
        assert {item.text for item in page.items} == {line for lines in said for line in lines} - {"ready"}
        assert page.total == 40 * WRITERS
        assert memory.verify().ok
