"""sqlite-vec: one virtual table, exact search over one partition, vectors alone (no words).

As its guide says: a partition key for who it belongs to, cosine distance, one transaction for a batch. Chunks of 64 vectors
instead of 1,024: each person's last chunk is padded, which at 10 items a person would take a hundred times their size.
Synced write-ahead log; deleted content is overwritten (`secure_delete`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from benchmarks.peers.port import Item, Vector
from benchmarks.peers.sqlite_ import connect

CHUNK = 64
_INSERT = "INSERT INTO memories (person, embedding, text) VALUES (?, ?, ?)"


class SqliteVec:
    """One database file."""

    def __init__(self, folder: Path, dimensions: int) -> None:
        self._db = connect(folder / "memories.db")
        # After the connection: the extension is for the module that made it.
        import sqlite_vec

        self._db.enable_load_extension(True)
        sqlite_vec.load(self._db)
        self._db.enable_load_extension(False)
        self._db.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS memories USING vec0(id INTEGER PRIMARY KEY, person TEXT PARTITION KEY, "
            f"embedding FLOAT[{dimensions}] DISTANCE_METRIC=cosine, +text TEXT, chunk_size={CHUNK})"
        )

    @classmethod
    def open(cls, folder: Path, dimensions: int) -> Self:
        return cls(folder, dimensions)

    def add_many(self, person: str, items: Sequence[Item]) -> list[str]:
        self._db.execute("BEGIN")
        ids = [self.add_one(person, item) for item in items]
        self._db.execute("COMMIT")
        return ids

    def add_one(self, person: str, item: Item) -> str:
        return str(self._db.execute(_INSERT, (person, item.vector.tobytes(), item.text)).lastrowid)

    def search(self, person: str, _text: str, vector: Vector, k: int) -> list[str]:
        rows = self._db.execute(
            "SELECT id, distance, text FROM memories WHERE embedding MATCH ? AND k = ? AND person = ? ORDER BY distance",
            (vector.tobytes(), k, person),
        )
        return [str(key) for key, _, _ in rows.fetchall()]

    def delete(self, _person: str, id: str) -> None:
        self._db.execute("DELETE FROM memories WHERE id = ?", (int(id),))

    def erase(self, person: str) -> None:
        self._db.execute("DELETE FROM memories WHERE person = ?", (person,))

    def close(self) -> None:
        self._db.close()
