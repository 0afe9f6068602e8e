"""A snapshot is a cache: one that another version wrote is rebuilt from the log, and layouts change with their number."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tacita import Memory
from tacita.retrieval.index import SearchIndex
from tacita.vault import snapshot
from tacita.vault.fold import ROW, VaultState


def test_a_snapshot_of_another_layout_is_rebuilt(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Memory(home, embedder="none") as memory:
        memory.add([f"message {n}" for n in range(600)], user_id="ana")
        wanted = memory.search("message 7", user_id="ana").to_dict()["hits"][0]["text"]
    monkeypatch.setattr(snapshot, "LAYOUT", snapshot.LAYOUT + 1)
    for _ in range(2):
        with Memory(home, embedder="none") as memory:
            assert memory.search("message 7", user_id="ana").to_dict()["hits"][0]["text"] == wanted


def test_whoever_changes_what_a_snapshot_holds_changes_its_number() -> None:
    held = f"{sorted(VaultState(SearchIndex()).columns())} {ROW.descr}"
    assert (snapshot.LAYOUT, hashlib.sha256(held.encode()).hexdigest()[:8]) == (7, "76482690"), (
        "bump LAYOUT, then note both"
    )
