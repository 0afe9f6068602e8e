"""Facts in the background: `add` returns when the messages are safe, and a few threads draw the facts later.

Nothing is queued here that is not in a vault's sealed log as well: the queue only says where to look.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from threading import Condition, Thread
from typing import Final

from tacita.access.principal import Principal
from tacita.errors import TacitaError
from tacita.flows.engine import Engine
from tacita.flows.portray import draw
from tacita.items import Scope

THREADS: Final = 8
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 300.0
"""Seconds before a vault whose model call failed is looked at again, doubled each time."""

log = logging.getLogger("tacita.extraction")


class Worker:
    """Draws facts from pending messages, one vault a thread at a time."""

    def __init__(
        self,
        engine: Engine,
        principal: Principal,
        unfinished: Callable[[Callable[[], bool]], Iterable[Scope]],
        *,
        threads: int = THREADS,
    ) -> None:
        """`unfinished` names the vaults in which an earlier process left work. Asked once, in the background; what it is
        given says whether to stop."""
        self._engine = engine
        self._principal = principal
        self._unfinished = unfinished
        self._ready: deque[tuple[Principal, Scope]] = deque()
        self._later: list[tuple[float, Principal, Scope]] = []
        self._busy: set[Scope] = set()
        self._again: set[Scope] = set()
        self._waits: dict[Scope, float] = {}
        self._changed = Condition()
        self._closing = False
        self._threads = [Thread(target=self._run, name="tacita-facts", daemon=True) for _ in range(threads)]
        self._finder = Thread(target=self._find, name="tacita-facts-finder", daemon=True)
        for thread in (*self._threads, self._finder):
            thread.start()

    def wake(self, principal: Principal, scope: Scope) -> None:
        """There is work in this vault."""
        with self._changed:
            if scope in self._busy:
                self._again.add(scope)
            elif all(scope != each for _, each in self._ready):
                self._ready.append((principal, scope))
            self._changed.notify()

    def drain(self, timeout: float) -> bool:
        """Wait until nothing is ready or being worked on. What failed and waits for its next try does not count."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._ready or self._busy or self._finder.is_alive():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.1))
        return True

    def close(self) -> None:
        """Stop after what is being worked on. The rest is in the vaults and waits for the next process."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in (*self._threads, self._finder):
            thread.join()

    def _find(self) -> None:
        try:
            for scope in self._unfinished(lambda: self._closing):
                self.wake(self._principal, scope)
        except TacitaError as error:
            log.error("unfinished extractions cannot be looked for (%s)", error.code)

    def _run(self) -> None:
        while (work := self._take()) is not None:
            principal, scope = work
            failed = True
            try:
                failed = draw(self._engine, principal, scope, stop=lambda: self._closing).failure is not None
            except TacitaError as error:
                log.error("facts cannot be drawn (%s)", error.code)
            finally:
                self._done(principal, scope, failed=failed)

    def _take(self) -> tuple[Principal, Scope] | None:
        with self._changed:
            while not self._closing:
                now = time.monotonic()
                due = [each for each in self._later if each[0] <= now]
                self._later = [each for each in self._later if each[0] > now]
                self._ready += [(principal, scope) for _, principal, scope in due if scope not in self._busy]
                if self._ready:
                    principal, scope = self._ready.popleft()
                    self._busy.add(scope)
                    return principal, scope
                next_due = min((each[0] for each in self._later), default=now + 60)
                self._changed.wait(max(0.01, next_due - now))
            return None

    def _done(self, principal: Principal, scope: Scope, *, failed: bool) -> None:
        with self._changed:
            self._busy.discard(scope)
            if failed:
                wait = min(LONGEST_WAIT, 2 * self._waits.get(scope, FIRST_WAIT / 2))
                self._waits[scope] = wait
                self._later.append((time.monotonic() + wait * random.uniform(0.5, 1.0), principal, scope))
            else:
                self._waits.pop(scope, None)
            if scope in self._again:
                self._again.discard(scope)
                self._ready.append((principal, scope))
            self._changed.notify_all()
