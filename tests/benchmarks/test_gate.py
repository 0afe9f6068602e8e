"""The gate fails when it should, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.gate import ACCEPTED, RULES, accept, judge, main, ratios
from benchmarks.records import Record, Run, read, write


def value(
    system: str, of: float | None, suite: str = "retrieval", measure: str = "recall@10", case: str = "c"
) -> Record:
    return Record(suite, system, case, measure, of, note="" if of is not None else "not installed")


def run(*records: Record) -> Run:
    return Run(records[0].suite, {"cpu": "x"}, list(records))


def verdicts(committed: list[Record], now: list[Record]) -> dict[tuple[str, str], str]:
    return {(one.rule.measure, one.rule.baseline): one.verdict for one in judge(committed, now)}


BEFORE = [value("tacita", 80), value("bm25", 50), value("minilm", 40)]


def test_ratios_are_compared_and_not_values() -> None:
    # Half of everything on a harder sample: the same ratio.
    half = [value("tacita", 40), value("bm25", 25), value("minilm", 20)]
    assert set(verdicts(BEFORE, half).values()) == {"ok"}


@pytest.mark.parametrize(("recall", "verdict"), [(80, "ok"), (78.6, "ok"), (78.2, "WORSE"), (95, "better")])
def test_recall_may_fall_by_two_parts_in_a_hundred(recall: float, verdict: str) -> None:
    now = [value("tacita", recall), *BEFORE[1:]]
    assert verdicts(BEFORE, now)["recall@10", "bm25"] == verdict


@pytest.mark.parametrize(("ms", "verdict"), [(3.9, "ok"), (4.1, "WORSE"), (0.9, "better")])
def test_time_may_double_beside_its_yardstick(ms: float, verdict: str) -> None:
    of = ("speed", "search_p50")
    before = [value("tacita", 2.0, *of), value("numpy", 1.0, *of)]
    now = [value("tacita", ms, *of), value("numpy", 1.0, *of)]
    assert verdicts(before, now) == {("search_p50", "numpy"): verdict}
    # On a machine ten times slower the same ratio is the same.
    slow = [value("tacita", 10 * ms, *of), value("numpy", 10.0, *of)]
    assert verdicts(before, slow) == {("search_p50", "numpy"): verdict}


def test_more_is_better_for_rates() -> None:
    of = ("speed", "add_per_s")
    before = [value("tacita", 500, *of), value("sqlite", 1000, *of)]
    assert verdicts(before, [value("tacita", 240, *of), value("sqlite", 1000, *of)]) == {
        ("add_per_s", "sqlite"): "WORSE"
    }


def test_a_baseline_that_is_gone_is_noticed() -> None:
    assert verdicts(BEFORE, [value("tacita", 80), value("minilm", 40)])["recall@10", "bm25"] == "LOST"
    # Tacita itself has no value any more.
    broken = [value("tacita", None), *BEFORE[1:]]
    assert verdicts(BEFORE, broken)["recall@10", "bm25"] == "LOST"


def test_a_baseline_that_says_why_it_is_missing_is_excused() -> None:
    now = [value("tacita", 80), value("bm25", None), value("minilm", 40)]
    assert verdicts(BEFORE, now) == {("recall@10", "bm25"): "not run", ("recall@10", "minilm"): "ok"}


def test_other_cases_are_not_judged() -> None:
    other = [value("tacita", 1, case="d"), value("bm25", 50, case="d")]
    assert sorted(one.verdict for one in judge(BEFORE, other)) == ["new", "not run", "not run"]


def test_categories_are_not_compared() -> None:
    part = [Record("retrieval", system, "c", "recall@10", 1.0, category="few") for system in ("tacita", "bm25")]
    assert ratios(part) == {}


def test_a_baseline_of_nothing_has_no_ratio() -> None:
    assert ratios([value("tacita", 80), value("bm25", 0)]) == {}


def test_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accepted, now = tmp_path / "accepted.jsonl", tmp_path / "now.jsonl"
    write(now, [run(*BEFORE)])
    assert main([str(now), "--accepted", str(accepted)]) == 1
    assert "no committed results" in capsys.readouterr().err
    assert main(["--accept", str(now), "--accepted", str(accepted)]) == 0
    assert main([str(now), "--accepted", str(accepted)]) == 0
    assert "2 ratios compared with the committed results, 0 worse" in capsys.readouterr().out
    write(now, [run(value("tacita", 60), *BEFORE[1:])])
    assert main([str(now), "--accepted", str(accepted)]) == 1
    shown = capsys.readouterr().out
    assert shown.splitlines()[1].startswith("WORSE")
    assert "2 worse than they may be" in shown
    write(now, [run(value("tacita", 60, case="d"), value("bm25", 50, case="d"))])
    assert main([str(now), "--accepted", str(accepted)]) == 1
    assert "nothing could be compared" in capsys.readouterr().err


def test_accepting_replaces_the_cases_of_a_run_and_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "accepted.jsonl"
    write(path, [run(*BEFORE, value("tacita", 7, case="d"), value("bm25", 5, case="d"))])
    extra = [value("rrf60", 1), Record("retrieval", "tacita", "c", "recall@10", 3.0, category="few")]
    assert accept([run(value("tacita", 90), value("bm25", 50), *extra)], path) == 4
    kept = [one for each in read(path) for one in each.records]
    assert {(one.case, one.system, one.value) for one in kept} == {
        ("d", "tacita", 7),
        ("d", "bm25", 5),
        ("c", "tacita", 90),
        ("c", "bm25", 50),
    }


def test_what_two_runs_measured_is_accepted_once(tmp_path: Path) -> None:
    path = tmp_path / "accepted.jsonl"
    assert accept([run(*BEFORE), run(value("tacita", 90), value("bm25", 50))], path) == len(BEFORE)
    kept = {(one.system, one.value) for each in read(path) for one in each.records}
    assert kept == {("tacita", 90), ("bm25", 50), *((one.system, one.value) for one in BEFORE[2:])}


def test_the_committed_results_are_held_by_the_rules() -> None:
    committed = [one for each in read(ACCEPTED) for one in each.records]
    held = ratios(committed)
    assert {(rule.suite, rule.measure, rule.baseline) for rule, _ in held} >= {
        ("retrieval", "recall@10", "bm25"),
        ("retrieval", "recall@10", "minilm"),
        ("speed", "search_p50", "numpy"),
        ("speed", "add_per_s", "sqlite"),
        ("speed", "bulk_per_s", "sqlite"),
    }
    assert all(1 < rule.tolerance <= 2 for rule in RULES)
    # Tacita a tenth worse in recall, or ten times slower, cannot pass.
    worse = [
        value(one.system, (one.value or 0) * (1 if one.system != "tacita" else 0.9), one.suite, one.measure, one.case)
        for one in committed
        if one.suite == "retrieval"
    ]
    assert any(one.verdict == "WORSE" for one in judge(committed, worse))
