"""Forgetting what is meant, finding third persons in other people's vaults, and taking their names out in place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tacita import AccessDenied, Held, InvalidInput, Memory, ModelError, NotFound, StoreError
from tacita.flows import mentions
from tacita.items import Mention
from tacita.testing.model import ScriptedModel

OPEN = Callable[..., Memory]


@pytest.fixture
def opened(home: Path) -> Iterator[OPEN]:
    made: list[Memory] = []

    def make(model: Any = None) -> Memory:
        made.append(Memory(home, embedder="none", model=model))
        return made[-1]

    yield make
    for memory in made:
        memory.close()


def texts(memory: Memory, user: str) -> list[str]:
    return [item.text for item in memory.get_all(user_id=user, order="oldest", limit=1_000)]


def test_a_request_proposes_first_and_removes_when_told_to(opened: OPEN) -> None:
    memory = opened()
    memory.add(["Tom called.", "Tomas has a dog.", "I live in Lisbon.", "that is tom's car"], user_id="ana")
    memory.add("Tom is nice.", user_id="rui")
    renamed = memory.add("Tom was here", user_id="ana").ids[0]
    memory.update(renamed, "somebody was here", user_id="ana")
    memory.add("note", user_id="ana", metadata={"with": ["TOM"]})
    meant = memory.forget("everything about my ex-husband Tom", user_id="ana")
    assert meant.receipt is None
    assert [each.item.text for each in meant.proposed] == [
        "Tom called.",
        "that is tom's car",
        "somebody was here",
        "note",
    ]
    assert len(texts(memory, "ana")) == 6, "nothing went"
    done = memory.forget("everything about my ex-husband Tom", user_id="ana", dry_run=False)
    assert done.receipt is not None
    assert memory.verify_receipt(done.receipt.proof)["kind"] == "forget"
    assert texts(memory, "ana") == ["Tomas has a dog.", "I live in Lisbon."]
    assert texts(memory, "rui") == ["Tom is nice."]
    assert memory.forget("everything about Tom please, Tom", user_id="ana", dry_run=False).receipt is None


def test_only_what_was_confirmed_goes(opened: OPEN) -> None:
    memory = opened()
    first, second = memory.add(
        ["mail alice@acme.io", 'from "ALICE@acme.io"', "alice.smith@acme.io"], user_id="ana"
    ).ids[:2]
    meant = memory.forget("forget alice@acme.io", user_id="ana")
    assert [each.id for each in meant.proposed] == [first, second]
    memory.forget("forget alice@acme.io", user_id="ana", dry_run=False, ids=[second])
    assert texts(memory, "ana") == ["mail alice@acme.io", "alice.smith@acme.io"]
    other = memory.add("rui's", user_id="rui").ids[0]
    with pytest.raises(NotFound):
        memory.forget("forget alice@acme.io", user_id="ana", dry_run=False, ids=[other])
    assert texts(memory, "rui") == ["rui's"]
    with pytest.raises(InvalidInput, match="quotes"):
        memory.forget("forget all of it", user_id="ana")
    with pytest.raises(AccessDenied):
        memory.bind(user_id="ana", permissions=["read", "write"]).forget("forget Tom and Tom")


def test_what_was_made_of_it_goes_too_and_labels_narrow(opened: OPEN) -> None:
    fact = json.dumps({"facts": [{"text": "Ana was married.", "source": "m1", "quote": "was married to Tom"}]})
    nobody = json.dumps({"items": []})
    memory = opened(ScriptedModel([fact, nobody, nobody]))
    memory.add("I, Ana, was married to Tom.", user_id="ana", run_id="a", infer=True)
    memory.add("Tom again", user_id="ana", run_id="b")
    meant = memory.forget("everything about my ex-husband Tom", user_id="ana", run_id="a")
    assert [(each.item.text, each.derived) for each in meant.proposed] == [("I, Ana, was married to Tom.", 1)]
    memory.forget("everything about my ex-husband Tom", user_id="ana", run_id="a", dry_run=False)
    assert texts(memory, "ana") == ["Tom again"]


def test_a_model_proposes_what_does_not_name_it_and_never_removes_it_by_itself(opened: OPEN) -> None:
    def reply(_: str, data: str) -> str:
        label = next(line.split("]")[0][1:] for line in data.splitlines() if "wedding" in line)
        return json.dumps({"items": [label, "i99", 7]})

    model = ScriptedModel(reply)
    memory = opened(model)
    memory.add(["Our wedding was in May.", "Tom left.", "I like tea."], user_id="ana")
    meant = memory.forget("everything about my ex-husband Tom", user_id="ana", dry_run=False)
    assert [(each.item.text, each.reason) for each in meant.proposed] == [
        ("Tom left.", "named"),
        ("Our wedding was in May.", "model"),
    ]
    assert texts(memory, "ana") == ["Our wedding was in May.", "I like tea."]
    memory.forget("my ex-husband Tom", user_id="ana", dry_run=False, ids=[meant.proposed[1].id])
    assert texts(memory, "ana") == ["I like tea."]
    assert "BOUNDARY" in model.told[0][1]


@pytest.mark.parametrize("answer", [ModelError("down"), "no idea", '{"items": 3}'])
def test_a_model_that_fails_leaves_what_is_named(opened: OPEN, answer: Any) -> None:
    memory = opened(ScriptedModel([answer]))
    memory.add(["Tom left.", "I like tea."], user_id="ana")
    meant = memory.forget("everything about Tom or about tea", user_id="ana")
    assert [each.item.text for each in meant.proposed] == ["Tom left."]
    assert len(meant.warnings) == 1


# ---------------------------------------------------------------------- third persons


def test_mentions_are_found_in_the_vaults_that_one_may_read(opened: OPEN) -> None:
    memory = opened()
    in_ana = memory.add("Tom and Tom again", user_id="ana").ids[0]
    in_rui = memory.add("I met Tom", user_id="rui").ids[0]
    memory.add("Tomas", user_id="eva")

    def found(mentions: list[Mention]) -> set[tuple[str, str, int]]:
        return {(each.subject.id, each.id, each.count) for each in mentions}

    assert found(memory.find_mentions("Tom")) == {("ana", in_ana, 2), ("rui", in_rui, 1)}
    assert found(memory.find_mentions("tom", subjects=[{"user_id": "rui"}])) == {("rui", in_rui, 1)}
    assert found(memory.bind(user_id="ana").find_mentions("Tom")) == {("ana", in_ana, 2)}
    with pytest.raises(AccessDenied):
        memory.bind(permissions=["read"]).find_mentions("Tom")
    with pytest.raises(AccessDenied):
        memory.bind(user_id="ana").find_mentions("Tom", subjects=[{"user_id": "rui"}])
    with pytest.raises(InvalidInput):
        memory.find_mentions("   ")
    assert "Tom" not in str(found(memory.find_mentions("Tom")))
    looked = [each for each in memory.audit() if each["operation"] == "find_mentions"]
    assert len(looked) >= 3


def test_a_name_is_taken_out_in_place_and_from_the_past(opened: OPEN, home: Path) -> None:
    memory = opened()
    item = memory.add(
        {
            "role": "user",
            "name": "Tom Miller",
            "content": "Tom Miller owes me money",
            "metadata": {"who": "tom miller", "n": 3},
        },
        user_id="ana",
        timestamp="2025-03-01T10:00:00",
    ).ids[0]
    old = memory.add("Tom Miller is nice", user_id="ana").ids[0]
    memory.update(old, "he is nice", user_id="ana")
    memory.add("Tom Millerand is somebody else", user_id="ana")
    receipt = memory.redact("Tom Miller", user_id="ana")
    assert receipt is not None
    assert set(receipt.ids) == {item, old}
    assert memory.verify_receipt(receipt.proof)["before"]["events"] == 3
    redacted = memory.get(item, user_id="ana")
    assert (redacted.text, redacted.name, redacted.metadata) == (
        "[redacted] owes me money",
        "[redacted]",
        {"who": "[redacted]", "n": 3},
    )
    assert redacted.timestamp.year == 2025
    assert [change.event for change in memory.history(old, user_id="ana")] == ["added"]
    assert "Miller" not in str([list(memory.history(each, user_id="ana")) for each in (item, old)])
    assert memory.search("money", user_id="ana").hits[0].id == item
    assert memory.find_mentions("Tom Miller") == []
    assert memory.redact("Tom Miller", user_id="ana") is None
    assert "Tom Millerand is somebody else" in texts(memory, "ana")
    assert memory.verify().ok
    memory.close()
    again = opened()
    assert again.get(item, user_id="ana").text == "[redacted] owes me money"
    assert again.verify().ok


def test_redaction_stays_within_its_labels_and_frozen_vaults_are_left_out(opened: OPEN) -> None:
    memory = opened()
    for run in ("a", "b"):
        memory.add(f"Tom in {run}", user_id="ana", run_id=run)
    assert memory.bind(user_id="ana", run_id="a").redact("Tom") is not None
    assert texts(memory, "ana") == ["[redacted] in a", "Tom in b"]
    memory.add("Tom", user_id="rui")
    memory.freeze(True, user_id="ana")
    assert [each.subject.id for each in memory.find_mentions("Tom")] == ["rui"]


def test_an_item_that_was_changed_meanwhile_is_not_overwritten(opened: OPEN, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, other = opened(), opened()
    item = memory.add("Tom one", user_id="ana").ids[0]

    def late(*arguments: Any) -> Any:
        monkeypatch.undo()
        other.update(item, "Tom two", user_id="ana")
        return embed(*arguments)

    embed = mentions.embed
    monkeypatch.setattr(mentions, "embed", late)
    with pytest.raises(StoreError, match="again"):
        memory.redact("Tom", user_id="ana")
    assert texts(memory, "ana") == ["Tom two"]
    memory.redact("Tom", user_id="ana")
    assert texts(memory, "ana") == ["[redacted] two"]


def test_facts_keep_their_source_and_lose_the_name(opened: OPEN) -> None:
    fact = json.dumps({"facts": [{"text": "Ana's boss is Tom.", "source": "m1", "quote": "my boss is Tom"}]})
    memory = opened(ScriptedModel([fact]))
    source = memory.add("my boss is Tom", user_id="ana", infer=True).ids[0]
    memory.redact("Tom", user_id="ana")
    assert sorted(texts(memory, "ana")) == ["Ana's boss is [redacted].", "my boss is [redacted]"]
    memory.delete(source, user_id="ana")
    assert texts(memory, "ana") == [], "the fact still goes with its source"


def test_a_hold_keeps_names_too(opened: OPEN) -> None:
    memory = opened()
    memory.add("Tom", user_id="ana")
    memory.hold(True, user_id="ana")
    with pytest.raises(Held):
        memory.redact("Tom", user_id="ana")
    with pytest.raises(Held):
        memory.forget('forget "Tom"', user_id="ana", dry_run=False)
    assert texts(memory, "ana") == ["Tom"]
