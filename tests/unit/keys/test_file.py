import os
from pathlib import Path

import pytest

from tacita.errors import ConfigError, KeyUnavailable, WrongKey
from tacita.keys import file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "keys" / "root.key"
    file.create(made)
    return made


def test_a_new_key_is_its_owners_alone(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    other = path.with_name("other.key")
    file.create(other)
    assert file.open_file(other).id != file.open_file(path).id


def test_it_is_never_overwritten(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="never overwritten"):
        file.create(path)
    assert path.read_bytes() == before


def test_a_missing_key_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable, match="bring it back"):
        file.open_file(tmp_path / "root.key")
    assert not (tmp_path / "root.key").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_reach_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        file.open_file(path)


def test_symlinks_and_other_kinds_of_file_are_refused(path: Path, tmp_path: Path) -> None:
    link, folder = tmp_path / "link.key", tmp_path / "folder.key"
    link.symlink_to(path)
    folder.mkdir(mode=0o700)
    for odd in (link, folder):
        with pytest.raises(ConfigError):
            file.open_file(odd)
    with pytest.raises(ConfigError):
        file.create(link)


@pytest.mark.parametrize("change", ["cut", "empty", "binary", "longer", "zero bytes"])
def test_a_damaged_key_is_refused_without_being_shown(path: Path, change: str) -> None:
    whole = path.read_bytes()
    damaged = {
        "cut": whole[:-9],
        "empty": b"",
        "binary": bytes(range(128, 256)),
        "longer": whole.rstrip() + b"AAAA\n",
        "zero bytes": bytes(64),
    }[change]
    path.write_bytes(damaged)
    with pytest.raises(WrongKey) as caught:
        file.open_file(path)
    assert whole.split()[1][:12].decode() not in str(caught.value)
    assert str(path) in str(caught.value)


def test_hex_and_bare_base64_are_read_too(path: Path, tmp_path: Path) -> None:
    encoded = path.read_text().split()[1]
    bare = tmp_path / "bare.key"
    bare.write_text(encoded)
    bare.chmod(0o600)
    assert file.open_file(bare).id == file.open_file(path).id


def test_the_key_is_on_no_other_file(path: Path) -> None:
    encoded = path.read_text().split()[1]
    holders = [one for one in path.parent.iterdir() if encoded in one.read_text()]
    assert holders == [path]
    assert os.listdir(path.parent) == ["root.key"]
