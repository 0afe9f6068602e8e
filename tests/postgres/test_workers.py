"""Stateless workers that share a PostgreSQL store, killed at random like the database under them: nothing acknowledged is lost.

Sizes: TACITA_WORKER_SECONDS, TACITA_WORKER_VAULTS, TACITA_WORKER_WRITERS, TACITA_WORKER_READERS.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tacita import Memory, StoreError, Tampered
from tacita.stores.postgres_setup import DATA, RING

WORKER = Path(__file__).with_name("worker.py")
SECONDS = int(os.environ.get("TACITA_WORKER_SECONDS", "16"))
VAULTS = int(os.environ.get("TACITA_WORKER_VAULTS", "200"))
WRITERS = int(os.environ.get("TACITA_WORKER_WRITERS", "4"))
READERS = int(os.environ.get("TACITA_WORKER_READERS", "4"))


def configure(path: Path, store: str, ring: str) -> Path:
    config = path / "tacita.toml"
    config.write_text(f'home = "{path / "home"}"\nembedder = "none"\nstore = "{store}"\nring = "{ring}"\n')
    Memory.from_config(config).close()
    return config


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(60)
    assert process.stdin is not None
    process.stdin.close()


class Workers:
    """Writers and readers, each in a process of its own."""

    def __init__(self, config: Path, folder: Path) -> None:
        self.config = config
        self.folder = folder
        self.kills = 0
        folder.mkdir()
        self.processes = {
            (what, number): self._start(what, number)
            for what, count in (("write", WRITERS), ("read", READERS))
            for number in range(count)
        }

    def _start(self, what: str, number: int) -> subprocess.Popen[bytes]:
        arguments = [what, self.config, self.folder, str(number), str(VAULTS)]
        with (self.folder / "stderr").open("ab") as log:
            return subprocess.Popen([sys.executable, WORKER, *arguments], stdin=subprocess.PIPE, stderr=log)

    def wait_for_writes(self, more: int) -> None:
        """Until so many more items are acknowledged."""
        wanted, deadline = len(self.acknowledged()) + more, time.monotonic() + 120
        while len(self.acknowledged()) < wanted:
            assert time.monotonic() < deadline, self.told()
            self.check()
            time.sleep(0.1)

    def kill_one(self, chance: random.Random) -> None:
        """kill -9, and a new one in its place."""
        who = chance.choice(list(self.processes))
        self.check()
        kill(self.processes[who])
        self.processes[who] = self._start(*who)
        self.kills += 1

    def check(self) -> None:
        ended = [process.returncode for process in self.processes.values() if process.poll() is not None]
        assert not ended, self.told()

    def told(self) -> str:
        wrong = self.folder / "wrong"
        return (wrong.read_text() if wrong.exists() else "") + (self.folder / "stderr").read_text()[-2000:]

    def acknowledged(self) -> list[tuple[str, str, str]]:
        """(user, item, text). A line that was cut off by a kill was never finished, and is not counted on."""
        found = []
        for path in self.folder.glob("journal-*"):
            for line in path.read_bytes().rpartition(b"\n")[0].splitlines():
                user, item, text = line.decode().split("\t")
                found.append((user, item, text))
        return found

    def counted(self, what: str) -> int:
        return sum(path.stat().st_size for path in self.folder.glob(f"{what}-*"))

    def end(self) -> None:
        for process in self.processes.values():
            assert process.stdin is not None
            process.stdin.close()
        codes = {who: process.wait(120) for who, process in self.processes.items()}
        assert set(codes.values()) == {0}, (codes, self.told())
        assert not (self.folder / "wrong").exists(), self.told()

    def kill_all(self) -> None:
        for process in self.processes.values():
            kill(process)

    def compare(self) -> dict[str, Any]:
        """What was acknowledged with what is there, in a memory that knows nothing yet. All must be there, and verify."""
        said = self.acknowledged()
        wanted: dict[str, dict[str, str]] = {}
        for user, item, text in said:
            wanted.setdefault(user, {})[item] = text
        lost = 0
        with Memory.from_config(self.config) as memory:
            for user, items in wanted.items():
                kept: dict[str, str] = {}
                cursor = None
                while True:
                    page = memory.get_all(user_id=user, limit=1_000, cursor=cursor)
                    kept |= {item.id: item.text for item in page.items}
                    cursor = page.next_cursor
                    if cursor is None:
                        break
                lost += sum(kept.get(item) != text for item, text in items.items())
            report = memory.verify()
        assert lost == 0, "acknowledged and lost"
        assert report.ok, report.problems
        counts = {what: self.counted(what) for what in ("own", "seen", "refused", "unknown")}
        assert counts["own"] >= len(said) - self.kills - WRITERS
        assert counts["seen"] > 0
        return {"acknowledged": len(said), "lost": lost, **counts, "kills": self.kills, "verified": report.vaults}


@contextmanager
def working(config: Path, folder: Path) -> Iterator[Workers]:
    workers = Workers(config, folder)
    try:
        workers.wait_for_writes(20)
        yield workers
    finally:
        workers.kill_all()


@pytest.mark.slow
def test_workers_and_the_database_are_killed_at_random(
    own_server: Any, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    server, chance = own_server, random.Random(SECONDS)
    config = configure(
        tmp_path,
        server.uri(DATA, server.schema(DATA, "tacita"), timeout="20"),
        server.uri(RING, server.schema(RING, "tacita_keys"), timeout="20"),
    )
    crashes = 0
    with working(config, tmp_path / "said") as workers:
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            time.sleep(chance.uniform(0.3, 1.2))
            if chance.random() < 0.3:
                server.kill()
                server.start()
                crashes += 1
                workers.wait_for_writes(10)
            else:
                workers.kill_one(chance)
        workers.wait_for_writes(10)
        workers.end()
        found = workers.compare()
    assert crashes
    assert found["kills"]
    record_property("figure", json.dumps({**found, "crashes of the server": crashes, "seconds": SECONDS}))


# ---------------------------------------------------------------------- failover


@pytest.fixture
def pair(own_server: Any) -> Iterator[tuple[Any, Any]]:
    """A primary with the schemas of both halves, and its streaming standby, not synchronous yet."""
    for layout, name in ((DATA, "tacita"), (RING, "tacita_keys")):
        own_server.schema(layout, name)
    standby = own_server.standby()
    try:
        yield own_server, standby
    finally:
        standby.remove()


def until(server: Any, query: str) -> None:
    deadline = time.monotonic() + 60
    while server.execute(query) != [(True,)]:
        assert time.monotonic() < deadline, query
        time.sleep(0.05)


def synchronous(primary: Any) -> None:
    primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
    primary.execute("SELECT pg_reload_conf()")
    until(primary, "SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication")


def stop_receiving(standby: Any) -> None:
    standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
    standby.execute("SELECT pg_reload_conf()")
    until(standby, "SELECT count(*) = 0 FROM pg_stat_wal_receiver")


def fail_over(primary: Any, standby: Any) -> float:
    """The primary is no more; seconds until the standby takes writes."""
    primary.kill()
    begun = time.monotonic()
    standby.execute("SELECT pg_promote(true, 60)")
    until(standby, "SELECT NOT pg_is_in_recovery()")
    return time.monotonic() - begun


@pytest.mark.slow
def test_a_synchronous_standby_takes_over_and_nothing_acknowledged_is_lost(
    pair: tuple[Any, Any], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    primary, standby = pair
    synchronous(primary)
    config = configure(
        tmp_path,
        primary.uri_of_pair(standby, DATA, "tacita", timeout="20"),
        primary.uri_of_pair(standby, RING, "tacita_keys", timeout="20"),
    )
    chance = random.Random(7)
    with working(config, tmp_path / "said") as workers:
        time.sleep(SECONDS / 4)
        workers.kill_one(chance)
        before = len(workers.acknowledged())
        took = fail_over(primary, standby)
        workers.wait_for_writes(WRITERS * 10)
        workers.kill_one(chance)
        time.sleep(SECONDS / 4)
        workers.wait_for_writes(10)
        workers.end()
        found = workers.compare()
    record_property("figure", json.dumps({**found, "before the failover": before, "promoted in": f"{took:.1f} s"}))


@pytest.mark.slow
def test_what_the_standby_does_not_have_is_not_acknowledged(pair: tuple[Any, Any], tmp_path: Path) -> None:
    """Ending the process that waits for the standby makes its commit visible; it is no answer all the same."""
    primary, standby = pair
    synchronous(primary)
    config = configure(
        tmp_path, primary.uri(DATA, "tacita", timeout="2"), primary.uri(RING, "tacita_keys", timeout="2")
    )
    with Memory.from_config(config) as memory:
        memory.add("both have this", user_id="ana")
        stop_receiving(standby)
        with pytest.raises(StoreError, match="whether it was written is not known") as unsure:
            memory.add("only the primary has this", user_id="ana")
        assert not unsure.value.retryable
        # A commit that is cancelled while it waits succeeds, with a warning.
        with primary.admin() as db:
            store = memory._parts.store._db
            query = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

            def work(connection: Any) -> bool:
                connection.execute("SELECT pg_logical_emit_message(true, 'test', 'written')")
                return True

            def cancel() -> None:
                deadline = time.monotonic() + 30
                while not db.execute(query).fetchall():
                    assert time.monotonic() < deadline
                    time.sleep(0.02)

            canceller = Thread(target=cancel)
            canceller.start()
            with pytest.raises(StoreError, match="not known"):
                store.write("test", work, lambda _: True)
            canceller.join(60)
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        primary.execute("SELECT pg_reload_conf()")
        assert memory.add("nobody is waited for any more", user_id="ana").ids


@pytest.mark.slow
def test_what_an_asynchronous_standby_lost_is_noticed(
    pair: tuple[Any, Any], server: Any, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The control. Who has seen what was lost refuses to go on without it; so does everybody, if the ring was not lost too."""
    primary, standby = pair
    together, apart = tmp_path / "together", tmp_path / "apart"
    together.mkdir()
    apart.mkdir()
    store = primary.uri_of_pair(standby, DATA, "tacita", timeout="20")
    with_it = configure(together, store, primary.uri_of_pair(standby, RING, "tacita_keys", timeout="20"))
    with Memory.from_config(with_it) as seer, Memory.from_config(with_it) as late:
        for user in ("ana", "rui", "eva"):
            seer.add(["before", "before, too"], user_id=user)
        until(primary, "SELECT bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication")
        stop_receiving(standby)
        for user in ("ana", "rui"):
            lost = seer.add("acknowledged, and lost", user_id=user).ids[0]
        fail_over(primary, standby)
        with pytest.raises(Tampered, match="rolled back"):
            seer.search("acknowledged", user_id="ana")
        with pytest.raises(Tampered, match="rolled back"):
            seer.add("goes on as if nothing had happened", user_id="ana")
        # One who has seen nothing goes on from where the standby is, for its ring went back with the data ...
        assert late.get_all(user_id="rui").total == 2
        late.add("another history", user_id="rui")
        # ... and the two do not mix, although both have come as far.
        for use in (
            lambda: seer.get(lost, user_id="rui"),
            lambda: seer.search("lost", user_id="rui"),
            lambda: seer.add("a third history", user_id="rui"),
        ):
            with pytest.raises(Tampered, match="another history"):
                use()
        late.add("and on", user_id="rui")
        with pytest.raises(Tampered):
            seer.search("lost", user_id="rui")
        assert seer.get_all(user_id="eva").total == 2, "where nothing was lost, nothing is refused"
        assert late.verify().ok
    record_property(
        "figure",
        "asynchronous standby, 2 vaults with lost events: Tampered at 6 of 6 uses by the process that had seen them",
    )


@pytest.mark.slow
def test_a_ring_elsewhere_notices_what_an_asynchronous_standby_lost(
    pair: tuple[Any, Any], server: Any, tmp_path: Path
) -> None:
    primary, standby = pair
    store = primary.uri_of_pair(standby, DATA, "tacita", timeout="20")
    config = configure(tmp_path, store, server.uri(RING, server.schema(RING, "ring_elsewhere")))
    with Memory.from_config(config) as memory:
        memory.add("before", user_id="ana")
        memory.add("before", user_id="eva")
        # Else it would depend on the moment whether the audit log lost something too, and could not be closed.
        memory._engine.audit.flush()
        until(primary, "SELECT bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication")
        stop_receiving(standby)
        memory.add("acknowledged, and lost", user_id="ana")
        fail_over(primary, standby)
        with Memory.from_config(config) as fresh:
            with pytest.raises(Tampered, match="rolled back"):
                fresh.get_all(user_id="ana")
            assert fresh.get_all(user_id="eva").total == 1
            problems = {problem.problem for problem in fresh.verify().problems}
            assert any("rolled back" in problem for problem in problems)
