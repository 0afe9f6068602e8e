"""The benchmark of what sealing costs: its null cipher stays in it, and its shares are of one whole."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from benchmarks.records import Writer, read
from benchmarks.sealing import compared, measure, null_cipher
from benchmarks.speed import FreeEmbedder
from benchmarks.steps import ADDING, REST, SEARCHING, Step, shares, watching

from benchmarks import report
from tacita import Memory, hazmat

WORD = "quokkastrudel"


def stored(folder: Path) -> bytes:
    with Memory(folder, embedder=FreeEmbedder()) as memory:
        memory.add(f"a {WORD}", user_id="ana")
        assert [hit.item.text for hit in memory.search(WORD, user_id="ana")] == [f"a {WORD}"]
    with Memory(folder, embedder=FreeEmbedder()) as memory:
        assert [hit.item.text for hit in memory.search(WORD, user_id="ana")] == [f"a {WORD}"]
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_the_null_cipher_is_gone_with_its_block(tmp_path: Path) -> None:
    real = hazmat.committed_seal, hazmat.committed_open
    with null_cipher():
        key = hazmat.SecretKey.generate()
        sealed = hazmat.committed_seal(key, b"context", b"text")
        assert len(sealed) == len(real[0](key, b"context", b"text"))
        assert hazmat.committed_open(key, b"context", sealed) == b"text"
        assert WORD.encode() in stored(tmp_path / "null")
    assert (hazmat.committed_seal, hazmat.committed_open) == real
    with contextlib.suppress(RuntimeError), null_cipher():
        raise RuntimeError
    assert (hazmat.committed_seal, hazmat.committed_open) == real
    assert WORD.encode() not in stored(tmp_path / "sealed")


def test_ratios_are_of_neighbouring_blocks() -> None:
    taken = {"sealed": [(2.0, 1.0), (4.0, 1.0), (6.0, 1.0)], "null": [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)]}
    found = {(one.system, one.measure): one for one in compared(taken, "search", 1_000)}
    assert {one.case for one in found.values()} == {"1,000 items"}
    assert found["tacita", "search_ratio"].value == 2.0
    assert found["tacita", "search_ratio_cpu"].value == 1.0
    assert found["tacita", "search_ratio"].note == "at most 1.05"
    assert found["tacita", "search"].value == 2 * (found["null", "search"].value or 0) == 20.0


def test_a_run_becomes_a_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "homes").mkdir()
    blocks = dict.fromkeys(("search", "add", "bulk", "cold"), 2)
    with Writer("sealing", tmp_path / "records" / "sealing.jsonl") as writer:
        for one in measure(40, blocks, tmp_path / "homes"):
            writer.add(one)
    (run,) = read(tmp_path / "records" / "sealing.jsonl")
    for kind in blocks:
        assert {one.system for one in run.records if one.measure == kind} == {"tacita", "null"}
    for kind in ("search", "add"):
        told = [one.value or 0 for one in run.records if one.measure == f"{kind}_share"]
        assert sum(told) == pytest.approx(100, abs=0.5)
        assert told == sorted(told, reverse=True)
    page = report.write(tmp_path / "records", tmp_path / "pages")["sealing"].text()
    assert "| search |" in page
    assert "at most 1.05" in page
    assert "sealing-40-items-add.svg" in page
    assert "commit in the store" in (tmp_path / "pages" / "sealing.md").read_text()


class Slow:
    def outer(self) -> None:
        time.sleep(0.002)
        self.inner()

    def inner(self) -> None:
        time.sleep(0.004)


def test_a_step_counts_once_and_shares_make_a_whole() -> None:
    steps = (Step("outer", Slow, "outer"), Step("inner", Slow, "inner"))
    real = Slow.outer, Slow.inner
    found = shares(steps, lambda: Slow().outer())
    assert set(found) == {"outer", "inner", REST}
    assert sum(found.values()) == pytest.approx(1)
    assert all(share > 0 for share in found.values())
    assert (Slow.outer, Slow.inner) == real


@pytest.mark.parametrize("steps", [SEARCHING, ADDING])
def test_every_step_is_taken(steps: tuple[Step, ...], tmp_path: Path) -> None:
    with Memory(tmp_path / "home", embedder=FreeEmbedder()) as memory:
        memory.add("a lake", user_id="ana")
        with watching(steps) as watch:
            memory.search("the lake", user_id="ana")
            memory.add("another lake", user_id="ana")
    assert {step.name for step in steps} <= set(watch.own)
