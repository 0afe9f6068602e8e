"""`kill -9` while a memory goes to another store: it goes on where it was, nothing is lost, nobody erased comes back."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tacita import Memory, Moved
from tacita.config import Settings
from tacita.migrating import migrate
from tacita.stores.sqlite import SqliteLogStore
from tacita.stores.sqlite_ring import SqliteKeyRing
from tacita.testing.canary import found_under
from tacita.vault import moved
from tacita.vault.moved import Mark

KILLS = int(os.environ.get("TACITA_MIGRATE_KILLS", "60"))
CANARY = "marmaladecanary"
MOST = 6
"""Kills of one migration before it is let through."""
MOVER = """
import json, os, sys
from tacita.config import Settings
from tacita.migrating import migrate
from tacita.vault import moved
moved.GRACE = 0.05
for line in sys.stdin:
    home, log, ring, shred = json.loads(line)
    child = os.fork()
    if child == 0:
        try:
            migrate(Settings.load(home=home, config={"embedder": "none"}), log, ring, shred_source=shred)
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Mover:
    """A process that has everything loaded and forks one off for each migration."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", MOVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _line(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def run(self, home: Path, place: tuple[str, str | None], *, shred: bool, kill_after: float | None) -> bool:
        """Whether it came to its end before it was killed."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([str(home), *place, shred]) + "\n")
        self._process.stdin.flush()
        child = self._line()
        if kill_after is not None:
            time.sleep(kill_after)
            # It may be over; as long as its end was not read, nobody else has its number.
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        status = self._line()
        assert status == 0 or os.WIFSIGNALED(status), status
        return status == 0

    def close(self) -> None:
        # Closes both pipes: its input ends, and so does it.
        self._process.communicate(timeout=30)


@pytest.fixture
def mover() -> Iterator[Mover]:
    made = Mover()
    yield made
    made.close()


def at(home: Path, place: tuple[str, str | None] | None = None) -> Settings:
    new = {} if place is None else {"store": place[0], **({} if place[1] is None else {"ring": place[1]})}
    return Settings.load(home=home, config={"embedder": "none", **new})


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_kill_9_while_moving(
    mover: Mover,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setattr(moved, "GRACE", 0.05)
    monkeypatch.setattr(moved, "ASK_AFTER", 0.02)
    dice = random.Random(71)
    kills, moves, stages, lasts = 0, 0, Counter[str](), 0.6
    while kills < KILLS:
        home = tmp_path / f"home-{moves}"
        folder = tmp_path / f"new-{moves}"
        folder.mkdir(mode=0o700)
        # Every third time the ring stays.
        place = (f"sqlite:{folder / 'log.db'}", None if moves % 3 == 2 else f"sqlite:{folder / 'ring.db'}")
        shred = moves % 2 == 0
        kept, erased = fill(home)
        for _ in range(MOST):
            began = time.monotonic()
            if mover.run(home, place, shred=shred, kill_after=dice.uniform(0, lasts)):
                lasts = max(0.1, 1.1 * (time.monotonic() - began))
                break
            kills += 1
            stages[stage(home)] += 1
            go_on(home, kept, erased)
        mover.run(home, place, shred=shred, kill_after=None)
        check(home, place, kept, erased, shredded=shred)
        moves += 1
    assert len(stages) >= min(3, KILLS // 15), stages
    told = ", ".join(f"{count} at {name}" for name, count in sorted(stages.items()))
    record_property("figure", f"{kills} kills in {moves} migrations ({told}), each went on and arrived whole")


def fill(home: Path) -> tuple[set[str], set[str]]:
    with Memory(settings=at(home)) as memory:
        kept = set(memory.add([f"{CANARY} {number}" for number in range(60)], user_id="ana").ids)
        for number in range(30):
            memory.add("short", user_id=f"guest {number}")
        memory.erase(user_id="guest 0")
    return kept, {"guest 0"}


def stage(home: Path) -> str:
    ring = SqliteKeyRing(home / "keys" / "ring.db")
    mark = Mark.of(ring)
    ring.close()
    return "begin" if mark is None else mark.stage


def go_on(home: Path, kept: set[str], erased: set[str]) -> None:
    """Somebody uses the source as long as it lets them."""
    try:
        memory = Memory(settings=at(home))
    except Moved:
        return
    with memory:
        report = memory.verify()
        assert report.ok, [problem.problem for problem in report.problems]
        kept.update(memory.add(f"{CANARY} later", user_id="ana").ids)
        gone = f"guest {len(erased)}"
        memory.erase(user_id=gone)
        erased.add(gone)
        if len(kept) % 2:
            dropped = kept.pop()
            memory.delete(dropped, user_id="ana")


def check(home: Path, place: tuple[str, str | None], kept: set[str], erased: set[str], *, shredded: bool) -> None:
    with pytest.raises(Moved):
        Memory(settings=at(home))
    with Memory(settings=at(home, place)) as memory:
        report = memory.verify(deep=True)
        assert report.ok, [problem.problem for problem in report.problems]
        assert {item.id for item in memory.get_all(user_id="ana", limit=1_000).items} == kept
        for number in range(30):
            who = f"guest {number}"
            assert memory.get_all(user_id=who).total == (0 if who in erased else 1), who
        assert "migrate_store" in [each["operation"] for each in memory.audit()]
    if shredded:
        log = SqliteLogStore(home / "data" / "log.db")
        assert not list(log.vaults())
        log.close()
        if place[1] is not None:
            ring = SqliteKeyRing(home / "keys" / "ring.db")
            assert not [*ring.entries(), *ring.successors()]
            assert [name for name, _ in ring.settings()] == ["moved"]
            ring.close()
    for folder in (home, Path(place[0].removeprefix("sqlite:")).parent):
        assert not found_under(folder, [CANARY])
    assert migrate(at(home), place[0], place[1]).done, "once more finds nothing to do"
