"""One damaged event costs one event: the vault is refused, everything else can be salvaged, other vaults never notice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tacita import AccessDenied, InvalidInput, Memory, NotFound, StoreError, Tampered
from tacita.config import Settings
from tacita.flows.ids import format_id
from tacita.flows.isolation import repair
from tacita.items import Subject
from tacita.rotating import rotate
from tacita.testing.tampering import editable
from tacita.vault.events import (
    ConsentSet,
    Embedding,
    Event,
    ExtractionEnded,
    ExtractionRequested,
    ItemAdded,
    ItemDeleted,
    ItemRecord,
    ItemReembedded,
    ItemReleased,
    ItemSuperseded,
    ItemUpdated,
    Restricted,
)
from tacita.vault.vault import Change

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


# ---------------------------------------------------------------------- isolate


@pytest.mark.parametrize("what", ["ciphertext", "digest", "tag", "row", "tail"])
@pytest.mark.parametrize("seq", [1, 4, 8])
def test_isolated_the_rest_of_the_vault_goes_on(
    opened: OPEN, database: Path, planted: int, what: str, seq: int
) -> None:
    if (what, seq) == ("row", 1):
        seq = 3  # without the first row nothing tells that what follows is genuine
    key = planted | seq
    if what == "ciphertext":
        damage(database, "UPDATE log SET sealed=? WHERE key=?", flipped(database, key), key)
    elif what == "digest":
        damage(database, "UPDATE log SET digest=? WHERE key=?", bytes(32), key)
    elif what == "tag":
        damage(database, "UPDATE log SET item_tag=? WHERE key=?", bytes(16), key)
    elif what == "row":
        damage(database, "DELETE FROM log WHERE key=?", key)
    else:
        seq = 8
        damage(database, "DELETE FROM log WHERE key=?", planted | 8)
        damage(database, "UPDATE vaults SET head_seq = 7 WHERE no=?", planted >> 32)
    memory = opened(embedder="none")
    with pytest.raises(Tampered, match="seq"):
        memory.get_all(user_id="ana")
    assert memory.get_all(user_id="rui").total == 1, "others never notice"
    before = [problem.seq for problem in memory.verify().problems]
    planned = memory.isolate(user_id="ana", dry_run=True)
    assert not planned.done
    assert [problem.seq for problem in memory.verify().problems] == before, "a dry run changes nothing"
    _, could_be_read = salvaged(memory)
    done = memory.isolate(user_id="ana")
    assert (done.done, done.lost, done.kept) == (True, planned.lost, planned.kept)
    # Where only the digest or the tag was changed, the event itself is still there.
    assert (seq in done.lost) == (what in ("ciphertext", "row", "tail"))
    assert {item.text for item in memory.get_all(user_id="ana")} == could_be_read
    memory.add("and on it goes", user_id="ana")
    assert memory.search("goes", user_id="ana").hits[0].text == "and on it goes"
    report = memory.verify(deep=True)
    assert (report.ok, report.isolated) == (True, len(done.lost))
    assert not done.lost or memory.consent(user_id="ana") is False, "a lost event may have withdrawn it"
    told = [each for each in memory.audit() if each["operation"] == "isolate"]
    vault = memory._engine.keys.vault_id("default", "user", "ana").hex()[:12]
    assert [(each["vault"], each["items"]) for each in told] == [(vault, len(done.lost))]
    with pytest.raises(InvalidInput, match="nothing in this vault is damaged"):
        memory.isolate(user_id="ana")
    memory.close()
    again = opened(embedder="none")
    assert {item.text for item in again.get_all(user_id="ana")} == could_be_read | {"and on it goes"}
    again.close()


def test_what_hung_on_a_lost_event(opened: OPEN, database: Path) -> None:
    """Updates of an item whose beginning is lost begin it; deletions stay deletions; an older version is named."""
    memory = opened(embedder="none")
    first, second, third = memory.add(["first", "second", "third"], user_id="ana").ids
    memory.update(first, "first, corrected", user_id="ana")  # 4
    memory.delete(second, user_id="ana")  # 5
    memory.update(third, "third, corrected", user_id="ana")  # 6
    vault_id = memory._engine.keys.vault_id("default", "user", "ana")
    memory.close()
    with editable(database) as db:
        (number,) = db.execute("SELECT no FROM vaults WHERE vault_id=?", (vault_id,)).fetchone()
    db.close()
    for seq in (1, 5, 6):
        damage(
            database, "UPDATE log SET sealed=? WHERE key=?", flipped(database, number << 32 | seq), number << 32 | seq
        )
    memory = opened(embedder="none")
    report = memory.isolate(user_id="ana")
    assert report.lost == (1, 2, 5, 6), "the hole that event 5 explained is one of them"
    assert report.outdated == (third,) or set(report.outdated) == {first, third}
    assert {item.id: item.text for item in memory.get_all(user_id="ana")} == {
        first: "first, corrected",
        third: "third",
    }
    assert memory.verify(deep=True).ok
    assert rotate(Settings.load(home=database.parent.parent), None, deep=True).resealed
    assert {item.text for item in memory.get_all(user_id="ana")} == {"first, corrected", "third"}
    memory.close()


def test_only_the_operator_gives_up_events(opened: OPEN, database: Path, planted: int) -> None:
    memory = opened(embedder="none")
    with pytest.raises(InvalidInput, match="nothing in this vault is damaged"):
        memory.isolate(user_id="rui")
    with pytest.raises(InvalidInput, match="nothing is stored"):
        memory.isolate(user_id="nobody")
    with pytest.raises(AccessDenied):
        memory.bind(permissions=["read", "write", "delete"]).isolate(user_id="ana")
    for bound in (memory.bind(user_id="ana"), memory.bind(permissions=["read", "write", "delete"])):
        with pytest.raises(AccessDenied):
            bound.repair()
    memory.close()
    damage(database, "DELETE FROM log WHERE key = ?", planted + 1)
    memory = opened(embedder="none")
    with pytest.raises(InvalidInput, match="nothing of this vault can be read"):
        memory.isolate(user_id="ana")
    memory.close()


# ---------------------------------------------------------------------- repair


def test_a_damaged_snapshot_is_rebuilt_and_a_damaged_log_is_not_touched(opened: OPEN, database: Path) -> None:
    memory = opened(embedder="none")
    memory.add([f"text {number}" for number in range(600)], user_id="ana")
    memory.add([f"text {number}" for number in range(600)], user_id="rui")
    memory.close()
    assert opened(embedder="none").repair().rebuilt == 0
    db = editable(database)
    rui = opened(embedder="none")._engine.keys.vault_id("default", "user", "rui")
    (no,) = db.execute("SELECT no FROM vaults WHERE vault_id=?", (rui,)).fetchone()
    db.close()
    damage(database, "UPDATE snapshots SET sealed = zeroblob(length(sealed)) WHERE no <> ?", no)
    damage(database, "UPDATE log SET sealed=? WHERE key=?", flipped(database, no << 32 | 7), no << 32 | 7)
    log = list(editable(database).execute("SELECT * FROM log ORDER BY key"))
    memory = opened(embedder="none")
    assert len(memory.verify().problems) == 2
    report = memory.repair()
    assert (report.rebuilt, report.ok, [problem.seq for problem in report.problems]) == (1, False, [7])
    assert [problem.seq for problem in memory.verify(deep=True).problems] == [7]
    memory.close()
    after = list(editable(database).execute("SELECT * FROM log ORDER BY key"))
    assert after[: len(log)] == log or set(log) <= set(after)


def test_a_snapshot_that_says_something_else_is_found_by_a_deep_look(
    opened: OPEN, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealed by us, of the right history, and wrong all the same: as a bug of ours would leave it."""
    memory = opened(embedder="none")
    memory.add([f"text {number}" for number in range(600)], user_id="ana")
    vault = memory._engine.vaults.get("default", Subject(kind="user", id="ana"))
    vault.state.texts[5] = "text of nobody"
    memory.close()
    memory = opened(embedder="none")
    assert memory.verify().ok
    problems = memory.verify(deep=True).problems
    assert "does not hold what the log says" in problems[0].problem
    assert memory.repair().rebuilt == 1
    assert memory.verify(deep=True).ok
    assert "text 5" in {item.text for item in memory.get_all(user_id="ana", limit=1_000)}
    memory.close()


# ---------------------------------------------------------------------- what lies around it


def test_a_process_that_had_the_vault_open_goes_on_with_what_is_left(
    opened: OPEN, database: Path, planted: int
) -> None:
    """It still knows the item that was given up. What it wrote about that would be refused by everybody else."""
    other = opened(embedder="none")
    third = other.get_all(user_id="ana", order="oldest").items[2]
    damage(database, "UPDATE log SET sealed=? WHERE key=?", flipped(database, planted | 3), planted | 3)
    assert opened(embedder="none").isolate(user_id="ana").lost == (3,)
    with pytest.raises(NotFound):
        other.update(third.id, "of what is not there", user_id="ana")
    assert {item.text for item in other.get_all(user_id="ana")} == set(TEXTS) - {TEXTS[2]}
    other.add("more", user_id="ana")
    again = opened(embedder="none")
    assert {item.text for item in again.get_all(user_id="ana")} == set(TEXTS) - {TEXTS[2]} | {"more"}
    assert again.verify(deep=True).ok


def write(memory: Memory, *events: Event, purge: tuple[int, ...] = ()) -> None:
    vault = memory._engine.find(memory._principal.scope({"user_id": "ana"}))
    assert vault is not None
    vault.transact(lambda _: Change(None, events, purge))


def number_of(memory: Memory, database: Path) -> int:
    vault_id = memory._engine.keys.vault_id("default", "user", "ana")
    memory.close()
    with editable(database) as db:
        (number,) = db.execute("SELECT no FROM vaults WHERE vault_id=?", (vault_id,)).fetchone()
    db.close()
    return int(number) << 32


def test_events_about_nothing_but_a_lost_item_go_with_it_and_all_others_stay(opened: OPEN, database: Path) -> None:
    memory = opened(embedder="none")
    first, second, third = (raw(each) for each in memory.add(["first", "second", "third"], user_id="ana").ids)
    at = {"at": 1_700_000_000_000_000, "actor": "ana"}
    vectors = Embedding(model="m", dimensions=2, data=bytes([0, 60, 0, 0]))
    write(
        memory,
        ItemSuperseded(id=first, by=second, until=at["at"], reason="supersedes", **at),  # 4
        ItemReembedded(id=first, seq=1, embedding=vectors, **at),  # 5
        ItemReleased(id=first, digest=bytes(32), **at),  # 6
        ExtractionRequested(ids=(first,), **at),  # 7
        ExtractionRequested(ids=(first, second), purpose="care", **at),  # 8
        ExtractionEnded(ids=(first,), **at),  # 9
        ItemSuperseded(id=third, by=second, until=at["at"], reason="refines", **at),  # 10
        ItemReembedded(id=second, seq=2, embedding=vectors, **at),  # 11
        Restricted(kind="hold", on=True, reason="case", **at),  # 12
        ConsentSet(models=True, **at),  # 13
    )
    write(memory, ItemUpdated(item=record(second, "second, corrected"), **at))  # 14
    write(memory, ItemAdded(item=record(bytes(15) + b"\x07", "gone"), **at))  # 15
    write(memory, ItemDeleted(id=bytes(15) + b"\x07", purged=(15,), **at), purge=(15,))  # 16
    number = number_of(memory, database)
    damage(database, "UPDATE log SET sealed=? WHERE key=?", flipped(database, number | 1), number | 1)
    memory = opened(embedder="none")
    assert salvaged(memory) == ([1], {"second, corrected", "third"})
    report = memory.isolate(user_id="ana")
    assert (report.lost, report.kept, report.outdated) == ((1, 4, 5, 6, 7, 9), 9, ())
    engine = memory._engine
    vault = engine.find(memory._principal.scope({"user_id": "ana"}))
    assert vault is not None
    rare = vault.state.rare
    assert list(vault.state.by_id) == [second, third] or set(vault.state.by_id) == {second, third}
    assert rare.pending == {second: (0, "care")}
    assert list(rare.superseded) == [third]
    assert rare.restricted == {"hold": "case"}
    assert rare.consent is False
    assert list(rare.reembedded.values()) == [[11]]
    assert vault.events([8]) == {8: ExtractionRequested(ids=(second,), purpose="care", **at)}
    tags = {row.seq: row.item_tag for row in engine.store.read(vault.keys.vault_id)}
    assert tags[15] == vault.keys.item_tag(bytes(15) + b"\x07"), "a hole that a deletion explains stays that item's"
    assert {tags[seq] for seq in report.lost} == {vault.keys.item_tag(b"")}
    assert memory.verify(deep=True).ok
    # And once more: what was given up before is explained, and is not given up a second time.
    number = number_of(memory, database)
    damage(database, "UPDATE log SET sealed=? WHERE key=?", flipped(database, number | 10), number | 10)
    memory = opened(embedder="none")
    again = memory.isolate(user_id="ana")
    assert again.lost == (10,)
    assert again.outdated == (format_id(third),)
    assert memory.verify(deep=True).ok
    memory.hold(False, user_id="ana")
    assert {item.text for item in memory.get_all(user_id="ana")} == {"second, corrected", "third"}


def raw(item_id: str) -> bytes:
    return bytes.fromhex(item_id.replace("-", ""))


def record(item_id: bytes, text: str) -> ItemRecord:
    return ItemRecord(id=item_id, text=text, timestamp=1_700_000_000_000_000, channel="user", trust=3)


def test_who_writes_meanwhile_is_first_and_nothing_is_given_up(
    opened: OPEN, database: Path, planted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = opened(embedder="none")
    other.get_all(user_id="ana")
    damage(database, "UPDATE log SET sealed=? WHERE key=?", flipped(database, planted | 3), planted | 3)
    memory = opened(embedder="none")
    replace = memory._engine.store.replace

    def late(*arguments: Any, **named: Any) -> int:
        other.add("meanwhile", user_id="ana")
        return replace(*arguments, **named)

    monkeypatch.setattr(memory._engine.store, "replace", late)
    with pytest.raises(StoreError, match="somebody wrote to this vault meanwhile") as caught:
        memory.isolate(user_id="ana")
    assert caught.value.retryable
    monkeypatch.undo()
    assert [problem.seq for problem in memory.verify().problems] == [3]
    assert memory.isolate(user_id="ana").lost == (3,)
    assert {item.text for item in memory.get_all(user_id="ana")} == set(TEXTS) - {TEXTS[2]} | {"meanwhile"}


def test_a_log_of_an_unknown_epoch_can_still_be_read_by_the_operator(
    opened: OPEN, database: Path, planted: int
) -> None:
    with opened(embedder="none") as memory:
        memory.consent(True, user_id="ana")
    damage(database, "UPDATE vaults SET epoch=? WHERE no=?", b"?" * 16, planted >> 32)
    memory = opened(embedder="none")
    with pytest.raises(Tampered, match="key ring does not hold"):
        memory.get_all(user_id="ana")
    assert salvaged(memory) == ([], set(TEXTS))
    header = next(iter(memory.salvage(user_id="ana")))
    assert (header["tacita_salvage"], header["subject"], header["events"]) == (1, {"kind": "user", "id": "ana"}, 9)
    audited = [each for each in memory.audit() if each["operation"] == "salvage"]
    assert [each["items"] for each in audited] == [8, 8]


def test_what_is_salvaged_says_all_that_is_known_of_it(opened: OPEN) -> None:
    memory = opened(embedder="none")
    said = {"role": "user", "name": "Ana", "content": "words"}
    ids = memory.add(said, user_id="ana", agent_id="g", app_id="p", run_id="r", metadata={"a": 1}).ids
    _, told = memory.salvage(user_id="ana")
    item = memory.get(ids[0], user_id="ana")
    assert told == {
        "id": ids[0], "seq": 1, "text": "words", "kind": "message", "role": "user", "name": "Ana", "channel": "user",
        "timestamp": item.timestamp.isoformat(), "metadata": {"a": 1}, "quarantined": None, "agent_id": "g",
        "app_id": "p", "run_id": "r",
    }  # fmt: skip


def test_erased_while_it_is_repaired(opened: OPEN, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = opened(embedder="none")
    memory.add([f"text {number}" for number in range(600)], user_id="ana")
    memory.close()
    damage(database, "UPDATE snapshots SET sealed = zeroblob(length(sealed))")
    memory, other = opened(embedder="none"), opened(embedder="none")
    store = memory._engine.store
    drop = store.drop_snapshots

    def late(vault_id: bytes) -> int:
        other.erase(user_id="ana")
        return drop(vault_id)

    monkeypatch.setattr(store, "drop_snapshots", late)
    seen: list[tuple[int, int | None]] = []
    report = repair(memory._engine, memory._principal, lambda done, of: seen.append((done, of)))
    assert report.ok
    assert seen[0][0] == 0
    assert seen[-1] == (report.vaults, report.vaults)
    assert memory.get_all(user_id="ana").total == 0
    assert memory.repair().rebuilt == 0


def test_a_small_snapshot_that_was_damaged_is_there_again(opened: OPEN, database: Path, planted: int) -> None:
    with opened(embedder="none") as memory:
        vault = memory._engine.find(memory._principal.scope({"user_id": "ana"}))
        assert vault is not None
        assert vault.save_snapshot(after=1)
    damage(database, "UPDATE snapshots SET sealed = zeroblob(length(sealed))")
    memory = opened(embedder="none")
    assert memory.repair().rebuilt == 1
    stored = memory._engine.store.read_snapshot(vault.keys.vault_id)
    assert stored is not None
    assert stored[0] == 8
    assert [each["items"] for each in memory.audit() if each["operation"] == "repair"] == [1]
    assert memory.verify(deep=True).ok


def test_rows_without_a_key_cannot_be_isolated(opened: OPEN, database: Path, planted: int) -> None:
    memory = opened(embedder="none")
    memory._engine.keys.ring.shred(memory._engine.keys.vault_id("default", "user", "ana"))
    with pytest.raises(InvalidInput, match="nothing is stored"):
        memory.isolate(user_id="ana")
    assert salvaged(memory) == ([], set())


def test_the_log_says_who_gave_up_what_and_why(opened: OPEN, database: Path, planted: int) -> None:
    damage(database, "UPDATE log SET sealed=? WHERE key=?", flipped(database, planted | 3), planted | 3)
    memory = opened(embedder="none").bind(actor="operator", purpose="ticket 9")
    memory.isolate(user_id="ana")
    memory.repair()
    list(memory.salvage(user_id="ana"))
    told = [(each["operation"], each["purpose"]) for each in memory.audit() if each["actor"] == "operator"]
    wanted = ("isolated", "consent", "isolate", "repair", "salvage")
    assert sorted(each for each in told if each[0] in wanted) == sorted((name, "ticket 9") for name in wanted)
    rekeyed = [each for each in memory.audit() if each["operation"] == "rekeyed"]
    assert [each["actor"] for each in rekeyed] == ["operator"]


def test_a_deleted_item_is_not_outdated_whatever_was_lost_of_it(opened: OPEN, database: Path) -> None:
    memory = opened(embedder="none")
    first, second = (raw(each) for each in memory.add(["first", "second"], user_id="ana").ids)
    at = {"at": 1_700_000_000_000_000, "actor": "ana"}
    write(memory, ItemSuperseded(id=first, by=second, until=at["at"], reason="supersedes", **at))  # 3
    write(memory, ItemDeleted(id=first, purged=(), **at))  # 4
    number = number_of(memory, database)
    damage(database, "UPDATE log SET sealed=? WHERE key=?", flipped(database, number | 3), number | 3)
    memory = opened(embedder="none")
    report = memory.isolate(user_id="ana")
    assert (report.lost, report.outdated) == ((3,), ())
    assert [item.text for item in memory.get_all(user_id="ana")] == ["second"]
