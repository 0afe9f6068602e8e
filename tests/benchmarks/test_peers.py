"""The comparison with other systems: its records have their form, and its tests can fail a system that deserves it."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from benchmarks.peers import __main__ as command
from benchmarks.peers.data import Case, Data, beside, even, person, unit_vectors, write
from benchmarks.peers.harness import UNITS, Effort, Record, Run, canary, files_with, kills, speed
from benchmarks.peers.harness import beside as neighbours
from benchmarks.peers.port import Lookup
from benchmarks.peers.ratios import Turn, taken_in_turn
from benchmarks.peers.systems import SYSTEMS, System, by_name
from benchmarks.peers.work import CANARIES, TooLong, quietest, timed, within

EFFORT = Effort(seconds=0.2, spare=80, patience=120.0)
KILLED = Effort(seconds=0.2, spare=400, patience=120.0, kills=2)
TIMED = {
    *("bulk_per_s", "cold_ms", "disk_mb", "search_p50", "search_p95", "rss_mb"),
    *("add_per_s", "mixed_per_s", "delete_p50", "erase_ms", "cpu_s"),
}
TACITA = by_name("tacita")
FEW = Case("few", (20,), (0,))


class Prepare(Protocol):
    def __call__(self, system: System, case: Case, effort: Effort = EFFORT) -> Run: ...


def made(name: str) -> System:
    return System(f"test-{name}", f"tests.benchmarks.adapters:{name}")


@pytest.fixture
def run(tmp_path: Path) -> Prepare:
    def prepared(system: System, case: Case, effort: Effort = EFFORT) -> Run:
        one = Run(system, case, effort, tmp_path)
        one.prepare()
        return one

    return prepared


def only(records: list[Record], measure: str) -> Record:
    (found,) = [one for one in records if one["measure"] == measure]
    return found


@pytest.mark.slow
def test_every_measure_of_tacita_is_a_record(run: Prepare) -> None:
    records = speed(run(TACITA, even(60, 3)))
    assert sorted(one["measure"] for one in records) == sorted(TIMED)
    for one in records:
        assert {key: type(one[key]) for key in ("suite", "system", "version", "case", "measure", "unit", "n")} == {
            **dict.fromkeys(("suite", "system", "version", "case", "measure", "unit"), str),
            "n": int,
        }
        assert (one["suite"], one["system"], one["case"]) == ("speed", "tacita", "60 items, 3 people")
        assert one["unit"] == UNITS[one["measure"]]
        assert one["value"] > 0, one
        assert one["n"] > 0
        assert "note" not in one or one["note"]
        assert json.loads(json.dumps(one)) == one
    assert only(records, "search_p50")["value"] <= only(records, "search_p95")["value"]
    assert only(records, "search_p50")["n"] <= 1_000
    assert only(records, "bulk_per_s")["n"] == 60
    assert only(records, "cold_ms")["version"].startswith("tacita ")


@pytest.mark.slow
def test_tacita_loses_nothing_leaves_nothing_and_starves_nobody(run: Prepare, tmp_path: Path) -> None:
    lost = kills(run(TACITA, FEW, KILLED))
    assert only(lost, "lost_of_kills")["value"] == 0
    assert only(lost, "acknowledged")["value"] >= 2 * 5
    for name, measure, expected in ((canary, "canary_left", 0), (neighbours, "small_beside_large", 5)):
        other = Run(TACITA, Case("two", (60, 5), (0, 1)), EFFORT, tmp_path / measure)
        other.prepare()
        assert only(name(other), measure)["value"] == expected


@pytest.mark.parametrize("name", ["Faithful", "Strict", "Lossy", "Torn"])
def test_acknowledged_adds_that_a_kill_takes_are_counted(name: str, run: Prepare) -> None:
    records = kills(run(made(name), FEW, KILLED))
    lost, acknowledged = only(records, "lost_of_kills"), only(records, "acknowledged")
    assert acknowledged["value"] > 0
    if name in ("Faithful", "Strict"):
        assert lost["value"] == 0, lost
    elif name == "Lossy":
        assert 0 < lost["value"] < acknowledged["value"]
        assert lost["n"] == acknowledged["value"]
    else:
        # What cannot be opened is lost, and the record says so.
        assert lost["value"] == acknowledged["value"]
        assert "JSONDecodeError" in lost["note"]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("Faithful", None),
        ("Leaky", "utf-8"),
        ("LeakyWide", "utf-16-le"),
        ("LeakyEscaped", "json escapes"),
        ("LeakyBase64", "base64, alignment"),
    ],
)
def test_what_a_deletion_leaves_is_found(name: str, form: str | None, run: Prepare) -> None:
    (left,) = canary(run(made(name), FEW))
    assert left["measure"] == "canary_left"
    assert left["value"] == (0 if form is None else 1)
    if form is not None:
        assert left["note"].startswith(f"log ({form}")


def test_only_the_planted_words_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"nothing of that kind")
    assert files_with(tmp_path, CANARIES) == {}
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "two").write_bytes(b"\0" + CANARIES[-1].encode("utf-16-be"))
    assert files_with(tmp_path, CANARIES) == {"below/two": "utf-16-be"}


@pytest.mark.parametrize(("name", "least", "most"), [("Faithful", 5, 5), ("GlobalTop", 0, 4)])
def test_a_filter_after_the_search_starves_small_persons(name: str, least: int, most: int, run: Prepare) -> None:
    (found,) = neighbours(run(made(name), Case("5 items beside 200", (200, 5), (0, 1))))
    assert least <= found["value"] <= most
    assert (found["unit"], found["n"]) == ("of 5", 20)


@pytest.mark.parametrize(
    ("what", "measures"),
    [
        (speed, TIMED),
        (kills, {"lost_of_kills", "acknowledged"}),
        (canary, {"canary_left"}),
        (neighbours, {"small_beside_large"}),
    ],
)
def test_a_system_that_does_not_open_says_why(
    what: Callable[[Run], list[Record]], measures: set[str], run: Prepare
) -> None:
    records = what(run(made("Broken"), FEW))
    assert {one["measure"] for one in records} == measures
    for one in records:
        assert not one["value"]
        assert one["measure"] == "acknowledged" or "OSError: nothing to be done in system" in one["note"]


def test_a_system_in_ram_is_not_asked_for_what_outlives_it(run: Prepare) -> None:
    system = dataclasses.replace(made("Faithful"), in_ram=True)
    one = run(system, FEW)
    records = speed(one)
    assert {each["measure"] for each in records} == TIMED
    assert {each["measure"] for each in records if each["value"] is None} == {"cold_ms", "disk_mb"}
    assert [each["value"] for each in [*kills(one), *canary(one)]] == [None] * 3


def test_a_process_that_takes_too_long_is_ended(run: Prepare) -> None:
    one = dataclasses.replace(run(made("Faithful"), FEW), effort=dataclasses.replace(EFFORT, patience=0.01))
    records = speed(one)
    assert {each["value"] for each in records} == {None}
    assert "took longer than 0 s" in records[0]["note"]


def test_the_command_tells_the_machine_first_and_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["peers", "--quick", "--only", "letta,cognee", "--json", str(tmp_path / "out")])
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    # A test is not the main thread's only user of signals.
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    command.main()
    first, *others = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [first[key] for key in ("measure", "suite", "system", "case")] == ["machine", "speed", "", ""]
    assert set(first["machine"]) == {
        *("cpu", "cores", "cores_used", "ram_gb", "python", "kernel", "date", "commit", "load"),
    }
    assert {(one["system"], one["measure"], one["value"]) for one in others} == {
        (system, measure, None)
        for system in ("letta", "cognee")
        for measure in ("search_p50", "lost_of_kills", "canary_left", "small_beside_large")
    }
    assert all(one["note"].startswith("not run: ") for one in others)


def test_what_is_not_installed_is_said() -> None:
    assert System("x", "", ("no-such-package-of-ours",)).missing() == "no-such-package-of-ours is not installed"
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        System("x", "", ("no-such-package-of-ours",)).version()
    assert TACITA.missing() is None


def test_every_system_has_an_adapter_of_under_eighty_lines() -> None:
    for system in SYSTEMS:
        if system.refuses is None:
            module = Path(command.__file__).parent / f"{system.place.partition(':')[0].rpartition('.')[2]}.py"
            assert f"class {system.place.partition(':')[2]}" in module.read_text()
            assert len(module.read_text().splitlines()) < 80, module


def test_cases_say_how_many_and_whom() -> None:
    case = even(10_000, 1_000)
    assert (case.name, case.items, set(case.sizes)) == ("10000 items, 1000 people", 10_000, {10})
    assert (len(case.asked), case.asked[-1]) == (100, 990)
    assert (beside(7, 3).sizes, beside(7, 3).asked) == ((7, 1, 1), (0,))


def test_data_are_the_same_for_everybody(tmp_path: Path) -> None:
    case = Case("two sizes", (3, 2), (0,))
    for name in ("a", "b"):
        write(tmp_path / name, case, 4)
    people, again = list(Data(tmp_path / "a").people()), list(Data(tmp_path / "b").people())
    assert [(who, len(items)) for who, items in people] == [(person(0), 3), (person(1), 2)]
    everything = [item for _, items in people for item in items] + Data(tmp_path / "a").spare
    assert len({item.text for item in everything}) == 9
    for (_, ours), (_, theirs) in zip(people, again, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert (one.id, one.text) == (other.id, other.text)
            np.testing.assert_array_equal(one.vector, other.vector)


def test_no_cosine_is_negative_so_that_no_threshold_hides_a_hit() -> None:
    items, questions = unit_vectors(2_000, 4), unit_vectors(64, 6)
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1, rtol=1e-5)
    assert (items @ questions.T).min() > 0


def stubborn() -> None:
    """Goes on after any error, as some libraries do."""
    for _ in range(60):
        with contextlib.suppress(Exception):
            time.sleep(1)


def test_what_takes_too_long_is_left() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TooLong), within(0.01):
        stubborn()
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_lookup_makes_nothing_up(tmp_path: Path) -> None:
    write(tmp_path / "data", FEW, 1)
    (spare,) = Data(tmp_path / "data").spare
    lookup = Lookup()
    lookup.know([spare])
    np.testing.assert_array_equal(lookup.of(spare.text), spare.vector)
    with pytest.raises(KeyError):
        lookup.of("something else")


@pytest.mark.slow
def test_systems_that_take_turns_are_told_as_ratios(tmp_path: Path) -> None:
    with contextlib.ExitStack() as opened:
        turns = []
        for system in (TACITA, made("Faithful")):
            turns.append(Turn(Run(system, even(40, 2), EFFORT, tmp_path / system.name), opened))
        records = taken_in_turn(turns, "search", 3)
    ours, quickest, theirs, _ = records
    assert [one["measure"] for one in records] == ["search_ratio", "search_least"] * 2
    assert (ours["value"], ours["n"], ours["unit"]) == (1.0, 3, "times Tacita's")
    assert quickest["value"] > 0
    assert 0 < theirs["low"] <= theirs["value"] <= theirs["high"]


def test_the_quietest_stretch_is_what_counts() -> None:
    assert quietest([4.0, 4.0, 1.0, 2.0, 9.0, 9.0, 5.0, 5.0]) == (1.5, 2.0)
    assert quietest([3.0]) == (3.0, 3.0)
    assert len(timed([lambda: None] * 5, 60.0)) == 5
    assert len(timed([lambda: None] * 5, -1.0)) == 1
