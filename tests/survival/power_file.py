"""The content of one file on a disk behind a page cache. `power_disk.py` says what is modelled."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

SECTOR = 512
SURVIVAL = (0.0, 0.0, 0.1, 0.5, 0.9, 1.0, 1.0)
"""Chances of which each file and folder draws one: all or nothing often, so that one is far ahead of another."""

Change = tuple[int, bytes | None]
"""A write (where, what) or a truncation (to where, None)."""


@dataclass(slots=True, eq=False)
class File:
    """What the disk holds of a file for certain, and what was changed since."""

    disk: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def content(self) -> bytes:
        """As the living process sees it."""
        made = bytearray(self.disk)
        for change in self.pending:
            _change(made, *change)
        return bytes(made)

    def sync(self) -> None:
        for change in self.pending:
            _change(self.disk, *change)
        self.pending.clear()

    def survivor(self, chance: random.Random) -> tuple[bytes, int, int]:
        """What a power failure may leave of the content, how many changes it took and how many writes it tore."""
        lost = broken = 0
        made = bytearray(self.disk)
        survival, tearing, growing = chance.choice(SURVIVAL), chance.choice((0.0, 0.3)), chance.choice((0.0, 0.5))
        # Sometimes in order: what came before a moment is there, and nothing after it.
        end = chance.randrange(len(self.pending) + 1) if self.pending and chance.random() < 0.25 else None
        for number, (at, data) in enumerate(self.pending):
            survives = chance.random() < survival if end is None else number < end
            torn = chance.random() < tearing
            if survives and not (torn and data):
                _change(made, at, data)
                continue
            if data is None:
                lost += 1
                continue
            if chance.random() < growing and at + len(data) > len(made):
                made.extend(bytes(at + len(data) - len(made)))
            if not survives:
                lost += 1
                continue
            broken += 1
            for begin in range(at - at % SECTOR, at + len(data), SECTOR):
                if chance.random() < 0.5:
                    first, last = max(begin, at), min(begin + SECTOR, at + len(data))
                    _change(made, first, data[first - at : last - at])
        return bytes(made), lost, broken


def _change(content: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del content[at:]
        content.extend(bytes(max(0, at - len(content))))
        return
    content.extend(bytes(max(0, at - len(content))))
    content[at : at + len(data)] = data
