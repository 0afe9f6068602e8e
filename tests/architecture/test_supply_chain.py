"""The checks of what is shipped (scripts/rules.py, sbom.py, wheel.py) on input where they must fail, and the SBOM."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements/run.txt").read_text(encoding="utf-8")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scripts_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look themselves up there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


rules, sbom, wheel = script("rules"), script("sbom"), script("wheel")

# --- the SBOM ---


@pytest.fixture(scope="module")
def document() -> dict[str, object]:
    made = sbom.made(LOCK, datetime(2026, 1, 1, tzinfo=UTC))
    assert made == sbom.made(LOCK, datetime(2026, 1, 1, tzinfo=UTC))
    return json.loads(made)


def test_it_lists_exactly_what_is_locked_with_every_hash(document: dict[str, list[dict[str, object]]]) -> None:
    parts = document["components"]
    pins = re.findall(r"(?m)^([\w.-]+)==([\w.]+)", LOCK)
    assert sorted((part["name"], part["version"]) for part in parts) == sorted(pins)
    hashes = [each["content"] for part in parts for each in part["externalReferences"][0]["hashes"]]
    assert sorted(hashes) == sorted(re.findall(r"sha256:([0-9a-f]{64})", LOCK))


def test_every_part_has_a_licence_and_none_is_agpl(document: dict[str, list[dict[str, object]]]) -> None:
    for part in document["components"]:
        [licence] = part["licenses"]
        said = licence.get("expression") or licence["license"]["id"]
        assert said
        assert "GPL" not in said


def test_what_only_building_needs_is_marked(document: dict[str, list[dict[str, object]]]) -> None:
    scopes = {part["name"]: part["scope"] for part in document["components"]}
    assert scopes["hatchling"] == "excluded"
    assert {scopes[name] for name in ("cryptography", "numpy", "pycparser", "colorama")} == {"required"}


@pytest.mark.parametrize(
    ("stated", "error"),
    [({"zipp": "AGPL-3.0-only"}, "says AGPL|not a licence"), ({"nothing-such": ""}, "neither its metadata")],
)
def test_other_licences_and_none_are_refused(
    stated: dict[str, str], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sbom, "READ", stated)
    [name] = stated
    with pytest.raises(SystemExit, match=error):
        sbom.licence(name)


def test_the_table_of_licences_names_locked_packages_only() -> None:
    assert set(sbom.READ) <= {entry.name for entry in sbom.locked(LOCK)}


def test_an_entry_without_a_hash_is_refused() -> None:
    with pytest.raises(SystemExit, match="not a pinned"):
        sbom.locked("a==1 \\\n    --hash=sha256:00\n")


# --- the wheel ---


def archive(**files: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, text in files.items():
            file.writestr(zipfile.ZipInfo(name.replace("__", "/")), text)
    return made.getvalue()


def test_builds_that_differ_are_named_by_file() -> None:
    one, other = archive(p__a="1", p__b="2"), archive(p__a="1", p__b="3", p__c="4")
    assert wheel.differing({"x.whl": one}, {"x.whl": one}) == []
    assert wheel.differing({"x.whl": one}, {"x.whl": other}) == [
        "x.whl!p/c",
        "x.whl!p/b (order, times, modes or compression)",
    ]
    turned = archive(p__b="2", p__a="1")
    assert wheel.differing({"x.whl": one}, {"x.whl": turned}) == ["x.whl (order, times, modes or compression)"]
    assert wheel.differing({"x.whl": one}, {}) == ["x.whl"]


@pytest.mark.parametrize(
    ("extra", "wrong"),
    [
        ({}, []),
        ({"w!p/new.py": b""}, ["p/new.py is in the wheel and not committed under src/"]),
        ({"w!p-1.dist-info/RECORD": b"/ho" + b"me/ana/p.py"}, ["p-1.dist-info/RECORD names /ho" + "me/ana"]),
    ],
)
def test_a_wheel_holds_what_is_committed_and_no_path(extra: dict[str, bytes], wrong: list[str]) -> None:
    assert wheel.unfit({"w!p/a.py": b"", "w!p-1.dist-info/RECORD": b"", **extra}, {"p/a.py"}) == wrong


def test_a_committed_file_that_is_missing_and_a_cache_are_found() -> None:
    cached = "p/__pycache__/a.pyc"
    assert wheel.unfit({f"w!{cached}": b""}, {"p/a.py", cached}) == [
        "p/a.py is not in the wheel",
        f"{cached} is no part of a package",
    ]


# --- the rules ---

EXAMPLES = "# ruleid: one\nbad()\n# ok: one, two\ngood()\n"


def test_rules_are_held_to_their_examples() -> None:
    assert rules.against_examples({"one"}, {(2, "one")}, EXAMPLES.replace(", two", "")) == []
    assert rules.against_examples({"one", "two"}, {(4, "one")}, EXAMPLES) == [
        "examples.py:2 one does not find this",
        "examples.py:4 one finds this and should not",
        "two has no example of what it finds",
    ]


def test_findings_and_idle_exceptions_are_reported() -> None:
    rule = {"id": "one", "paths": {"exclude": ["/src/a/", "/src/b.py", "/src/c.py"]}}
    found = [rules.Finding(path, 1, "one") for path in ("src/a/x.py", "src/b.py", "src/ab.py")]
    assert rules.against_source(rule, found) == ["src/ab.py:1 one", "/src/c.py need not be listed in one"]


def test_paths_that_mean_something_else_to_semgrep_are_refused() -> None:
    with pytest.raises(SystemExit, match="neither files nor folders"):
        rules.against_source({"id": "one", "paths": {"exclude": ["src/**/a.py"]}}, [])
