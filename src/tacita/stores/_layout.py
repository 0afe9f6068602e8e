"""What a SQLite file of ours looks like inside, and how one comes into being: complete, or not at all."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from tacita.durable import sync, sync_folder
from tacita.errors import StoreError
from tacita.stores._overflow import Overflow

_RETRYABLE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
FAILURES = (sqlite3.Error, UnicodeDecodeError)
"""What a damaged file ends in. The latter: SQLite's message quotes a schema that is no text, and Python cannot read it."""
_HINTS = {
    "SQLITE_CORRUPT": "; the file is damaged and was left as it is: restore a backup",
    "SQLITE_NOTADB": "; the file is damaged and was left as it is: restore a backup",
    "SQLITE_FULL": "; the disk is full",
}


class Layout(msgspec.Struct, frozen=True):
    """What a file of one kind looks like inside."""

    kind: str
    application_id: int
    version: int
    page_size: int
    schema: tuple[str, ...]
    upgrades: tuple[tuple[str, ...], ...] = ()
    """Statements that make version 2 of version 1, version 3 of version 2, and so on."""


@contextmanager
def mapped(path: Path, operation: str) -> Iterator[None]:
    """SQLite's errors as StoreError: the file, the operation and SQLite's own name for it, never a value."""
    try:
        yield
    except FAILURES as error:
        raise failed(path, operation, error) from error


def failed(path: Path, operation: str, error: Exception) -> StoreError:
    """What `mapped` raises."""
    name: str = getattr(error, "sqlite_errorname", type(error).__name__)
    hint = next((text for prefix, text in _HINTS.items() if name.startswith(prefix)), "")
    return StoreError(f"{path}: {operation} failed: {name}{hint}", retryable=name.startswith(_RETRYABLE))


def create(path: Path, layout: Layout) -> None:
    """Make the file under another name and link it into place: whoever sees `path` sees it complete.

    So an empty or half-made file at `path` is damage and never a beginning, and of two creators one wins.
    """
    made = path.with_name(f".{path.name}-{os.getpid()}-{threading.get_ident()}-{time.monotonic_ns()}")
    try:
        # By us and not by SQLite, which would obey the umask.
        os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
        made.chmod(0o600)
        with mapped(path, "create"):
            db = sqlite3.connect(made, isolation_level=None)
            try:
                db.execute(f"PRAGMA page_size={layout.page_size}")
                db.execute("CREATE TABLE meta (usable INTEGER NOT NULL)")
                # Some builds reserve bytes of every page, and tell so only in the header. Nobody else has this file:
                # of any other, closing a descriptor of our own would drop the locks of SQLite in this process.
                reserved = made.read_bytes()[20]
                db.execute("BEGIN")
                db.execute("INSERT INTO meta VALUES (?)", (layout.page_size - reserved,))
                for statement in layout.schema:
                    db.execute(statement)
                db.execute(f"PRAGMA application_id={layout.application_id}")
                db.execute(f"PRAGMA user_version={layout.version}")
                db.execute("COMMIT")
                db.execute("PRAGMA journal_mode=WAL")
            finally:
                db.close()
        sync(made)
        with suppress(FileExistsError):  # another process was quicker
            os.link(made, path)
    except OSError as error:
        raise StoreError(f"{path} cannot be made: {error.strerror}") from error
    finally:
        made.unlink(missing_ok=True)
    sync_folder(path.parent)


def check(db: sqlite3.Connection, path: Path, layout: Layout) -> Overflow:
    """Raise StoreError unless the file is one of ours that this program understands. A foreign file is not touched."""
    if os.stat(path).st_size == 0:
        raise StoreError(f"{path} is empty, which no {layout.kind} ever is: restore a backup")
    application_id = db.execute("PRAGMA application_id").fetchone()[0]
    if application_id != layout.application_id:
        raise StoreError(f"{path} is not a {layout.kind}: it belongs to another application")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > layout.version:
        raise StoreError(f"{path} has layout {version}, made by a newer Tacita; this one knows {layout.version}")
    if db.execute("PRAGMA page_size").fetchone()[0] != layout.page_size:
        raise StoreError(f"{path} has pages of another size: another program has rewritten it")
    # A no-op but for a backup that was made with VACUUM INTO.
    if db.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
        raise StoreError(f"{path} cannot be used in WAL mode here")
    if version < layout.version:
        _upgrade(db, path, layout)
    usable = (db.execute("SELECT usable FROM meta").fetchone() or (None,))[0]
    if type(usable) is not int or not layout.page_size - 256 < usable <= layout.page_size:
        raise StoreError(f"{path} does not say how its pages are used{_HINTS['SQLITE_CORRUPT']}")
    return Overflow(usable)


def _upgrade(db: sqlite3.Connection, path: Path, layout: Layout) -> None:
    """Bring an older file up to date in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]  # another process may have been quicker
        if not 0 < version <= len(layout.upgrades) + 1:
            raise StoreError(f"{path} has layout {version}, which this Tacita no longer reads")
        for statements in layout.upgrades[version - 1 :]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA user_version={layout.version}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
