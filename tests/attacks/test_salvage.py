"""One damaged event costs one event: the vault is refused, everything else can be salvaged, other vaults never notice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tacita import AccessDenied, Memory, Tampered
from tacita.testing.tampering import editable

OPEN = Callable[..., Memory]
TEXTS = [f"ana {number}" for number in range(8)]


@pytest.fixture
def planted(opened: OPEN) -> int:
    """A closed home with eight events of ana and one of rui. The number of ana's vault, shifted."""
    memory = opened(embedder="none")
    for text in TEXTS:
        memory.add(text, user_id="ana")
    memory.add("rui", user_id="rui")
    vault_id = memory._engine.keys.vault_id("default", "user", "ana")
    memory.close()
    with editable(memory._parts.settings.data / "log.db") as db:
        (number,) = db.execute("SELECT no FROM vaults WHERE vault_id=?", (vault_id,)).fetchone()
    db.close()
    return int(number) << 32


def damage(database: Path, statement: str, *values: Any) -> None:
    db = editable(database)
    try:
        db.execute(statement, values)
        db.commit()
    finally:
        db.close()


def flipped(database: Path, key: int) -> bytes:
    db: sqlite3.Connection = editable(database)
    try:
        sealed = db.execute("SELECT sealed FROM log WHERE key=?", (key,)).fetchone()[0]
    finally:
        db.close()
    return bytes(sealed[:-9] + bytes([sealed[-9] ^ 4]) + sealed[-8:])


def salvaged(memory: Memory) -> tuple[list[int], set[str]]:
    header, *items = list(memory.salvage(user_id="ana"))
    assert header["items"] == len(items)
    return header["lost"], {item["text"] for item in items}


@pytest.mark.parametrize("what", ["ciphertext", "digest", "tag", "both"])
@pytest.mark.parametrize("seq", [1, 4, 8])
def test_one_damaged_event_costs_one_event(opened: OPEN, database: Path, planted: int, what: str, seq: int) -> None:
    key = planted | seq
    if what in ("ciphertext", "both"):
        damage(database, "UPDATE log SET sealed=? WHERE key=?", flipped(database, key), key)
    if what in ("digest", "both"):
        damage(database, "UPDATE log SET digest=? WHERE key=?", bytes(32), key)
    if what == "tag":
        damage(database, "UPDATE log SET item_tag=? WHERE key=?", bytes(16), key)
    memory = opened(embedder="none")
    with pytest.raises(Tampered, match=f"seq {seq}"):
        memory.get_all(user_id="ana")
    assert [item.text for item in memory.get_all(user_id="rui")] == ["rui"], "the others go on"
    problem = memory.verify().problems[0]
    assert problem.seq == seq
    assert [each["vault"] for each in memory.audit() if each["outcome"] == "tampered"] == [problem.vault]
    lost, texts = salvaged(memory)
    if what == "both":
        # Nothing is left that says what came after it.
        assert lost == list(range(seq, 9))
        assert texts == set(TEXTS[: seq - 1])
    elif what == "ciphertext":
        assert lost == [seq]
        assert texts == set(TEXTS) - {TEXTS[seq - 1]}
    else:
        assert texts >= set(TEXTS) - {TEXTS[seq - 1]}
    assert any(each.operation == "salvage" for each in memory._engine.audit.entries())


def test_a_snapshot_helps_over_what_is_missing(opened: OPEN, database: Path, planted: int) -> None:
    with opened(embedder="none") as memory:
        vault = memory._engine.find(memory._principal.scope({"user_id": "ana"}))
        assert vault is not None
        assert vault.save_snapshot(after=1)
    damage(database, "DELETE FROM log WHERE key IN (?,?)", planted | 3, planted | 4)
    memory = opened(embedder="none")
    _, texts = salvaged(memory)
    assert texts == set(TEXTS) - {TEXTS[2], TEXTS[3]}


def test_a_lost_tail_is_named_and_deletions_are_respected(opened: OPEN, database: Path, planted: int) -> None:
    with opened(embedder="none") as memory:
        first = memory.get_all(user_id="ana", order="oldest").items[0]
        memory.update(first.id, "changed", user_id="ana")
        second = memory.get_all(user_id="ana", order="oldest").items[1]
        memory.delete(second.id, user_id="ana")
        memory.add("last", user_id="ana")
    damage(database, "DELETE FROM log WHERE key=?", planted | 11)
    damage(database, "UPDATE vaults SET head_seq=10 WHERE no=?", planted >> 32)
    memory = opened(embedder="none")
    with pytest.raises(Tampered):
        memory.get_all(user_id="ana")
    lost, texts = salvaged(memory)
    assert lost == [11]
    assert texts == {"changed", *TEXTS[2:]}


def test_it_is_for_the_operator(opened: OPEN) -> None:
    memory = opened(embedder="none")
    memory.add("one", user_id="ana")
    with pytest.raises(AccessDenied):
        memory.bind(user_id="ana", permissions=["read", "export"]).salvage()
    assert salvaged(memory) == ([], {"one"})
    header, *items = list(memory.salvage(user_id="nobody"))
    assert (header["lost"], items) == ([], [])
