"""Who may look at our files: folders 0700 and files 0600, never behind a symlink, never somebody else's."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tacita.durable import sync, sync_folder
from tacita.errors import InvalidInput, StoreError

_POSIX = os.name == "posix"
COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a database while it is in use."""


def private_folder(folder: Path) -> None:
    """Make the folder and its missing parents, each 0700, or check the one that is there.

    Raises StoreError when it is a symlink, another user's, or open to others.
    """
    missing = [folder] if not os.path.lexists(folder) else []
    while missing and not os.path.lexists(missing[-1].parent):
        missing.append(missing[-1].parent)
    for one in reversed(missing):
        try:
            one.mkdir(mode=0o700)
        except FileExistsError:
            continue  # another process was quicker; the check below is for both
        except OSError as error:
            raise StoreError(f"{one} cannot be made: {error.strerror}") from error
        if _POSIX:
            one.chmod(0o700)  # an odd umask may have taken our own bits
            sync_folder(one.parent)
    _check(folder, stat.S_ISDIR, "folder")


def private_file(path: Path) -> bool:
    """True if the file is there and nobody else's business, False if there is none. Raises StoreError otherwise."""
    if not os.path.lexists(path):
        return False
    _check(path, stat.S_ISREG, "file")
    return True


@contextmanager
def new_copy(path: Path) -> Iterator[Path]:
    """Where to write a database that gets the name `path` at the end of the block: complete and durable, or not at all.

    Raises InvalidInput when something is there already, StoreError when it cannot be written.
    """
    if os.path.lexists(path):
        raise InvalidInput(f"{path} is there already; a backup never writes over a file")
    made = path.with_name(f".{path.name}-{os.getpid()}-{time.monotonic_ns()}")
    try:
        yield made
        sync(made)
        os.link(made, path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        for suffix in ("", *COMPANIONS):
            made.with_name(made.name + suffix).unlink(missing_ok=True)
    sync_folder(path.parent)


def _check(path: Path, is_kind: Callable[[int], bool], kind: str) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return  # a companion file that the last user of the database has just removed
    except OSError as error:
        raise StoreError(f"{path} cannot be examined: {error.strerror}") from error
    if not is_kind(status.st_mode):
        raise StoreError(f"{path} is not a plain {kind}; symlinks are refused")
    if not _POSIX:
        return  # modes and owners say nothing there
    if status.st_uid != os.geteuid():
        raise StoreError(f"{path} belongs to another user; run as its owner, or chown it")
    if status.st_mode & 0o077:
        raise StoreError(f"{path} is open to others; run: chmod go-rwx {path}")
