"""Lines of results: what is written is read back, and what is not of the form is refused with its line."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from benchmarks.records import Malformed, Record, Run, Writer, machine, read, write

MACHINE = {"suite": "speed", "system": "", "case": "", "measure": "machine", "machine": {"cpu": "a", "cores": 2}}
VALUE = {"suite": "speed", "system": "tacita", "case": "c", "measure": "m", "value": 1.5, "unit": "ms"}


def lines(path: Path, *objects: object) -> Path:
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in objects))
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    record = Record("speed", "tacita", "ten items", "m", 1.5, "ms", "0.1", 1.0, 2.0, 7, "part", "a note")
    gap = Record("speed", "other", "ten items", "m", None, "ms", note="cannot do it")
    path = tmp_path / "made" / "r.jsonl"
    with Writer("speed", path) as writer:
        writer.add(record)
        # Each line is there at once: an interrupted run keeps what it had.
        assert len(path.read_text().splitlines()) == 2
        writer.add(gap)
    (run,) = read(path)
    assert (run.suite, run.records) == ("speed", [record, gap])
    assert run.machine == writer.run.machine
    write(tmp_path / "again.jsonl", [run, Run("speed", {"cpu": "b", "load": [0.5, 1.0]}, [record])])
    first, second = read(tmp_path / "again.jsonl")
    assert (first, second.machine["load"], second.records) == (run, [0.5, 1.0], [record])


def test_a_writer_takes_one_suite() -> None:
    with Writer("speed") as writer, pytest.raises(ValueError, match="in a run of speed"):
        writer.add(Record("retrieval", "tacita", "c", "m", 1.0))


def test_the_machine_is_told_and_not_its_name_or_place() -> None:
    told = machine()
    assert {"cpu", "cores", "ram_gb", "python", "kernel", "date", "commit"} == told.keys()
    text = json.dumps(told)
    assert socket.gethostname() not in text
    assert str(Path.home()) not in text


@pytest.mark.parametrize(
    ("objects", "why"),
    [
        ([], "empty"),
        (["{"], "line 1"),
        (["[]"], "not an object"),
        ([VALUE], "begins with a line about the machine"),
        ([{**MACHINE, "machine": {}}], "what the machine is"),
        ([{**MACHINE, "machine": {"cpu": {"deep": 1}}}], "line 1"),
        ([{**MACHINE, "suite": ""}], "has a suite"),
        ([MACHINE, {**VALUE, "extra": 1}], "unknown fields: extra"),
        ([MACHINE, {**VALUE, "suite": "retrieval"}], "a record of retrieval in a run of speed"),
        ([MACHINE, VALUE, VALUE], "line 3: the same thing"),
        ([MACHINE, {**VALUE, "value": None}], "says why"),
        ([MACHINE, {**VALUE, "value": "1.5"}], "line 2"),
        ([MACHINE, {**VALUE, "value": True}], "line 2"),
        ([MACHINE, json.dumps({**VALUE, "value": float("nan")})], "NaN is no number"),
        ([MACHINE, {**VALUE, "low": "x"}], "line 2"),
        ([MACHINE, {**VALUE, "n": -1}], "a count"),
        ([MACHINE, {**VALUE, "system": ""}], "must not be empty"),
        ([MACHINE, {key: VALUE[key] for key in VALUE if key != "value"}], "value"),
    ],
)
def test_malformed_lines_are_refused(tmp_path: Path, objects: list[object], why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read(lines(tmp_path / "r.jsonl", *objects))


def test_two_runs_may_say_the_same_thing(tmp_path: Path) -> None:
    runs = read(lines(tmp_path / "r.jsonl", MACHINE, VALUE, MACHINE, VALUE))
    assert [len(run.records) for run in runs] == [1, 1]
