"""Summaries tell one conversation, rest on its messages, roll on by themselves and go with what they rest on."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tacita import Memory
from tacita.config import Settings
from tacita.errors import ModelError
from tacita.items import Kind, Trust
from tacita.testing.model import ScriptedModel


def answer(*lines: tuple[str, list[str]]) -> str:
    return json.dumps({"facts": [{"text": text, "source": source} for text, source in lines]})


def open_memory(path: Path, answers: list[Any] | Callable[[str, str], str], **extraction: Any) -> Memory:
    described = {"home": str(path / "home"), "extraction": extraction}
    return Memory(settings=Settings.load(config=described), embedder="none", model=ScriptedModel(answers))


def told(memory: Memory) -> list[str]:
    return [data for _, data in memory._engine.model.told]  # type: ignore[union-attr]


def test_it_tells_one_conversation_and_goes_with_its_messages(tmp_path: Path) -> None:
    written = answer(
        ("The user booked a flight to Lisbon.", ["m1"]), ("The user has a cat.", ["m1"]), ("Ana flew.", [])
    )
    with open_memory(tmp_path, [written]) as memory:
        first = memory.add("I booked a flight to Lisbon.", user_id="ana", run_id="trip")
        memory.add("The dentist is on Friday.", user_id="ana", run_id="health")
        memory.add({"role": "tool", "content": "Prices went up."}, user_id="ana", run_id="trip")
        memory.add({"role": "system", "content": "Be brief."}, user_id="ana", run_id="trip")
        summary = memory.summary(user_id="ana", run_id="trip", renew=True)
        assert summary is not None
        assert (summary.text, summary.kind) == ("The user booked a flight to Lisbon.", Kind.SUMMARY)
        assert (summary.run_id, summary.trust, summary.citations) == ("trip", Trust.USER, (first.ids[0],))
        (prompt,) = told(memory)
        assert "flight" in prompt
        assert not any(word in prompt for word in ("dentist", "Prices", "brief")), "other talks, tools and the host"
        assert memory.summary(user_id="ana", run_id="trip") == summary
        assert memory.summary(user_id="ana") is None, "another scope is another conversation"
        assert memory.summary(user_id="ana", run_id="health") is None
        memory.delete(first.ids[0], user_id="ana")
        assert memory.summary(user_id="ana", run_id="trip") is None


def test_a_long_conversation_is_told_by_its_last_messages_and_the_summary_of_the_rest(tmp_path: Path) -> None:
    first = answer(("The user plans a garden with roses.", ["m1"]))
    second = answer(("The garden with roses is planned.", ["s1"]), ("Soil was ordered.", ["m200"]))
    with open_memory(tmp_path, [first, second]) as memory:
        start = memory.add("I plan a garden with roses.", user_id="ana")
        assert memory.summary(user_id="ana", renew=True) is not None
        memory.add([f"Message {number} about soil." for number in range(199)] + ["Soil was ordered."], user_id="ana")
        rolled = memory.summary(user_id="ana", renew=True)
        assert rolled is not None
        assert rolled.text == "The garden with roses is planned.\nSoil was ordered."
        assert "[s1]" in told(memory)[1]
        assert "I plan" not in told(memory)[1], "no longer among the last ones"
        memory.delete(start.ids[0], user_id="ana")
        assert memory.summary(user_id="ana") is None, "what the earlier summary rested on, the later one rests on too"


def test_what_there_is_is_renewed_by_itself(tmp_path: Path) -> None:
    def reply(instructions: str, data: str) -> str:
        if instructions.startswith("Summarise"):
            return answer((f"{data.count('tea')} cups of tea.", ["m1"]))
        return json.dumps({"facts": []})

    with open_memory(tmp_path, reply, renew_after=3) as memory:
        memory.add("One tea, cups.", user_id="ana", infer=True)
        assert memory.summary(user_id="ana") is None, "nobody asked for one yet"
        assert memory.summary(user_id="ana", renew=True) is not None
        memory.add(["Two tea.", "Three tea."], user_id="ana", infer=True)
        assert [each.startswith("Summarise") for each, _ in memory._engine.model.told].count(True) == 1  # type: ignore[union-attr]
        memory.add("Four tea.", user_id="ana", infer=True)
        rolled = memory.summary(user_id="ana")
        assert rolled is not None
        assert rolled.text == "4 cups of tea."


def test_one_that_cannot_be_renewed_stays_and_the_facts_are_safe(tmp_path: Path) -> None:
    fact = json.dumps({"facts": [{"text": "Ana drinks tea.", "source": "m1", "quote": "I drink tea"}]})
    script = [answer(("The user drinks coffee.", ["m1"])), fact, ModelError("down")]
    with open_memory(tmp_path, script, renew_after=1) as memory:
        memory.add("I drink coffee.", user_id="ana")
        before = memory.summary(user_id="ana", renew=True)
        added = memory.add("I drink tea.", user_id="ana", infer=True)
        assert added.extraction is not None
        assert (added.extraction.failure, len(added.extraction.facts)) == (None, 1)
        assert memory.summary(user_id="ana") == before


def test_it_rolls_on_in_the_background_too(tmp_path: Path) -> None:
    def reply(instructions: str, data: str) -> str:
        if instructions.startswith("Summarise"):
            return answer((f"{data.count('rain')} rain.", ["m1"]))
        return json.dumps({"facts": []})

    with open_memory(tmp_path, reply, renew_after=2, background=True) as memory:
        memory.add("rain", user_id="ana")
        assert memory.summary(user_id="ana", renew=True) is not None
        memory.add(["more rain", "and rain"], user_id="ana", infer=True)
        deadline = time.monotonic() + 20
        while (found := memory.summary(user_id="ana")) is None or found.text != "3 rain.":
            assert time.monotonic() < deadline
            time.sleep(0.02)
