"""One connection to a PostgreSQL server: what is asked and set when it is made, and what is known of its other end."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar
from weakref import ReferenceType, ref

import psycopg
from psycopg import errors
from psycopg.abc import PQGen

from tacita.errors import StoreError
from tacita.stores.postgres_setup import LAYOUTS, Layout

Result = TypeVar("Result")
Backend = tuple[int, datetime | None]
"""A process of the server. The moment when it began tells it from a later one with the same number."""

_LIFETIME_SECONDS: Final = 1800
"""After so long a connection is made anew: the server's settings are looked at again, and a password may have changed."""
_PATIENCE_SECONDS: Final = 5.0
"""So much longer than the server's own time-out we wait for its answer."""
CURSOR: Final = "tacita"
_END_MS: Final = 5000
_CHUNK_BYTES: Final = 4 * 1024 * 1024
_MOST_ROWS: Final = 5_000
_SESSION: Final = """SELECT current_setting('synchronous_commit', true), current_setting('fsync', true), pg_backend_pid(),
    (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()),
    set_config('synchronous_commit', current_setting('synchronous_commit'), false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('search_path', 'pg_catalog', false),
    set_config('statement_timeout', %s, false),
    set_config('idle_in_transaction_session_timeout', %s, false)"""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that does not wait for ever, and knows which process of the server is at its other end."""

    patience = 60.0
    opened = 0.0
    backend: Backend = (0, None)
    owner = 0
    """The process that made it."""
    unreplicated = False
    """Whether something was committed here for which no standby was waited in the end."""

    def __del__(self, *_: Any) -> None:
        # A forked child lets go of its parent's connections without a word, and psycopg does not close them there.
        if self.owner == os.getpid():
            super().__del__()

    def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        """As the base class, within `patience`. Afterwards the connection is of no use."""
        more = {} if timeout is None else {"timeout": timeout}  # older versions do not know it
        return super().wait(_within(gen, self.patience), interval, **more)


def _within(work: PQGen[Result], seconds: float) -> PQGen[Result]:
    """A dialogue with the server, until too much time went by. It is woken at intervals, with nothing to read."""
    deadline = time.monotonic() + seconds
    try:
        wanted = next(work)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                raise psycopg.OperationalError("the server did not answer in time")
            wanted = work.send(ready)
    except StopIteration as end:
        result: Result = end.value
        return result


def begin(db: Connection, name: str, timeout: float) -> None:
    """Settle what holds for the whole session, and refuse a server that would forget what it acknowledged."""
    db.patience = timeout + _PATIENCE_SECONDS
    limits = (str(int(timeout * 1000)), str(int(timeout * 10_000)))
    # What is set here stays, whatever becomes of the server's configuration while the connection lives.
    commit, fsync, pid, started, *_ = _row(db, _SESSION, limits)
    if commit == "off" or fsync == "off":
        raise StoreError(
            f"{name}: {'fsync' if fsync == 'off' else 'synchronous_commit'} is off there, so what is acknowledged "
            "could be lost: switch it on for this server, database and role"
        )
    db.add_notice_handler(partial(_notice, ref(db)))
    db.backend, db.owner = (pid, started), os.getpid()
    db.opened = time.monotonic()


def is_fresh(db: Connection) -> bool:
    """Whether an idle connection can be used: not too old, and the server said nothing since, such as good-bye."""
    if time.monotonic() - db.opened > _LIFETIME_SECONDS or db.closed:
        return False
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(db.pgconn.socket, select.POLLIN)
        return not poll.poll(0)
    return not select.select([db.pgconn.socket], [], [], 0)[0]


def end_backend(db: Connection, backend: Backend) -> bool:
    """End another connection's process, and with it what it may still be doing. False if that cannot be made sure."""
    pid, started = backend
    if started is None:
        return False
    query = "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"
    try:
        return all(ended for (ended,) in db.execute(query, (_END_MS, pid, started)))
    except errors.UndefinedFunction:  # something that only speaks like PostgreSQL
        return False


def _notice(connection: ReferenceType[Connection], notice: psycopg.errors.Diagnostic) -> None:
    # A commit that was cancelled while it waited for a synchronous standby succeeds, with this warning. Known by the place
    # that it comes from: its words are in the server's language.
    db = connection()
    if db is not None and notice.source_function == "SyncRepWaitForLSN":
        db.unreplicated = True


def confirm_replicated(db: Connection) -> None:
    """Wait until everything that is visible here is where the server's commits must be before they are acknowledged.

    What another connection's end made visible may not be: this is a commit of our own after it, which waits for both.
    """
    try:
        db.execute("SELECT pg_logical_emit_message(true, 'tacita', '')", prepare=False)
    except errors.UndefinedFunction:  # something that only speaks like PostgreSQL
        return


def in_transaction(db: Connection, work: Callable[[Connection], Result]) -> Result:
    """Do `work` in a transaction of its own."""
    with db.transaction():
        return work(db)


def chunks(db: Connection, query: str, values: tuple[Any, ...], at_first: int) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a query through a cursor of the server, a few MiB at a time. In a transaction, whose end closes it.

    Nothing is sent when this is abandoned: that may happen in a forked child, which must not touch the connection.
    """
    db.execute(f"DECLARE {CURSOR} NO SCROLL CURSOR FOR {query}", values, prepare=False)
    count = at_first
    while chunk := db.execute(f"FETCH FORWARD {count} FROM {CURSOR}", prepare=False, binary=True).fetchall():
        yield chunk
        size = sum(len(value) for row in chunk for value in row if isinstance(value, bytes))
        count = max(1, min(_MOST_ROWS, _CHUNK_BYTES * len(chunk) // (size + 1)))


def check_layout(db: Connection, name: str, schema: str, layout: Layout) -> None:
    """Raise StoreError unless the schema holds this half of a memory as this program knows it."""
    found = db.execute(f"SELECT kind, version FROM {schema}.layout").fetchall()
    if len(found) != 1 or found[0][0] != layout.kind:
        raise StoreError(f"{name} is not a {layout.kind}: see docs/how-to/postgres.md, set up")
    if found[0][1] != layout.version:
        raise StoreError(
            f"{name} has layout {found[0][1]}, and this Tacita knows {layout.version}: let the owner of the tables "
            "bring it up to date (docs/how-to/postgres.md, set up), or use the Tacita that made it"
        )


def check_privileges(db: Connection, name: str, schema: str, layout: Layout) -> None:
    """Raise StoreError when this role could do more than read and write the rows of its half."""
    owns, truncates = _row(
        db,
        """SELECT bool_or(pg_has_role(c.relowner, 'MEMBER')), bool_or(has_table_privilege(c.oid, 'TRUNCATE'))
           FROM pg_class c WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'p')""",
        (schema,),
    )
    if owns or truncates:
        raise StoreError(
            f"{name}: this role may drop or empty the tables; use a role that only has rights on rows "
            "(docs/how-to/postgres.md, roles), or say overprivileged=yes"
        )
    other = next(each for each in LAYOUTS.values() if each is not layout)
    (reads_other,) = _row(
        db,
        """SELECT EXISTS (SELECT 1 FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid
               WHERE obj_description(n.oid, 'pg_namespace') = %s AND c.relname = %s
               AND has_table_privilege(c.oid, 'SELECT'))""",
        (other.kind, other.tables[0]),
    )
    if reads_other:
        raise StoreError(
            f"{name}: this role may read a {other.kind} as well, so whoever has its password has data and keys; give "
            "each half a role of its own (docs/how-to/postgres.md, roles), or say overprivileged=yes"
        )


def _row(db: Connection, query: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    found = db.execute(query, values).fetchone()
    assert found is not None
    return found
