"""Recall of Tacita and of baselines on one set of questions each, through the public API.

    python -m benchmarks.retrieval [--synthetic] [--locomo FILE] [--beam CHATS [--sizes 100K 500K 1M]]
        [--lme-s FILE] [--lme-m FILE] [--friendsqa DAT] [--metrics EVAL_RETRIEVAL.py]
        [--peers PYTHON [--systems NAME,...]] [--json RECORDS.jsonl]

Data sets belong to others and are named by path. `--metrics` names definitions that ours are held to: the run stops where
they differ. Without any set, the synthetic one is measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.progress import bars
from benchmarks.records import Record, Writer
from benchmarks.retrieval import datasets, definitions, scores, synthetic
from benchmarks.retrieval.cases import DataSet
from benchmarks.retrieval.measuring import BUDGET, SUITE, measure, records
from benchmarks.retrieval.peers import RANKED, Ended, Peer
from benchmarks.retrieval.rankers import Ranker, Tacita, baselines, find_embedder

from tacita.ports.models import Embedder

SHOWN = ("recall@5", "recall@10", "recall@20", "recall@50", "any@5", "all@5", "ndcg@10", BUDGET, "question_ms")


def add_sets(parser: argparse.ArgumentParser) -> None:
    """The options that name data sets, the embedder and the file for records."""
    parser.add_argument("--synthetic", action="store_true", help="the set that is made here, beside the others")
    parser.add_argument("--locomo", type=Path, help="LoCoMo's JSON file")
    parser.add_argument("--beam", type=Path, help="BEAM's folder chats")
    parser.add_argument("--sizes", nargs="+", choices=datasets.BEAM_SIZES, help="of BEAM; default: those in the folder")
    parser.add_argument("--size", dest="sizes", action="append", choices=datasets.BEAM_SIZES, help=argparse.SUPPRESS)
    parser.add_argument("--lme-s", type=Path, help="LongMemEval's official file, S")
    parser.add_argument("--lme-m", type=Path, help="the same, M")
    parser.add_argument("--friendsqa", type=Path, help="FriendsQA's folder dat")
    parser.add_argument("--lme-index", choices=("user", "full"), default="user", help="whose turns are indexed")
    parser.add_argument("--embedder", default="local:minilm")
    parser.add_argument("--json", type=Path, help="write records here")


def wanted(given: argparse.Namespace) -> list[tuple[Callable[[], DataSet], Path | None]]:
    """A loader and its path for each set that was asked for."""
    sets: list[tuple[Callable[[], DataSet], Path | None]] = []
    if given.locomo:
        sets.append((partial(datasets.locomo, given.locomo), given.locomo))
    if given.beam:
        sizes = given.sizes or [size for size in datasets.BEAM_SIZES if (given.beam / size).is_dir()]
        sets += [(partial(datasets.beam, given.beam, size), given.beam) for size in sizes]
    for name, path in (("LongMemEval-S", given.lme_s), ("LongMemEval-M", given.lme_m)):
        if path:
            sets.append((partial(datasets.longmemeval, path, name, given.lme_index), path))
    if given.friendsqa:
        # The definitions that ours are held to do not know it.
        sets.append((partial(datasets.friendsqa, given.friendsqa), None))
    if given.synthetic or not sets:
        sets.insert(0, (synthetic.data_set, None))
    return sets


def show(data: DataSet, made: list[Record]) -> None:
    """The table of one data set."""
    asked = {record.n for record in made if record.measure == "recall@10" and not record.category}
    print(f"\n{data.name}: {max(n or 0 for n in asked)} questions; {'; '.join(data.notes) or 'none left out'}")
    wide = max(len(record.system) for record in made)
    print(f"  {'':{wide}s}" + "".join(f"{_short(name):>13s}" for name in SHOWN))
    totals: dict[str, dict[str, Record]] = {}
    parts: dict[str, dict[str, Record]] = {}
    for record in made:
        if not record.category:
            totals.setdefault(record.system, {})[record.measure] = record
        elif record.measure == "recall@10":
            parts.setdefault(record.category, {})[record.system] = record
    for system, of in totals.items():
        print(
            f"  {system:{wide}s}" + "".join(f"{of[name].value:13.1f}" if name in of else f"{'':13s}" for name in SHOWN)
        )
    for system, of in totals.items():
        print(f"  {system:{wide}s} recall@10, 95 % interval: {of['recall@10'].low} to {of['recall@10'].high}")
    for category, by_system in parts.items():
        values = "  ".join(f"{system} {record.value:.1f}" for system, record in by_system.items())
        print(f"    {category:26s} n={next(iter(by_system.values())).n:4d}  recall@10  {values}")


def _short(name: str) -> str:
    return "context 90 %" if name == BUDGET else name


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 when definitions differ from those given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=(__doc__ or "").split("\n")[0])
    add_sets(parser)
    parser.add_argument("--metrics", type=Path, help="definitions that ours are held to")
    parser.add_argument("--peers", default="", help="a Python that has what benchmarks/peers compares with")
    parser.add_argument("--systems", default=",".join(RANKED), help="which of them, with commas (%(default)s)")
    given = parser.parse_args(arguments)
    theirs = definitions.load(given.metrics) if given.metrics else None
    score = definitions.checked_score(theirs) if theirs else scores.score
    embedder = find_embedder(given.embedder)
    systems = [name for name in given.systems.split(",") if name] if given.peers else []
    with Writer(SUITE, given.json) as writer:
        for loaded, path in wanted(given):
            data = loaded()
            try:
                if theirs is not None and path is not None:
                    definitions.check_cases(data, definitions.their_cases(theirs, data, path, given.lme_index))
                with started(systems, given.peers, embedder) as peers:
                    made = run(data, [Tacita(embedder), *baselines(embedder), *peers], score)
            except (definitions.Differs, Ended) as error:
                print(error, file=sys.stderr)
                return 1
            for record in made:
                writer.add(record)
            show(data, made)
    return 0


@contextmanager
def started(systems: Sequence[str], python: str, embedder: Embedder) -> Iterator[list[Peer]]:
    """The peers that are there; of the others it is said why they are not. Raises Ended."""
    peers: list[Peer] = []
    try:
        for name in systems:
            peer = Peer(name, python, embedder)
            if peer.missing is None:
                peers.append(peer)
            else:
                print(f"{name} is left out: {peer.missing}", file=sys.stderr)
                peer.close()
        yield peers
    finally:
        for peer in peers:
            peer.close()


def run(data: DataSet, rankers: list[Ranker], score: definitions.Score) -> list[Record]:
    """The records of one data set, with a bar for what each ranker takes in and one for what it is asked."""
    turns = sum(len(haystack.turns) for haystack in {q.haystack.key: q.haystack for q in data.questions}.values())
    with bars() as shown:
        taken = {r.name: shown.add_task(f"{data.name}: {r.name}", total=turns) for r in rankers}
        asked = {r.name: shown.add_task(f"{data.name}: {r.name}, asked", total=len(data.questions)) for r in rankers}

        def step(name: str, turns: int, questions: int) -> None:
            shown.advance(taken[name], turns)
            shown.advance(asked[name], questions)

        tallies = measure(data, rankers, score, step)
    for ranker in rankers:
        if isinstance(ranker, Tacita):
            ranker.close()
    return records(data, tallies)


if __name__ == "__main__":
    sys.exit(main())
