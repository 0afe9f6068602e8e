"""Which share of an operation each of its steps takes: functions at the seams are timed while it runs.

A step's time is its own: what a step inside it takes is not counted twice. What is left is `everything else`. Timing a call
costs about a microsecond, which is in the shares; the steps are chosen so that each is called a few times per operation.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import tacita.flows.recall
import tacita.flows.remember
import tacita.retrieval.evidence
import tacita.retrieval.search
import tacita.vault.log
import tacita.vault.vault
from tacita.flows import parse
from tacita.flows.engine import Engine
from tacita.memory import Memory
from tacita.ports.log import LogStore
from tacita.retrieval import signals
from tacita.stores.sqlite_ring import SqliteKeyRing
from tacita.vault.cache import Vaults
from tacita.vault.fold import VaultState

REST = "everything else"


@dataclass(frozen=True, slots=True)
class Step:
    """A function by the place where its caller looks for it."""

    name: str
    owner: Any
    attribute: str


SEARCHING = (
    Step("rights and arguments", Memory, "_authorize"),
    Step("find the vault", Engine, "readable"),
    Step("ask the store for its head", LogStore, "head"),
    Step("vector of the question (looked up)", tacita.flows.recall, "checked_embed"),
    Step("take the question apart", tacita.flows.recall, "prepare"),
    Step("what may be seen", tacita.flows.recall, "select"),
    Step("vectors", signals, "cosines"),
    Step("stems of the question", tacita.retrieval.evidence, "_query_stems"),
    Step("words", signals, "lexical"),
    Step("put signals together", tacita.retrieval.search, "gather"),
    Step("rank", tacita.flows.recall, "rank"),
    Step("make hits", tacita.flows.recall, "_hits"),
    Step("audit entry", Engine, "read_entry"),
)
ADDING = (
    Step("rights and arguments", Memory, "_authorize"),
    Step("read the message", parse, "parse_messages"),
    Step("guard", tacita.flows.remember, "guarded_message"),
    Step("find the vault", Vaults, "get"),
    Step("ask the store for its head", LogStore, "head"),
    Step("vector of the message (looked up)", tacita.flows.remember, "embed"),
    Step("encode the event", tacita.vault.vault, "encode"),
    Step("seal the event", tacita.vault.log, "seal_event"),
    Step("chain", tacita.vault.log, "next_chain"),
    Step("commit in the store", LogStore, "append"),
    Step("anchor in the key ring", SqliteKeyRing, "advance"),
    Step("fold and index", VaultState, "apply"),
)


class Watch:
    """Own time of each step on the thread that made it."""

    def __init__(self) -> None:
        self.own: dict[str, float] = {}
        self._thread = threading.get_ident()
        self._inside: list[float] = []
        """For each step that runs, how long the steps in it took."""

    def wrapped(self, step: Step, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread:
                return function(*args, **kwargs)
            self._inside.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - start
                self.own[step.name] = self.own.get(step.name, 0.0) + took - self._inside.pop()
                if self._inside:
                    self._inside[-1] += took

        return timed


@contextlib.contextmanager
def watching(steps: tuple[Step, ...]) -> Iterator[Watch]:
    """Time the steps for as long as this is open."""
    watch = Watch()
    with contextlib.ExitStack() as undo:
        for step in steps:
            # From the class itself, so that a static method would not go unnoticed.
            real = vars(step.owner)[step.attribute]
            undo.callback(setattr, step.owner, step.attribute, real)
            setattr(step.owner, step.attribute, watch.wrapped(step, real))
        yield watch


def shares(steps: tuple[Step, ...], run: Callable[[], None]) -> dict[str, float]:
    """Share of the time of `run` that each step takes itself, the largest first."""
    with watching(steps) as watch:
        start = time.perf_counter()
        run()
        total = time.perf_counter() - start
    found = {**watch.own, REST: total - sum(watch.own.values())}
    return {name: took / total for name, took in sorted(found.items(), key=lambda one: -one[1])}
