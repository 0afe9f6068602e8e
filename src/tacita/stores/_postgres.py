"""What the PostgreSQL log and key ring share: how to read, how to write, and what to do when an answer gets lost.

A write whose answer got lost is never simply done again: `write` finds out first what became of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from tacita.errors import StoreError
from tacita.stores._postgres_errors import ConnectionLost
from tacita.stores._postgres_pool import Pool, Secret
from tacita.stores._postgres_session import (
    CURSOR,
    Backend,
    Connection,
    check_layout,
    check_privileges,
    chunks,
    confirm_replicated,
    end_backend,
    in_transaction,
)
from tacita.stores.postgres_setup import Layout

Result = TypeVar("Result")

_PAGE: Final = 1000
_RETURN_SECONDS: Final = 0.1
"""Between two looks whether a server is back."""


class Database(Pool):
    """One half of a memory in a PostgreSQL database. Thread-safe.

    Raises StoreError when the database cannot be reached or entered, has no such tables, would forget what it
    acknowledged, or lets this role do more than it needs.
    """

    def __init__(self, uri: str, secrets: Callable[[str], Secret], layout: Layout) -> None:
        super().__init__(uri, secrets, schema=layout.schema)
        try:
            with self.connection("open") as db:
                check_layout(db, self.address.name, self.address.schema, layout)
                if not self.address.overprivileged:
                    check_privileges(db, self.address.name, self.address.schema, layout)
        except BaseException:
            self.close()
            raise

    def row(self, operation: str, query: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The first row of a query."""
        return self.read(operation, lambda db: db.execute(query, values, binary=True).fetchone())

    def rows(self, operation: str, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """All rows of a query whose answer is small."""
        return self.read(operation, lambda db: db.execute(query, values, binary=True).fetchall())

    def pages(self, operation: str, query: str) -> Iterator[tuple[Any, ...]]:
        """All rows of a query whose first column is the vault id.

        A page at a time: the caller may do anything in between, and a view must not stay open that long.
        """
        last = b""
        while True:
            page = self.rows(operation, f"{query} WHERE vault_id > %b ORDER BY vault_id LIMIT {_PAGE}", (last,))
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1][0]

    def read(self, operation: str, work: Callable[[Connection], Result]) -> Result:
        """What `work` finds; asked once more when the connection breaks."""
        try:
            with self.connection(operation) as db:
                return work(db)
        except ConnectionLost:
            with self.connection(operation) as db:
                return work(db)

    def stream(
        self, operation: str, query: str, values: tuple[Any, ...], *, at_first: int = 64
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of a query from one consistent view, fetched as they are asked for."""
        with self.connection(operation) as db:
            # No block that rolls back: whoever gives back a connection in the middle of something closes it.
            db.execute("BEGIN READ ONLY")
            for chunk in chunks(db, query, values, at_first):
                yield from chunk
                self.check_usable()
            db.execute("COMMIT")

    @contextmanager
    def moment(self, operation: str) -> Iterator[Moment]:
        """The database as it is at this moment, for as long as the block runs. Dead rows are kept for that long, too."""
        with self.connection(operation) as db, db.transaction():
            db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield Moment(self, db)

    def write(
        self,
        operation: str,
        work: Callable[[Connection], Result],
        settled: Callable[[Connection], Result | None] | None = None,
        *,
        single: bool = False,
    ) -> Result:
        """Do `work` in one durable transaction, or as the one statement that it is.

        Args:
            settled: asks whether it was done, when its answer got lost: the result, or None if it was not. Without it the
                work may be done twice, and is.
            single: `work` sends one statement that writes, which is a transaction of its own.

        Raises StoreError: retryable when nothing was written, not retryable when it is unknown whether it was.
        """
        backend: Backend = (0, None)
        unknown = False
        try:
            with self.connection(operation) as db:
                backend = db.backend
                unknown = single
                if single:
                    result = work(db)
                else:
                    with db.transaction():
                        result = work(db)
                        unknown = True
                if not db.unreplicated:
                    return result
                db.close()
        except ConnectionLost:
            if not unknown:
                raise
        return self._settle(operation, backend, settled or (lambda db: in_transaction(db, work)))

    def _settle(self, operation: str, backend: Backend, settled: Callable[[Connection], Result | None]) -> Result:
        ended, found = self._ask(operation, backend, settled)
        if found is not None:
            return found
        if not ended:
            raise self._unknown(operation)
        raise StoreError(
            f"{self.address.name}: {operation} failed: the connection was lost; nothing was written", retryable=True
        )

    def _ask(
        self, operation: str, backend: Backend, settled: Callable[[Connection], Result | None]
    ) -> tuple[bool, Result | None]:
        """Whether the process that had the work is at its end for sure, and what it left. Waits for a server to return."""
        deadline = time.monotonic() + self.address.timeout
        while True:
            try:
                with self.connection(operation) as db:
                    # First, or it might be done after we looked.
                    ended = end_backend(db, backend)
                    found = settled(db)
                    if found is not None:
                        confirm_replicated(db)
                    if db.unreplicated:
                        db.close()
                        raise self._unknown(operation)
                    return ended, found
            except StoreError as error:
                if not error.retryable or time.monotonic() > deadline:
                    raise self._unknown(operation) from None
            time.sleep(_RETURN_SECONDS)

    def _unknown(self, operation: str) -> StoreError:
        return StoreError(
            f"{self.address.name}: {operation}: the connection was lost at the end, and whether it was written is not "
            "known: read before you write it again"
        )


class Moment(Database):
    """What `Database.moment` lends: one view through one connection, for one thread."""

    def __init__(self, database: Database, db: Connection) -> None:
        self.address = database.address
        self._pid, self._closed = database._pid, database._closed
        self._pinned = db

    @contextmanager
    def connection(self, operation: str) -> Iterator[Connection]:  # noqa: ARG002  errors are mapped where it began
        """The one connection."""
        yield self._pinned

    def stream(
        self, operation: str, query: str, values: tuple[Any, ...], *, at_first: int = 64
    ) -> Iterator[tuple[Any, ...]]:
        """As the other. One at a time, and read to its end."""
        with self.connection(operation) as db:
            for chunk in chunks(db, query, values, at_first):
                yield from chunk
            db.execute(f"CLOSE {CURSOR}")
