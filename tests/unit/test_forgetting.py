"""Purging an origin, legal holds, freezes, retention, sweeps, signed receipts and the audit trail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tacita import AccessDenied, Held, InvalidInput, Memory, NotFound, StoreError, Tampered
from tacita.config import Settings
from tacita.errors import ConfigError
from tacita.flows import receipts
from tacita.testing.model import ScriptedModel

DAY = 86_400_000_000


class Clock:
    now = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Memory]]:
    made: list[Memory] = []

    def make(model: Any = None, **described: Any) -> Memory:
        settings = Settings.load(config={"home": str(tmp_path / "home"), **described})
        made.append(Memory(settings=settings, embedder="none", model=model, clock=clock))
        return made[-1]

    yield make
    for memory in made:
        memory.close()


def texts(memory: Memory, **ids: str) -> list[str]:
    return [item.text for item in memory.get_all(order="oldest", **ids).items]


# ---------------------------------------------------------------------- receipts


def test_a_deletion_is_signed_and_anybody_with_the_key_can_check_it(opened: Callable[..., Memory]) -> None:
    memory = opened()
    item = memory.add("my mother's maiden name is Kowalska", user_id="ana").ids[0]
    memory.update(item, "her maiden name is Kowalska", user_id="ana")
    receipt = memory.delete(item, user_id="ana")
    facts = memory.verify_receipt(receipt.proof)
    assert list(json.loads(receipt.proof.payload)) == sorted(facts), "what is signed has one form"
    assert (facts["kind"], facts["ids"], facts["before"]["events"]) == ("delete", [item], 2)
    assert set(facts["after"].values()) == {0}
    assert facts["key"] == memory.receipt_key()
    told = json.dumps(receipt.to_dict())
    assert not any(word in told for word in ("ana", "Kowalska", "default")), "pseudonyms and counts"
    key = bytes.fromhex(memory.receipt_key())
    assert receipts.verify(json.loads(told)["proof"], key) == facts, "what was printed is checked without the home"


@pytest.mark.parametrize("change", [('"delete"', '"erase"'), ('"events":1', '"events":9'), ("2027", "2026")])
def test_a_changed_receipt_is_refused(opened: Callable[..., Memory], change: tuple[str, str]) -> None:
    memory = opened()
    proof = memory.delete(memory.add("one", user_id="ana").ids[0], user_id="ana").proof
    forged = msgspec.structs.replace(proof, payload=proof.payload.replace(*change))
    assert forged.payload != proof.payload
    with pytest.raises(Tampered):
        memory.verify_receipt(forged)
    with pytest.raises(Tampered):
        receipts.verify(proof, bytes(32))
    for nothing in ({}, {"payload": "x", "signature": "zz"}, {"payload": "{}", "signature": "00"}):
        with pytest.raises(InvalidInput):
            memory.verify_receipt(nothing)


def test_the_key_of_receipts_outlives_the_process(opened: Callable[..., Memory]) -> None:
    first = opened()
    proof = first.erase(user_id="nobody").proof
    first.close()
    assert opened().verify_receipt(proof)["before"] == {"events": 0, "items": 0, "keys": 0, "snapshot_parts": 0}


def test_no_receipt_says_deleted_when_something_is_left(
    opened: Callable[..., Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = opened()
    item = memory.add("one", user_id="ana").ids[0]
    store = memory._engine.store
    kept = store.fetch(memory._engine.keys.vault_id("default", "user", "ana"), [1])
    monkeypatch.setattr(store, "fetch", lambda *_: kept)
    with pytest.raises(StoreError, match="still 1 events"):
        memory.delete(item, user_id="ana")
    monkeypatch.undo()
    other = memory.add("two", user_id="rui")
    assert other.ids
    monkeypatch.setattr(memory._engine.vaults, "erase", _erase_nothing)
    with pytest.raises(StoreError, match="still"):
        memory.erase(user_id="rui")


def _erase_nothing(*_: object) -> Any:
    from tacita.sealed import DropCounts

    return False, DropCounts(0, 0)


def test_what_is_not_there_is_not_deleted_and_leaves_no_trace(opened: Callable[..., Memory]) -> None:
    memory = opened()
    item = memory.add("one", user_id="ana").ids[0]
    for call in (
        lambda: memory.delete(item, user_id="nobody"),
        lambda: memory.delete("0" * 26, user_id="ana"),
        lambda: memory.delete(item, user_id="ana", run_id="r"),
    ):
        with pytest.raises(NotFound):
            call()
    assert texts(memory, user_id="ana") == ["one"]
    assert memory._engine.store.head(memory._engine.keys.vault_id("default", "user", "nobody")) is None


# ---------------------------------------------------------------------- origins


def test_an_origin_goes_with_everything_that_was_made_of_it(opened: Callable[..., Memory]) -> None:
    fact = json.dumps(
        {"facts": [{"text": "Ana's bank moved to Evilstan.", "source": "m1", "quote": "moved to Evilstan"}]}
    )
    memory = opened(model=ScriptedModel([fact]))
    memory.add({"role": "tool", "name": "web", "content": "Ana's bank moved to Evilstan."}, user_id="ana", infer=True)
    memory.add({"role": "tool", "name": "mail", "content": "Lunch at noon."}, user_id="ana")
    memory.add("My bank is in Lisbon.", user_id="ana")
    memory.add({"role": "tool", "name": "web", "content": "Rui's page."}, user_id="rui")
    assert len(texts(memory, user_id="ana")) == 4
    receipt = memory.purge("tool:web", user_id="ana")
    assert receipt is not None
    assert (len(receipt.ids), memory.verify_receipt(receipt.proof)["kind"]) == (2, "purge")
    assert texts(memory, user_id="ana") == ["Lunch at noon.", "My bank is in Lisbon."]
    assert texts(memory, user_id="rui") == ["Rui's page."], "another vault is out of reach"
    assert memory.purge("tool:web", user_id="ana") is None
    assert memory.purge("tool:*", user_id="ana") is None, "no wildcard"
    assert memory.purge("tool:web", user_id="nobody") is None


def test_an_origin_is_purged_within_the_labels_that_are_given(opened: Callable[..., Memory]) -> None:
    memory = opened()
    for run in ("a", "b"):
        memory.add({"role": "tool", "name": "web", "content": f"page {run}"}, user_id="ana", run_id=run)
    receipt = memory.purge("tool:web", user_id="ana", run_id="a")
    assert receipt is not None
    assert texts(memory, user_id="ana") == ["page b"]


# ---------------------------------------------------------------------- holds and freezes


def test_under_a_legal_hold_nothing_goes(opened: Callable[..., Memory], clock: Clock) -> None:
    memory = opened(retention={"message": "1d"})
    item = memory.add("evidence", user_id="ana").ids[0]
    soon = memory.add("short", user_id="ana", expires_at=(clock.now + 1_000_000) / 1e6).ids[0]
    memory.add({"role": "tool", "content": "page"}, user_id="ana")
    assert memory.hold(True, reason="case 17", user_id="ana").hold == "case 17"
    clock.now += 2 * DAY
    for refused in (
        lambda: memory.delete(item, user_id="ana"),
        lambda: memory.purge("tool", user_id="ana"),
        lambda: memory.erase(user_id="ana"),
    ):
        with pytest.raises(Held, match="legal hold"):
            refused()
    assert memory.get(soon, user_id="ana").text == "short"
    report = memory.sweep()
    assert (report.deleted, report.held) == (0, 1)
    assert memory.search("evidence", user_id="ana").hits[0].id == item, "a hold keeps, it does not hide"
    memory.close()
    again = opened(retention={"message": "1d"})
    assert again.hold(user_id="ana").hold == "case 17", "it outlives the process"
    assert again.hold(False, user_id="ana").hold is None
    assert texts(again, user_id="ana") == [], "what was overdue goes when the hold ends"


def test_what_a_hold_refuses_is_refused_before_anything_is_touched(opened: Callable[..., Memory]) -> None:
    memory = opened()
    item = memory.add("evidence", user_id="ana").ids[0]
    memory.hold(True, user_id="ana")
    engine = memory._engine
    vault = engine.find(memory._principal.scope({"user_id": "ana"}))
    assert vault is not None
    assert vault.save_snapshot(after=1)
    seq = vault.seq
    for refused in (lambda: memory.delete(item, user_id="ana"), lambda: memory.purge("user", user_id="ana")):
        with pytest.raises(Held):
            refused()
    assert vault.seq == seq
    assert engine.store.read_snapshot(vault.keys.vault_id) is not None


def test_a_hold_that_comes_while_something_is_deleted_is_in_time(
    opened: Callable[..., Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, other = opened(), opened()
    item = memory.add("evidence", user_id="ana").ids[0]
    drop = memory._engine.store.drop_snapshots

    def late(vault_id: bytes) -> int:
        other.hold(True, reason="case", user_id="ana")
        return drop(vault_id)

    monkeypatch.setattr(memory._engine.store, "drop_snapshots", late)
    with pytest.raises(Held):
        memory.delete(item, user_id="ana")
    assert memory.get(item, user_id="ana").text == "evidence"


def test_an_entry_of_the_trail_says_how_many_of_which_vault_went_and_why(opened: Callable[..., Memory]) -> None:
    memory = opened().bind(actor="clerk", purpose="request 7")
    name = memory._engine.keys.vault_id("default", "user", "ana").hex()[:12]
    ids = memory.add(["one", "two", "three"], user_id="ana").ids
    memory.delete(ids[0], user_id="ana")
    memory.purge("user", user_id="ana")
    memory.add("four", user_id="ana")
    memory.erase(user_id="ana")
    trail = [each for each in memory.audit() if each["operation"] in ("delete", "purge", "erase")]
    assert [
        (each["operation"], each["vault"], each["items"], each["actor"], each["purpose"], each["outcome"])
        for each in trail
    ] == [
        ("delete", name, 1, "clerk", "request 7", "ok"),
        ("purge", name, 2, "clerk", "request 7", "ok"),
        ("erase", name, 1, "clerk", "request 7", "ok"),
    ]
    proof = memory.erase(user_id="ana").proof
    assert memory.verify_receipt(proof)["vault"] == memory._engine.keys.vault_id("default", "user", "ana").hex()


def test_frozen_is_kept_and_neither_read_nor_told(opened: Callable[..., Memory]) -> None:
    model = ScriptedModel([json.dumps({"facts": []})] * 3)
    memory = opened(model=model)
    item = memory.add("I am ill", user_id="ana").ids[0]
    assert memory.freeze(True, user_id="ana").freeze == ""
    for refused in (
        lambda: memory.search("ill", user_id="ana"),
        lambda: memory.context("ill", user_id="ana"),
        lambda: memory.get(item, user_id="ana"),
        lambda: memory.get_all(user_id="ana"),
        lambda: memory.history(item, user_id="ana"),
        lambda: memory.profile(user_id="ana"),
        lambda: memory.quarantine(user_id="ana"),
        lambda: memory.update(item, "other", user_id="ana"),
    ):
        with pytest.raises(Held, match="frozen"):
            refused()
    with pytest.raises(Held):
        memory.search("ill", subjects=[{"user_id": "rui"}, {"user_id": "ana"}])
    added = memory.add("more", user_id="ana", infer=True)
    assert added.extraction is not None
    assert (added.extraction.failure, added.extraction.pending) == ("held", 1)
    assert model.told == [], "nothing was told"
    assert [each["text"] for each in memory.export(user_id="ana") if "text" in each] == ["I am ill", "more"]
    memory.freeze(False, user_id="ana")
    assert memory.search("ill", user_id="ana").hits[0].id == item
    assert memory.extract(user_id="ana").failure is None
    assert len(model.told) == 1, "the work had waited, and no attempt was lost"


def test_holds_are_for_those_who_may_and_for_whole_subjects(opened: Callable[..., Memory]) -> None:
    memory = opened()
    memory.add("one", user_id="ana")
    with pytest.raises(AccessDenied):
        memory.bind(user_id="ana", permissions=["read", "write", "delete", "erase"]).hold(True)
    with pytest.raises(InvalidInput, match="whole subject"):
        memory.hold(True, user_id="ana", run_id="a")
    with pytest.raises(NotFound):
        memory.hold(True, user_id="nobody")
    with pytest.raises(InvalidInput, match="500"):
        memory.freeze(True, user_id="ana", reason="x" * 501)


# ---------------------------------------------------------------------- retention


def test_a_kind_is_kept_as_long_as_the_settings_say(opened: Callable[..., Memory], clock: Clock) -> None:
    fact = json.dumps({"facts": [{"text": "Ana drinks tea.", "source": "m1", "quote": "I drink tea"}]})
    memory = opened(model=ScriptedModel([fact]), retention={"message": "30d"})
    memory.add("I drink tea.", user_id="ana", infer=True)
    clock.now += 20 * DAY
    memory.add("Later.", user_id="ana")
    memory.add("Rui.", user_id="rui")
    clock.now += 11 * DAY
    assert texts(memory, user_id="ana") == ["Later."], "and what was made of it went too"
    clock.now += 20 * DAY
    report = memory.sweep()
    assert (report.vaults, report.deleted) == (2, 2)
    assert memory.sweep().deleted == 0
    swept = [each for each in memory.audit() if each["operation"] == "sweep"]
    assert [each["items"] for each in swept] == [1, 1]


@pytest.mark.parametrize("said", ["", "d", "0d", "-1d", "90", "9 d", "٣d", "1m"])
def test_a_retention_that_says_nothing_is_refused(opened: Callable[..., Memory], said: str) -> None:
    with pytest.raises(ConfigError, match="retention"):
        opened(retention={"message": said})


# ---------------------------------------------------------------------- audit


def test_the_trail_tells_reads_writes_and_refusals_in_order(opened: Callable[..., Memory], clock: Clock) -> None:
    memory = opened()
    item = memory.bind(user_id="ana", actor="nurse", purpose="care").add("secret words").ids[0]
    clock.now += 1_000_000
    memory.search("words", user_id="ana")
    clock.now += 1_000_000
    with pytest.raises(AccessDenied):
        memory.bind(user_id="ana", permissions=["read"]).delete(item)
    clock.now += 1_000_000
    memory.delete(item, user_id="ana")
    trail = list(memory.audit())
    # The deleted item's own event is gone with its words; that it was deleted stays.
    assert [(each["operation"], each["outcome"]) for each in trail] == [
        ("key", "ok"),
        ("search", "ok"),
        ("delete", "denied"),
        ("delete", "ok"),
        ("deleted", "ok"),
    ]
    assert trail[-1]["actor"] == "local"
    assert [each["at"] for each in trail] == sorted(each["at"] for each in trail)
    assert "secret" not in str(trail)
    assert "'ana'" not in str(trail)
    other = memory.bind(user_id="ana", actor="nurse", purpose="care").add("kept")
    added = [each for each in memory.audit() if each["operation"] == "added"]
    assert [(each["actor"], each["purpose"]) for each in added] == [("nurse", "care")]
    assert other.ids
    with pytest.raises(AccessDenied):
        memory.bind(permissions=["read"]).audit()


def test_a_read_may_wait_for_its_entry(opened: Callable[..., Memory], tmp_path: Path) -> None:
    memory = opened(audit="always")
    memory.add("one", user_id="ana")
    before = _audited(memory)
    memory.search("one", user_id="ana")
    assert _audited(memory) == before + 1, "on disk when the search returns"
    with pytest.raises(AccessDenied):
        memory.bind(user_id="ana", permissions=["read"]).erase()
    assert _audited(memory) == before + 2
    with pytest.raises(ConfigError):
        Settings.load(config={"home": str(tmp_path / "x"), "audit": "never"})


def _audited(memory: Memory) -> int:
    head = memory._engine.store.head(memory._engine.keys.vault_id("default", "audit", "log"))
    return 0 if head is None else head.seq
