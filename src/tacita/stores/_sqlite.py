"""The connections of one process to one SQLite file: lent, given back, never shared with a forked child.

What is in the file is its owner's business. Errors of SQLite become StoreError here and nowhere else.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from tacita.durable import sync
from tacita.errors import StoreError
from tacita.stores._files import COMPANIONS, new_copy, private_file, private_folder
from tacita.stores._layout import FAILURES, Layout, check, create, failed, mapped

WAIT_SECONDS = 30.0
_IDLE = 8
_PATIENT_MS = 25


class Database:
    """One SQLite file of a known layout, and the connections of this process to it. Thread-safe."""

    def __init__(self, path: Path, layout: Layout, *, wait: float = WAIT_SECONDS, anywhere: bool = False) -> None:
        self.path = path
        self._wait = wait
        self._pid = os.getpid()
        self._closed = False
        self._unscrubbed = False
        self._writing = threading.Lock()
        # A deque, because its append and pop are atomic: the garbage collector ends abandoned reads at any moment,
        # also while this thread holds a lock.
        self._idle: deque[sqlite3.Connection] = deque()
        self._connections: set[sqlite3.Connection] = set()
        if not anywhere:
            private_folder(path.parent)
        if not private_file(path):
            create(path, layout)
        for suffix in COMPANIONS:
            private_file(path.with_name(path.name + suffix))
        _open_databases.add(self)
        try:
            with self.connection("open") as db:
                self.overflow = check(db, path, layout)
            if self._wal_bytes():
                # Left by a crash, perhaps in the middle of a deletion; or somebody else is at work, and will see to it.
                self._try_scrub(patience=0.0)
        except BaseException:
            self.close()
            raise

    def _connect(self, *, synchronous: str) -> sqlite3.Connection:
        # mode=rw: SQLite must never make the file; a missing one is an error.
        uri = f"file:{quote(str(self.path.absolute()))}?mode=rw"
        db = sqlite3.connect(
            uri, uri=True, timeout=self._wait, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            for pragma in (
                f"synchronous={synchronous}",
                "fullfsync=ON",  # elsewhere nothing; on macOS an fsync that reaches the disk
                "secure_delete=ON",
                "temp_store=MEMORY",
                "trusted_schema=OFF",
                "cell_size_check=ON",
            ):
                db.execute(f"PRAGMA {pragma}")
        except BaseException:
            db.close()
            raise
        self._connections.add(db)
        return db

    def check_usable(self) -> None:
        """Raise StoreError after close and in a forked child."""
        if os.getpid() != self._pid:
            raise StoreError("this store was opened in another process; open it again after fork")
        if self._closed:
            raise StoreError("this store is closed")

    def dedicated(self, *, synchronous: str) -> sqlite3.Connection:
        """A connection that its owner keeps and serialises, closed with the database."""
        self.check_usable()
        with mapped(self.path, "open"):
            return self._connect(synchronous=synchronous)

    @contextmanager
    def connection(self, operation: str) -> Iterator[sqlite3.Connection]:
        """A connection for nobody else while the block runs, in autocommit mode; SQLite's errors mapped."""
        self.check_usable()
        with mapped(self.path, operation):
            try:
                db = self._idle.pop()
            except IndexError:
                db = self._connect(synchronous="FULL")
            try:
                yield db
            except FAILURES:
                self._discard(db)
                raise
            except BaseException:
                self._give_back(db)
                raise
            self._give_back(db)

    def row(self, operation: str, query: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The first row of a query in autocommit mode: `connection` for what every search asks, without its cost."""
        self.check_usable()
        try:
            db = self._idle.pop()
        except IndexError:
            with self.connection(operation) as db:
                return cast("tuple[Any, ...] | None", db.execute(query, values).fetchone())
        try:
            found: tuple[Any, ...] | None = db.execute(query, values).fetchone()
        except FAILURES as error:
            self._discard(db)
            raise failed(self.path, operation, error) from error
        except BaseException:
            self._give_back(db)
            raise
        self._give_back(db)
        return found

    @contextmanager
    def reading(self, operation: str) -> Iterator[sqlite3.Connection]:
        """One consistent view for as long as the block runs. It blocks no writer, but the end of a deletion."""
        with self.connection(operation) as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                # In a forked child the garbage collector may end a read that the parent began: not ours to touch.
                if os.getpid() == self._pid and db.in_transaction:
                    db.execute("ROLLBACK")

    @contextmanager
    def transaction(self, operation: str) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it is durable when the block ends, or none of it."""
        self.check_usable()
        # Threads queue here: SQLite's own waiting is a sleep, which is neither quick nor fair.
        if not self._writing.acquire(timeout=self._wait):
            raise StoreError(f"{self.path}: {operation} failed: other threads keep writing", retryable=True)
        try:
            with self.connection(operation) as db:
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
        finally:
            self._writing.release()
        if self._unscrubbed:
            with suppress(StoreError):  # what was asked for is done; this is somebody else's rest
                self._try_scrub(patience=0.0)

    def scrub(self) -> None:
        """Empty the write-ahead log, so that what a committed deletion removed is gone from there as well.

        Raises StoreError (retryable) when readers do not let go of it in time.
        """
        self._unscrubbed = True
        if not self._try_scrub(patience=self._wait):
            raise StoreError(
                f"{self.path}: removed, but still in the write-ahead log, which a reader holds: end long reads, "
                "then repeat the deletion, or any other one",
                retryable=True,
            )

    @property
    def unscrubbed(self) -> bool:
        """True while something that was removed may still be in the write-ahead log."""
        return self._unscrubbed

    def _try_scrub(self, *, patience: float) -> bool:
        deadline = time.monotonic() + patience
        with self.connection("checkpoint") as db:
            # Little at a time: while a checkpoint waits for readers, it keeps writers out.
            db.execute(f"PRAGMA busy_timeout={_PATIENT_MS if patience else 0}")
            try:
                while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    if time.monotonic() >= deadline:
                        return False
                    time.sleep(_PATIENT_MS / 1000)
            finally:
                db.execute(f"PRAGMA busy_timeout={int(self._wait * 1000)}")
        # A truncation that is not on disk yet would bring the old bytes back after a power failure.
        self._sync_wal()
        self._unscrubbed = False
        return True

    def settle(self) -> None:
        """Make durable what connections without a sync of their own have committed."""
        self.check_usable()
        # What is no longer in the write-ahead log was moved by a checkpoint, which syncs.
        self._sync_wal()

    def _sync_wal(self) -> None:
        with suppress(FileNotFoundError):
            sync(self.path.with_name(self.path.name + "-wal"))

    def _wal_bytes(self) -> int:
        try:
            return os.stat(self.path.with_name(self.path.name + "-wal")).st_size
        except FileNotFoundError:
            return 0

    def copy_to(self, path: Path) -> None:
        """A copy as of one moment in a new file of mode 0600: complete under its name, or not there at all.

        Raises InvalidInput when there is a file of this name, StoreError when it cannot be written.
        """
        self.check_usable()
        with new_copy(path) as made:
            os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
            with self.connection("backup") as db, closing(sqlite3.connect(made, isolation_level=None)) as copy:
                # In one step: it is of one moment then, and writers go on beside it.
                db.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")

    def size(self) -> int:
        """Bytes of the file and its companions."""
        self.check_usable()
        total = os.stat(self.path).st_size
        for suffix in COMPANIONS:
            with suppress(FileNotFoundError):
                total += os.stat(self.path.with_name(self.path.name + suffix)).st_size
        return total

    def close(self) -> None:
        """Close all connections that no reader holds; those follow when their readers end. Repeating it is harmless."""
        if os.getpid() != self._pid:
            return
        self._closed = True
        with mapped(self.path, "close"), suppress(IndexError):
            while True:
                self._discard(self._idle.pop())

    def release(self, db: sqlite3.Connection) -> None:
        """Close a dedicated connection."""
        if os.getpid() == self._pid:
            with mapped(self.path, "close"):
                self._discard(db)

    def _give_back(self, db: sqlite3.Connection) -> None:
        if os.getpid() != self._pid:
            return
        self._idle.append(db)
        # Looked at after the append: a close that came before it is made up for, one that comes later finds it.
        while self._idle and (self._closed or len(self._idle) > _IDLE):
            with suppress(IndexError):  # another thread was quicker
                self._discard(self._idle.popleft())

    def _discard(self, db: sqlite3.Connection) -> None:
        self._connections.discard(db)
        db.close()


_open_databases: weakref.WeakSet[Database] = weakref.WeakSet()


def _keep_inherited() -> None:
    """In a forked child: never let the parent's connections be closed, not even when the interpreter ends.

    SQLite forbids it. Closing could checkpoint or remove the write-ahead log under the parent's feet. One reference
    that nothing ever gives back is the way to say so.
    """
    for database in list(_open_databases):
        for connection in database._connections:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_inherited)
