"""A bound view can do what it was given and nothing more, and no view of it can do more again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tacita import AccessDenied, ConfigError, InvalidInput, Memory

ALICE = {"user_id": "alice"}
COACH = {"agent_id": "coach"}


@pytest.fixture
def root(memory: Memory) -> Memory:
    memory.add("alice swims", user_id="alice")
    memory.add("bob swims", user_id="bob")
    memory.add("the coach swims", agent_id="coach")
    return memory


EVERY_VERB: dict[str, Callable[[Memory, dict[str, Any]], Any]] = {
    "add": lambda view, ids: view.add("planted", **ids),
    "update": lambda view, ids: view.update("x", "planted", **ids),
    "delete": lambda view, ids: view.delete("x", **ids),
    "erase": lambda view, ids: view.erase(**ids),
    "search": lambda view, ids: view.search("swims", **ids),
    "subjects": lambda view, ids: view.search("swims", subjects=[ids]),
    "context": lambda view, ids: view.context("swims", **ids),
    "get": lambda view, ids: view.get("x", **ids),
    "get_all": lambda view, ids: view.get_all(**ids),
    "history": lambda view, ids: view.history("x", **ids),
    "export": lambda view, ids: list(view.export(**ids)),
    "verify": lambda view, ids: view.verify(**ids),
    "stats": lambda view, ids: view.stats(**ids),
    "bind": lambda view, ids: view.bind(**ids),
    "bind subjects": lambda view, ids: view.bind(subjects=[ids]),
}


@pytest.mark.parametrize("verb", EVERY_VERB)
@pytest.mark.parametrize("ids", [{"user_id": "bob"}, {"user_id": "*"}, {"user_id": "bob", "run_id": "r"}], ids=str)
def test_other_subject_is_out_of_reach(root: Memory, verb: str, ids: dict[str, str]) -> None:
    with pytest.raises(AccessDenied) as caught:
        EVERY_VERB[verb](root.bind(**ALICE), ids)
    assert "bob" not in str(caught.value)
    assert "alice" not in str(caught.value)
    assert root.get_all(user_id="bob").total == 1


def test_the_bound_id_is_added_to_every_request(root: Memory) -> None:
    view = root.bind(**ALICE)
    assert [hit.text for hit in view.search("swims")] == ["alice swims"]
    assert view.get_all().total == view.get_all(user_id="alice").total == 1
    view.add("alice dives")
    assert root.get_all(user_id="alice").total == 2
    assert view.stats().items == 2
    assert view.verify().vaults == 1


def test_agent_view_cannot_name_a_user(root: Memory) -> None:
    view = root.bind(**COACH)
    with pytest.raises(AccessDenied):
        view.get_all(user_id="alice")
    with pytest.raises(AccessDenied):
        view.bind(user_id="alice")


def test_label_is_pinned(root: Memory) -> None:
    root.add("in run one", user_id="alice", run_id="r1")
    root.add("in run two", user_id="alice", run_id="r2")
    view = root.bind(user_id="alice", run_id="r1")
    assert [item.text for item in view.get_all().items] == ["in run one"]
    for verb in ("search", "subjects", "context", "get_all", "add", "export"):
        with pytest.raises(AccessDenied):
            EVERY_VERB[verb](view, {"user_id": "alice", "run_id": "r2"})
    assert [hit.text for hit in view.search("run", subjects=[ALICE])] == ["in run one"]
    with pytest.raises(InvalidInput):
        view.erase()
    foreign = root.get_all(user_id="alice", run_id="r2").items[0].id
    for verb in (view.get, view.delete, view.history):
        with pytest.raises(Exception, match="no such item"):
            verb(foreign)


def test_subjects_are_what_searches_may_name(root: Memory) -> None:
    view = root.bind(subjects=[ALICE, COACH])
    hits = view.search("swims", subjects=[ALICE, COACH])
    assert {hit.text for hit in hits} == {"alice swims", "the coach swims"}
    with pytest.raises(AccessDenied):
        view.search("swims", subjects=[ALICE, {"user_id": "bob"}])
    with pytest.raises(AccessDenied):
        view.search("swims", user_id="bob")
    with pytest.raises(AccessDenied):
        view.bind(subjects=[ALICE, {"user_id": "bob"}])
    smaller = view.bind(subjects=[COACH])
    with pytest.raises(AccessDenied):
        smaller.search("swims", subjects=[ALICE])
    with pytest.raises(AccessDenied):
        smaller.bind(subjects=[ALICE])


@pytest.mark.parametrize(
    "subjects",
    [[], [{}], [{"owner": "bob"}], ["bob"], [{"user_id": ""}], [{"user_id": f"u{n}"} for n in range(17)]],
)
def test_malformed_subjects_are_refused(root: Memory, subjects: Any) -> None:
    with pytest.raises(InvalidInput):
        root.search("swims", subjects=subjects)


def test_empty_subjects_bind_nobody(root: Memory) -> None:
    with pytest.raises(AccessDenied):
        root.bind(subjects=[]).get_all(user_id="alice")


NEEDS = {
    "add": "write", "update": "write", "delete": "delete", "erase": "erase", "search": "read", "subjects": "read",
    "context": "read", "get": "read", "get_all": "read", "history": "read", "export": "export", "verify": "read",
    "stats": "read",
}  # fmt: skip
ALL = {"read", "write", "delete", "erase", "export", "admin"}


@pytest.mark.parametrize("verb", NEEDS)
def test_every_verb_needs_its_permission(root: Memory, verb: str) -> None:
    view = root.bind(**ALICE, permissions=ALL - {NEEDS[verb]})
    with pytest.raises(AccessDenied, match=NEEDS[verb]):
        EVERY_VERB[verb](view, ALICE)
    assert root.get_all(user_id="alice").total == 1


def test_admin_verbs_need_admin(root: Memory) -> None:
    view = root.bind(permissions=ALL - {"admin"})
    for call in (view.verify, view.stats, view.describe, view.reindex):
        with pytest.raises(AccessDenied, match="admin"):
            call()


def test_import_needs_write_and_stays_inside(root: Memory) -> None:
    with pytest.raises(AccessDenied):
        root.bind(**ALICE, permissions=["read"]).import_(iter(()))


def test_permissions_never_come_back(root: Memory) -> None:
    view = root.bind(**ALICE, permissions=["read"])
    for wanted in (["read", "write"], list(ALL), ["erase"]):
        with pytest.raises(AccessDenied):
            view.bind(permissions=wanted)
    with pytest.raises(AccessDenied):
        view.bind(**ALICE).add("planted")
    with pytest.raises(InvalidInput):
        root.bind(permissions=["root"])


def test_closing_a_view_leaves_the_parent_open(root: Memory) -> None:
    view = root.bind(**ALICE)
    view.close()
    with pytest.raises(ConfigError):
        view.get_all()
    assert root.get_all(user_id="alice").total == 1


def test_bound_actor_and_refusals_are_on_record(root: Memory) -> None:
    view = root.bind(**ALICE, actor="helper", purpose="support")
    added = view.add("alice rows").results[0].id
    assert [change.actor for change in view.history(added)] == ["helper"]
    with pytest.raises(AccessDenied):
        view.get_all(user_id="bob")
    entries = list(root._engine.audit.entries())
    assert ("helper", "get_all", "denied", "support") in [
        (entry.actor, entry.operation, entry.outcome, entry.purpose) for entry in entries
    ]


def test_labels_in_bound_subjects_are_not_dropped(root: Memory) -> None:
    root.add("in run two", user_id="alice", run_id="r2")
    with pytest.raises((AccessDenied, InvalidInput)):
        root.bind(subjects=[{"user_id": "alice", "run_id": "r1"}]).search("run", user_id="alice", run_id="r2")
