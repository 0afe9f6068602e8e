"""A process with a ceiling on its address space that searches many vaults from several threads.

`reader.py HOME CACHE_BYTES VAULTS SECONDS CEILING_MIB` prints what it did as JSON, or dies of MemoryError.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from tacita import Memory, Overloaded
from tacita.config import Settings

THREADS = 8


class Embedder:
    """Unit vectors from a pool."""

    name = "test:pool"
    dimensions = 384

    def __init__(self) -> None:
        pool = np.random.default_rng(1).standard_normal((4096, 384), np.float32)
        self._pool = pool / np.linalg.norm(pool, axis=1, keepdims=True)

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        return self._pool[np.arange(len(texts)) % 4096]


def open_memory(home: Path, cache_bytes: int) -> Memory:
    config = {"home": str(home), "cache_bytes": cache_bytes, "cache_wait": 30, "embedder": "none"}
    return Memory(settings=Settings.load(config=config), embedder=Embedder())


def main() -> None:
    home, cache_bytes, vaults, seconds, ceiling = Path(sys.argv[1]), *map(int, sys.argv[2:6])
    memory = open_memory(home, cache_bytes)
    memory.search("warm", user_id="user-0")
    process = psutil.Process()
    ready = threading.Barrier(THREADS + 1)
    counts: Counter[str] = Counter()
    deaths: list[str] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        ready.wait()
        while time.monotonic() < ends and not deaths:
            try:
                memory.search("kato", user_id=f"user-{chance.randrange(vaults)}")
                counts["searched"] += 1
            except Overloaded:
                counts["refused"] += 1
            except MemoryError:
                deaths.append("MemoryError")

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    before = process.memory_info()
    limit = before.vms + (ceiling << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    ends = time.monotonic() + seconds
    ready.wait()
    most = before.rss
    while any(thread.is_alive() for thread in threads) and not deaths:
        most = max(most, process.memory_info().rss)
        time.sleep(0.02)
    if deaths:
        sys.exit(f"died of {deaths[0]}")
    told = memory.stats(user_id="user-0")
    found = {"searched": counts["searched"], "refused": counts["refused"], "waits": told.open_waits}
    print(json.dumps({**found, "rss_before": before.rss, "most_rss": most}))
    memory.close()


if __name__ == "__main__":
    main()
