"""Inputs that once broke a promise, and every target's own seeds, without a fuzzer and on every Python."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import pytest
from fuzzing.targets import TARGETS

FOLDER = Path(__file__).with_name("regressions")
INPUTS = sorted(path for path in FOLDER.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_what_once_broke_holds(path: Path) -> None:
    _holds(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_hold(name: str) -> None:
    for seed in TARGETS[name].seeds():
        assert len(seed) <= TARGETS[name].max_len
        _holds(name, seed)


def test_every_input_belongs_to_a_target() -> None:
    assert {path.parent.name for path in INPUTS} <= set(TARGETS)
    assert INPUTS


def _holds(name: str, data: bytes) -> None:
    before, began = _megabytes(), time.monotonic()
    TARGETS[name].run(data)
    assert time.monotonic() - began < 5
    assert _megabytes() - before < 512


def _megabytes() -> float:
    """The most that this process ever held: it only grows."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)
