"""The support table says what test reports say, of every system that can be named, and nothing that nobody looked at."""

from __future__ import annotations

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tacita import registry

ROOT = Path(__file__).parents[2]
REPORT = """<?xml version="1.0"?><testsuites><testsuite>
<testcase classname="t.TestOne" name="test_a"><properties><property name="supports" value='{said}'/></properties></testcase>
<testcase classname="t.TestOne" name="test_b"><properties><property name="supports" value='{said}'/></properties>{b}</testcase>
<testcase classname="t.TestOne" name="test_c"><properties><property name="supports" value='{said}'/></properties>
<skipped/></testcase>
<testcase classname="t.TestTwo" name="test_d"/></testsuite></testsuites>"""
SAID = '{"role": "stores", "schemes": ["redis", "rediss"], "system": "Redis 7", "how": "live", "versions": ["redis 8"]}'


@pytest.fixture(scope="module")
def made() -> ModuleType:
    spec = spec_from_file_location("tacita_support_table", ROOT / "scripts" / "support_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module


def test_the_page_names_every_scheme_in_the_registry(made: ModuleType) -> None:
    roles = set(registry.roles()) - {"key_uris", "store_hosts"}
    assert made.ROLES.keys() == roles
    sections = re.split(r"^## ", (ROOT / "docs" / "reference" / "support.md").read_text(), flags=re.MULTILINE)
    by_title = {section.partition("\n")[0]: section for section in sections[1:]}
    for role, title in made.ROLES.items():
        named = set(re.findall(r"^\| `([^`]+)` \|", by_title[title], re.MULTILINE))
        assert named == set(registry.known(role)), role


@pytest.mark.parametrize(("b", "verified"), [("", "**live**"), ("<failure/>", "**fails** (1 of 2 tests)")])
def test_a_row_is_what_the_report_says(made: ModuleType, tmp_path: Path, b: str, verified: str) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT.format(said=SAID, b=b))
    found = made.rows([report, report])
    assert len(found) == 1
    text = made.page(found)
    passed = "1 passed, 1 failed" if b else "2 passed"
    for scheme in ("redis", "rediss"):
        assert f"| `{scheme}` | {verified} | Redis 7 | redis 8 | {passed} |" in text
    assert "| `sqlite` | not verified |" in text
    assert made.main(["--report", str(report), "--output", str(tmp_path / "page.md")]) == (1 if b else 0)
    assert (tmp_path / "page.md").read_text() == text


def test_without_a_report_nothing_is_verified(made: ModuleType) -> None:
    text = made.page([])
    assert "**live**" not in text.partition("## ")[2]
    assert "| `none` | nothing to verify |" in text
