"""A process that is asked for many more vaults than its memory holds: it waits and lets go, and does not die."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

READER = Path(__file__).with_name("reader.py")
VAULTS = int(os.environ.get("TACITA_RAM_VAULTS", "48"))
SECONDS = int(os.environ.get("TACITA_RAM_SECONDS", "4"))
ITEMS = 1_000
CEILING_MIB = 68
MIB = 1 << 20


def read(home: Path, cache_bytes: int, seconds: int) -> subprocess.CompletedProcess[str]:
    arguments = [str(home), str(cache_bytes), str(VAULTS), str(seconds), str(CEILING_MIB)]
    # Else each thread may reserve 64 MiB of addresses for itself, which say nothing of RAM.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    return subprocess.run(
        [sys.executable, str(READER), *arguments], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="no ceiling on the address space of a process")
def test_many_more_vaults_than_fit_under_a_ceiling(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    spec = importlib.util.spec_from_file_location("tacita_test_reader", READER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.open_memory(tmp_path / "home", 1 << 30) as memory:
        for number in range(VAULTS):
            texts = [
                f"{number} said in {n}: the words of a message, about as many as people write" for n in range(ITEMS)
            ]
            memory.add(texts, user_id=f"user-{number}")
        open_bytes = memory.stats(user_id="user-0").open_bytes
    # The control: with room for all, the same process dies of it.
    died = read(tmp_path / "home", 1 << 30, 60)
    assert died.returncode != 0, died.stdout
    assert "MemoryError" in died.stderr or "Memory allocation" in died.stderr, died.stderr[-2000:]
    cache_bytes = open_bytes // 8
    ran = read(tmp_path / "home", cache_bytes, SECONDS)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout)
    assert found["searched"] > 200
    assert found["refused"] == 0
    grown = (found["most_rss"] - found["rss_before"]) / MIB
    assert grown < 3 * cache_bytes / MIB + 32
    record_property(
        "figure",
        f"{VAULTS} vaults of {open_bytes / MIB:.0f} MiB in all, a budget of {cache_bytes / MIB:.0f} MiB and a ceiling of "
        f"{CEILING_MIB} MiB more addresses: {found['searched']} searches of 8 threads in {SECONDS} s, {found['waits']} "
        f"waits, no refusal, {grown:.0f} MiB more RAM at most; with room for all it dies",
    )
