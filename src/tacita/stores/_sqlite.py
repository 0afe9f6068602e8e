"""What every SQLite file of ours shares: how it is created, checked, opened and let go.

Files are 0600 in folders 0700, never behind a symlink, never somebody else's. A file that is not ours, too new or
damaged is refused; nothing is ever replaced by an empty one.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tacita.errors import StoreError

APPLICATION_ID = 0x54434954
"""`TCIT` in the file's header."""
BUSY_SECONDS = 30.0
_RETRYABLE = ("SQLITE_BUSY", "SQLITE_LOCKED")

_inherited: list[object] = []
"""Connections that a forked child must neither use nor close: closing could checkpoint under the parent's feet."""


def private_folder(folder: Path) -> Path:
    """The folder, made 0700 if missing. Raises StoreError when it is a symlink or others may look into it."""
    if not folder.exists() and not folder.is_symlink():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    _check_private(folder, os.lstat(folder), stat.S_ISDIR, "folder")
    return folder


def _check_private(path: Path, status: os.stat_result, is_kind: object, kind: str) -> None:
    assert callable(is_kind)
    if not is_kind(status.st_mode):
        raise StoreError(f"{path} is not a plain {kind}; symlinks are refused")
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise StoreError(f"{path} belongs to another user")
    if status.st_mode & 0o077:
        raise StoreError(f"{path} is open to others: chmod go-rwx it")


@contextmanager
def mapped(operation: str) -> Iterator[None]:
    """SQLite's errors as StoreError: the operation and SQLite's own name for it, never a value."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        retryable = name.startswith(_RETRYABLE)
        failure = StoreError(f"sqlite: {operation} failed: {name}", retryable=retryable)
    else:
        return
    raise failure


class Database:
    """One SQLite file with a connection for each thread. `synchronous` is FULL unless a caller asks for less."""

    def __init__(self, path: Path, *, schema: str, version: int, application_id: int = APPLICATION_ID) -> None:
        self.path = path
        self._schema, self._version, self._application_id = schema, version, application_id
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._spare: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        private_folder(path.parent)
        for name in (path.name, path.name + "-wal", path.name + "-shm"):
            self._check_file(path.with_name(name), create=name == path.name)
        try:
            with mapped("open"):
                self._prepare(self.connection())
        except BaseException:
            self.close()
            raise

    def _check_file(self, path: Path, *, create: bool) -> None:
        # Made by us before SQLite opens it: SQLite would follow a symlink and obey the umask.
        if create and not path.exists() and not path.is_symlink():
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
            except FileExistsError:
                pass
        if path.exists() or path.is_symlink():
            _check_private(path, os.lstat(path), stat.S_ISREG, "file")

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            application_id = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if application_id == 0 and version == 0 and tables == 0:
                for statement in self._schema.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={self._application_id}")
                connection.execute(f"PRAGMA user_version={self._version}")
            elif application_id != self._application_id:
                raise StoreError(f"{self.path} belongs to another application")
            elif version != self._version:
                raise StoreError(f"{self.path} has layout {version}, this program knows {self._version}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def connection(self) -> sqlite3.Connection:
        """This thread's connection. Raises StoreError after close or in a forked child."""
        if os.getpid() != self._pid:
            _inherited.append(self._all)
            raise StoreError("this store was opened in another process; open it again after fork")
        if self._closed:
            raise StoreError("this store is closed")
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self.extra_connection()
            self._local.connection = found
        return found

    def extra_connection(self, *, synchronous: str = "FULL") -> sqlite3.Connection:
        """A connection of the caller's own; closed with the database."""
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        with self._lock:
            self._all.append(connection)
        for pragma in (
            f"synchronous={synchronous}",
            "secure_delete=ON",
            "temp_store=MEMORY",
            "trusted_schema=OFF",
            "cell_size_check=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    @contextmanager
    def borrowed(self) -> Iterator[sqlite3.Connection]:
        """A spare connection for a long read; kept for the next one. The read ends with the block."""
        self.connection()
        with self._lock:
            spare = self._spare.pop() if self._spare else None
        if spare is None:
            spare = self.extra_connection()
        try:
            spare.execute("BEGIN")
            yield spare
        finally:
            if not self._closed and os.getpid() == self._pid:
                spare.execute("ROLLBACK")
                with self._lock:
                    self._spare.append(spare)

    @contextmanager
    def transaction(self, operation: str) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it is durable when the block ends, or none of it."""
        with mapped(operation):
            connection = self.connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def scrub_wal(self) -> None:
        """Move everything out of the WAL and empty it, so that removed ciphertext is gone from there as well."""
        with mapped("checkpoint"):
            busy, _, _ = self.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreError(
                "sqlite: readers keep the write-ahead log busy; what was removed may still be in it: try again",
                retryable=True,
            )

    def size(self) -> int:
        """Bytes of the file and its companions."""
        names = (self.path.name, self.path.name + "-wal", self.path.name + "-shm")
        return sum(os.stat(path).st_size for name in names if (path := self.path.with_name(name)).exists())

    def close(self) -> None:
        """Close all connections of this process; harmless when repeated or in a forked child."""
        if os.getpid() != self._pid:
            _inherited.append(self._all)
            return
        self._closed = True
        with self._lock:
            connections, self._all, self._spare = self._all, [], []
        with mapped("close"):
            for connection in connections:
                connection.close()
