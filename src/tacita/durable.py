"""Private files that outlive a power failure once the call has returned."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_POSIX = os.name == "posix"
_NEW = (
    os.O_CREAT
    | os.O_EXCL
    | os.O_WRONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that only its owner may read, durable at the end of the block and gone if the block raises.

    A crash may leave a part of it: whoever reads such a file has to notice.

    Raises:
        FileExistsError: something is there already, be it a link to nowhere.
        OSError: it cannot be written.
    """
    handle = os.open(path, _NEW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
        # Else the content would be on the disk, and its name might not.
        sync_folder(path.parent)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def create_file(path: Path, body: bytes) -> None:
    """Make a private file, at once and durably: whoever finds it finds all of it, after a crash too.

    Raises:
        FileExistsError: something is there already, be it a link to nowhere.
        OSError: it cannot be written, or the file system has no hard links.
    """
    made = _written(path, body)
    try:
        os.link(made, path)
    finally:
        made.unlink()
    sync_folder(path.parent)


def replace_file(path: Path, body: bytes) -> None:
    """Make `body` the content of a private file, at once and durably: nobody reads half of it. Raises OSError."""
    made = _written(path, body)
    try:
        os.replace(made, path)
    except BaseException:
        made.unlink()
        raise
    sync_folder(path.parent)


def _written(path: Path, body: bytes) -> Path:
    """The content beside the place where it is to be, under another name."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    made = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(handle)
    except BaseException:
        made.unlink()
        raise
    return made


def sync_folder(folder: Path) -> None:
    """Make new names in the folder survive a power failure."""
    if _POSIX:
        sync(folder)


def sync(path: Path) -> None:
    """fsync a file or folder by its path. Never for a database file: closing one drops the locks that SQLite has on it."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
