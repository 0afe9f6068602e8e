"""Yardsticks: systems take turns, the quietest stretch counts, and every rule of the gate finds its pair."""

from __future__ import annotations

from pathlib import Path

from benchmarks.gate import ratios
from benchmarks.speed import FreeEmbedder
from benchmarks.yardsticks import STRETCHES, adding, beside_others, in_turns, searching

from tacita import Memory


def test_systems_take_turns() -> None:
    order: list[tuple[str, int]] = []
    actions = {"a": lambda number: order.append(("a", number)), "b": lambda number: order.append(("b", number))}
    found = in_turns(actions, 2)
    assert found.keys() == {"a", "b"}
    assert all(0 <= p50 <= p95 for p50, p95 in found.values())
    measured = order[6:]
    assert measured[:4] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert len(measured) == 2 * 2 * STRETCHES
    # No stretch repeats the work of another.
    assert [number for name, number in measured if name == "a"] == list(range(2 * STRETCHES))


def test_records_hold_the_pairs_that_the_gate_asks_for(tmp_path: Path) -> None:
    with Memory(tmp_path / "home", keys="ephemeral:", embedder=FreeEmbedder()) as memory:
        made = [*searching(memory, 40, 2), *adding(memory, tmp_path, 2, 30), *beside_others(tmp_path, 20, 12, 2)]
    assert len({record.place for record in made}) == len(made)
    assert all((record.value or 0) > 0 for record in made)
    assert {(rule.measure, rule.baseline) for rule, _ in ratios(made)} == {
        ("search_p50", "numpy"),
        ("add_per_s", "sqlite"),
        ("bulk_per_s", "sqlite"),
    }
