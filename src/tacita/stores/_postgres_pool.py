"""The connections of one process to one PostgreSQL database: lent, given back, never shared with a forked child."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Protocol

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from tacita.errors import StoreError
from tacita.stores._postgres_errors import failed, is_lost, refused
from tacita.stores._postgres_session import Connection, begin, is_fresh
from tacita.stores._postgres_uri import parse


class Secret(Protocol):
    """A credential that is read when it is needed."""

    def reveal(self) -> str:
        """The secret, read now."""
        ...


class Pool:
    """At most `pool` connections, made when they are needed. Thread-safe.

    A connection that cannot be made is an error at once, with the server's reason. No thread works behind the scenes.
    """

    def __init__(self, uri: str, secrets: Callable[[str], Secret], *, schema: str) -> None:
        self.address = parse(uri, schema=schema)
        self._password = secrets("password") if self.address.has_password else None
        self._pid = os.getpid()
        self._closed = False
        # Both are safe to use from a finaliser, which the garbage collector may run at any moment in any thread: of an
        # abandoned read, also while this very thread takes a connection.
        self._idle: deque[Connection] = deque()
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(self.address.most_connections):
            self._places.put(None)

    def check_usable(self) -> None:
        """Raise StoreError after close and in a forked child."""
        if os.getpid() != self._pid:
            raise StoreError("this store was opened in another process; open it again after fork")
        if self._closed:
            raise StoreError("this store is closed")

    @contextmanager
    def connection(self, operation: str) -> Iterator[Connection]:
        """A connection for nobody else while the block runs, in autocommit mode; the server's errors mapped."""
        db = self._take(operation)
        try:
            yield db
        except psycopg.Error as error:
            # From None: the server's text may quote rows.
            raise failed(self.address.name, operation, error, lost=is_lost(db)) from None
        finally:
            self._give_back(db)

    def _take(self, operation: str) -> Connection:
        self.check_usable()
        try:
            self._places.get(timeout=self.address.timeout)
        except Empty:
            raise StoreError(
                f"{self.address.name}: {operation} failed: all {self.address.most_connections} connections are in use",
                retryable=True,
            ) from None
        try:
            self.check_usable()
            return self._fresh() or self._connect()
        except BaseException:
            self._places.put(None)
            raise

    def _fresh(self) -> Connection | None:
        while self._idle:
            try:
                db = self._idle.pop()
            except IndexError:  # another thread was quicker
                break
            if is_fresh(db):
                return db
            db.close()
        return None

    def _connect(self) -> Connection:
        secret = "" if self._password is None else self._password.reveal()
        name = self.address.name
        try:
            db = Connection.connect(make_conninfo(**self.address.parameters, password=secret), autocommit=True)
        except psycopg.Error as error:
            raise refused(name, error, secret) from None
        try:
            begin(db, name, self.address.timeout)
        except psycopg.Error as error:
            lost = is_lost(db)
            db.close()
            raise failed(name, "connect", error, lost=lost) from None
        except BaseException:
            db.close()
            raise
        return db

    def _give_back(self, db: Connection) -> None:
        if os.getpid() != self._pid:
            return
        if db.pgconn.transaction_status == TransactionStatus.IDLE and not self._closed:
            self._idle.append(db)
        else:
            # Left in the middle of something: an abandoned read, an error, a connection that is no more.
            db.close()
        self._places.put(None)
        # Looked at after the append: a close that came before it is made up for, one that comes later finds it.
        if self._closed:
            self._close_idle()

    def close(self) -> None:
        """Close all connections that nobody uses; the others follow when they are given back. Repeating it is harmless."""
        if os.getpid() == self._pid:
            self._closed = True
            self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread was quicker
                return
