"""Tries, waits, the breaker and the limit on calls at a time, with a moved clock."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import pytest

from tacita.errors import ModelError
from tacita.patience import FAILURES, OPEN_SECONDS, Patience, Transient


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def patience(clock: Clock, attempts: int = 3) -> Patience:
    return Patience(
        "m",
        attempts=attempts,
        concurrency=2,
        error=lambda what: ModelError(what, retryable=True),
        clock=clock,
        sleep=clock.sleep,
    )


def failing(after: float | None = None) -> str:
    raise Transient("is busy", after)


def test_it_waits_as_long_as_the_server_asks() -> None:
    clock = Clock()
    with pytest.raises(ModelError, match="after 3 tries"):
        patience(clock).run(lambda: failing(7.0))
    assert clock.slept == [7.0, 7.0]


def test_it_does_not_wait_for_ever() -> None:
    clock = Clock()
    with pytest.raises(ModelError, match="after 1 tries"):
        patience(clock).run(lambda: failing(3600.0))
    assert clock.slept == []


def test_the_breaker_opens_lets_one_through_and_closes() -> None:
    clock = Clock()
    one = patience(clock, attempts=1)
    calls = []
    for _ in range(FAILURES + 3):
        with pytest.raises(ModelError):
            one.run(lambda: failing() if calls.append(1) is None else "")
    assert len(calls) == FAILURES, "an open breaker asks nobody"
    clock.now += OPEN_SECONDS + 1
    with pytest.raises(ModelError):
        one.run(failing)
    with pytest.raises(ModelError, match="not asked again"):
        one.run(lambda: "ok")
    clock.now += OPEN_SECONDS + 1
    assert one.run(lambda: "ok") == "ok"
    assert one.run(lambda: "ok") == "ok"


def test_no_more_calls_at_a_time_than_allowed() -> None:
    one = patience(Clock())
    lock, running, most, go = Lock(), [0], [0], Event()

    def call() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        go.wait(0.05)
        with lock:
            running[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: one.run(call), range(16)))
    assert most[0] == 2
