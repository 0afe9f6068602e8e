"""Servers and their processes that are killed under load: what was acknowledged is there, what was refused is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tacita.errors import HeadMoved, StoreError
from tacita.stores.postgres_setup import DATA
from tacita.testing.log_contract import A, E, event

WRITER = Path(__file__).with_name("writer.py")


def start(server: Any, name: str, first: int) -> subprocess.Popen[bytes]:
    store = server.log(name)
    uri = server.uri(DATA, store._schema)
    store.close()
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(WRITER), uri, str(first)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )


def under_load(server: Any, name: str, disturb: Callable[[], None]) -> dict[str, int]:
    """Two processes write to one vault while something happens; then what they were told is compared with what is there."""
    writers = [start(server, name, first) for first in (1_000_000, 2_000_000)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    disturb()
    time.sleep(0.5)
    said = [line.split() for writer in writers for line in writer.communicate(timeout=120)[0].splitlines()]
    assert [writer.returncode for writer in writers] == [0, 0]
    acknowledged = {int(line[0]) for line in said if len(line) == 1}
    lost = {int(line[1]) for line in said if line[0] == b"lost"}
    unknown = {int(line[1]) for line in said if line[0] == b"unknown"}
    store = server.log(name)
    rows = list(store.read(A))
    head = store.head(A)
    store.close()
    assert [row.seq for row in rows] == list(range(1, head.seq + 1))
    there = Counter(int.from_bytes(row.item_tag) for row in rows)
    assert set(there.values()) <= {1}
    assert acknowledged <= there.keys(), "acknowledged and lost"
    assert not lost & there.keys(), "refused as not written, and written"
    assert there.keys() - acknowledged <= unknown
    assert all(row.sealed == event(int.from_bytes(row.item_tag)).sealed for row in rows)
    return {"acknowledged": len(acknowledged), "refused": len(lost), "unknown": len(unknown)}


def test_two_processes_race(server: Any) -> None:
    counts = under_load(server, "race", lambda: time.sleep(1))
    assert counts["acknowledged"] > 20
    assert counts["refused"] == counts["unknown"] == 0


@pytest.mark.slow
def test_backends_that_are_terminated_at_any_moment(
    server: Any, record_property: Callable[[str, object], None]
) -> None:
    def disturb() -> None:
        with server.admin() as db:
            for _ in range(60):
                db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tacita_app'")
                time.sleep(0.05)

    counts = under_load(server, "terminated", disturb)
    assert counts["acknowledged"] > 20
    assert counts["unknown"] == 0
    record_property("figure", f"60 rounds of terminated connections: {counts}")


@pytest.mark.slow
def test_a_backend_that_is_killed_takes_the_server_through_recovery(
    server: Any, record_property: Callable[[str, object], None]
) -> None:
    def disturb() -> None:
        for _ in range(4):
            time.sleep(0.7)
            server.wait()
            found = server.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'tacita_app' LIMIT 1")
            for (pid,) in found:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        server.wait()

    counts = under_load(server, "killed backend", disturb)
    assert counts["acknowledged"] > 20
    record_property("figure", f"4 kills of a backend, each with crash recovery: {counts}")


@pytest.mark.slow
def test_a_server_that_is_killed_and_started_again(server: Any, record_property: Callable[[str, object], None]) -> None:
    def disturb() -> None:
        for _ in range(4):
            time.sleep(0.7)
            server.stop(signal.SIGKILL)
            server.start()

    counts = under_load(server, "killed server", disturb)
    assert counts["acknowledged"] > 20
    record_property("figure", f"4 kills of the server: {counts}")


def test_a_restart_is_not_noticed_by_those_who_were_idle(server: Any) -> None:
    store, ring = server.log("restart"), server.ring("restart")
    store.append(A, 0, [event(1)], epoch=E)
    server.stop()
    with pytest.raises(StoreError, match="cannot connect") as down:
        store.append(A, 1, [event(2)], epoch=E)
    assert down.value.retryable
    server.start()
    assert store.append(A, 1, [event(2)], epoch=E) == 2
    assert ring.setting("x") is None
    with pytest.raises(HeadMoved):
        store.append(A, 1, [event(3)], epoch=E)
    store.close()
    ring.close()
