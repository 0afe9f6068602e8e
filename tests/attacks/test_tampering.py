"""Whoever can write the data files can break a vault, never change what it says."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tacita import Memory, Tampered
from tacita.testing.tampering import editable

OPEN = Callable[..., Memory]
TEXTS = [f"alice fact number {n}" for n in range(6)]


@pytest.fixture
def planted(opened: OPEN) -> str:
    """A home with a vault of six events for alice and one of two for bob, closed. Alice's pseudonym."""
    memory = opened()
    for text in TEXTS:
        memory.add(text, user_id="alice")
    memory.add(["bob fact one", "bob fact two"], user_id="bob")
    name: str = memory._engine.keys.vault_id(memory._principal.tenant, "user", "alice").hex()[:12]
    memory.close()
    return name


def numbers(db: sqlite3.Connection) -> tuple[int, int]:
    """Vault numbers of alice (six events) and bob (two)."""
    found = {head: no for no, head in db.execute("SELECT no, head_seq FROM vaults WHERE head_seq IN (6, 2)")}
    return found[6] << 32, found[2] << 32


def edit(sealed: bytes, place: int) -> bytes:
    return sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]


def content(db: sqlite3.Connection, alice: int, bob: int) -> None:
    sealed = db.execute("SELECT sealed FROM log WHERE key=?", (alice | 3,)).fetchone()[0]
    db.execute("UPDATE log SET sealed=? WHERE key=?", (edit(sealed, len(sealed) // 2), alice | 3))


def header(db: sqlite3.Connection, alice: int, bob: int) -> None:
    sealed = db.execute("SELECT sealed FROM log WHERE key=?", (alice | 3,)).fetchone()[0]
    db.execute("UPDATE log SET sealed=? WHERE key=?", (edit(sealed, 2), alice | 3))


def digest(db: sqlite3.Connection, alice: int, bob: int) -> None:
    db.execute("UPDATE log SET digest=zeroblob(32) WHERE key=?", (alice | 3,))


def tag(db: sqlite3.Connection, alice: int, bob: int) -> None:
    tags = dict(db.execute("SELECT key, item_tag FROM log WHERE key IN (?,?)", (alice | 3, alice | 4)))
    db.execute("UPDATE log SET item_tag=? WHERE key=?", (tags[alice | 4], alice | 3))
    db.execute("UPDATE log SET item_tag=? WHERE key=?", (tags[alice | 3], alice | 4))


def truncated_row(db: sqlite3.Connection, alice: int, bob: int) -> None:
    db.execute("UPDATE log SET sealed=substr(sealed, 1, length(sealed) - 9) WHERE key=?", (alice | 3,))


def purged_row(db: sqlite3.Connection, alice: int, bob: int) -> None:
    db.execute("UPDATE log SET sealed=NULL WHERE key=?", (alice | 3,))


def middle_deleted(db: sqlite3.Connection, alice: int, bob: int) -> None:
    db.execute("DELETE FROM log WHERE key=?", (alice | 3,))


def middle_closed_up(db: sqlite3.Connection, alice: int, bob: int) -> None:
    db.execute("DELETE FROM log WHERE key=?", (alice | 3,))
    for seq in (4, 5, 6):
        db.execute("UPDATE log SET key=? WHERE key=?", (alice | (seq - 1), alice | seq))
    db.execute("UPDATE vaults SET head_seq=5 WHERE no=?", (alice >> 32,))


def reordered(db: sqlite3.Connection, alice: int, bob: int) -> None:
    for old, new in ((3, 99), (4, 3), (99, 4)):
        db.execute("UPDATE log SET key=? WHERE key=?", (alice | new, alice | old))


def duplicated(db: sqlite3.Connection, alice: int, bob: int) -> None:
    db.execute("DELETE FROM log WHERE key=?", (alice | 3,))
    db.execute("INSERT INTO log SELECT ?, item_tag, sealed, digest FROM log WHERE key=?", (alice | 3, alice | 2))


def forged_middle(db: sqlite3.Connection, alice: int, bob: int) -> None:
    db.execute("UPDATE log SET sealed=randomblob(400), digest=randomblob(32) WHERE key=?", (alice | 3,))


def from_another_vault(db: sqlite3.Connection, alice: int, bob: int) -> None:
    db.execute("DELETE FROM log WHERE key=?", (alice | 2,))
    db.execute("INSERT INTO log SELECT ?, item_tag, sealed, digest FROM log WHERE key=?", (alice | 2, bob | 2))


def tail_cut(db: sqlite3.Connection, alice: int, bob: int) -> None:
    db.execute("DELETE FROM log WHERE key >= ? AND key <= ?", (alice | 5, alice | 6))
    db.execute("UPDATE vaults SET head_seq=4 WHERE no=?", (alice >> 32,))


def tail_cut_head_kept(db: sqlite3.Connection, alice: int, bob: int) -> None:
    db.execute("DELETE FROM log WHERE key >= ? AND key <= ?", (alice | 5, alice | 6))


def all_cut(db: sqlite3.Connection, alice: int, bob: int) -> None:
    db.execute("DELETE FROM log WHERE key > ? AND key <= ?", (alice, alice | 6))
    db.execute("DELETE FROM vaults WHERE no=?", (alice >> 32,))


def forged_tail(db: sqlite3.Connection, alice: int, bob: int) -> None:
    db.execute("INSERT INTO log VALUES (?, randomblob(16), randomblob(400), randomblob(32))", (alice | 7,))
    db.execute("UPDATE vaults SET head_seq=7 WHERE no=?", (alice >> 32,))


def replayed_tail(db: sqlite3.Connection, alice: int, bob: int) -> None:
    db.execute("INSERT INTO log SELECT ?, item_tag, sealed, digest FROM log WHERE key=?", (alice | 7, alice | 1))
    db.execute("UPDATE vaults SET head_seq=7 WHERE no=?", (alice >> 32,))


def vaults_swapped(db: sqlite3.Connection, alice: int, bob: int) -> None:
    """Alice's name on bob's rows, bob's rows kept under his own name by a copy."""
    ids = dict(db.execute("SELECT no, vault_id FROM vaults"))
    db.execute("DELETE FROM log WHERE key > ? AND key <= ?", (alice, alice | 6))
    for seq in (1, 2):
        copy = "INSERT INTO log SELECT ?, item_tag, sealed, digest FROM log WHERE key=?"
        db.execute(copy, (alice | seq, bob | seq))
    assert ids


ATTACKS = {
    content: 3, header: 3, digest: 3, tag: 3, truncated_row: 3, purged_row: 3, middle_deleted: 3, middle_closed_up: 3,
    reordered: 3, duplicated: 3, forged_middle: 3, from_another_vault: 2, tail_cut: 6, tail_cut_head_kept: 6, all_cut: 6,
    forged_tail: 7, replayed_tail: 7, vaults_swapped: 1,
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_tampering_is_named_and_contained(
    opened: OPEN, database: Path, planted: str, attack: Callable[[sqlite3.Connection, int, int], None]
) -> None:
    with editable(database) as db:
        attack(db, *numbers(db))
    db.close()
    memory = opened()
    for call in (
        lambda: memory.search("fact", user_id="alice"),
        lambda: memory.get_all(user_id="alice"),
        lambda: memory.add("one more", user_id="alice"),
    ):
        with pytest.raises(Tampered) as caught:
            call()
        assert f"vault {planted} seq {ATTACKS[attack]}" in str(caught.value)
        assert "fact" not in str(caught.value)
    problems = memory.verify().problems
    assert [(one.vault, one.seq) for one in problems] == [(planted, ATTACKS[attack])]
    assert memory.verify(user_id="bob").ok
    assert memory.search("fact one", user_id="bob").hits[0].text == "bob fact one"
    memory.add("bob fact three", user_id="bob")
    assert memory.erase(user_id="alice").keys_destroyed == 1
    assert memory.get_all(user_id="alice").total == 0
    assert memory.verify().ok


def test_without_tampering_nothing_is_wrong(opened: OPEN, planted: str) -> None:
    memory = opened()
    assert memory.verify().ok
    assert [item.text for item in memory.get_all(user_id="alice", order="oldest").items] == TEXTS


def copy(database: Path, to: Path) -> None:
    with sqlite3.connect(database) as source, sqlite3.connect(to) as target:
        source.backup(target)
    source.close()
    target.close()


def put_back(database: Path, old: Path) -> None:
    for extra in database.parent.glob("log.db*"):
        extra.unlink()
    shutil.copy(old, database)
    database.chmod(0o600)


def test_old_copy_of_the_data_is_a_rollback(
    opened: OPEN, home: Path, database: Path, planted: str, tmp_path: Path
) -> None:
    copy(database, tmp_path / "old.db")
    memory = opened()
    memory.add("alice took it back", user_id="alice")
    memory.close()
    put_back(database, tmp_path / "old.db")
    again = Memory(home, embedder="none")
    with pytest.raises(Tampered, match=f"vault {planted} seq 7: rolled back"):
        again.get_all(user_id="alice")
    assert again.get_all(user_id="bob").total == 2
    assert (planted, 7) in [(one.vault, one.seq) for one in again.verify().problems]
    with pytest.raises(Tampered, match="audit log"):
        again.close()


def test_rollback_under_an_open_vault(opened: OPEN, database: Path, planted: str) -> None:
    memory = opened()
    assert memory.get_all(user_id="alice").total == 6
    with editable(database) as db:
        tail_cut(db, *numbers(db))
    db.close()
    with pytest.raises(Tampered, match=f"vault {planted} seq 6: rolled back"):
        memory.get_all(user_id="alice")


def later(database: Path, writer: Memory) -> int:
    """Alice's vault number, after another process added three more events."""
    for number in range(3):
        writer.add(f"alice later {number}", user_id="alice")
    db = editable(database)
    (no,) = db.execute("SELECT no FROM vaults WHERE head_seq = 9").fetchone()
    db.close()
    return int(no) << 32


@pytest.mark.parametrize("field", ["sealed", "digest"])
def test_what_others_write_is_refused_under_an_open_vault_until_it_is_whole(
    opened: OPEN, database: Path, planted: str, field: str
) -> None:
    """Of three new events the second was changed: none is taken, and all are when it is as it was."""
    reader, writer = opened(), opened()
    assert reader.get_all(user_id="alice").total == 6
    key = later(database, writer) | 8
    with editable(database) as db:
        (before,) = db.execute(f"SELECT {field} FROM log WHERE key=?", (key,)).fetchone()
        db.execute(f"UPDATE log SET {field}=? WHERE key=?", (edit(before, len(before) // 2), key))
    for _ in range(3):
        with pytest.raises(Tampered, match="seq 8"):
            reader.search("later", user_id="alice")
    with db:
        db.execute(f"UPDATE log SET {field}=? WHERE key=?", (before, key))
    db.close()
    texts = {item.text for item in reader.get_all(user_id="alice").items}
    assert {f"alice later {number}" for number in range(3)} <= texts
    assert len(texts) == 9
    reader.add("alice afterwards", user_id="alice")
    assert writer.get_all(user_id="alice").total == 10


def test_a_hole_that_nobody_explains_is_refused_at_every_look(opened: OPEN, database: Path, planted: str) -> None:
    reader, writer = opened(), opened()
    assert reader.get_all(user_id="alice").total == 6
    key = later(database, writer) | 8
    with editable(database) as db:
        db.execute("UPDATE log SET sealed=NULL WHERE key=?", (key,))
    db.close()
    for _ in range(3):
        with pytest.raises(Tampered, match="no deletion says why"):
            reader.get_all(user_id="alice")
    with pytest.raises(Tampered, match="no deletion says why"):
        reader.add("alice afterwards", user_id="alice")


def test_history_reads_what_was_verified(opened: OPEN, database: Path, planted: str) -> None:
    memory = opened()
    item = memory.get_all(user_id="alice", order="oldest").items[2]
    with editable(database) as db:
        content(db, *numbers(db))
    db.close()
    with pytest.raises(Tampered, match=f"vault {planted} seq 3"):
        memory.history(item.id, user_id="alice")
    with pytest.raises(Tampered, match=f"vault {planted} seq 3"):
        memory.update(item.id, metadata={"a": 1}, user_id="alice")


def snapshot_edited(db: sqlite3.Connection, old: tuple[int, bytes]) -> None:
    db.execute("UPDATE snapshots SET sealed=?", (edit(old[1], len(old[1]) // 2),))


def snapshot_cut(db: sqlite3.Connection, old: tuple[int, bytes]) -> None:
    db.execute("UPDATE snapshots SET sealed=substr(sealed, 1, 50)")


def snapshot_relabelled(db: sqlite3.Connection, old: tuple[int, bytes]) -> None:
    db.execute("UPDATE snapshots SET upto_seq=upto_seq - 1")


def snapshot_from_the_future(db: sqlite3.Connection, old: tuple[int, bytes]) -> None:
    db.execute("UPDATE snapshots SET upto_seq=upto_seq + 1000")


def snapshot_renumbered(db: sqlite3.Connection, old: tuple[int, bytes]) -> None:
    db.execute("UPDATE snapshots SET part=part + 1")


def snapshot_of_another(db: sqlite3.Connection, old: tuple[int, bytes]) -> None:
    other = db.execute("SELECT no FROM vaults WHERE head_seq=1").fetchone()[0]
    db.execute("UPDATE snapshots SET no=?", (other,))


@pytest.mark.parametrize(
    "attack",
    [
        snapshot_edited,
        snapshot_cut,
        snapshot_relabelled,
        snapshot_from_the_future,
        snapshot_renumbered,
        snapshot_of_another,
    ],
    ids=lambda attack: attack.__name__,
)
def test_broken_snapshot_is_rebuilt(
    opened: OPEN, database: Path, attack: Callable[[sqlite3.Connection, tuple[int, bytes]], None]
) -> None:
    memory = opened()
    memory.add("bob alone", user_id="bob")
    memory.add([f"alice note {n}" for n in range(600)], user_id="alice")
    memory.close()
    with editable(database) as db:
        stored = db.execute("SELECT upto_seq, sealed FROM snapshots WHERE part=0").fetchall()
        assert len(stored) == 1
        attack(db, stored[0])
    db.close()
    again = opened()
    assert again.search("alice note 417", user_id="alice").hits[0].text == "alice note 417"
    assert again.get_all(user_id="alice").total == 600
    assert [item.text for item in again.get_all(user_id="bob").items] == ["bob alone"]
    again.add("alice after", user_id="alice")
    assert again.get_all(user_id="alice").total == 601


def test_old_snapshot_put_back_changes_nothing(opened: OPEN, database: Path) -> None:
    memory = opened()
    memory.add([f"alice note {n}" for n in range(600)], user_id="alice")
    memory.close()
    db = editable(database)
    old = db.execute("SELECT * FROM snapshots").fetchall()
    memory = opened()
    gone = memory.get_all(user_id="alice", order="oldest").items[0]
    memory.delete(gone.id, user_id="alice")
    changed = memory.update(memory.get_all(user_id="alice").items[0].id, "alice changed it", user_id="alice")
    memory.close()
    with db:
        db.execute("DELETE FROM snapshots")
        db.executemany("INSERT INTO snapshots VALUES (?,?,?,?)", old)
    db.close()
    again = opened()
    page = again.get_all(user_id="alice", limit=1000)
    assert page.total == 599
    assert gone.id not in {item.id for item in page.items}
    assert again.get(changed.id, user_id="alice").text == "alice changed it"
