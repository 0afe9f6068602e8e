"""Refuses what got worse: compares ratios of a run with those of the committed results. Times are never compared.

    python -m benchmarks.gate RECORDS.jsonl [...] [--accepted docs/benchmarks/accepted.jsonl]
    python -m benchmarks.gate --accept RECORDS.jsonl [...]

A ratio is Tacita's value over that of a baseline of the same run: both met the same machine, the same hour, the same data. A
rule says which way is better and by what factor a ratio may be worse. What only one of the two sides has is listed and not
judged; a baseline that the committed results have and this run lost is a failure, and so is a run in which nothing could be
judged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.records import Record, Run, read, write

ACCEPTED = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "accepted.jsonl"
OURS = "tacita"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is held."""

    suite: str
    measure: str
    baseline: str
    better: Literal["higher", "lower"]
    tolerance: float
    """The factor, over 1, by which the ratio may be worse than the committed one."""
    why: str


RECALL = "the same data gives the same ranking on every machine but for the last bits of its floats"
NOISE = "ratios under 2 are noise on a machine that others use"
TURNS = "both sides are asked in turn, so that a busy machine slows both"
RULES: tuple[Rule, ...] = (
    *(Rule("retrieval", measure, "bm25", "higher", 1.02, RECALL) for measure in ("recall@10", "recall@5", "ndcg@10")),
    Rule("retrieval", "recall@10", "minilm", "higher", 1.02, RECALL),
    Rule("retrieval", "all@5", "bm25", "higher", 1.04, RECALL),
    Rule("retrieval", "context for 90 % of the evidence", "bm25", "lower", 1.1, RECALL),
    Rule("speed", "search_p50", "numpy", "lower", 2.0, NOISE),
    Rule("speed", "add_per_s", "sqlite", "higher", 2.0, NOISE),
    Rule("speed", "bulk_per_s", "sqlite", "higher", 2.0, NOISE),
    # Where the peers of benchmarks/peers are installed.
    *(Rule("speed", "search_p50", peer, "lower", 2.0, NOISE) for peer in ("sqlite-vec", "mem0-qdrant", "chroma")),
    Rule("speed", "add_per_s", "sqlite-vec", "higher", 2.0, NOISE),
    *(
        Rule("speed", measure, peer, "lower", 1.6, TURNS)
        for measure in ("search_ratio", "add_ratio")
        for peer in ("sqlite-vec", "pgvector", "chroma", "mem0-qdrant")
    ),
    *(Rule("sealing", kind, "null", "lower", 1.3, TURNS) for kind in ("search", "add", "bulk", "cold")),
    Rule("answering", "right", "bm25", "higher", 1.05, "a model at temperature 0 still differs a little"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One ratio, judged."""

    rule: Rule
    case: str
    committed: float | None
    now: float | None
    verdict: Literal["ok", "better", "WORSE", "LOST", "new", "not run"]

    @property
    def bad(self) -> bool:
        return self.verdict in ("WORSE", "LOST")


Key = tuple[Rule, str]
"""A rule and the case that it is held to."""


def ratios(records: Iterable[Record], rules: Sequence[Rule] = RULES) -> dict[Key, float]:
    """Tacita's value over the baseline's by rule and case, where both have one that is not 0."""
    values = {
        (one.suite, one.measure, one.case, one.system): one.value
        for one in records
        if one.value is not None and not one.category
    }
    found: dict[Key, float] = {}
    for suite, measure, case, system in values:
        for rule in rules:
            if system == OURS and (suite, measure) == (rule.suite, rule.measure):
                own = values[suite, measure, case, OURS]
                other = values.get((suite, measure, case, rule.baseline))
                if own and other:
                    found[rule, case] = own / other
    return found


def judge(committed: Iterable[Record], now: Iterable[Record], rules: Sequence[Rule] = RULES) -> list[Finding]:
    """Every ratio of either side."""
    now = list(now)
    before, after = ratios(committed, rules), ratios(now, rules)
    measured = {(one.suite, one.case) for one in now if one.system == OURS}
    # A baseline that says why it has no value (not installed, cannot do it) was not lost by us.
    excused = {(one.suite, one.case, one.system) for one in now if one.value is None and one.system != OURS}
    findings = []
    for rule, case in {**before, **after}:
        old, new = before.get((rule, case)), after.get((rule, case))
        missed = (rule.suite, case) in measured and (rule.suite, case, rule.baseline) not in excused
        findings.append(Finding(rule, case, old, new, _verdict(rule, old, new, missed)))
    return findings


def _verdict(
    rule: Rule, old: float | None, new: float | None, missed: bool
) -> Literal["ok", "better", "WORSE", "LOST", "new", "not run"]:
    if old is None:
        return "new"
    if new is None:
        return "LOST" if missed else "not run"
    worse = old / new if rule.better == "higher" else new / old
    if worse > rule.tolerance:
        return "WORSE"
    return "better" if 1 / worse > rule.tolerance else "ok"


def table(findings: Sequence[Finding]) -> str:
    """What was compared, the bad first."""
    lines = [f"{'':8s} {'case':34s} {'ratio of':32s} {'to':12s} {'committed':>10s} {'now':>10s}  may be"]
    for one in sorted(findings, key=lambda each: (not each.bad, each.rule.suite, each.case, each.rule.measure)):
        lines.append(
            f"{one.verdict:8s} {one.case:34s} {one.rule.measure:32s} {one.rule.baseline:12s} "
            f"{_number(one.committed)} {_number(one.now)}  {_limit(one)}"
        )
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return f"{'-':>10s}" if value is None else f"{value:10.3f}"


def _limit(one: Finding) -> str:
    if one.committed is None:
        return ""
    if one.rule.better == "higher":
        return f">= {one.committed / one.rule.tolerance:.3f}"
    return f"<= {one.committed * one.rule.tolerance:.3f}"


def accept(runs: Iterable[Run], into: Path) -> int:
    """Replace, in the committed results, every case that these runs have. How many records there are then.

    What two of them measured is taken from the later one.
    """
    fresh = [_needed(run) for run in runs]
    last = {_what(one): number for number, run in enumerate(fresh) for one in run.records}
    fresh = [
        Run(run.suite, run.machine, [one for one in run.records if last[_what(one)] == number])
        for number, run in enumerate(fresh)
    ]
    measured = {(one.suite, one.case) for run in fresh for one in run.records}
    old = [
        Run(run.suite, run.machine, [one for one in run.records if (one.suite, one.case) not in measured])
        for run in (read(into) if into.exists() else [])
    ]
    kept = [run for run in (*old, *fresh) if run.records]
    write(into, kept)
    return sum(len(run.records) for run in kept)


def _what(one: Record) -> tuple[str, str, str, str]:
    return one.suite, one.case, one.measure, one.system


def _needed(run: Run) -> Run:
    """What the rules ask for, and nothing else."""
    wanted: dict[tuple[str, str], set[str]] = {}
    for rule in RULES:
        wanted.setdefault((rule.suite, rule.measure), {OURS}).add(rule.baseline)
    records = [
        one for one in run.records if not one.category and one.system in wanted.get((one.suite, one.measure), set())
    ]
    return Run(run.suite, run.machine, records)


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 when something is worse, was lost, or nothing could be compared."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("records", nargs="+", type=Path)
    parser.add_argument("--accepted", type=Path, default=ACCEPTED, help="the committed results")
    parser.add_argument("--accept", action="store_true", help="take these runs into the committed results instead")
    given = parser.parse_args(arguments)
    runs = [run for path in given.records for run in read(path)]
    if given.accept:
        print(f"{accept(runs, given.accepted)} records are what later runs are compared with")
        return 0
    if not given.accepted.exists():
        print(f"no committed results to compare with: take some with --accept ({given.accepted.name})", file=sys.stderr)
        return 1
    committed = [one for run in read(given.accepted) for one in run.records]
    findings = judge(committed, [one for run in runs for one in run.records])
    print(table(findings))
    judged = [one for one in findings if one.verdict in ("ok", "better", "WORSE", "LOST")]
    bad = [one for one in judged if one.bad]
    if not judged:
        print("nothing could be compared with the committed results", file=sys.stderr)
        return 1
    print(f"\n{len(judged)} ratios compared with the committed results, {len(bad)} worse than they may be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
