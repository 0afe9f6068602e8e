"""Patience with a model elsewhere: a time limit, a few tries with jitter, a limit on calls at a time, a breaker."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import BoundedSemaphore, Lock
from typing import Final, TypeVar

from tacita.errors import ModelError

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
    """Runs calls to one model. Thread-safe."""

    def __init__(
        self,
        name: str,
        *,
        attempts: int,
        concurrency: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._attempts = attempts
        self._slots = BoundedSemaphore(concurrency)
        self._clock = clock
        self._sleep = sleep
        self._lock = Lock()
        self._failures = 0
        self._closed_again = 0.0

    def run(self, call: Callable[[], T]) -> T:
        """The result of `call`, tried again after a `Transient`. Raises ModelError (retryable) when it keeps failing."""
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
                wait = random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**attempt))
                if after is not None and after > LONGEST_WAIT:
                    break
                self._sleep(max(wait, after or 0.0))
        raise ModelError(f"model {self._name}: {what}, after {attempt + 1} tries", retryable=True)

    def _admit(self) -> None:
        with self._lock:
            if self._failures >= FAILURES:
                left = self._closed_again - self._clock()
                if left > 0:
                    raise ModelError(
                        f"model {self._name}: failed {self._failures} times in a row; not asked again for {left:.0f} s",
                        retryable=True,
                    )
                # One call finds out; the others wait for what it finds.
                self._closed_again = self._clock() + OPEN_SECONDS

    def _count(self, *, failed: bool) -> None:
        with self._lock:
            self._failures = self._failures + 1 if failed else 0
            if self._failures >= FAILURES:
                self._closed_again = self._clock() + OPEN_SECONDS
