"""Somebody else's id looks exactly like an id that never was, whatever the verb."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tacita import InvalidInput, Memory, NotFound

VERBS: dict[str, Callable[[Memory, str, dict[str, str]], Any]] = {
    "get": lambda memory, key, ids: memory.get(key, **ids),
    "update": lambda memory, key, ids: memory.update(key, "overwritten", **ids),
    "delete": lambda memory, key, ids: memory.delete(key, **ids),
    "history": lambda memory, key, ids: memory.history(key, **ids),
}
SCOPES = [
    {"user_id": "mallory"},
    {"user_id": "nobody"},
    {"agent_id": "alice"},
    {"user_id": "alice", "run_id": "other"},
    {"user_id": "mallory", "run_id": "r1"},
]


@pytest.mark.parametrize("scope", SCOPES, ids=str)
@pytest.mark.parametrize("verb", VERBS)
def test_foreign_id_equals_missing_id(memory: Memory, verb: str, scope: dict[str, str]) -> None:
    theirs = memory.add("alice's secret", user_id="alice", run_id="r1").results[0].id
    memory.add("mine", user_id="mallory")
    gone = memory.add("short-lived", user_id="mallory").results[0].id
    memory.delete(gone, user_id="mallory")
    errors = set()
    for key in (theirs, str(uuid.uuid4()), gone, "no-uuid", "*", "", theirs + "'--"):
        with pytest.raises(NotFound) as caught:
            VERBS[verb](memory, key, scope)
        assert caught.value.__cause__ is None
        errors.add((type(caught.value), str(caught.value), caught.value.args))
    assert len(errors) == 1
    assert memory.get(theirs, user_id="alice").text == "alice's secret"
    assert len(memory.history(theirs, user_id="alice")) == 1


@pytest.mark.parametrize("verb", VERBS)
def test_foreign_id_in_a_bound_view(memory: Memory, verb: str) -> None:
    theirs = memory.add("alice's secret", user_id="alice").results[0].id
    view = memory.bind(user_id="mallory")
    with pytest.raises(NotFound, match=r"^no such item in this scope$"):
        VERBS[verb](view, theirs, {})


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("id", [None, 7, b"x" * 16, ["id"], uuid.uuid4()], ids=lambda value: type(value).__name__)
def test_id_of_another_type_is_refused(memory: Memory, verb: str, id: Any) -> None:
    memory.add("mine", user_id="alice")
    with pytest.raises(InvalidInput):
        VERBS[verb](memory, id, {"user_id": "alice"})


def test_foreign_id_writes_nothing(memory: Memory) -> None:
    theirs = memory.add("alice's secret", user_id="alice").results[0].id
    memory.add("mine", user_id="mallory")
    before = memory.stats(user_id="mallory").events
    for verb in VERBS.values():
        with pytest.raises(NotFound):
            verb(memory, theirs, {"user_id": "mallory"})
    assert memory.stats(user_id="mallory").events == before
    assert memory.verify().ok


def test_cursor_of_another_user_shows_only_own_items(memory: Memory) -> None:
    memory.add([f"alice {n}" for n in range(5)], user_id="alice")
    memory.add([f"mallory {n}" for n in range(5)], user_id="mallory")
    cursor = memory.get_all(user_id="alice", limit=2).next_cursor
    page = memory.get_all(user_id="mallory", cursor=cursor)
    assert all(item.user_id == "mallory" for item in page.items)
