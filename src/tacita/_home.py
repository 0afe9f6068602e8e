"""A home folder: made private, its key provider chosen once and recorded, its files looked at."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tacita.durable import replace_file, sync_folder
from tacita.errors import ConfigError, Conflict, KeyProviderError, KeyUnavailable
from tacita.hazmat import random_bytes
from tacita.keys import file as key_file
from tacita.keys import oskeyring
from tacita.ports.keys import KeyProvider

log = logging.getLogger("tacita")

_RECORD = "home.json"
_SECRET_BYTES = 64 * 1024


class Root(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A root key: where it is, and its id."""

    keys: str
    provider: str


class _Record(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    format: int
    created: str
    keys: str
    provider: str
    previous: tuple[Root, ...] = ()
    """Root keys from before a rotation, under which some vault keys may still be."""


def prepare(home: Path) -> None:
    """Make home, data and keys folders 0700. Raises ConfigError for symlinks and folders that others can enter."""
    for folder in (home, home / "data", home / "keys"):
        if not folder.exists() and not folder.is_symlink():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            sync_folder(folder.parent)
        status = os.lstat(folder)
        # The keys folder may well be a mount or a link to another disk: moving it there is what the docs advise.
        if folder.name != "keys" and not stat.S_ISDIR(status.st_mode):
            raise ConfigError(f"{folder} is not a plain folder; symlinks are refused")
        if folder.name != "keys" and status.st_mode & 0o077:
            raise ConfigError(f"{folder} is open to others: chmod 700 {folder}")


def require_ring(home: Path) -> None:
    """Raises KeyUnavailable when there is data but no key ring: an empty new ring would make the home look empty."""
    if (home / "data" / "log.db").exists() and not (home / "keys" / "ring.db").exists():
        raise KeyUnavailable(f"{home / 'keys' / 'ring.db'} is missing, but there is data: bring the key ring back")


def recorded_keys(home: Path) -> str | None:
    """The key URI that this home recorded, None before first use."""
    record = _read(home)
    return None if record is None else record.keys


def previous_keys(home: Path) -> tuple[Root, ...]:
    """Root keys from before a rotation that was not finished."""
    record = _read(home)
    return () if record is None else record.previous


def root_of(home: Path, provider_id: str) -> str | None:
    """Where the root key of this id is, as the home knows it at this moment; None if it knows no such."""
    record = _read(home)
    roots = () if record is None else (Root(record.keys, record.provider), *record.previous)
    return next((root.keys for root in roots if root.provider == provider_id), None)


def make_key_file(path: Path) -> None:
    """A new root key in a private file, unless there is one."""
    if not path.exists():
        key_file.create(path)


def record_rotation(home: Path, keys: str, provider: str) -> None:
    """Make another root key the home's; the one before is remembered. Raises ConfigError without a record."""
    with _locked(home):
        record = _read(home)
        if record is None:
            raise ConfigError(f"{home} has no {_RECORD}: there is no root key to rotate")
        kept = (Root(record.keys, record.provider), *record.previous)
        previous = tuple(root for root in kept if root.provider != provider)
        _write(home, _Record(record.format, record.created, keys, provider, previous))


def record_end_of_rotation(home: Path) -> None:
    """Forget the root keys from before."""
    with _locked(home):
        record = _read(home)
        if record is not None and record.previous:
            _write(home, _Record(record.format, record.created, record.keys, record.provider))


def choose_keys(home: Path, uri: str | None, opened: Callable[[str], KeyProvider]) -> KeyProvider:
    """The home's key provider: the recorded one, or at first use `uri` or the best there is, recorded for ever.

    Raises:
        ConfigError: `uri` names another root key than the recorded one.
        KeyUnavailable: the recorded key is not there, or there is data but no record of its key.
    """
    with _locked(home):
        record = _read(home)
        if record is not None:
            provider = opened(uri or record.keys)
            if provider.id != record.provider:
                raise ConfigError(f"this home's root key is {record.provider}, not {provider.id}")
            return provider
        if (home / "data" / "log.db").exists() or (home / "keys" / "ring.db").exists():
            raise KeyUnavailable(f"{home / _RECORD} is missing, but there is data: bring the record back from a backup")
        chosen = uri or _make_root(home)
        provider = opened(chosen)
        _write(home, _Record(1, datetime.now(UTC).isoformat(timespec="seconds"), chosen, provider.id))
        return provider


def _make_root(home: Path) -> str:
    if oskeyring.usable():
        # Part of the name is random: two homes must not share an entry, nor a new home find an old one's key.
        name = f"root-{random_bytes(6).hex()}"
        try:
            oskeyring.create("tacita", name)
            log.warning("tacita: the root key of %s is kept in the OS keyring, entry tacita/%s", home, name)
            return f"keyring:tacita/{name}"
        except KeyProviderError as error:
            log.warning("tacita: the OS keyring does not work (%s)", error)
    path = home / "keys" / "root.key"
    if not path.exists():
        key_file.create(path)
    log.warning(
        "tacita: the root key is kept in %s, on the same disk as the data; move it: see docs/how-to/keys.md", path
    )
    return "file:root.key"


@contextmanager
def alone(home: Path, what: str) -> Iterator[None]:
    """For what two processes of one machine must not do at a time. Raises Conflict when another does it."""
    prepare(home)
    handle = os.open(home / "alone.lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"{what} is under way in another process: wait for it") from None
        yield
    finally:
        os.close(handle)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    handle = os.open(home / "home.lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(home: Path) -> _Record | None:
    try:
        raw = (home / _RECORD).read_bytes()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        # ValueError: a path that the file system cannot even be asked for.
        raise ConfigError(f"{home / _RECORD} cannot be read: {getattr(error, 'strerror', 'no path')}") from None
    try:
        record = msgspec.json.decode(raw, type=_Record)
    except (ValueError, RecursionError):
        raise ConfigError(f"{home / _RECORD} is damaged; bring it back from a backup") from None
    if record.format != 1:
        raise ConfigError(f"{home / _RECORD} was written by a newer version")
    return record


def _write(home: Path, record: _Record) -> None:
    # Durably, or a power failure may keep the data and take the record of their key.
    replace_file(home / _RECORD, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def copy_record(home: Path, folder: Path) -> None:
    """Put the home's record into another folder. Raises ConfigError when there is none."""
    record = _read(home)
    if record is None:
        raise ConfigError(f"{home} has no {_RECORD}: its keys are not in a folder")
    _write(folder, record)


def file_modes(home: Path) -> list[dict[str, Any]]:
    """Each file and folder of the home, but the models: path, mode, and whether only its owner can look into it."""
    found = []
    for path in sorted([home, *home.rglob("*")]):
        if path.is_relative_to(home / "models"):
            continue
        mode = path.lstat().st_mode
        private = not mode & 0o077 and not stat.S_ISLNK(mode)
        found.append(
            {"path": str(path.relative_to(home)) or ".", "mode": f"{stat.S_IMODE(mode):04o}", "private": private}
        )
    return found


def same_disk(home: Path, where: str) -> bool:
    """Whether the key file that a provider names lies on the device of the data."""
    path = Path(where.removeprefix("file "))
    return path.exists() and (home / "data").exists() and path.stat().st_dev == (home / "data").stat().st_dev


def read_secret_file(path: Path, *, whole: bool = False) -> str:
    """The first line of a file that only its owner can read, or all of it. Raises ConfigError."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"the secret file {path} cannot be opened: {error.strerror}") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path} is not a plain file")
        if status.st_mode & 0o077:
            raise ConfigError(f"{path} can be read by others: chmod 600 {path}")
        raw = os.read(handle, _SECRET_BYTES)
    finally:
        os.close(handle)
    try:
        text = raw.decode()
        return text if whole else text.partition("\n")[0].rstrip("\r")
    except UnicodeDecodeError:
        raise ConfigError(f"the secret file {path} does not hold text") from None
