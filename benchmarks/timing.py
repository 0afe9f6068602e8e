"""Whether the time of an answer tells a foreign id from one that never was.

    python benchmarks/timing.py [--samples 10000]

The two are asked in turn, in random order, of one open memory. Printed: both medians, the share of pairs in which the foreign
one took longer (0.5 when nothing can be told), and the z-score of that share (sign test). Beyond about 4 they can be told
apart.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import tempfile
import time
from pathlib import Path

from tacita import Memory, NotFound


def asked(memory: Memory, item: str) -> int:
    start = time.perf_counter_ns()
    with contextlib.suppress(NotFound):
        memory.get(item, user_id="ana")
    return time.perf_counter_ns() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--samples", type=int, default=10_000)
    samples = parser.parse_args().samples
    chance = random.Random(3)
    with tempfile.TemporaryDirectory() as folder, Memory(Path(folder) / "home", embedder="none") as memory:
        memory.add([f"ana {number}" for number in range(1_000)], user_id="ana")
        foreign = memory.add([f"rui {number}" for number in range(1_000)], user_id="rui").ids
        times: dict[str, list[int]] = {"foreign": [], "missing": []}
        for number in range(samples + 200):
            existing = chance.choice(foreign)
            # Same form and same moment, other random bits.
            missing = existing[:-12] + f"{chance.getrandbits(48):012x}"
            pair = [("foreign", existing), ("missing", missing)]
            chance.shuffle(pair)
            measured = {kind: asked(memory, item) for kind, item in pair}
            if number >= 200:
                for kind, took in measured.items():
                    times[kind].append(took)
    pairs = list(zip(times["foreign"], times["missing"], strict=True))
    longer = sum(a > b for a, b in pairs)
    untied = sum(a != b for a, b in pairs)
    z = (longer - untied / 2) / (untied / 4) ** 0.5
    medians = [statistics.median(times[kind]) / 1000 for kind in ("foreign", "missing")]
    print(f"foreign {medians[0]:.2f} us, missing {medians[1]:.2f} us")
    print(f"the foreign id took longer in {longer / untied:.4f} of {untied} pairs, z = {z:+.2f}")


if __name__ == "__main__":
    main()
