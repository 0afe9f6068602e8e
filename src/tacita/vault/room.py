"""How many bytes of open vaults a process may hold, and who waits until there is room for one more.

Knows bytes and nothing of vaults. A vault counts from before it is opened until nobody can reach it any more: what is
counted is RAM that is taken, and not what a cache believes to have let go.
"""

from __future__ import annotations

import gc
import math
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Final, Protocol

from tacita.errors import Overloaded

MIB: Final = 1 << 20
COLLECT_SECONDS: Final = 1.0
"""Between two runs of the garbage collector on behalf of those who wait."""


class LetGo(Protocol):
    """Gives up the vault that was used longest ago of those that are kept for later; False if no more than `least` are left.

    One that is in use at that moment goes when its last user is done.
    """

    def __call__(self, *, least: int) -> bool: ...


class Share:
    """What one open vault takes of the room."""

    __slots__ = ("nbytes", "seq", "uses", "waited")

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.seq = 0
        """How many events the vault had when it was last counted."""
        self.uses = 0
        self.waited = False
        """Whether others had to leave first."""


class Room:
    """Room for `capacity` bytes of open vaults. Who finds none waits, first come first served. Thread-safe."""

    def __init__(
        self, capacity: int, patience: float, let_go: LetGo, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`patience` is how many seconds one waits at most."""
        self.capacity = capacity
        self.patience = patience
        self.waits = 0
        """Openings that had to wait for the users of other vaults."""
        self.refusals = 0
        """Openings that waited in vain."""
        self._let_go = let_go
        self._clock = clock
        self._lock = Lock()
        self._taken = 0
        self._open = 0
        self._collected = -math.inf
        # Both are safe to use from a finaliser, which the garbage collector may run at any moment in any thread, also in
        # one that holds the lock.
        self._left: deque[Share] = deque()
        self._queue: deque[SimpleQueue[None]] = deque()

    @property
    def wanted(self) -> bool:
        """Whether somebody waits."""
        return bool(self._queue)

    def taken(self) -> tuple[int, int]:
        """(how many shares there are, their bytes as last counted)."""
        with self._lock:
            self._settle()
            return self._open, self._taken

    def deadline(self) -> float:
        """When somebody who comes now has waited long enough."""
        return self._clock() + self.patience

    def enter(self, nbytes: int, deadline: float) -> Share:
        """A share of so many bytes, after those who came before. One that is larger than all the room gets it alone.

        Raises Overloaded when the others do not leave room before the deadline.
        """
        share = Share(nbytes)
        # A bell of its own: who rings it while we are not listening is heard all the same.
        bell: SimpleQueue[None] = SimpleQueue()
        with self._lock:
            self._queue.append(bell)
        try:
            while not self._take(share, bell):
                if self._queue[0] is bell and self._let_go(least=0):
                    continue
                if not share.waited:
                    share.waited = True
                    self._count(waits=1)
                left = deadline - self._clock()
                if left <= 0 and not self._collect():
                    self._count(refusals=1)
                    raise self._overloaded(nbytes)
                try:
                    bell.get(timeout=max(left, 0))
                except Empty:
                    continue
            return share
        finally:
            with self._lock:
                self._queue.remove(bell)
            self._ring()

    def leave(self, share: Share) -> None:
        """Nobody can reach this vault any more. May be called from a finaliser."""
        self._left.append(share)
        self._ring()

    def resize(self, share: Share, nbytes: int) -> None:
        """An open vault has another size than it had. What is there already is never refused."""
        with self._lock:
            self._taken += nbytes - share.nbytes
            share.nbytes = nbytes
        self._ring()

    def trim(self) -> None:
        """Let go of what is too much, but for the one that was used last."""
        # First without the lock: every search asks, and who has left meanwhile only makes it less.
        while self._taken > self.capacity and self._over() and self._let_go(least=1):
            pass

    def _over(self) -> bool:
        with self._lock:
            self._settle()
            return self._taken > self.capacity

    def _take(self, share: Share, bell: SimpleQueue[None]) -> bool:
        with self._lock:
            self._settle()
            fits = self._taken + share.nbytes <= self.capacity or not self._open
            if self._queue[0] is not bell or not fits:
                return False
            self._taken += share.nbytes
            self._open += 1
            return True

    def _collect(self) -> bool:
        """Let the garbage collector run, but not again and again; whether it did.

        A vault that only rubbish refers to, such as the frames of an error in a cycle, is not in use, and is found here.
        """
        with self._lock:
            if self._clock() - self._collected < COLLECT_SECONDS:
                return False
            self._collected = self._clock()
        gc.collect()
        return True

    def _settle(self) -> None:
        while self._left:
            # Never empty here: only the holder of the lock takes from it.
            self._taken -= self._left.popleft().nbytes
            self._open -= 1

    def _ring(self) -> None:
        try:
            self._queue[0].put(None)
        except IndexError:
            pass  # nobody waits

    def _count(self, *, waits: int = 0, refusals: int = 0) -> None:
        with self._lock:
            self.waits += waits
            self.refusals += refusals

    def _overloaded(self, nbytes: int) -> Overloaded:
        count, taken = self.taken()
        return Overloaded(
            f"no room to open a vault of about {_mib(nbytes)}: {count} are in use, with {_mib(taken)} of "
            f"{_mib(self.capacity)}; try again, and if this lasts, raise cache_bytes or run more workers"
        )


def _mib(nbytes: int) -> str:
    return f"{nbytes / MIB:.1f} MiB"
