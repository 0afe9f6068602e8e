"""The file key provider: a root key in a file that only its owner can read, best on another disk than the data."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tacita.durable import create_file
from tacita.errors import ConfigError, KeyUnavailable
from tacita.hazmat import SecretKey
from tacita.keys._local import LocalProvider, decode_root, encode_root

_MARK = "tacita-root-key-v1 "


def create(path: Path) -> None:
    """Write a new root key, 0600, durable before this returns. Raises ConfigError if anything is there already."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        create_file(path, f"{_MARK}{encode_root(SecretKey.generate())}\n".encode())
    except FileExistsError:
        raise ConfigError(f"{path} exists already; a root key is never overwritten") from None


def open_file(path: Path) -> LocalProvider:
    """The provider of the root key in `path`.

    Raises:
        KeyUnavailable: there is no such file. It is never made anew: the data would stay noise.
        ConfigError: it is a symlink, somebody else's, or readable by others.
        WrongKey: it holds no root key.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise KeyUnavailable(f"the root key file {path} is missing; bring it back from its backup") from None
    except OSError as error:
        raise ConfigError(f"the root key file {path} cannot be opened: {error.strerror}") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path} is not a plain file")
        if status.st_uid != os.getuid():
            raise ConfigError(f"{path} belongs to another user")
        if status.st_mode & 0o077:
            raise ConfigError(f"{path} can be read by others: chmod 600 {path}")
        text = os.read(handle, 256).decode("ascii", "replace")
    finally:
        os.close(handle)
    root = decode_root(text.removeprefix(_MARK), str(path))
    return LocalProvider(root, scheme="file", where=f"file {path}")
