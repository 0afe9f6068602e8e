"""`add(infer=True)`: facts with citations, and nothing lost whatever the model does."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.support import Support

from tacita import Memory
from tacita.config import Settings
from tacita.errors import AccessDenied, ConfigError, InvalidInput, ModelError
from tacita.testing.model import ScriptedModel

Opened = Callable[..., Memory]


def supports(request: pytest.FixtureRequest) -> Support | None:
    """Of the test whose model is a function."""
    asked = request.node.originalname == "test_a_function_is_a_model"
    return Support("models", ("function",), "a function of the caller's", "live") if asked else None


def answer(*facts: dict[str, Any]) -> str:
    return json.dumps({"facts": list(facts)})


LISBON = {"text": "Ana lives in Lisbon.", "source": "m1", "quote": "I live in Lisbon", "subject": "Ana"}
PORTO = {
    "text": "Ana lives in Porto.",
    "source": "m1",
    "quote": "I moved to Porto",
    "relation": "supersedes",
    "of": "f1",
}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made: list[Memory] = []

    def make(model: Any = None, **settings: Any) -> Memory:
        described = {"home": str(tmp_path / "home"), "embedder": "none", **settings}
        made.append(Memory(settings=Settings.load(config=described), model=model))
        return made[-1]

    yield make
    for memory in made:
        memory.close()


def test_facts_cite_and_supersede_and_history_tells(opened: Opened) -> None:
    memory = opened(
        ScriptedModel([answer(LISBON), answer(PORTO), answer(LISBON | {"relation": "supersedes", "of": "f1"})])
    )
    first = memory.add("I live in Lisbon.", user_id="ana", timestamp="2026-01-01", infer=True)
    assert first.extraction is not None
    (lisbon,) = first.extraction.facts
    assert (lisbon.event, lisbon.citations) == ("added", (first.ids[0],))
    second = memory.add("I moved to Porto!", user_id="ana", timestamp="2026-03-01", infer=True)
    assert second.extraction is not None
    (porto,) = second.extraction.facts
    assert (porto.event, porto.replaced) == ("supersedes", lisbon.id)

    def facts(**more: Any) -> list[str]:
        found = memory.search("where does Ana live?", user_id="ana", filters={"kind": "fact"}, **more)
        return [hit.text for hit in found]

    assert facts() == ["Ana lives in Porto."]
    assert facts(as_of="2026-02-01") == ["Ana lives in Lisbon."]
    assert facts(as_of="2026-03-02") == ["Ana lives in Porto."]
    assert lisbon.id is not None
    assert porto.id is not None
    old, new = memory.get(lisbon.id, user_id="ana"), memory.get(porto.id, user_id="ana")
    assert old.valid_to == new.timestamp
    assert old.derivation is not None
    assert old.derivation.superseded_by == porto.id
    assert new.derivation is not None
    ((source, start, end),) = new.derivation.spans
    assert memory.get(source, user_id="ana").text[start:end] == "I moved to Porto"
    assert [change.event for change in memory.history(lisbon.id, user_id="ana")] == ["added", "superseded"]
    # An old message that comes late changes nothing that is known by now.
    late = memory.add("I live in Lisbon.", user_id="ana", timestamp="2025-06-01", infer=True)
    assert late.extraction is not None
    assert [fact.event for fact in late.extraction.facts] == ["outdated"]
    assert facts() == ["Ana lives in Porto."]


def test_a_vault_opened_again_knows_the_same(opened: Opened, tmp_path: Path) -> None:
    memory = opened(ScriptedModel([answer(LISBON), answer(PORTO)]))
    memory.add("I live in Lisbon.", user_id="ana", timestamp="2026-01-01", infer=True)
    memory.add("I moved to Porto!", user_id="ana", timestamp="2026-03-01", infer=True)
    memory.consent(True, user_id="ana")
    for number in range(600):
        memory.add(f"filler {number}", user_id="ana")
    before = [item.to_dict() for item in memory.get_all(user_id="ana", limit=1000)]
    memory.close()
    again = opened()  # from a snapshot
    assert [item.to_dict() for item in again.get_all(user_id="ana", limit=1000)] == before
    assert again.consent(user_id="ana") is True
    assert again.verify().ok


FAILURES: dict[str, Any] = {
    "a model error": ModelError("down"),
    "a retryable one": ModelError("busy", retryable=True),
    "a foreign exception": ValueError("my words"),
    "no network": ConnectionError("refused"),
    "a missing key": ConfigError("no key"),
    "nothing": "",
    "prose": "I could not find anything.",
    "cut off": '{"facts": [{"te',
    "not text": 7,
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_the_plug_is_pulled_and_nothing_is_lost(opened: Opened, failure: Any) -> None:
    memory = opened(ScriptedModel([failure, answer(LISBON)]))
    added = memory.add("I live in Lisbon.", user_id="ana", infer=True)
    assert added.extraction is not None
    assert added.extraction.failure is not None
    assert added.extraction.pending == 1
    assert memory.stats(user_id="ana").pending == 1
    assert memory.search("Lisbon", user_id="ana")[0].text == "I live in Lisbon."
    later = memory.extract(user_id="ana")
    assert [fact.text for fact in later.facts] == ["Ana lives in Lisbon."]
    assert (later.pending, later.failure) == (0, None)


def test_work_survives_a_restart(opened: Opened) -> None:
    memory = opened(ScriptedModel([ModelError("down")]))
    memory.add("I live in Lisbon.", user_id="ana", infer=True)
    memory.close()
    again = opened(ScriptedModel([answer(LISBON)]))
    assert len(again.extract(user_id="ana").facts) == 1


def test_it_is_given_up_in_the_end(opened: Opened) -> None:
    model = ScriptedModel([ModelError("down")] * 9)
    memory = opened(model)
    memory.add("I live in Lisbon.", user_id="ana", infer=True)
    for _ in range(7):
        memory.extract(user_id="ana")
    assert len(model.told) == 5
    assert memory.stats(user_id="ana").pending == 0
    assert len(memory.get_all(user_id="ana")) == 1


def test_forgotten_work_is_not_told(opened: Opened) -> None:
    model = ScriptedModel([ModelError("down")])
    memory = opened(model)
    added = memory.add("I live in Lisbon.", user_id="ana", infer=True)
    memory.delete(added.ids[0], user_id="ana")
    assert memory.stats(user_id="ana").pending == 0
    assert memory.extract(user_id="ana").facts == ()
    assert len(model.told) == 1


def test_what_is_forgotten_while_the_model_thinks_leaves_no_fact(opened: Opened) -> None:
    memory: Memory

    def think(_: str, __: str) -> str:
        (item,) = memory.get_all(user_id="ana")
        memory.delete(item.id, user_id="ana")
        return answer(LISBON)

    memory = opened(ScriptedModel(think))
    added = memory.add("I live in Lisbon.", user_id="ana", infer=True)
    assert added.extraction is not None
    assert added.extraction.facts == ()
    assert len(memory.get_all(user_id="ana")) == 0


def test_deleting_a_message_deletes_what_was_derived_from_it(opened: Opened) -> None:
    memory = opened(ScriptedModel([answer(LISBON)]))
    added = memory.add("I live in Lisbon.", user_id="ana", infer=True)
    receipt = memory.delete(added.ids[0], user_id="ana")
    assert len(receipt.ids) == 2
    assert len(memory.get_all(user_id="ana")) == 0
    assert memory.verify().ok


def test_a_fact_lives_no_longer_than_its_source(opened: Opened) -> None:
    memory = opened(ScriptedModel([answer(LISBON)]))
    memory.add("I live in Lisbon.", user_id="ana", infer=True, expires_at=time.time() + 0.3)
    assert len(memory.get_all(user_id="ana")) == 2
    time.sleep(0.4)
    assert len(memory.get_all(user_id="ana")) == 0


def test_without_a_model_nothing_is_written(opened: Opened) -> None:
    memory = opened()
    with pytest.raises(InvalidInput, match="language model"):
        memory.add("I live in Lisbon.", user_id="ana", infer=True)
    assert memory.stats().items == 0
    assert memory.add("I live in Lisbon.", user_id="ana").extraction is None


def test_a_function_is_a_model(opened: Opened) -> None:
    memory = opened(lambda instructions, data: answer(LISBON) if "MESSAGES" in data and instructions else "")
    added = memory.add("I live in Lisbon.", user_id="ana", infer=True)
    assert added.extraction is not None
    assert len(added.extraction.facts) == 1


def test_system_messages_are_no_facts(opened: Opened) -> None:
    model = ScriptedModel([answer()])
    memory = opened(model)
    memory.add(
        [{"role": "system", "content": "You are Zebra."}, {"role": "user", "content": "Hello"}],
        user_id="ana",
        infer=True,
    )
    ((_, data),) = model.told
    assert "Zebra" not in data


def test_long_conversations_go_in_several_prompts_and_all_are_asked(opened: Opened) -> None:
    model = ScriptedModel(lambda _, __: answer())
    memory = opened(model)
    memory.add([f"message number {number}" for number in range(45)], user_id="ana", infer=True)
    assert len(model.told) == 3
    told = "\n".join(data for _, data in model.told)
    assert all(f"message number {number}\n" in told + "\n" for number in range(45))


def test_the_same_twice_is_one_fact(opened: Opened) -> None:
    memory = opened(ScriptedModel(lambda _, __: answer(LISBON)))
    memory.add("I live in Lisbon.", user_id="ana", infer=True)
    second = memory.add("As I said, I live in Lisbon.", user_id="ana", infer=True)
    assert second.extraction is not None
    assert [fact.event for fact in second.extraction.facts] == ["duplicate"]
    assert memory.stats(user_id="ana").by_kind["fact"] == 1


def test_two_people_never_meet_in_a_prompt(opened: Opened) -> None:
    model = ScriptedModel(lambda _, data: answer(LISBON) if "Lisbon" in data else answer())
    memory = opened(model)
    memory.add("I live in Lisbon.", user_id="ana", infer=True)
    memory.add("I live in Lisbon too, or Faro.", user_id="rui", infer=True)
    assert "Ana" not in model.told[1][1]


def test_background_work_is_done_and_searches_go_on(opened: Opened) -> None:
    gate = Event()

    def think(_: str, data: str) -> str:
        gate.wait(10)
        return answer(LISBON) if "Lisbon" in data else answer()

    memory = opened(ScriptedModel(think), extraction={"background": True, "threads": 4})
    for number in range(20):
        added = memory.add("I live in Lisbon.", user_id=f"user-{number}", infer=True)
        assert added.extraction is not None
        assert added.extraction.pending == 1
    assert len(memory.search("Lisbon", user_id="user-3")) == 1, "the model is still thinking"
    gate.set()
    assert memory._worker is not None
    assert memory._worker.drain(20)
    stats = memory.stats()
    assert (stats.by_kind["fact"], stats.pending) == (20, 0)


def test_background_work_left_behind_is_found(opened: Opened) -> None:
    memory = opened(ScriptedModel([ModelError("down")] * 3))
    for user in ("ana", "rui", "eva"):
        memory.add("I live in Lisbon.", user_id=user, infer=True)
    memory.close()
    again = opened(ScriptedModel(lambda _, __: answer(LISBON)), extraction={"background": True})
    assert again._worker is not None
    assert again._worker.drain(20)
    assert again.stats().by_kind["fact"] == 3


def test_a_bound_view_without_writing_may_not_extract(opened: Opened) -> None:
    memory = opened(ScriptedModel(lambda _, __: answer(LISBON)))
    view = memory.bind(user_id="ana", permissions=["read"])
    with pytest.raises(AccessDenied):
        view.extract()
    with pytest.raises(AccessDenied):
        view.consent(True)


def test_an_import_draws_facts_too(opened: Opened, tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    file.write_text(json.dumps({"role": "user", "content": "I live in Lisbon.", "user_id": "ana"}) + "\n")
    memory = opened(ScriptedModel(lambda _, __: answer(LISBON)))
    report = memory.import_(file, user_id="ana", infer=True)
    assert report.extraction is not None
    assert len(report.extraction.facts) == 1
    assert memory.import_(file, user_id="ana", infer=True).extraction is not None
    assert memory.stats().by_kind == {"message": 1, "fact": 1}


def test_two_processes_draw_the_same_facts_once(opened: Opened) -> None:
    first = opened(ScriptedModel([ModelError("down")]))
    first.add("I live in Lisbon.", user_id="ana", infer=True)
    second = opened(ScriptedModel([answer(LISBON)]))

    def think(_: str, __: str) -> str:
        # While one is thinking, the other is done.
        assert len(second.extract(user_id="ana").facts) == 1
        return answer(LISBON)

    third = opened(ScriptedModel(think))
    assert third.extract(user_id="ana").facts == ()
    assert third.stats(user_id="ana").by_kind["fact"] == 1
    assert third.verify().ok


def test_closing_waits_for_one_call_and_not_for_the_queue(opened: Opened) -> None:
    calls: list[str] = []

    def think(_: str, data: str) -> str:
        calls.append(data)
        time.sleep(0.2)
        return answer()

    memory = opened(ScriptedModel(think), extraction={"background": True, "threads": 1})
    memory.add([f"message number {number}" for number in range(400)], user_id="ana", infer=True)
    while not calls:
        time.sleep(0.01)
    memory.close()
    assert len(calls) <= 2
    again = opened(ScriptedModel(lambda _, __: answer()))
    assert again.stats(user_id="ana").pending >= 360


def test_a_date_far_ahead_does_not_freeze_a_fact(opened: Opened) -> None:
    memory = opened(ScriptedModel([answer(LISBON | {"valid_from": "2090-01-01"}), answer(PORTO)]))
    memory.add("I live in Lisbon.", user_id="ana", timestamp="2026-01-01", infer=True)
    second = memory.add("I moved to Porto!", user_id="ana", timestamp="2026-03-01", infer=True)
    assert second.extraction is not None
    assert [fact.event for fact in second.extraction.facts] == ["supersedes"]
