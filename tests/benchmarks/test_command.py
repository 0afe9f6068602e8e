"""What `python -m benchmarks` runs, in which order, and what it says when it runs nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as command


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The command lines, of which the ones that write records write one line, and `sealing` fails."""
    made: list[list[str]] = []

    def run(python: str, line: list[str]) -> int:
        made.append([python, *line])
        for each in line:
            if each.startswith("--json="):
                with Path(each.removeprefix("--json=")).open("a") as file:
                    file.write(json.dumps({"suite": "x"}) + "\n")
        return int("benchmarks.sealing" in line)

    monkeypatch.setattr(command, "_run", run)
    monkeypatch.setattr(command, "SCRATCH", tmp_path / "scratch")
    monkeypatch.setattr(command, "RESULTS", tmp_path / "pages" / "results")
    monkeypatch.setattr(command.report, "main", lambda _: 0)
    monkeypatch.setattr(command.gate, "main", lambda paths: len(paths) == 0)
    return made


def test_the_quick_run_measures_what_needs_no_data_and_no_peers(ran: list[list[str]], tmp_path: Path) -> None:
    assert command.main(["--quick"]) == 1, "one of its steps failed"
    assert [line[1] for line in ran] == ["benchmarks.yardsticks", "benchmarks.sealing", "benchmarks.retrieval"]
    assert all("--quick" in line or "--sizes=100K" in line for line in ran)
    written = sorted(path.name for path in (tmp_path / "pages" / "results").iterdir())
    assert written == ["quick-retrieval.jsonl", "quick-yardsticks.jsonl"], "records of a step that failed are no result"


def test_peers_run_under_their_own_python_and_take_turns_into_one_file(ran: list[list[str]], tmp_path: Path) -> None:
    assert command.main(["--only=peers,turns", "--peers=/peers/python"]) == 0
    assert {line[0] for line in ran} == {"/peers/python"}
    assert [line[1] for line in ran] == ["benchmarks.peers", *["benchmarks.peers.ratios"] * len(command.TURNS)]
    lines = (tmp_path / "pages" / "results" / "turns.jsonl").read_text().splitlines()
    assert len(lines) == len(command.TURNS)
    assert command.main(["--only=turns", "--peers=/peers/python"]) == 0
    again = (tmp_path / "pages" / "results" / "turns.jsonl").read_text().splitlines()
    assert len(again) == len(command.TURNS), "a new run does not append to the last one"


def test_nothing_to_run_is_said(ran: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--only=peers"]) == 1
    assert ran == []
    assert "nothing to run: --only has speed, yardsticks, sealing, retrieval" in capsys.readouterr().out
