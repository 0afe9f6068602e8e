"""What has expired is deleted for good, not hidden."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tacita import InvalidInput, Memory, NotFound

OPEN = Callable[..., Memory]
HOUR = 3_600_000_000


class Clock:
    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000 + self.ahead

    def seconds(self, more: float) -> float:
        return self() / 1e6 + more


@pytest.mark.parametrize(
    "read", ["get", "history", "search", "get_all", "context", "export", "stats", "update", "delete"]
)
def test_first_access_after_expiry_finds_nothing(opened: OPEN, read: str) -> None:
    clock = Clock()
    memory = opened(clock=clock, store="memory:")
    item = memory.add("the code is 4711", user_id="alice", expires_at=clock.seconds(60)).results[0].id
    assert memory.get(item, user_id="alice").expires_at is not None
    clock.ahead = HOUR
    if read in ("get", "history", "delete"):
        with pytest.raises(NotFound):
            getattr(memory, read)(item, user_id="alice")
    elif read == "update":
        with pytest.raises(NotFound):
            memory.update(item, "kept alive", user_id="alice")
    elif read == "export":
        assert [record for record in memory.export(user_id="alice") if "text" in record] == []
    elif read == "stats":
        assert memory.stats(user_id="alice").items == 0
    elif read == "get_all":
        assert memory.get_all(user_id="alice").total == 0
    else:
        assert getattr(memory, read)("code", user_id="alice").hits == ()


def test_ciphertext_is_gone_after_expiry(
    opened: OPEN, database: Path, tmp_path: Path, found_in: Callable[[Path, bytes], list[str]]
) -> None:
    clock = Clock()
    memory = opened(clock=clock)
    memory.add("the code is 4711", user_id="alice", expires_at=clock.seconds(60))
    kept = memory.add("the door is green", user_id="alice").results[0].id
    db = sqlite3.connect(database)
    sealed = db.execute("SELECT sealed FROM log WHERE key=?", (1 << 32 | 1,)).fetchone()[0]
    db.close()
    assert found_in(tmp_path, sealed[80:112])
    memory.close()
    clock.ahead = HOUR
    again = opened(clock=clock)
    assert [item.id for item in again.get_all(user_id="alice").items] == [kept]
    assert found_in(tmp_path, sealed[80:112]) == []
    report = again.verify()
    assert (report.ok, report.purged) == (True, 1)


def test_the_past_does_not_keep_it(opened: OPEN) -> None:
    clock = Clock()
    memory = opened(clock=clock, store="memory:")
    memory.add("the code is 4711", user_id="alice", expires_at=clock.seconds(60))
    then = clock.seconds(30)
    clock.ahead = HOUR
    assert memory.search("code", user_id="alice", as_of=then).hits == ()


def test_not_yet_expired_stays(opened: OPEN) -> None:
    clock = Clock()
    memory = opened(clock=clock, store="memory:")
    memory.add("the code is 4711", user_id="alice", expires_at=clock.seconds(7_200))
    clock.ahead = HOUR
    assert memory.get_all(user_id="alice").total == 1


def test_expiry_survives_an_update(opened: OPEN) -> None:
    clock = Clock()
    memory = opened(clock=clock, store="memory:")
    item = memory.add("the code is 4711", user_id="alice", expires_at=clock.seconds(60)).results[0].id
    memory.update(item, "the code is 4712", user_id="alice")
    clock.ahead = HOUR
    assert memory.get_all(user_id="alice").total == 0
    assert memory.search("code", user_id="alice", as_of=clock.seconds(-3_600)).hits == ()


def test_expiry_in_the_past_is_refused(opened: OPEN) -> None:
    clock = Clock()
    memory = opened(clock=clock, store="memory:")
    with pytest.raises(InvalidInput):
        memory.add("too late", user_id="alice", expires_at=clock.seconds(-1))
    assert memory.get_all(user_id="alice").total == 0
