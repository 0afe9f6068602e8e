"""All targets under a coverage-guided fuzzer: `TACITA_FUZZ_SECONDS` each (60), two at a time. About a quarter of an hour.

With one seed, so that what fails is the change and not the day. `make fuzz` looks for new inputs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzzing.targets import TARGETS

SECONDS = int(os.environ.get("TACITA_FUZZ_SECONDS", "60"))
# As of atheris 3.0.0: no wheel for a later Python. A machine with an earlier one and without it fails.
WITH_WHEEL = (3, 11) <= sys.version_info[:2] <= (3, 12) and sys.platform == "linux"


@pytest.mark.slow
@pytest.mark.timeout(36_000)
@pytest.mark.skipif(not WITH_WHEEL, reason="atheris has no wheel for this Python or system")
def test_no_input_breaks_a_promise(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    assert importlib.util.find_spec("atheris") is not None, "atheris is missing: pip install atheris"
    runner = Path(__file__).with_name("run.py")
    command = [sys.executable, "-W", "error", str(runner), "--json", "--jobs", "2", "--seed", "1"]
    ran = subprocess.run(
        [*command, "--seconds", str(SECONDS), "--findings", str(tmp_path / "found")],
        capture_output=True,
        text=True,
        check=False,
    )
    outcomes = [json.loads(line) for line in ran.stdout.splitlines()]
    executions = sum(outcome["executions"] for outcome in outcomes)
    found = sum(len(outcome["crashes"]) for outcome in outcomes)
    record_property("figure", f"{len(outcomes)} parsers, {executions:,} inputs, {found} failures")
    assert ran.returncode == 0, ran.stderr
    assert {outcome["target"] for outcome in outcomes} == set(TARGETS)
    assert all(outcome["branches"] for outcome in outcomes)
