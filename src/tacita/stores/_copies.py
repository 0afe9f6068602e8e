"""Copies of a log store elsewhere, as SQLite files: made anew, or followed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tacita.ports.log import LogStore
from tacita.sealed import CopyCounts
from tacita.stores._files import new_copy
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
    with new_copy(path) as made, closing(_Draft(made)) as copy:
        follow(copy, source)


def follow_copy(target: LogStore, path: Path) -> CopyCounts:
    """Bring a store elsewhere to what such a file holds."""
    with closing(SqliteLogStore(path, is_copy=True)) as copy:
        return follow(target, copy)
