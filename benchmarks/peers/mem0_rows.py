"""Mem0's rows, written in batches: what `Memory.add(infer=False)` leaves, message by message, in a fraction of its time."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.peers.port import Item


def write_rows(memory: Any, person: str, items: Sequence[Item]) -> list[str]:
    """Through the vector store's own `insert` and the history's own batch. The new ids."""
    ids, now = [str(uuid.uuid4()) for _ in items], datetime.now(UTC).isoformat()
    same = {"user_id": person, "role": "user", "created_at": now, "updated_at": now}
    hashes = [hashlib.md5(item.text.encode(), usedforsecurity=False).hexdigest() for item in items]
    rows = [
        {**same, "data": item.text, "hash": digest, "text_lemmatized": item.text}
        for item, digest in zip(items, hashes, strict=True)
    ]
    memory.vector_store.insert(vectors=[item.vector.tolist() for item in items], ids=ids, payloads=rows)
    kept = {"event": "ADD", "created_at": now, "updated_at": now, "role": "user"}
    memory.db.batch_add_history(
        [{**kept, "memory_id": key, "new_memory": item.text} for key, item in zip(ids, items, strict=True)]
    )
    return ids
