"""Small data sets as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.benchmarks import sets


@pytest.fixture
def lme_file(tmp_path: Path) -> Path:
    return sets.longmemeval(tmp_path / "longmemeval_s.json")


@pytest.fixture
def locomo_file(tmp_path: Path) -> Path:
    return sets.locomo(tmp_path / "locomo.json")


@pytest.fixture
def beam_folder(tmp_path: Path) -> Path:
    return sets.beam(tmp_path / "chats")
