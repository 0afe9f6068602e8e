"""The documentation tells the truth: its Python runs, its links lead somewhere, its words are sober."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")
_NAMED = re.compile(r"`((?:tests|docs|src)/[\w./-]+\.(?:py|md|json))`")
_FORBIDDEN = ("zero-knowledge", "military grade", "military-grade", "unbreakable")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if _BLOCK.search(page.read_text())], ids=_name)
def test_python_blocks_run(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    # Without the model the examples still run, by words only; what the model finds is tested elsewhere.
    monkeypatch.setenv("TACITA_EMBEDDER", "none")
    namespace: dict[str, object] = {}
    for block in _BLOCK.findall(page.read_text()):
        exec(compile(block, _name(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text()
    targets = [page.parent / link for link in _LINK.findall(_BLOCK.sub("", text))]
    targets += [ROOT / named for named in _NAMED.findall(text)]
    assert [str(target) for target in targets if not target.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_no_boasting(page: Path) -> None:
    lowered = page.read_text().lower()
    assert [word for word in _FORBIDDEN if word in lowered] == []
