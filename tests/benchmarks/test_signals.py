"""What each signal is worth: the tables run, and a signal that decides shows."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from benchmarks.retrieval_signals import Cached, Question
from numpy.typing import NDArray

from benchmarks import retrieval_signals as signals
from tacita.ports.models import Embedder


class Hay(list[Any]):
    """As the loaders of the definitions give it: documents, and a key."""

    key: str


class Letters(Embedder):
    """How often each letter stands in a text."""

    name = "letters"
    dimensions = 26

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        counts = np.array(
            [[text.lower().count(chr(97 + each)) + 0.01 for each in range(26)] for text in texts], np.float32
        )
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


@pytest.fixture
def asked() -> list[Question]:
    told = [("user", "We sold the boat."), ("assistant", "We sold the boat."), ("user", "It rains on 2 dogs.")]
    cases = []
    for key in ("one", "two"):
        hay = Hay(
            SimpleNamespace(id=at, text=text, meta={"session": str(at), "role": role, "timestamp": ""})
            for at, (role, text) in enumerate(told)
        )
        hay.key = key
        cases += [
            SimpleNamespace(hay=hay, query=query, gold=[gold], cat="any", extra=False)
            for query, gold in (("What did we sell?", 0), ("How many dogs were there?", 2))
        ]
    return signals.questions(cases, Cached(Letters(), None))


def test_the_tables_of_signals(asked: list[Question], capsys: pytest.CaptureFixture[str]) -> None:
    sets = {"made": asked}
    assert signals.recall(asked, signals.HYBRID, 1).tolist() == [100, 100, 100, 100]
    assert signals.recall(asked, signals.WITHOUT["without roles"], 1).tolist() == [0, 100, 0, 100]
    signals.categories(sets)
    signals.table("Taken away", sets, signals.WITHOUT)
    signals.table("Added", sets, signals.ALONE)
    signals.folds(sets)
    shown = capsys.readouterr().out
    assert all(each in shown for each in (*signals.WITHOUT, *signals.ALONE, *signals.GRID))
