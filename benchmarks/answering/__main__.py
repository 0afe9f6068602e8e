"""Answers of one model from what each system found, judged the same way for all.

    python -m benchmarks.answering --model openai:gpt-4.1-mini?key=env:OPENAI_API_KEY [--judge URI] [--locomo FILE]
        [--beam CHATS] [--lme-s FILE] [--price-in 0.4 --price-out 1.6] [--json RECORDS.jsonl]
    python -m benchmarks.answering --model scripted

The model is named as in Tacita's settings (docs/how-to/models.md). Excerpts of the data set are sent to it: the
sets are public.
Prompts are in benchmarks/answering/prompts. Before anything is asked, known-wrong answers are put to the judge; if it
accepts one, the run is refused. `scripted` is a stand-in that proves the harness and says nothing about answers.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable

from benchmarks.answering import scripted
from benchmarks.answering.adversary import Fooled
from benchmarks.answering.asking import Unclear
from benchmarks.answering.measuring import EVIDENCE, NOTHING, SUITE, Terms, answerable, measure, records, try_judge
from benchmarks.progress import bars
from benchmarks.records import Record, Writer
from benchmarks.retrieval.__main__ import add_sets, wanted
from benchmarks.retrieval.cases import DataSet
from benchmarks.retrieval.rankers import Tacita, baselines, find_embedder

from tacita.config import Settings
from tacita.config.providers import build_model
from tacita.errors import ConfigError
from tacita.ports.models import LanguageModel


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 when the judge was fooled: no answers are asked for then."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answering", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", required=True, help="URI of the model that answers, or scripted")
    parser.add_argument("--judge", help="URI of the model that judges; default: the same")
    parser.add_argument("--top-k", type=int, default=Terms().top_k)
    parser.add_argument("--budget", type=float, default=Terms().budget, help="tokens of excerpts, characters / 4")
    parser.add_argument("--repeats", type=int, default=Terms().repeats)
    parser.add_argument("--trials", type=int, default=Terms().trials, help="questions that the judge is tried with")
    parser.add_argument("--price-in", type=float, default=0.0, help="of a million tokens told")
    parser.add_argument("--price-out", type=float, default=0.0, help="of a million tokens said")
    parser.add_argument("--most", type=int, help="only so many questions of each set, from its beginning")
    add_sets(parser)
    given = parser.parse_args(arguments)
    terms = Terms(given.top_k, given.budget, given.repeats, given.trials, given.price_in, given.price_out)
    embedder = find_embedder(given.embedder)
    owned: list[Callable[[], None]] = []
    try:
        with Writer(SUITE, given.json) as writer:
            for loaded, _ in wanted(given):
                data = loaded()
                if given.most:
                    data = DataSet(data.name, data.questions[: given.most], [f"the first {given.most} questions"])
                model = _model(given.model, data, owned)
                judging = _model(given.judge, data, owned) if given.judge else model
                try:
                    made = try_judge(data, judging, terms, judging.name)
                except (Fooled, Unclear) as error:
                    print(f"{data.name}: refused: {error}", file=sys.stderr)
                    return 1
                tacita = Tacita(embedder)
                rankers = [tacita, *baselines(embedder)]
                names = [*(ranker.name for ranker in rankers), NOTHING, EVIDENCE]
                with contextlib.closing(tacita), bars() as shown:
                    total = len(answerable(data))
                    tasks = {name: shown.add_task(f"{data.name}: {name}", total=total) for name in names}
                    outcomes = measure(data, rankers, model, judging, terms, lambda name: shown.advance(tasks[name]))  # noqa: B023
                made += records(data, outcomes, model, terms)
                for record in made:
                    writer.add(record)
                show(data, made)
    finally:
        for close in owned:
            close()
    return 0


def _model(uri: str, data: DataSet, owned: list[Callable[[], None]]) -> LanguageModel:
    if uri == "scripted":
        return scripted.reader(data.questions)
    if uri == "scripted:gullible":
        return scripted.gullible()
    found = build_model(Settings.load(), uri, owned)
    if found is None:
        raise ConfigError("question answering needs a model: --model URI")
    return found


def show(data: DataSet, made: list[Record]) -> None:
    """The table of one data set."""
    print(f"\n{data.name}")
    for record in made:
        if not record.category:
            spread = "" if record.low is None else f"  [{record.low:.1f}, {record.high:.1f}]"
            print(f"  {record.system:10s} {record.measure:32s} {record.value:12.2f} {record.unit}{spread}")


if __name__ == "__main__":
    sys.exit(main())
