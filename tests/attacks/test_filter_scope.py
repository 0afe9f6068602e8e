"""Filters narrow what the scope allows; they never widen it, and none is dropped in silence."""

from __future__ import annotations

from typing import Any

import pytest

from tacita import InvalidInput, Memory


@pytest.fixture
def two(memory: Memory) -> Memory:
    memory.add("alice likes tea", user_id="alice", metadata={"level": "open", "tags": ["a", "b"]})
    memory.add("alice hides a ring in the tea", user_id="alice", metadata={"level": "secret"})
    memory.add("bob likes tea", user_id="bob", metadata={"level": "open"})
    return memory


WIDENING: list[dict[str, Any]] = [
    {"AND": [{"user_id": "bob"}]},
    {"user_id": "bob"},
    {"OR": [{"user_id": "bob"}, {"user_id": "alice"}]},
    {"OR": [{"user_id": {"exists": True}}, {"text": {"contains": "bob"}}]},
    {"NOT": {"user_id": "alice"}},
    {"user_id": {"ne": "alice"}},
    {"user_id": {"in": ["alice", "bob", "*"]}},
    {"user_id": "*"},
    {"text": {"contains": "bob"}},
]


@pytest.mark.parametrize("filters", WIDENING, ids=str)
def test_no_filter_reaches_another_user(two: Memory, filters: dict[str, Any]) -> None:
    for items in (
        two.get_all(user_id="alice", filters=filters).items,
        [hit.item for hit in two.search("tea", user_id="alice", filters=filters)],
        [hit.item for hit in two.context("tea", user_id="alice", filters=filters).hits],
    ):
        assert all(item.user_id == "alice" for item in items)


def test_and_with_another_user_is_empty(two: Memory) -> None:
    assert two.get_all(user_id="alice", filters={"AND": [{"user_id": "bob"}]}).total == 0
    both = {"user_id": "alice", "AND": [{"user_id": "bob"}]}
    assert two.search("tea", user_id="alice", filters=both).hits == ()


@pytest.mark.parametrize(
    "filters",
    [
        {"owner": "bob"},
        {"user_id | @user_id": "bob"},
        {"metadata": "x"},
        {"metadata.": "x"},
        {"metadata..a": "x"},
        {"and": [{"user_id": "alice"}]},
        {"$or": []},
        {"metadata.level": {"neq": "secret"}},
        {"metadata.level": {"$ne": "secret"}},
        {"metadata.level": {"NE": "secret"}},
        {"metadata.level": {}},
        {"metadata.level": None},
        {"metadata.level": ["secret"]},
        {"metadata.level": {"nin": "secret"}},
        {"metadata.level": {"exists": "no"}},
        {"NOT": []},
        {"NOT": [{}]},
        {"AND": "user_id"},
        {"timestamp": {"gt": "yesterday-ish"}},
        {"trust": "boss"},
        {"version": "1"},
        {7: "x"},
        [{"user_id": "alice"}],
        "user_id",
    ],
    ids=str,
)
def test_what_is_not_understood_is_refused(two: Memory, filters: Any) -> None:
    with pytest.raises(InvalidInput):
        two.get_all(user_id="alice", filters=filters)
    with pytest.raises(InvalidInput):
        two.search("tea", user_id="alice", filters=filters)


@pytest.mark.parametrize(
    "deny",
    [
        {"metadata.level": {"ne": "secret"}},
        {"metadata.level": {"nin": ["secret"]}},
        {"NOT": {"metadata.level": "secret"}},
        {"NOT": [{"metadata.level": {"eq": "secret"}}, {"metadata.level": "x"}]},
        {"AND": [{"NOT": {"metadata.level": {"contains": "secret"}}}]},
    ],
    ids=str,
)
def test_deny_filter_holds(two: Memory, deny: dict[str, Any]) -> None:
    assert [item.text for item in two.get_all(user_id="alice", filters=deny).items] == ["alice likes tea"]
    assert [hit.text for hit in two.search("ring tea", user_id="alice", filters=deny)] == ["alice likes tea"]
    assert "ring" not in two.context("ring tea", user_id="alice", filters=deny).text


def test_deny_filter_holds_after_update_and_reopening(opened: Any) -> None:
    two = opened()
    item = two.add("alice likes tea", user_id="alice", metadata={"level": "open"}).results[0]
    two.update(item.id, metadata={"level": "secret"}, user_id="alice")
    deny = {"metadata.level": {"ne": "secret"}}
    assert two.get_all(user_id="alice", filters=deny).total == 0
    assert opened().search("tea", user_id="alice", filters=deny).hits == ()


def test_limits_are_errors_not_truncation(two: Memory) -> None:
    deep: dict[str, Any] = {"user_id": "alice"}
    for _ in range(20):
        deep = {"AND": [deep]}
    wide = {"OR": [{"metadata.level": f"{n}"} for n in range(300)]}
    many = {"metadata.level": {"nin": [str(n) for n in range(1_001)]}}
    for filters in (deep, wide, many):
        with pytest.raises(InvalidInput):
            two.get_all(user_id="alice", filters=filters)


def test_scope_goes_before_top_k(memory: Memory) -> None:
    memory.add(["bob drinks tea"] * 200, user_id="bob")
    memory.add([f"note {n} on tea" for n in range(5)], user_id="alice")
    assert len(memory.search("tea", user_id="alice", top_k=5)) == 5


def test_true_is_not_one(memory: Memory) -> None:
    memory.add("flag", user_id="alice", metadata={"admin": 1})
    assert memory.get_all(user_id="alice", filters={"metadata.admin": True}).total == 0
    assert memory.get_all(user_id="alice", filters={"metadata.admin": 1}).total == 1
