"""A `sqlite3` that can load extensions, which that of some Pythons cannot (pyenv's, for one): else the wheel's."""

from __future__ import annotations

import importlib
import sqlite3
import sys
from pathlib import Path
from typing import Any


def loadable() -> Any:
    """The module; also what `import sqlite3` gives from now on, for libraries that import it themselves."""
    if hasattr(sqlite3.Connection, "enable_load_extension"):
        return sqlite3
    wheel = importlib.import_module("pysqlite3")
    sys.modules["sqlite3"] = wheel
    sys.modules["sqlite3.dbapi2"] = importlib.import_module("pysqlite3.dbapi2")
    return wheel


def connect(path: Path) -> Any:
    """A connection in autocommit, durable at every commit: a write-ahead log that is synced, and deleted rows overwritten."""
    connection = loadable().connect(str(path), isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection
