"""Cuts the power of a recorded worker many times and counts what breaks."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.survival.power_check import Broken, Needles, Said, check, write
from tests.survival.power_disk import Disk
from tests.survival.power_trace import Record

from tacita import TacitaError

OPENING = 250
"""Records in which a home comes into being: few, and each of them matters."""


@dataclass(slots=True)
class Score:
    """How often the power was cut, what that took, and which promises it broke."""

    states: int = 0
    lost: int = 0
    torn: int = 0
    names_lost: int = 0
    acknowledged: int = 0
    pieces_gone: int = 0
    broken: list[str] = field(default_factory=list)


def moments(records: list[Record], count: int, chance: random.Random) -> Counter[int]:
    """After which records the power goes, and how often: one time in six while the home is being made."""
    found = Counter(chance.choices(range(OPENING), k=count // 6))
    found.update(chance.choices(range(len(records)), k=count - count // 6))
    return found


def cut_power(
    records: list[Record], root: Path, ram: Path, count: int, *, journal: bool, deaf: bool = False, stop: bool = True
) -> Score:
    """Cut the power `count` times, look at the home after each. Stops at the first that is broken, if `stop`.

    With `deaf` the disk ignores what it is told to sync, from the moment on when the home is there.
    """
    score, said, needles = Score(), Said(), Needles(())
    disk = Disk(str(root), journal=journal)
    when = moments(records, count, random.Random(f"moments {journal} {count}"))
    for number, record in enumerate(records):
        disk.play(record)
        if record.op == "A":
            known = len(said.gone)
            said.hear(record.one)
            needles = needles if len(said.gone) == known else Needles(said.gone)
            disk.deaf = deaf and said.acknowledged > 0
        for which in range(when[number]):
            cut = disk.cut(random.Random(f"{journal} {number} {which}"))
            score.states += 1
            score.lost += cut.lost
            score.torn += cut.torn
            score.names_lost += cut.names_lost
            write(ram / "crash", cut)
            try:
                check(ram / "crash", cut, said, needles)
            except (Broken, TacitaError) as error:
                doing = (said.doing or {}).get("op")
                score.broken.append(f"record {number}, state {which}, during {doing}: {type(error).__name__}: {error}")
                if stop:
                    return score
    score.acknowledged, score.pieces_gone = said.acknowledged, len(said.gone)
    return score


@contextmanager
def ram_folder() -> Iterator[Path]:
    """A private folder, in RAM where there is such a disk; removed afterwards."""
    shared = Path("/dev/shm")
    fast = str(shared) if shared.is_dir() and os.access(shared, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="tacita-power-", dir=fast)).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
