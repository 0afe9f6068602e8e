"""The mark in a key ring that says that a memory is moved to another store, and the fence that keeps everybody to it.

The mark is one setting, changed by compare-and-set. A process that has the memory open asks for it now and then; whoever moves
the memory waits until each has asked. Nothing here copies anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from tacita.errors import Moved, Tampered
from tacita.ports.keys import KeyRing

SETTING: Final = "moved"
"""Setting of the ring that holds the mark."""
ASK_AFTER: float = 1.0
"""Seconds after which the ring is asked again before anything new begins."""
GRACE: float = 2.0
"""Seconds after the last answer for which what had begun may still be written. Longer, so that the audit entries of the last
reads get where they belong."""
GUIDE: Final = "see docs/how-to/migrate-store.md"


class Mark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a memory goes, and how far that is."""

    id: str
    """Of the migration: random, the same at both ends."""
    stage: Literal["arriving", "copying", "closed", "moved", "shredded", "settled"]
    """copying: in use. closed: not in use. moved: the target is the memory now; then, in a ring that was moved, shredded, and
    in one that stayed while the log went, settled. In a ring to which keys go: arriving, until the target may be used."""
    log: str
    """Name of the store to which the log goes."""
    ring: str = ""
    """Name of the ring to which the keys go; empty: they stay."""
    at: str = ""
    """Name of the store in which the log of this ring is, once it was moved and the ring was not; empty: wherever."""

    @classmethod
    def of(cls, ring: KeyRing) -> Mark | None:
        """What the ring says. Raises Tampered when it is no mark."""
        raw = ring.setting(SETTING)
        return None if raw is None else cls.decode(raw)

    @classmethod
    def decode(cls, raw: bytes) -> Mark:
        """The inverse of `encode`."""
        try:
            return msgspec.json.decode(raw, type=cls)
        except (ValueError, RecursionError):
            raise Tampered("the key ring was changed: what it says of a migration cannot be read") from None

    def encode(self) -> bytes:
        """As the ring keeps it."""
        return msgspec.json.encode(self)

    def follows(self, ring: KeyRing, before: Mark | None) -> bool:
        """Put this mark in the place of the one before; False when that one is not kept any more."""
        return ring.swap_setting(SETTING, None if before is None else before.encode(), self.encode())

    def refuses(self, store: str) -> str | None:
        """Why the memory whose log is in the store of this name is not to be used; None if it may be."""
        to = f"{self.log}, its keys to {self.ring}" if self.ring else self.log
        if self.stage == "arriving":
            return (
                f"it is the target of a migration that is not complete: finish that first, where it was begun; {GUIDE}"
            )
        if self.stage == "closed":
            return f"it is just being moved to {to}, and takes nothing until that is done; {GUIDE}"
        if self.stage in ("moved", "shredded"):
            return f"it was moved to {to}: change the settings `store` and `ring`. What is here is a copy from before; {GUIDE}"
        if self.stage == "copying" and not self.ring and store == self.log:
            return f"its log is not complete here yet: finish the migration first; {GUIDE}"
        if self.at and store != self.at:
            return f"its log was moved to {self.at}: change the setting `store`. What is here is a copy from before; {GUIDE}"
        return None


_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _clock() -> float:
    """Seconds, those included for which this machine slept: others went on meanwhile."""
    return time.clock_gettime(_CLOCK)


class Fence:
    """Of one open memory. What `finish` lets through was written before the mark could be acted upon.

    That holds for a process that was stopped in between, too: `finish` is asked when the write is done, and counts from before
    the last answer. Thread-safe.
    """

    def __init__(self, ring: KeyRing, store: str, clock: Callable[[], float] = _clock) -> None:
        """`store` is the name of the store that this fence is about."""
        self._ring = ring
        self._store = store
        self._clock = clock
        self._open_at = float("-inf")
        """When the ring last said that it may be used, as of before it was asked."""
        self._closed = True
        """Whether it said otherwise since, or was never asked."""

    def begin(self) -> None:
        if self._closed or self._clock() - self._open_at >= ASK_AFTER:
            self._ask()

    def finish(self) -> None:
        if self._clock() - self._open_at >= GRACE:
            self._ask()

    def _ask(self) -> None:
        asked_at = self._clock()
        mark = Mark.of(self._ring)
        reason = None if mark is None else mark.refuses(self._store)
        if reason is not None:
            self._closed = True
            raise Moved(f"this memory cannot be used here: {reason}")
        self._open_at, self._closed = asked_at, False
