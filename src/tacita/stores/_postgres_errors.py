"""What PostgreSQL's errors are to us: the operation, the server's name for what happened, what to do; never a value.

The server's own text may quote rows (`Key (vault_id)=(...) already exists`), so it goes nowhere. libpq's text about a
connection that could not be made names hosts, roles and databases, and is the only thing that says what is wrong.
"""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg.pq import TransactionStatus

from tacita.errors import StoreError

_RETRYABLE: Final = ("08", "40", "53300", "55P03", "57014", "57P01", "57P02", "57P03", "57P05", "25006", "25P03")
"""Connection, serialization, too many connections, locks, time-outs, shutdown, a server that became a standby."""
_HINTS: Final = {
    "42501": "; this role may not do that: see docs/how-to/postgres.md, roles",
    "42P01": "; the tables are not there: see docs/how-to/postgres.md, set up",
    "3F000": "; the tables are not there: see docs/how-to/postgres.md, set up",
    "42703": "; the tables are not as this Tacita made them: see docs/how-to/postgres.md, set up",
    "53100": "; the server's disk is full",
    "57014": "; it took longer than the time-out",
    "25006": "; the server is a standby, or its transactions are read-only",
    "XX001": "; the server's files are damaged: restore a backup",
    "XX002": "; an index of the server is damaged: REINDEX it",
}
_FOR_GOOD: Final = (
    *("authentication failed", "does not exist", "no pg_hba.conf entry", "certificate", "SSL", "no password supplied"),
    *("authentication method requirement", "permission denied", "not permitted to log in", "pg_service"),
)
"""In what libpq says of a login that will not succeed the next time either. It tells no SQLSTATE of a refused login."""


class ConnectionLost(StoreError):
    """The connection ended in the middle of something. What was sent may or may not have been done."""


def failed(name: str, operation: str, error: psycopg.Error, *, lost: bool) -> StoreError:
    """The error of a statement as ours."""
    state = error.sqlstate or ""
    if lost:
        return ConnectionLost(f"{name}: {operation} failed: the connection was lost {_named(error)}", retryable=True)
    return StoreError(
        f"{name}: {operation} failed: {_named(error)}{_HINTS.get(state, '')}", retryable=state.startswith(_RETRYABLE)
    )


def refused(name: str, error: psycopg.Error, secret: str) -> StoreError:
    """The error of a connection that could not be made."""
    reason = " ".join(str(error).split())
    if secret and secret in reason:
        reason = _named(error)
    return StoreError(
        f"{name}: cannot connect: {reason[:500]}", retryable=not any(words in reason for words in _FOR_GOOD)
    )


def is_lost(db: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Whether nothing more can be said or heard through this connection."""
    # ACTIVE: we stopped waiting for an answer.
    return db.pgconn.transaction_status in (TransactionStatus.UNKNOWN, TransactionStatus.ACTIVE)


def _named(error: psycopg.Error) -> str:
    return f"{type(error).__name__}{f' ({error.sqlstate})' if error.sqlstate else ''}"
