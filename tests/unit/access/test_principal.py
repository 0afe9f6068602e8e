"""Who may do what, without anything around it: ids are opaque, views only narrow, and every refusal is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tacita import limits
from tacita.access.principal import ALL_PERMISSIONS, Permission, Principal, clean_id
from tacita.errors import AccessDenied, InvalidInput
from tacita.items import Scope

ROOT = Principal("acme")
ANA, RUI, COACH = {"user_id": "ana"}, {"user_id": "rui"}, {"agent_id": "coach"}


def test_without_a_binding_every_subject_of_the_tenant_may_be_named() -> None:
    assert ROOT.scope(ANA) == Scope(tenant="acme", user_id="ana")
    assert ROOT.scope({**COACH, **ANA, "run_id": " r "}) == Scope(
        tenant="acme", user_id="ana", agent_id="coach", run_id="r"
    )
    assert ROOT.scopes([ANA, COACH]) == [Scope(tenant="acme", user_id="ana"), Scope(tenant="acme", agent_id="coach")]
    assert repr(ROOT) == f"<Principal unbound {len(ALL_PERMISSIONS)} permissions>"
    assert repr(ROOT.narrow(ANA, permissions=["read"])) == "<Principal bound 1 permissions>"


def test_to_ask_again_is_to_be_answered_the_same() -> None:
    """Also after another view of the same tenant was asked, which may see less."""
    narrow = ROOT.narrow(RUI)
    for _ in range(3):
        assert ROOT.scope(ANA) == Scope(tenant="acme", user_id="ana")
        assert Principal("other").scope(ANA) == Scope(tenant="other", user_id="ana")
        with pytest.raises(AccessDenied):
            narrow.scope(ANA)
        with pytest.raises(InvalidInput, match="must be a string, not list"):
            ROOT.scope({"user_id": ["ana"]})  # type: ignore[dict-item]
        with pytest.raises(InvalidInput, match="must be a string, not bool"):
            ROOT.scope({"user_id": True})  # type: ignore[dict-item]


@pytest.mark.parametrize("ids", [{}, {"user_id": None}])
def test_nobody_is_not_everybody(ids: Mapping[str, str | None]) -> None:
    with pytest.raises(InvalidInput, match="say whose memory it is"):
        ROOT.scope(ids)
    for view in (ROOT, ROOT.narrow(ANA)):
        with pytest.raises(InvalidInput, match="each subject names"):
            view.scopes([ids])  # type: ignore[list-item]


def test_a_bound_id_is_added_and_cannot_be_changed() -> None:
    view = ROOT.narrow({**ANA, "run_id": "r"})
    assert view.scope({}) == view.scope(ANA) == Scope(tenant="acme", user_id="ana", run_id="r")
    assert view.scope({"app_id": "p"}) == Scope(tenant="acme", user_id="ana", app_id="p", run_id="r")
    for ids, named in ((RUI, "user_id"), ({"run_id": "s"}, "run_id")):
        with pytest.raises(AccessDenied, match=f"bound to another {named}"):
            view.scope(ids)
        with pytest.raises(AccessDenied):
            view.narrow(ids)
    assert view.subjects == frozenset({("user", "ana")})
    assert view.narrow({}) == view
    assert ROOT.narrow({}) == ROOT


def test_a_view_sees_its_subjects_and_what_it_is_bound_to() -> None:
    view = ROOT.narrow({}, subjects=[ANA, COACH])
    assert (view.scope(ANA).user_id, view.scope(COACH).agent_id) == ("ana", "coach")
    for refused in (RUI, {"app_id": "ana"}, {**ANA, "user_id": "ANA"}):
        with pytest.raises(AccessDenied, match="may not touch that"):
            view.scope(refused)
        with pytest.raises(AccessDenied):
            view.scopes([ANA, refused])
        with pytest.raises(AccessDenied):
            view.narrow({}, subjects=[refused])
        with pytest.raises(AccessDenied):
            view.narrow(refused)
    narrower = view.narrow({}, subjects=[COACH])
    assert narrower.subjects == frozenset({("agent", "coach")})
    with pytest.raises(AccessDenied):
        narrower.scope(ANA)
    bound = ROOT.narrow(ANA, subjects=[COACH])
    assert bound.subjects == frozenset({("user", "ana"), ("agent", "coach")}), "what it is bound to it sees"
    assert bound.narrow({}).subjects == bound.subjects
    assert bound.narrow({"run_id": "r"}).subjects == frozenset({("user", "ana")})
    with pytest.raises(AccessDenied):
        view.narrow(RUI, subjects=[ANA])
    nobody = ROOT.narrow({}, subjects=[])
    with pytest.raises(AccessDenied):
        nobody.scope(ANA)


def test_labels_narrow_the_bound_subject_and_no_other() -> None:
    view = ROOT.narrow({**ANA, "run_id": "r"}, subjects=[COACH])
    assert view.scopes([ANA, COACH]) == [
        Scope(tenant="acme", user_id="ana", run_id="r"),
        Scope(tenant="acme", agent_id="coach"),
    ]
    assert view.scopes([{**COACH, "run_id": "s"}]) == [Scope(tenant="acme", agent_id="coach", run_id="s")]
    with pytest.raises(AccessDenied):
        view.scopes([{**ANA, "run_id": "s"}])
    with pytest.raises(InvalidInput, match="one id"):
        ROOT.narrow({}, subjects=[{**ANA, "run_id": "r"}])
    assert ROOT.narrow({}, subjects=[{**ANA, "run_id": None}]).subjects == frozenset({("user", "ana")})  # type: ignore[dict-item]


def test_the_first_of_the_ids_says_whose_it_is() -> None:
    every: dict[str, str | None] = {"run_id": "r", "app_id": "p", "agent_id": "g", "user_id": "u"}
    for left in (["user", "u"], ["agent", "g"], ["app", "p"], ["run", "r"]):
        view = ROOT.narrow(every)
        assert view.subjects == frozenset({tuple(left)})
        assert dict(view.ids) == every
        every.pop(f"{left[0]}_id")


@pytest.mark.parametrize("subjects", ["ana", [["user_id", "ana"]], [None]])
def test_a_list_of_something_else_names_nobody(subjects: Any) -> None:
    with pytest.raises(InvalidInput, match="list of mappings"):
        ROOT.scopes(subjects)


def test_a_search_names_some_subjects_and_not_all() -> None:
    most = [{"user_id": f"u{number}"} for number in range(limits.SUBJECTS)]
    assert len(ROOT.scopes(most)) == limits.SUBJECTS
    for subjects in ([], [*most, ANA]):
        with pytest.raises(InvalidInput, match=f"1 to {limits.SUBJECTS} subjects"):
            ROOT.scopes(subjects)


def test_permissions_are_given_away_and_never_made() -> None:
    view = ROOT.narrow(ANA, permissions=["read", "write"])
    for permission in Permission:
        if permission in (Permission.READ, Permission.WRITE):
            view.require(permission)
            ROOT.require(permission)
        else:
            with pytest.raises(AccessDenied, match=f"lacks the permission '{permission.value}'"):
                view.require(permission)
    assert view.narrow({}).permissions == view.permissions
    assert view.narrow({}, permissions=["read"]).permissions == {Permission.READ}
    assert view.narrow({}, permissions=[]).permissions == set()
    for wider in (["read", "delete"], ["admin"], [each.value for each in Permission]):
        with pytest.raises(AccessDenied, match="permissions that its parent lacks"):
            view.narrow({}, permissions=wider)
    with pytest.raises(InvalidInput, match=r"unknown permission; known are read, write, .*admin"):
        ROOT.narrow({}, permissions=["root"])


def test_actor_and_purpose_stay_unless_others_are_named() -> None:
    view = ROOT.narrow(ANA, actor=" nurse ", purpose="care")
    assert (ROOT.actor, ROOT.purpose) == ("local", None)
    assert (view.actor, view.purpose) == ("nurse", "care")
    assert (view.narrow({}).actor, view.narrow({}).purpose) == ("nurse", "care")
    assert (view.narrow({}, actor="x").actor, view.narrow({}, purpose="y").purpose) == ("x", "y")
    for name, wrong in (("actor", ""), ("purpose", "a\nb")):
        with pytest.raises(InvalidInput, match=f"^{name} must"):
            ROOT.narrow(ANA, **{name: wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", ["", "  ", "a\nb", "a\0", "a\u2028b", "\ud800", "x" * (limits.ID_CHARS + 1), 7, b"a", ["a"]]
)
def test_what_is_no_id_is_refused_and_not_shown(value: Any) -> None:
    with pytest.raises(InvalidInput, match="user_id must") as caught:
        ROOT.scope({"user_id": value})
    if isinstance(value, str) and value.strip():
        assert value not in str(caught.value)


@pytest.mark.parametrize("value", ["a", "x" * limits.ID_CHARS, "*", "%", "ana lima", "日本", "../..", "' OR 1=1"])
def test_an_id_is_any_words_and_means_nothing(value: str) -> None:
    assert clean_id("user_id", f"  {value} ") == value
    assert ROOT.scope({"user_id": value}).user_id == value


def test_an_unknown_id_is_an_error_and_never_dropped() -> None:
    for ids in ({"usr_id": "ana"}, {**ANA, "tenant": "other"}, {**ANA, "": "x"}):
        with pytest.raises(InvalidInput, match="unknown id"):
            ROOT.scope(ids)
        with pytest.raises(InvalidInput):
            ROOT.narrow(ids)
