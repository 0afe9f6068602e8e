"""Policies by type, channel and tenant, and detectors of the operator's own."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tacita import Memory
from tacita.config import Settings
from tacita.errors import Blocked, ConfigError, ModelError

Opened = Callable[..., Memory]
MAIL = "write to ana@example.org"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made: list[Memory] = []

    def make(guard: Any = "default", detectors: Any = (), **more: Any) -> Memory:
        described = {"home": str(tmp_path / f"home{len(made)}"), "embedder": "none", "guard": guard, **more}
        made.append(Memory(settings=Settings.load(config=described), detectors=detectors))
        return made[-1]

    yield make
    for memory in made:
        memory.close()


def kept(memory: Memory, text: str = MAIL, role: str = "user") -> str:
    memory.add({"role": role, "content": text}, user_id="ana")
    return memory.get_all(user_id="ana").items[0].text


@pytest.mark.parametrize(
    ("action", "text"),
    [("keep", MAIL), ("mask", "write to [email]"), ("drop", "write to ")],
)
def test_by_type(opened: Opened, action: str, text: str) -> None:
    assert kept(opened({"types": {"email": action}})) == text
    assert kept(opened({"types": {"pii": action}})) == text


def test_a_pseudonym_is_the_same_each_time_and_leads_nowhere(opened: Opened) -> None:
    memory = opened({"types": {"email": "pseudonymise"}})
    memory.add([MAIL, MAIL + " again"], user_id="ana")
    memory.add(MAIL, user_id="rui")
    first, second = (item.text.split()[2] for item in memory.get_all(user_id="ana"))
    (other,) = (item.text.split()[2] for item in memory.get_all(user_id="rui"))
    assert first == second != other
    assert first.startswith("<EMAIL_")


def test_a_type_may_be_refused_or_held(opened: Opened) -> None:
    with pytest.raises(Blocked, match="email"):
        kept(opened({"types": {"email": "block"}}))
    memory = opened({"types": {"email": "quarantine"}})
    assert memory.add(MAIL, user_id="ana").results[0].event == "quarantined"
    assert memory.quarantine(user_id="ana")[0].reason == "policy"
    assert len(memory.search("write", user_id="ana")) == 0


def test_by_channel(opened: Opened) -> None:
    memory = opened({"channels": {"tool": {"email": "mask"}}})
    assert kept(memory) == MAIL
    memory.add({"role": "tool", "name": "crm", "content": MAIL}, user_id="rui")
    assert memory.get_all(user_id="rui").items[0].text == "write to [email]"


def test_an_update_is_of_the_channel_of_its_item(opened: Opened) -> None:
    memory = opened({"types": {"phone": "quarantine"}, "channels": {"tool": {"email": "mask"}}})
    (held,) = memory.add({"role": "tool", "name": "crm", "content": "hello"}, user_id="ana").ids
    assert memory.update(held, MAIL, user_id="ana").text == "write to [email]"
    with pytest.raises(Blocked):
        memory.update(held, "call +351 912 345 678", user_id="ana")


def test_by_tenant(opened: Opened) -> None:
    guard = {"tenants": {"clinic": {"email": "mask"}}}
    assert kept(opened(guard)) == MAIL
    assert kept(opened(guard, tenant="clinic")) == "write to [email]"


@pytest.mark.parametrize(
    "guard", [{"profile": "lax"}, {"types": {"email": "burn"}}, {"channels": {"fax": {}}}, {"kinds": {}}, 3]
)
def test_wrong_settings_are_refused(opened: Opened, guard: Any) -> None:
    with pytest.raises(ConfigError):
        opened(guard)


class People:
    """A stand-in for a model that finds names."""

    name = "people"

    def __init__(self, found: Iterable[Any] | None = None, seconds: float = 0.0) -> None:
        self._found = found
        self._seconds = seconds

    def detect(self, text: str, /) -> Iterable[tuple[str, int, int]]:
        time.sleep(self._seconds)
        if self._found is not None:
            yield from self._found
        elif "Quillfeather" in text:
            at = text.index("Quillfeather")
            yield "person", at, at + len("Quillfeather")


def test_an_own_detector_is_asked(opened: Opened) -> None:
    memory = opened({"types": {"person": "mask"}}, [People()])
    assert kept(memory, "Ms Quillfeather, ana@example.org") == "Ms [person], ana@example.org"
    assert memory.get_all(user_id="ana").items[0].labels == ("email", "person")


@pytest.mark.parametrize("found", [[("person", 0, 999)], [("person", 3, 3)], [("", 0, 1)], ["x"], [("a", 0.0, 1)]])
def test_a_detector_that_breaks_its_word_keeps_nothing(opened: Opened, found: Any) -> None:
    memory = opened(detectors=[People(found)])
    with pytest.raises(ModelError, match="people"):
        kept(memory)
    assert memory.stats().items == 0


def test_a_detector_that_takes_too_long_keeps_nothing(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tacita.ports.detectors.SECONDS", 0.05)
    memory = opened(detectors=[People(seconds=0.3)])
    with pytest.raises(ModelError, match="too long"):
        kept(memory)
    assert memory.stats().items == 0


def test_no_detector(opened: Opened) -> None:
    with pytest.raises(ConfigError, match="detect"):
        opened(detectors=[object()])
