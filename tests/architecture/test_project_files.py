"""What is committed: pinned, hashed, free of this or that machine, and of what the generators would write."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
# Those of extras hold only what each adds: tests/deploy/test_files.py.


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_dependency_is_pinned_and_hashed_and_no_registry_is_named(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text).strip(), flags=re.IGNORECASE)
    assert len(entries) >= {"model.txt": 1, "deploy.txt": 10}.get(path.name, 20)
    for entry in entries:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==[\w.!+]+( ;[^\\]*)? \\\n", entry), entry.split("\n")[0]
        assert "--hash=sha256:" in entry, entry.split("\n")[0]


def test_the_lock_covers_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    locked = {line.split("==")[0] for line in (ROOT / "requirements/run.txt").read_text().splitlines() if "==" in line}
    asked = {re.split(r"[<>=\[]", name)[0].lower() for name in project["project"]["dependencies"]}
    assert len(asked) == 12
    assert asked <= locked


def test_the_two_locks_agree() -> None:
    # Versions; where a package is needed may differ, for more packages ask for it in the larger lock.
    run, dev = (
        dict(
            line.removesuffix(" \\").partition(" ;")[0].split("==", 1)
            for line in (ROOT / "requirements" / name).read_text().splitlines()
            if "==" in line and "python_full_version" not in line
        )
        for name in ("run.txt", "dev.txt")
    )
    assert {name: version for name, version in run.items() if dev.get(name) != version} == {}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git work tree")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_no_committed_file_names_a_machine_or_a_registry() -> None:
    # Spelled in pieces, so that this file does not name them either.
    forbidden = re.compile(
        "|".join(["/" + "work/", "/" + "opt/wheels", "/" + "opt/pypi", r"index" + r"[-_]url\s*=", "/root/" + r"\w"])
    )
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in forbidden.finditer(text)]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["generate_async.py", "generate_reference.py"])
def test_generated_files_are_current(script: str) -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), "--check"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
