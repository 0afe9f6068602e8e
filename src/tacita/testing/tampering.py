"""Opens the files of a SQLite log store as somebody would who means ill: rows can be changed behind the store's back.

For tests of what happens then. Through the views `log (key, item_tag, sealed, digest)` and
`snapshots (no, part, upto_seq, sealed)`, which are read-only otherwise, and through the plain table `vaults`.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

_PUT_ENTRY = """
INSERT INTO entries VALUES (NEW.key, NEW.item_tag, NEW.digest, 2147483648 | (NEW.key & 2147483647),
                            CASE WHEN NEW.sealed NOT NULL THEN 0 END, length(NEW.sealed));
INSERT OR REPLACE INTO extents SELECT NEW.key | 2147483648, NEW.sealed WHERE NEW.sealed NOT NULL;
"""
_TAKE_ENTRY = "DELETE FROM entries WHERE key = OLD.key;"
_PUT_PART = """
UPDATE vaults SET snapshot = coalesce(snapshot, 0) WHERE no = NEW.no;
INSERT INTO parts SELECT no, snapshot, NEW.part, NEW.upto_seq, 0, NEW.sealed FROM vaults WHERE no = NEW.no;
"""
_TAKE_PART = """
DELETE FROM parts
WHERE no = OLD.no AND part = OLD.part AND writing = (SELECT snapshot FROM vaults WHERE no = OLD.no);
"""


def editable(path: Path) -> sqlite3.Connection:
    """A connection on which INSERT, UPDATE and DELETE work on the views too. To be closed by the caller."""
    db = sqlite3.connect(path)
    for view, take, put in (("log", _TAKE_ENTRY, _PUT_ENTRY), ("snapshots", _TAKE_PART, _PUT_PART)):
        # Temporary: they exist on this connection only, and no store has a way to change what it has written.
        db.execute(f"CREATE TEMP TRIGGER insert_{view} INSTEAD OF INSERT ON main.{view} BEGIN {put} END")
        db.execute(f"CREATE TEMP TRIGGER update_{view} INSTEAD OF UPDATE ON main.{view} BEGIN {take} {put} END")
        db.execute(f"CREATE TEMP TRIGGER delete_{view} INSTEAD OF DELETE ON main.{view} BEGIN {take} END")
    db.commit()
    return db
