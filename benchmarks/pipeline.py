"""What Tacita adds around a model call, and how queued work drains while searches go on. The model answers at once.

python benchmarks/pipeline.py [--queued 1000]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from speed import FreeEmbedder, make_queries, make_texts
from tacita import Memory
from tacita.config import Settings
from tacita.testing.model import ScriptedModel


def answer(_: str, data: str) -> str:
    """One fact for each message: its first four words."""
    facts = []
    for line in data.split("MESSAGES")[1].splitlines():
        label, _, said = line.partition("] (")
        words = said.partition(") ")[2].split()[:4]
        if label.startswith("[m") and words:
            facts.append({"text": " ".join(words), "source": label[1:], "quote": " ".join(words)})
    return json.dumps({"facts": facts})


def overhead() -> None:
    """A 10-message add with facts, less the same add without and less the time inside the model."""
    inside = []

    def timed(instructions: str, data: str) -> str:
        start = time.perf_counter()
        said = answer(instructions, data)
        inside.append(time.perf_counter() - start)
        return said

    with tempfile.TemporaryDirectory() as folder:
        memory = Memory(Path(folder) / "home", embedder=FreeEmbedder(), model=ScriptedModel(timed))
        texts = make_texts(2_000, 5)
        for at in range(0, 400, 10):
            memory.add(texts[at : at + 10], user_id="ana", infer=True)
        plain, inferred = [], []
        for at in range(400, 1_400, 20):
            start = time.perf_counter()
            memory.add(texts[at : at + 10], user_id="ana")
            middle = time.perf_counter()
            memory.add(texts[at + 10 : at + 20], user_id="ana", infer=True)
            plain.append(middle - start)
            inferred.append(time.perf_counter() - middle)
        memory.close()
    a, b, c = (1000 * statistics.median(times) for times in (plain, inferred, inside))
    print(f"add of 10 messages {a:.2f} ms, with facts {b:.2f} ms, inside the model {c:.2f} ms: ", end="")
    print(f"{b - a - c:.2f} ms around it  (<= 5 ms)")


def drain(queued: int) -> None:
    """Adds in the background mode over 50 people with 8 threads and a model that takes 20 ms."""

    def slow(instructions: str, data: str) -> str:
        time.sleep(0.02)
        return answer(instructions, data)

    with tempfile.TemporaryDirectory() as folder:
        described = {"home": str(Path(folder) / "home"), "extraction": {"background": True, "threads": 8}}
        memory = Memory(settings=Settings.load(config=described), embedder=FreeEmbedder(), model=ScriptedModel(slow))
        texts, queries = make_texts(queued, 5), make_queries(64, 3)
        idle, busy = [], []
        memory.add(texts[:100], user_id="reader")
        for number in range(200):
            start = time.perf_counter()
            memory.search(queries[number % 64], user_id="reader")
            idle.append(time.perf_counter() - start)
        began = time.perf_counter()
        for number, text in enumerate(texts):
            memory.add(text, user_id=f"user-{number % 50}", infer=True)
        added = time.perf_counter() - began
        assert memory._worker is not None
        while not memory._worker.drain(0.0):
            start = time.perf_counter()
            memory.search(queries[len(busy) % 64], user_id="reader")
            busy.append(time.perf_counter() - start)
        took = time.perf_counter() - began
        pending = memory.stats().pending
        memory.close()
    print(f"{queued} queued adds: added in {added:.2f} s, drained {took:.2f} s after the first; {pending} left")
    if busy:
        ratio = statistics.median(busy) / statistics.median(idle)
        worst = 1000 * max(busy)
        print(f"searches meanwhile: {ratio:.1f} times the idle median, longest {worst:.0f} ms ({len(busy)} of them)")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--queued", type=int, default=1_000)
    given = parser.parse_args()
    overhead()
    drain(given.queued)


if __name__ == "__main__":
    main()
