"""`kill -9` while a copy is made or put back: no half copy under its name, no home that does not open."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tacita import Memory
from tacita.config import Settings
from tacita.restoring import restore_data

KILLS = int(os.environ.get("TACITA_BACKUP_KILLS", "60"))
BACKUP = """
import sys
from pathlib import Path
from tacita import Memory
with Memory(sys.argv[1], embedder="none") as memory:
    print("go", flush=True)
    for number in range(10_000):
        memory.add(f"more {number}", user_id="ana")
        memory.backup(Path(sys.argv[2]) / f"{sys.argv[3]}-{number}.db")
"""
UPDATE = """
import sys
from pathlib import Path
from tacita import Memory
with Memory(sys.argv[1], embedder="none") as memory:
    print("go", flush=True)
    for number in range(10_000):
        first = memory.add([f"more {number}", "short"], user_id="ana").ids
        memory.delete(first[1], user_id="ana")
        memory.add("short", user_id=f"guest {number}")
        memory.backup(Path(sys.argv[2]), update=True)
        memory.erase(user_id=f"guest {number}")
"""
RESTORE = """
import sys
from pathlib import Path
from tacita.config import Settings
from tacita.restoring import restore_data
print("go", flush=True)
while True:
    restore_data(Settings.load(home=sys.argv[1]), Path(sys.argv[2]), accept_rollback=True)
"""


def killed(code: str, wait: float, *arguments: object) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"go\n", worker.stderr.read() if worker.stderr else b""
    time.sleep(wait)
    worker.kill()
    worker.communicate()


@pytest.fixture
def filled(home: Path) -> Path:
    with Memory(home, embedder="none") as memory:
        memory.add([f"ana {number} " + "x" * 2_000 for number in range(300)], user_id="ana")
        memory.add("rui", user_id="rui")
    return home


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_kill_9_while_a_copy_is_made(
    filled: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    whole = 0
    for number in range(KILLS):
        killed(BACKUP, 0.013 * (number % 31), filled, copies, number)
        with Memory(filled, embedder="none") as memory:
            assert memory.verify().ok
        for copy in copies.glob(f"{number}-*.db"):
            whole += 1
            if number % 10 == 0:
                report = restore_data(Settings.load(home=filled), copy, accept_rollback=True)
                assert report.vaults == 3
        for path in copies.iterdir():
            path.unlink()
    assert whole > KILLS // 4
    record_property("figure", f"{KILLS} kills, {whole} copies under their names, all whole")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_kill_9_while_a_copy_is_put_back(
    filled: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    copy = tmp_path / "copy.db"
    with Memory(filled, embedder="none") as memory:
        memory.backup(copy)
        memory.add("after the copy", user_id="ana")
    for number in range(KILLS):
        killed(RESTORE, 0.004 * (number % 60), filled, copy)
        with Memory(filled, embedder="none") as memory:
            assert memory.get_all(user_id="ana").total in (300, 301)
            assert memory.get_all(user_id="rui").total == 1
            report = memory.verify()
            assert report.ok, [problem.problem for problem in report.problems]
    record_property("figure", f"{KILLS} kills, the home opens and verifies after each")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_kill_9_while_a_copy_is_brought_up_to_date(
    filled: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    copy = tmp_path / "copy.db"
    with Memory(filled, embedder="none") as memory:
        memory.backup(copy)
    grown = 0
    for number in range(KILLS):
        killed(UPDATE, 0.4 * number / KILLS, filled, copy)
        with Memory(filled, embedder="none") as memory:
            before = memory.get_all(user_id="ana").total
        # The copy opens, whatever was being written to it.
        restore_data(Settings.load(home=filled), copy, accept_rollback=True)
        with Memory(filled, embedder="none") as memory:
            report = memory.verify()
            assert report.ok, [problem.problem for problem in report.problems]
            total = memory.get_all(user_id="ana").total
            assert 300 <= total <= before
            grown += total > 300
            memory.backup(copy, update=True)
    assert grown > KILLS // 8
    record_property("figure", f"{KILLS} kills, the copy opens and verifies after each")
