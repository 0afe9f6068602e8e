"""Recall at turn level through the public API, on data that you name. Prints a table; `--json` prints one line a set.

    python benchmarks/retrieval.py --metrics EVAL_RETRIEVAL.py [--locomo FILE] [--beam DIR --size 100K]

`--metrics` names a module with `load_locomo`, `load_beam`, `evaluate`, `mean` and `boot`: the definitions of recall,
kept apart from the thing that they measure.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import dateparser

from tacita import Memory


class TacitaRetriever:
    """One vault for each haystack; every document is one message."""

    def __init__(self, embedder: str) -> None:
        self._memory = Memory(store="memory:", embedder=embedder)
        self._added: dict[str, dict[str, Any]] = {}
        self.add_seconds = 0.0
        self.added = 0

    def __call__(self, docs: Any, query: str, k: int) -> list[Any]:
        if docs.key not in self._added:
            self._added[docs.key] = self._add(docs)
        ids = self._added[docs.key]
        return [ids[hit.id] for hit in self._memory.search(query, user_id=docs.key, top_k=k)]

    def _add(self, docs: Any) -> dict[str, Any]:
        ids: dict[str, Any] = {}
        turn_in_session = 0
        start = time.perf_counter()
        previous = None
        batch: list[dict[str, Any]] = []
        keys: list[Any] = []

        def flush() -> None:
            if batch:
                result = self._memory.add(batch, user_id=docs.key, run_id=f"session_{previous}")
                ids.update(zip(result.ids, keys, strict=True))
                batch.clear()
                keys.clear()

        for doc in docs:
            session = doc.meta["session"]
            if session != previous:
                flush()
                previous, turn_in_session = session, 0
            speaker = doc.meta.get("speaker")
            text = doc.text.removeprefix(f"{speaker}: ") if speaker else doc.text
            when = moment(doc.meta.get("timestamp", "")) + timedelta(seconds=20 * turn_in_session)
            turn_in_session += 1
            message = {"role": doc.meta.get("role", "user"), "content": text or "-", "timestamp": when}
            if speaker:
                message["name"] = speaker
            batch.append(message)
            keys.append(doc.id)
        flush()
        self.add_seconds += time.perf_counter() - start
        self.added += len(docs)
        return ids


_moments: dict[str, datetime] = {}


def moment(text: str) -> datetime:
    """The time that a data set wrote down; 2020 where it wrote none."""
    if text not in _moments:
        cleaned = re.sub(r"(\d)-(\d)", r"\1 \2", text.replace("-", " "))
        parsed = dateparser.parse(cleaned, languages=["en"]) if text else None
        _moments[text] = (parsed or datetime(2020, 1, 1, tzinfo=UTC)).replace(tzinfo=UTC)
    return _moments[text]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("metrics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--locomo", type=Path)
    parser.add_argument("--beam", type=Path)
    parser.add_argument("--size", default="100K")
    parser.add_argument("--embedder", default="local:minilm")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    metrics = load(given.metrics)
    common = {"level": "turn", "beam_sample": 0, "seed": 1}
    sets = []
    if given.locomo:
        arguments = SimpleNamespace(
            **common, locomo_file=str(given.locomo), locomo_text="caption", session_docs="turns"
        )
        sets.append(("LoCoMo", metrics.load_locomo(arguments)[0]))
    if given.beam:
        arguments = SimpleNamespace(**common, beam_dir=str(given.beam))
        sets.append((f"BEAM {given.size}", metrics.load_beam(arguments, given.size)[0]))
    limits = {"LoCoMo": 80.5, "BEAM 100K": 69.0}
    for name, cases in sets:
        retriever = TacitaRetriever(given.embedder)
        rows, seconds = metrics.evaluate(cases, retriever, False)
        counted = [row for row in rows if not row[0].extra]
        mean = metrics.mean(counted)
        low, high = metrics.boot(counted, "recall@10")
        if given.json:
            print(json.dumps({"set": name, "questions": len(counted), **mean, "recall@10_ci95": [low, high]}))
            continue
        print(f"{name}: {len(counted)} questions, {retriever.added} items added in {retriever.add_seconds:.1f} s")
        for k in (5, 10, 20, 50):
            least = limits.get(name) if k == 10 else None
            value = 100 * mean[f"recall@{k}"]
            judged = "" if least is None else f"   at least {least:.0f}: {'met' if value >= least else 'NOT met'}"
            print(f"  recall@{k:<3} {value:5.1f}{judged}")
        print(f"  recall@10, 95 % interval: {100 * low:.1f} to {100 * high:.1f}")
        by_category: dict[str, list[Any]] = {}
        for row in rows:
            by_category.setdefault(str(row[0].cat), []).append(row)
        for category, members in sorted(by_category.items()):
            print(f"    {category:28s} n={len(members):4d} recall@10 {100 * metrics.mean(members)['recall@10']:5.1f}")
        asked = seconds - retriever.add_seconds
        print(f"  {1000 * asked / len(rows):.1f} ms a question, embedding included")


if __name__ == "__main__":
    main()
