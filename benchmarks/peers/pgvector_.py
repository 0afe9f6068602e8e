"""PostgreSQL with pgvector, from a wheel, through a socket: exact cosine search of a person's rows, vectors alone (no words).

`pgvector_server.py` runs it. An index on persons and none on vectors: it is exact then, and faster for persons of this size.
fsync and synchronous commits as they come; 256 MB of shared buffers; bulk adds by binary COPY with VACUUM ANALYZE after them;
statements prepared, parameters and results in binary.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psycopg
from benchmarks.peers.port import Item, Vector
from pgvector.psycopg import register_vector


class PgVector:
    """One connection."""

    def __init__(self, folder: Path) -> None:
        self._db = psycopg.connect(host=str(folder), user="postgres", autocommit=True, prepare_threshold=1)
        register_vector(self._db)

    @classmethod
    def open(cls, folder: Path, _dimensions: int) -> Self:
        return cls(folder)

    def add_many(self, person: str, items: Sequence[Item]) -> list[str]:
        with self._db.cursor().copy("COPY memories FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "text", "text", "vector"])
            for item in items:
                copy.write_row([item.id, person, item.text, item.vector])
        return [item.id for item in items]

    def add_one(self, person: str, item: Item) -> str:
        row = (item.id, person, item.text, item.vector)
        self._db.execute("INSERT INTO memories VALUES (%s, %s, %s, %s)", row, binary=True)
        return item.id

    def search(self, person: str, _text: str, vector: Vector, k: int) -> list[str]:
        ask = "SELECT id, body FROM memories WHERE person = %s ORDER BY embedding <=> %s LIMIT %s"
        return [key for key, _ in self._db.execute(ask, (person, vector, k), binary=True).fetchall()]

    def settle(self) -> None:
        self._db.execute("VACUUM ANALYZE memories")

    def delete(self, _person: str, id: str) -> None:
        self._db.execute("DELETE FROM memories WHERE id = %s", (id,))

    def erase(self, person: str) -> None:
        self._db.execute("DELETE FROM memories WHERE person = %s", (person,))

    def close(self) -> None:
        self._db.close()
