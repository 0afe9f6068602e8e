"""Peers as rankers: each in a process under the interpreter that has it, with the vectors of the same embedder."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.peers.harness import environment
from benchmarks.retrieval.cases import Haystack, Question
from benchmarks.retrieval.rankers import Progress, embedded

from tacita.ports.models import Embedder, checked_embed

RANKED = ("mem0-qdrant", "mempalace", "chroma", "langgraph-sqlite")
"""Who is asked unless others are named. Those that search by vectors alone and exactly rank as MiniLM does."""


class Ended(RuntimeError):
    """A peer's process ended before its work was done; says how."""


class Peer:
    """One system of `benchmarks.peers`."""

    def __init__(self, name: str, python: str, embedder: Embedder) -> None:
        """Starts its process. Raises Ended."""
        self.name = name
        self._embedder = embedder
        self._folder = tempfile.TemporaryDirectory(prefix="ranking-", ignore_cleanup_errors=True)
        self._open = ""
        self._ids: list[Hashable] = []
        self._last: tuple[str, list[float]] = ("", [])
        root = Path(self._folder.name)
        (root / "system").mkdir()
        with (root / "stderr").open("wb") as errors:
            self._process = subprocess.Popen(
                [python, "-m", "benchmarks.peers.ranking", name, str(root / "system")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(root / "system"),
                cwd=root,
                text=True,
            )
        about = self._answer()
        self.version: str = about["version"]
        self.missing: str | None = about["missing"]
        """Why it is not there, if it is not."""

    def open(self, haystack: Haystack, progress: Progress) -> None:
        if self._open == haystack.key:
            return
        # Some strip what they are given before they ask for its vector.
        texts = [turn.spoken.strip() or "-" for turn in haystack.turns]
        vectors = Path(self._folder.name) / "vectors.npy"
        np.save(vectors, embedded(self._embedder, texts, lambda _: None))
        self._asked({"take": texts, "vectors": str(vectors)})
        self._ids, self._open = [turn.id for turn in haystack.turns], haystack.key
        progress(len(texts))

    def rank(self, question: Question, k: int) -> Sequence[Hashable]:
        if self._last[0] != question.text:
            (asked,) = checked_embed(self._embedder, [question.text])
            self._last = question.text, asked.tolist()
        found = self._asked({"ask": question.text.strip(), "vector": self._last[1], "k": min(k, len(self._ids))})
        return list(dict.fromkeys(self._ids[number] for number in found))

    def _asked(self, what: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it says why below
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            lines = (Path(self._folder.name) / "stderr").read_text(errors="replace").strip().splitlines()
            self.close()
            raise Ended(f"{self.name}: {lines[-1][:200] if lines else 'ended without a word'}")
        return json.loads(line)

    def close(self) -> None:
        """End the process and remove what it kept."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()
