"""Pages and plots are what the records say, the same bytes each time, and those that are committed."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from benchmarks.palette import COLOURS, MARKS, look
from benchmarks.plots import Panel, dots, plain
from benchmarks.records import Malformed, Record, Run, write
from benchmarks.retrieval.measuring import BUDGETS

from benchmarks import report

ABOUT: dict[str, str | int | float | list[float]] = {
    "cpu": "a processor",
    "cores": 2,
    "date": "2026-11-21",
    "commit": "abc",
}


def retrieval() -> list[Record]:
    made = []
    for system, of in (("tacita", 79.7), ("bm25", 56.6)):
        for measure in ("recall@5", "recall@10", "any@5"):
            made.append(Record("retrieval", system, "LoCoMo", measure, of, "%", "1", of - 5, of + 5, 582))
        made.append(
            Record("retrieval", system, "LoCoMo", "recall@10", of - 9, "%", "1", of - 20, of + 9, 111, "1 multi-hop")
        )
        for budget in BUDGETS:
            made.append(Record("retrieval", system, "LoCoMo", f"recall within {budget} tokens", of, "%", "1", n=582))
    return made


def speed() -> list[Record]:
    case = "10,000 items"
    return [
        Record("speed", "tacita", case, "search_p50", 0.31, "ms", "0.1", n=9),
        Record("speed", "mem0-qdrant", case, "search_p50", 82.0, "ms", "2", n=9),
        Record("speed", "tacita", case, "canary_left", 0.0, "files", "0.1", n=4),
        Record("speed", "mem0-qdrant", case, "canary_left", None, "files", "2", n=0, note="it writes no files"),
    ]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    records, into = tmp_path / "results", tmp_path / "pages"
    write(records / "retrieval.jsonl", [Run("retrieval", ABOUT, retrieval())])
    write(records / "quick-yardsticks.jsonl", [Run("speed", ABOUT, speed())])
    return records, into


def test_pages_say_what_the_records_say(folders: tuple[Path, Path]) -> None:
    records, into = folders
    report.write(records, into)
    page = (into / "retrieval.md").read_text()
    assert page.startswith(
        "<!-- Written by `python -m benchmarks.report` from results/retrieval.jsonl. Do not edit. -->"
    )
    assert "2 cores of a processor" in page
    assert "commit abc" in page
    assert "| **Tacita** | **79.7 [75, 85]** |" in page
    assert "| 1 multi-hop | 111 | 70.7 [60, 89] | 47.6 [37, 66] |" in page
    quick = (into / "quick-yardsticks.md").read_text()
    assert "# Speed beside yardsticks, the quick run" in quick
    assert "| mem0-qdrant | 82 | - (1) |" in quick
    assert "1. it writes no files" in quick
    assert "[Retrieval](retrieval.md), [records](results/retrieval.jsonl)" in (into / "README.md").read_text()


def test_every_plot_is_shown_and_every_shown_plot_is_there(folders: tuple[Path, Path]) -> None:
    records, into = folders
    into.mkdir()
    (into / "old.svg").write_text("<svg/>")
    report.write(records, into)
    shown = {
        part.partition(")")[0]
        for page in into.glob("*.md")
        for part in page.read_text().split("](")[1:]
        if ".svg)" in part
    }
    assert shown == {path.name for path in into.glob("*.svg")}
    assert len(shown) == 4


def test_the_same_records_make_the_same_bytes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    records, into = folders
    report.write(records, into)
    report.write(records, tmp_path / "again")
    for path in into.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_plots_are_drawings_without_a_date_for_light_and_dark_pages(folders: tuple[Path, Path]) -> None:
    records, into = folders
    report.write(records, into)
    for path in into.glob("*.svg"):
        text = path.read_text()
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert "dc:date" not in text
        assert "prefers-color-scheme: dark" in text
        # What the style sheet swaps is there to be swapped.
        for colour in ("#fefefe", "#1f2328", "#d6dbe0"):
            assert text.count(colour) > 2, (path.name, colour)
        assert "#000000" not in text


def test_scales_are_logarithmic_where_values_span_decades() -> None:
    def figure_of(values: tuple[float, float], unit: str) -> str:
        rows = {s: {"c": Record("speed", s, "c", "m", v)} for s, v in zip(("tacita", "other"), values, strict=True)}
        figure = dots([Panel("t", unit, ["c"], rows, "lower")], ["tacita", "other"])
        return str(figure.axes[0].get_xscale())

    assert figure_of((0.3, 82.0), "ms") == "log"
    assert figure_of((0.3, 0.9), "ms") == "linear"
    assert figure_of((0.0, 82.0), "ms") == "linear"
    assert figure_of((1.0, 100.0), "%") == "linear"
    assert [plain(number) for number in (0.01, 1.5, 10, 100_000)] == ["0.01", "1.5", "10", "100,000"]


def test_a_system_looks_the_same_everywhere_and_like_no_other() -> None:
    systems = ["tacita", *(f"peer {number}" for number in range(11))]
    looks = [look(system, systems) for system in systems]
    assert len(set(looks)) == len(systems) == len(COLOURS) == len(MARKS)
    assert look("tacita", ["other", "tacita"]) == looks[0]


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        ([Run("retrieval", ABOUT, []), Run("speed", ABOUT, [])], "one suite"),
        ([Run("cooking", ABOUT, [])], "cooking"),
        ([Run("speed", ABOUT, speed()), Run("speed", {**ABOUT, "cpu": "another"}, speed())], "different machines"),
    ],
)
def test_what_does_not_go_into_one_table_is_refused(tmp_path: Path, runs: list[Run], why: str) -> None:
    write(tmp_path / "x.jsonl", runs)
    with pytest.raises(Malformed, match=why):
        report.page_of(tmp_path / "x.jsonl")


def test_answering_publishes_its_prompts_and_says_when_it_proves_nothing(tmp_path: Path) -> None:
    records = [
        Record("answering", "judge", "s", "wrong answers refused", 100.0, "%", n=9),
        Record("answering", "tacita", "s", "right", 40.0, "%", "1", 30.0, 50.0, 60, note="3 repeats, scripted:reader"),
    ]
    write(tmp_path / "answering.jsonl", [Run("answering", ABOUT, records)])
    text = report.page_of(tmp_path / "answering.jsonl").text()
    assert "prove the harness and nothing else" in text
    assert "say exactly: I don't know." in text
    assert "RIGHT or WRONG" in text
    assert "wrong answers refused: 100 % of 9" in text


def test_the_committed_pages_are_those_of_the_committed_records(tmp_path: Path) -> None:
    report.write(report.PAGES / "results", tmp_path)
    # Plots may differ in a digit between versions of the library that draws; pages may not.
    made = {path.name: path.read_text() for path in tmp_path.glob("*.md")}
    assert made == {path.name: path.read_text() for path in report.PAGES.glob("*.md")}
    assert {path.name for path in tmp_path.glob("*.svg")} == {path.name for path in report.PAGES.glob("*.svg")}
