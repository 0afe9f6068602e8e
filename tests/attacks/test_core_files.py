"""A process that crashes leaves no core file with what its open vaults held."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tacita.testing.canary import found_under

WORD = "xylophonequartz"
CRASH = f"""
import os, resource
_, hard = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
from tacita import Memory
from tacita.config import Settings
memory = Memory(settings=Settings.load(config={{"home": "HOME", "core_dumps": CORES}}), embedder="none")
memory.add("{WORD}", user_id="ana")
memory.search("{WORD}", user_id="ana")
os.abort()
"""


def crashed(home: Path, folder: Path, *, cores: bool) -> list[tuple[str, str, str]]:
    """What is found of the planted word in the working folder of a process that crashed."""
    folder.mkdir()
    code = CRASH.replace("HOME", str(home)).replace("CORES", str(cores))
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGABRT, done.stderr
    return list(found_under(folder, [WORD]))


def test_a_crash_leaves_no_core_file(home: Path, tmp_path: Path) -> None:
    assert crashed(home, tmp_path / "quiet", cores=False) == []
    assert list((tmp_path / "quiet").iterdir()) == []


def test_the_check_would_find_one(home: Path, tmp_path: Path) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern")
    if not pattern.exists() or not pattern.read_text().startswith("core"):
        pytest.skip("core files go elsewhere on this machine")
    assert crashed(home, tmp_path / "loud", cores=True)
