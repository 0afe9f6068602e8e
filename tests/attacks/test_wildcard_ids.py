"""`*`, `%` and prefixes are characters of an id, never patterns."""

from __future__ import annotations

import pytest

from tacita import InvalidInput, Memory, NotFound

PATTERNS = [
    "*",
    "%",
    "_lice",
    "alic",
    "alic*",
    "alice%",
    "ALICE",
    "alice\u0301",
    "?lice",
    ".*",
    "alice-admin",
    "[a]lice",
]


@pytest.fixture
def alices(memory: Memory) -> Memory:
    memory.add("alice hides the spare key under the blue pot", user_id="alice")
    return memory


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern_reads_nothing(alices: Memory, pattern: str) -> None:
    assert alices.search("spare key", user_id=pattern).hits == ()
    assert alices.get_all(user_id=pattern).total == 0
    assert alices.context("spare key", user_id=pattern).hits == ()
    assert len(list(alices.export(user_id=pattern))) == 1
    assert alices.stats(user_id=pattern).items == 0


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern_removes_nothing(alices: Memory, pattern: str) -> None:
    item = alices.get_all(user_id="alice").items[0]
    with pytest.raises(NotFound):
        alices.delete(item.id, user_id=pattern)
    assert alices.erase(user_id=pattern).keys_destroyed == 0
    assert alices.get(item.id, user_id="alice") == item


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern_is_an_id_of_its_own(alices: Memory, pattern: str) -> None:
    alices.add("the spare key of a stranger", user_id=pattern)
    assert [hit.text for hit in alices.search("spare key", user_id=pattern)] == ["the spare key of a stranger"]
    assert alices.erase(user_id=pattern).items == 1
    assert alices.get_all(user_id="alice").total == 1


@pytest.mark.parametrize("pattern", ["*", "%", "r", "r1*"])
def test_label_pattern_matches_nothing(memory: Memory, pattern: str) -> None:
    memory.add("the tea was green", user_id="alice", run_id="r1")
    assert memory.get_all(user_id="alice", run_id=pattern).total == 0
    assert memory.search("tea", user_id="alice", run_id=pattern).hits == ()


def test_same_id_of_another_kind_is_another_subject(alices: Memory) -> None:
    assert alices.get_all(agent_id="alice").total == 0
    assert alices.get_all(run_id="alice").total == 0


@pytest.mark.parametrize(
    "bad", ["", "  ", "a\0b", "a\nb", "a" * 257, "\u200balice", "\ud800", 7, ["alice"], {"ne": ""}]
)
def test_malformed_id_is_refused(alices: Memory, bad: object) -> None:
    with pytest.raises(InvalidInput):
        alices.get_all(user_id=bad)  # type: ignore[arg-type]


def test_nobody_named_is_refused(alices: Memory) -> None:
    for call in (lambda: alices.search("key"), alices.get_all, alices.erase, lambda: alices.add("x")):
        with pytest.raises(InvalidInput):
            call()


def test_separators_in_ids_do_not_join(memory: Memory) -> None:
    memory.add("first", user_id="a:b", agent_id="c")
    assert memory.get_all(user_id="a", agent_id="b:c").total == 0
    memory.add("second", user_id="ana", agent_id="x y", run_id="z")
    assert memory.get_all(user_id="ana", agent_id="x", run_id="y z").total == 0


@pytest.mark.parametrize("verb", ["stats", "verify"])
def test_empty_id_is_not_the_whole_home(alices: Memory, verb: str) -> None:
    with pytest.raises(InvalidInput):
        getattr(alices, verb)(user_id="")
