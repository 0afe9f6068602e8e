"""Copies of a log store elsewhere, as SQLite files: made anew, or brought up to date."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from tacita.durable import sync, sync_folder
from tacita.errors import InvalidInput, StoreError
from tacita.ports.log import LogStore
from tacita.sealed import CopyCounts
from tacita.stores._sqlite import Database
from tacita.stores.following import follow
from tacita.stores.sqlite import LAYOUT, SqliteLogStore


class _DraftFile(Database):
    """A new file that nobody counts on before it is complete, and from which nothing was ever removed."""

    def _connect(self, *, synchronous: str) -> sqlite3.Connection:  # noqa: ARG002  synced once, at the end
        return super()._connect(synchronous="OFF")

    def scrub(self) -> None:
        pass


class _Draft(SqliteLogStore):
    def __init__(self, path: Path) -> None:
        self._db = _DraftFile(path, LAYOUT, anywhere=True)


def write_copy(source: LogStore, path: Path) -> None:
    """Every vault of `source` in a new private SQLite file: complete under its name, or not there at all.

    Raises InvalidInput when there is a file of this name, StoreError when it cannot be written.
    """
    if os.path.lexists(path):
        raise InvalidInput(f"{path} is there already; a backup never writes over a file")
    made = path.with_name(f".{path.name}-{os.getpid()}-{time.monotonic_ns()}")
    try:
        copy = _Draft(made)
        try:
            follow(copy, source)
        finally:
            copy.close()
        sync(made)
        os.link(made, path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        for suffix in ("", "-wal", "-shm"):
            made.with_name(made.name + suffix).unlink(missing_ok=True)
    sync_folder(path.parent)


def follow_copy(target: LogStore, path: Path) -> CopyCounts:
    """Bring a store elsewhere to what such a file holds."""
    copy = SqliteLogStore(path, is_copy=True)
    try:
        return follow(target, copy)
    finally:
        copy.close()


def update_copy(source: LogStore, path: Path) -> CopyCounts:
    """Bring such a file to what `source` holds now. Raises InvalidInput when there is none."""
    if not path.is_file() or path.is_symlink():
        raise InvalidInput(f"{path} is no copy that could be brought up to date: make one first")
    copy = SqliteLogStore(path, is_copy=True)
    try:
        return follow(copy, source)
    finally:
        copy.close()
