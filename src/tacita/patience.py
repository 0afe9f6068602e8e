"""Patience with a service elsewhere: a few tries with jitter, a limit on calls at a time, a breaker."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import BoundedSemaphore, Lock
from typing import Final, TypeVar

T = TypeVar("T")

FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 20.0
FAILURES: Final = 5
"""Failures in a row that open the breaker."""
OPEN_SECONDS: Final = 30.0
"""How long an open breaker refuses calls before it lets one through."""


class Transient(Exception):
    """A failure that may pass. `after` is what the server asked to wait, in seconds."""

    def __init__(self, what: str, after: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.after = after


class Patience:
    """Runs calls to one service. Thread-safe."""

    def __init__(
        self,
        name: str,
        *,
        attempts: int,
        concurrency: int,
        error: Callable[[str], Exception],
        first_wait: float = FIRST_WAIT,
        longest_wait: float = LONGEST_WAIT,
        open_seconds: float = OPEN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`name` begins each message; `error` makes the exception, a retryable one, from a message."""
        self._name = name
        self._error = error
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self._open_seconds = open_seconds
        self._attempts = attempts
        self._slots = BoundedSemaphore(concurrency)
        self._clock = clock
        self._sleep = sleep
        self._lock = Lock()
        self._failures = 0
        self._closed_again = 0.0

    def run(self, call: Callable[[], T]) -> T:
        """The result of `call`, tried again after a `Transient`. Raises `error` when it keeps failing."""
        what = ""
        for attempt in range(self._attempts):
            self._admit()
            try:
                with self._slots:
                    result = call()
            except Transient as error:
                what, after = error.what, error.after
                self._count(failed=True)
            else:
                self._count(failed=False)
                return result
            if attempt + 1 < self._attempts:
                # Full jitter (Brooker, "Exponential Backoff And Jitter", 2015), but never before the server's own time.
                wait = random.uniform(0, min(self._longest_wait, self._first_wait * 2**attempt))
                if after is not None and after > self._longest_wait:
                    break
                self._sleep(max(wait, after or 0.0))
        raise self._error(f"{self._name}: {what}, after {attempt + 1} tries")

    def _admit(self) -> None:
        with self._lock:
            if self._failures >= FAILURES:
                left = self._closed_again - self._clock()
                if left > 0:
                    raise self._error(
                        f"{self._name}: failed {self._failures} times in a row; not asked again for {left:.0f} s"
                    )
                # One call finds out; the others wait for what it finds.
                self._closed_again = self._clock() + self._open_seconds

    def _count(self, *, failed: bool) -> None:
        with self._lock:
            self._failures = self._failures + 1 if failed else 0
            if self._failures >= FAILURES:
                self._closed_again = self._clock() + self._open_seconds
