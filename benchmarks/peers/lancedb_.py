"""LanceDB: one table, the person as a pre-filter with a bitmap index, cosine, exact search (no vector index, as its guide
advises below some hundred thousand rows), vectors alone (no words).

After a bulk add the table is optimised, which brings its rows into the index on persons; that is part of the bulk add. Its
writes are not synced to the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import lancedb
import numpy as np
import pyarrow as pa
from benchmarks.peers.port import Item, Vector


class Lance:
    """One folder."""

    def __init__(self, folder: Path, dimensions: int) -> None:
        self._db = lancedb.connect(str(folder / "lance"))
        self._schema = pa.schema(
            [
                pa.field("id", pa.string()),
                pa.field("person", pa.string()),
                pa.field("text", pa.string()),
                pa.field("vector", pa.list_(pa.float32(), dimensions)),
            ]
        )
        self._table = self._db.create_table("memories", schema=self._schema, exist_ok=True)
        if not self._table.list_indices():
            self._table.create_scalar_index("person", index_type="BITMAP")

    @classmethod
    def open(cls, folder: Path, dimensions: int) -> Self:
        return cls(folder, dimensions)

    def _rows(self, person: str, items: Sequence[Item]) -> Any:
        flat = pa.array(np.concatenate([item.vector for item in items]))
        vectors = pa.FixedSizeListArray.from_arrays(flat, self._schema.field("vector").type.list_size)
        ids, texts = [item.id for item in items], [item.text for item in items]
        return pa.table([pa.array(ids), pa.array([person] * len(items)), pa.array(texts), vectors], schema=self._schema)

    def add_many(self, person: str, items: Sequence[Item]) -> list[str]:
        self._table.add(self._rows(person, items))
        return [item.id for item in items]

    def settle(self) -> None:
        self._table.optimize()

    def add_one(self, person: str, item: Item) -> str:
        return self.add_many(person, [item])[0]

    def search(self, person: str, _text: str, vector: Vector, k: int) -> list[str]:
        query = self._table.search(vector).distance_type("cosine").where(f"person = '{person}'", prefilter=True)
        return [row["id"] for row in query.limit(k).select(["id", "text", "_distance"]).to_list()]

    def delete(self, _person: str, id: str) -> None:
        self._table.delete(f"id = '{id}'")

    def erase(self, person: str) -> None:
        self._table.delete(f"person = '{person}'")

    def close(self) -> None:
        return None
