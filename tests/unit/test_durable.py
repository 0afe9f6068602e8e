"""Files that are whole, private and durable, or not there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tacita.durable import create_file, new_file, replace_file
from tacita.errors import ConfigError
from tacita.keys.passphrase import open_passphrase


def written(path: Path, body: bytes) -> None:
    with new_file(path) as file:
        file.write(body)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing in it."""
    made = tmp_path / "folder"
    made.mkdir()
    return made


@pytest.mark.parametrize("write", [written, create_file, replace_file])
def test_a_file_is_private_and_alone(write: Callable[[Path, bytes], None], folder: Path) -> None:
    mask = os.umask(0)
    try:
        write(folder / "file", b"body")
    finally:
        os.umask(mask)
    assert (folder / "file").read_bytes() == b"body"
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o600
    assert [each.name for each in folder.iterdir()] == ["file"]


@pytest.mark.parametrize("write", [written, create_file])
@pytest.mark.parametrize("target", ["there", "nowhere"])
def test_what_is_there_is_never_overwritten(write: Callable[[Path, bytes], None], target: str, folder: Path) -> None:
    (folder / "there").write_bytes(b"old")
    (folder / "link").symlink_to(folder / target)
    with pytest.raises(FileExistsError):
        write(folder / "link", b"new")
    assert (folder / "there").read_bytes() == b"old"
    assert sorted(each.name for each in folder.iterdir()) == ["link", "there"]


def test_replacing_a_link_leaves_what_it_leads_to(folder: Path) -> None:
    (folder / "there").write_bytes(b"old")
    (folder / "link").symlink_to(folder / "there")
    replace_file(folder / "link", b"new")
    assert (folder / "there").read_bytes() == b"old"
    assert (folder / "link").read_bytes() == b"new"
    assert not (folder / "link").is_symlink()


def test_what_cannot_be_finished_is_removed(folder: Path) -> None:
    def half() -> None:
        with new_file(folder / "file") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert not list(folder.iterdir())


@pytest.mark.parametrize("write", [written, create_file, replace_file])
def test_a_full_disk_leaves_nothing(write: Callable[[Path, bytes], None], folder: Path) -> None:
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.unit.test_durable import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        f"    {write.__name__}(Path(sys.argv[1]), bytes(5000))\n"
        "except OSError as error:\n"
        "    print(error.errno)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-B", "-c", program, str(folder / "file")], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "27"
    assert not list(folder.iterdir())


def test_who_comes_second_with_a_passphrase_takes_the_first_ones_salt(folder: Path) -> None:
    def opened(_: int) -> str:
        return open_passphrase("a long passphrase", folder / "keys" / "salt.json", cost="insecure-test").id

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(opened, range(64)))) == 1


def test_a_passphrase_record_that_leads_nowhere_is_damaged(folder: Path) -> None:
    (folder / "salt.json").symlink_to(folder / "nowhere")
    with pytest.raises(ConfigError, match="damaged"):
        open_passphrase("a long passphrase", folder / "salt.json", cost="insecure-test")
