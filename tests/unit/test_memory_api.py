"""The verbs of `Memory`: limits, typed errors, idempotency, pages, the past, exact counts, round trips."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tacita import AsyncMemory, ConfigError, Conflict, InvalidInput, Memory, NotFound, limits
from tacita.flows import recall
from tacita.items import Subject
from tacita.testing.embedder import HashEmbedder


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(store="memory:", embedder=HashEmbedder()) as memory:
        yield memory


REFUSED: dict[str, Any] = {
    "nothing": [],
    "none": None,
    "empty text": "",
    "blank text": " \n ",
    "bytes": b"text",
    "number": 7,
    "list of numbers": [7],
    "unknown role": {"role": "boss", "content": "x"},
    "unknown field": {"role": "user", "content": "x", "context": "trusted"},
    "no content": {"role": "user"},
    "long text": "x" * (limits.TEXT_BYTES + 1),
    "long text in bytes": "\u20ac" * (limits.TEXT_BYTES // 3 + 1),
    "surrogate": "\ud800",
    "name with newline": {"content": "x", "name": "a\nb"},
    "long name": {"content": "x", "name": "n" * (limits.NAME_CHARS + 1)},
    "second is bad": ["fine", ""],
    "too many": ["x"] * (limits.BATCH_MESSAGES + 1),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_messages_are_refused_whole(memory: Memory, case: str) -> None:
    with pytest.raises(InvalidInput):
        memory.add(REFUSED[case], user_id="ana")
    assert memory.get_all(user_id="ana").total == 0


@pytest.mark.parametrize(
    "metadata",
    [
        {"k": float("nan")},
        {"k": 2**64},
        {"k": {1, 2}},
        {"": 1},
        {7: 1},
        {"k": "x" * limits.METADATA_BYTES},
        {str(n): n for n in range(limits.METADATA_KEYS + 1)},
        json.loads('{"a":' * 10 + "1" + "}" * 10),
        "text",
        [1],
        {"k": "\ud800"},
    ],
    ids=range(11),
)
def test_bad_metadata_is_refused(memory: Memory, metadata: Any) -> None:
    with pytest.raises(InvalidInput):
        memory.add("x", user_id="ana", metadata=metadata)
    kept = memory.add("x", user_id="ana").results[0].id
    with pytest.raises(InvalidInput):
        memory.update(kept, metadata=metadata, user_id="ana")


def test_longest_text_fits(memory: Memory) -> None:
    longest = "x" * limits.TEXT_BYTES
    item = memory.add(longest, user_id="u" * limits.ID_CHARS).results[0].id
    assert memory.get(item, user_id="u" * limits.ID_CHARS).text == longest


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("search", {"query": ""}),
        ("search", {"query": "x" * (limits.QUERY_BYTES + 1)}),
        ("search", {"query": None}),
        ("search", {"query": "x", "top_k": 0}),
        ("search", {"query": "x", "top_k": limits.TOP_K + 1}),
        ("search", {"query": "x", "top_k": True}),
        ("search", {"query": "x", "threshold": 1.5}),
        ("search", {"query": "x", "threshold": float("nan")}),
        ("search", {"query": "x", "as_of": "soon"}),
        ("search", {"query": "x", "reference_time": []}),
        ("search", {"query": "x", "subjects": [{"user_id": "ana"}]}),
        ("context", {"query": "x", "budget": 0}),
        ("get_all", {"limit": 0}),
        ("get_all", {"limit": limits.PAGE_SIZE + 1}),
        ("get_all", {"order": "best"}),
        ("get_all", {"cursor": "AAAA"}),
        ("get_all", {"cursor": "\u20ac"}),
        ("get_all", {"cursor": 7}),
        ("add", {"messages": "x", "infer": True}),
        ("add", {"messages": "x", "timestamp": "later"}),
        ("add", {"messages": "x", "expires_at": 1}),
        ("add", {"messages": "x", "idempotency_key": ""}),
        ("erase", {"run_id": "r"}),
    ],
    ids=str,
)
def test_bad_arguments_are_typed_errors(memory: Memory, verb: str, arguments: dict[str, Any]) -> None:
    memory.add("something", user_id="ana")
    with pytest.raises(InvalidInput):
        getattr(memory, verb)(**arguments, user_id="ana")
    assert memory.get_all(user_id="ana").total == 1


def test_same_key_same_content_adds_once(memory: Memory) -> None:
    first = memory.add(["a", "b"], user_id="ana", idempotency_key="k")
    again = memory.add(["a", "b"], user_id="ana", idempotency_key="k")
    assert [one.event for one in again] == ["unchanged"] * 2
    assert [one.id for one in again] == [one.id for one in first]
    assert memory.get_all(user_id="ana").total == 2
    assert memory.add("a", user_id="bob", idempotency_key="k").results[0].event == "added"


@pytest.mark.parametrize("other", ["b", {"content": "a", "role": "assistant"}, {"content": "a", "metadata": {"x": 1}}])
def test_same_key_other_content_is_a_conflict(memory: Memory, other: Any) -> None:
    memory.add("a", user_id="ana", idempotency_key="k")
    with pytest.raises(Conflict):
        memory.add(other, user_id="ana", idempotency_key="k")
    assert memory.get_all(user_id="ana").total == 1


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_show_everything_once_in_order(memory: Memory, order: Any) -> None:
    said = [{"content": f"n{n}", "timestamp": f"2024-01-{1 + n // 3:02}"} for n in range(25)]
    memory.add(said, user_id="ana")
    seen: list[str] = []
    cursor = None
    while True:
        page = memory.get_all(user_id="ana", limit=4, cursor=cursor, order=order)
        seen += [item.text for item in page.items]
        assert page.total == 25
        if cursor is None:
            memory.add({"content": "in between", "timestamp": "1999-01-01"}, user_id="bob")
        cursor = page.next_cursor
        if cursor is None:
            break
    expected = [f"n{n}" for n in range(25)]
    assert seen == (expected if order == "oldest" else expected[::-1])


def test_pages_do_not_shift_under_writes(memory: Memory) -> None:
    memory.add([f"n{n}" for n in range(10)], user_id="ana")
    first = memory.get_all(user_id="ana", limit=5)
    memory.add("newer", user_id="ana")
    memory.delete(first.items[0].id, user_id="ana")
    second = memory.get_all(user_id="ana", limit=10, cursor=first.next_cursor)
    assert [item.text for item in second.items] == ["n4", "n3", "n2", "n1", "n0"]


def test_the_past_stays_readable(home: Path) -> None:
    now = [1_700_000_000_000_000]
    with Memory(home, embedder="none", clock=lambda: now[0]) as memory:
        item = memory.add("lives in Rome", user_id="ana").results[0].id
        now[0] += 3_600_000_000
        memory.update(item, "lives in Oslo", user_id="ana")
        assert [hit.text for hit in memory.search("lives", user_id="ana")] == ["lives in Oslo"]
        before = memory.search("lives", user_id="ana", as_of=1_700_000_060)
        assert [hit.text for hit in before] == ["lives in Rome"]
        after = memory.search("lives", user_id="ana", as_of=1_700_003_601)
        assert [hit.text for hit in after] == ["lives in Oslo"]
        assert memory.search("lives", user_id="ana", as_of=1_600_000_000).hits == ()
    with Memory(home, embedder="none", clock=lambda: now[0]) as memory:
        assert [change.text for change in memory.history(item, user_id="ana")] == [
            "lives in Rome",
            "lives in Oslo",
        ]


def test_history_names_versions_actors_and_times(memory: Memory) -> None:
    item = memory.bind(actor="first").add("one", user_id="ana").results[0].id
    memory.bind(actor="second").update(item, metadata={"a": 1}, user_id="ana")
    changes = memory.history(item, user_id="ana")
    assert [(one.event, one.actor, one.version, one.text) for one in changes] == [
        ("added", "first", 1, "one"),
        ("updated", "second", 2, "one"),
    ]
    assert changes[0].at <= changes[1].at


@pytest.mark.parametrize("top_k", [1, 10, 999, 1000])
def test_top_k_is_exact(memory: Memory, top_k: int) -> None:
    memory.add([f"note {n} about tea" for n in range(1_000)], user_id="ana")
    assert len(memory.search("tea", user_id="ana", top_k=top_k)) == top_k
    assert len(memory.search("nothing in common", user_id="ana", top_k=top_k)) == top_k


def test_threshold_leaves_out_lower_scores(memory: Memory) -> None:
    memory.add(["the cat sat", "a dog ran", "the cat ran"], user_id="ana")
    scores = [hit.score for hit in memory.search("the cat", user_id="ana")]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    kept = memory.search("the cat", user_id="ana", threshold=scores[1])
    assert [hit.score for hit in kept] == [score for score in scores if score >= scores[1]]


def test_several_subjects_say_whose_each_hit_is(memory: Memory) -> None:
    memory.add("tea for ana", user_id="ana")
    memory.add("tea for the coach", agent_id="coach")
    memory.add("tea for bob", user_id="bob")
    result = memory.search("tea", subjects=[{"user_id": "ana"}, {"agent_id": "coach"}])
    assert {(hit.subject.kind, hit.subject.id, hit.text) for hit in result} == {
        ("user", "ana", "tea for ana"),
        ("agent", "coach", "tea for the coach"),
    }


def test_naming_a_subject_twice_shows_its_items_once(memory: Memory) -> None:
    memory.add("tea for ana", user_id="ana")
    assert len(memory.search("tea", subjects=[{"user_id": "ana"}, {"user_id": "ana"}])) == 1


def test_export_comes_back_through_import(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "ana.jsonl"
    with Memory(home, embedder="none") as memory:
        said = {"content": "lives in Rome", "role": "user", "name": "Ana", "timestamp": "2024-05-01T10:00:00"}
        memory.add([said, {"content": "noted", "role": "assistant"}], user_id="ana", metadata={"a": [1]})
        records = list(memory.export(user_id="ana"))
        file.write_text("".join(json.dumps(record, default=str) + "\n" for record in records))
        original = memory.get_all(user_id="ana", order="oldest").items
    with Memory(tmp_path / "other", embedder="none") as other:
        report = other.import_(file, user_id="ana")
        assert (report.added, report.bad_lines) == (2, ())
        assert other.import_(file, user_id="ana").unchanged == 2
        items = other.get_all(user_id="ana", order="oldest").items
        for old, new in zip(original, items, strict=True):
            same = ("text", "role", "name", "timestamp", "metadata", "user_id")
            assert [getattr(old, field) for field in same] == [getattr(new, field) for field in same]


def test_update_and_delete_of_nothing(memory: Memory) -> None:
    item = memory.add("x", user_id="ana").results[0].id
    with pytest.raises(InvalidInput):
        memory.update(item, user_id="ana")
    with pytest.raises(InvalidInput):
        memory.update(item, " ", user_id="ana")
    memory.delete(item, user_id="ana")
    with pytest.raises(NotFound):
        memory.delete(item, user_id="ana")


def test_closed_memory_says_so(home: Path) -> None:
    memory = Memory(home, embedder="none")
    memory.close()
    memory.close()
    for call in (
        lambda: memory.add("x", user_id="ana"),
        lambda: memory.search("x", user_id="ana"),
        memory.verify,
    ):
        with pytest.raises(ConfigError, match="closed"):
            call()


def test_async_memory_does_the_same(home: Path) -> None:
    async def talk() -> list[str]:
        async with AsyncMemory(home, embedder="none") as memory:
            await asyncio.gather(*(memory.add(f"note {n}", user_id="ana") for n in range(8)))
            item = (await memory.add("last", user_id="ana")).results[0].id
            await memory.update(item, "very last", user_id="ana")
            with pytest.raises(NotFound):
                await memory.get(item, user_id="bob")
            page = await memory.get_all(user_id="ana")
            assert page.total == 9
            exported = [record async for record in memory.export(user_id="ana")]
            assert len(exported) == 10
            assert (await memory.verify()).ok
            return [hit.text for hit in await memory.search("very last", user_id="ana", top_k=1)]

    assert asyncio.run(talk()) == ["very last"]


def test_an_update_of_one_part_keeps_the_labels_of_the_other(tmp_path: Path) -> None:
    with Memory(tmp_path / "home", embedder="none") as memory:
        item = memory.add("mail ana@example.org", user_id="ana").ids[0]
        assert memory.update(item, user_id="ana", metadata={"call": "+49 30 1234567"}).labels == ("email", "phone")
        assert memory.update(item, "nothing here", user_id="ana").labels == ("phone",)
        assert memory.update(item, "nothing", user_id="ana", metadata={}).labels == ()


# ---------------------------------------------------------------------- what is kept of items between two searches


def test_what_a_caller_does_to_an_item_changes_no_later_answer(memory: Memory) -> None:
    memory.add("a walk by the lake", user_id="ana", metadata={"where": {"lake": 1}})
    first = memory.search("lake", user_id="ana")[0].item
    first.metadata["where"]["lake"] = 2
    first.metadata["more"] = True
    assert memory.search("lake", user_id="ana")[0].item.metadata == {"where": {"lake": 1}}


def test_items_that_were_found_before_are_shown_as_they_are_now(memory: Memory) -> None:
    added = memory.add(["a walk by the lake", "a swim in the lake"], user_id="ana").ids
    before = {hit.id: hit.item for hit in memory.search("lake", user_id="ana")}
    memory.update(added[0], "a run by the lake", user_id="ana")
    memory.add("a boat on the lake", user_id="ana")
    after = {hit.id: hit.item for hit in memory.search("lake", user_id="ana")}
    assert (after[added[0]].version, after[added[0]].text) == (2, "a run by the lake")
    assert after[added[1]] == before[added[1]]
    assert len(after) == 3
    past = {hit.id: hit.item for hit in memory.search("lake", user_id="ana", as_of=before[added[0]].created_at)}
    assert past[added[0]].text == "a walk by the lake"
    assert past[added[0]].valid_to == after[added[0]].updated_at


def test_nothing_of_a_deleted_item_is_kept(memory: Memory) -> None:
    added = memory.add(["a walk by the lake", "a swim in the lake"], user_id="ana").ids
    assert len(memory.search("lake", user_id="ana")) == 2
    vault = memory._engine.vaults.find("default", Subject(kind="user", id="ana"))
    assert vault is not None
    assert len(vault.state.made) == 2
    memory.delete(added[0], user_id="ana")
    assert not vault.state.made


def test_only_so_many_items_are_kept(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "KEPT", 3)
    memory.add([f"walk number {number}" for number in range(8)], user_id="ana")
    assert sorted(item.text[-1] for item in memory.get_all(user_id="ana").items) == list("01234567")
    vault = memory._engine.vaults.find("default", Subject(kind="user", id="ana"))
    assert vault is not None
    assert len(vault.state.made) <= 3
