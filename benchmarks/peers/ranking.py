"""A system that ranks for `benchmarks.retrieval`, in a process of its own under the interpreter that has it.

    python -m benchmarks.peers.ranking SYSTEM FOLDER

Says one JSON line at first: its version, or why it is not here. Then answers each line: `{"take": [texts], "vectors": FILE}`
with how many it took in, in place of those before; `{"ask": text, "vector": [numbers], "k": 10}` with the places of texts,
best first.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.peers.port import Fillable, Item, Port, Settles
from benchmarks.peers.systems import by_name


class Ranking:
    """One system and the person whose texts it holds."""

    def __init__(self, system: Port) -> None:
        self._system = system
        self._taken = 0
        self._numbers: dict[str, int] = {}

    @property
    def _person(self) -> str:
        return f"person-{self._taken}"

    def take(self, texts: list[str], vectors: str) -> int:
        """Begin anew with these."""
        if self._numbers:
            self._system.erase(self._person)
        self._taken += 1
        rows = np.load(vectors)
        items = [
            Item(f"t{self._taken}-{at}", text, row) for at, (text, row) in enumerate(zip(texts, rows, strict=True))
        ]
        fill = self._system.fill if isinstance(self._system, Fillable) else self._system.add_many
        ids = fill(self._person, items)
        if isinstance(self._system, Settles):
            self._system.settle()
        self._numbers = {each: at for at, each in enumerate(ids)}
        return len(ids)

    def ask(self, text: str, vector: list[float], k: int) -> list[int]:
        """Numbers of the texts, as far as the system lists any."""
        found = self._system.search(self._person, text, np.array(vector, np.float32), k)
        return [self._numbers[each] for each in found]


def main() -> None:
    """Answer until standard input ends."""
    system, folder = by_name(sys.argv[1]), Path(sys.argv[2])
    # Whatever a system prints is not an answer.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(what: Any) -> None:
        print(json.dumps(what), file=out, flush=True)

    why = system.missing()
    say({"version": "" if why else system.version(), "missing": why})
    if why is not None:
        return
    serve = system.serve()
    with contextlib.ExitStack() as opened:
        if serve is not None:
            opened.enter_context(serve(folder))
        ranking: Ranking | None = None
        for line in sys.stdin:
            given = json.loads(line)
            if "take" in given:
                if ranking is None:
                    made = system.adapter().open(folder, int(np.load(given["vectors"], mmap_mode="r").shape[1]))
                    opened.callback(made.close)
                    ranking = Ranking(made)
                say(ranking.take(given["take"], given["vectors"]))
            elif ranking is not None:
                say(ranking.ask(given["ask"], given["vector"], given["k"]))


if __name__ == "__main__":
    main()
