"""What the audit log adds to a search.

    python benchmarks/audit.py [--blocks 60] [--items 10000]

Blocks of 200 searches, in turn with the audit log as it is and with a `record` that does nothing (only here). The writer's
thread is part of what is measured: by the clock and in CPU seconds of the whole process, until all is on disk.
Printed: the medians over the blocks, and the ratio of neighbouring blocks with its quartiles.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tacita import Memory

SEARCHES = 200
WORDS = "penicillin garden bicycle lisbon violin invoice kitchen marathon telescope hospital letter window".split()


def block(memory: Memory, queries: list[str]) -> tuple[float, float]:
    """(milliseconds, CPU milliseconds) of one search."""
    clock, cpu = time.perf_counter(), time.process_time()
    for query in queries:
        memory.search(query, user_id="ana")
    memory._engine.audit.flush()
    return (time.perf_counter() - clock) * 1000 / SEARCHES, (time.process_time() - cpu) * 1000 / SEARCHES


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--blocks", type=int, default=60)
    parser.add_argument("--items", type=int, default=10_000)
    chosen = parser.parse_args()
    chance = random.Random(11)
    with tempfile.TemporaryDirectory() as folder, Memory(Path(folder) / "home", embedder="none") as memory:
        texts = [" ".join(chance.choices(WORDS, k=12)) + f" {number}" for number in range(chosen.items)]
        memory.add(texts, user_id="ana")
        audit = memory._engine.audit
        real = audit.record
        measured: dict[str, list[tuple[float, float]]] = {"on": [], "off": []}

        def nothing(*_: object, **__: object) -> None:
            return None

        block(memory, ["warm"] * SEARCHES)
        for _ in range(chosen.blocks):
            queries = [" ".join(chance.sample(WORDS, 3)) for _ in range(SEARCHES)]
            sides: list[tuple[str, Callable[..., None]]] = [("on", real), ("off", nothing)]
            chance.shuffle(sides)
            for side, record in sides:
                audit.record = record  # type: ignore[method-assign]
                measured[side].append(block(memory, queries))
    for which, name in enumerate(("clock", "CPU")):
        on, off = ([each[which] for each in measured[side]] for side in ("on", "off"))
        low, middle, high = statistics.quantiles([a / b for a, b in zip(on, off, strict=True)], n=4)
        print(
            f"{name}: {statistics.median(on):.3f} ms with audit, {statistics.median(off):.3f} ms without, "
            f"ratio {middle:.3f} [{low:.3f}, {high:.3f}]"
        )


if __name__ == "__main__":
    main()
