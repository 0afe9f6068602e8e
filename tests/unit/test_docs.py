"""The documentation tells the truth: its Python runs, its links lead somewhere, its words are sober."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from tacita.surfaces.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")
_NAMED = re.compile(r"`((?:tests|docs|src)/[\w./-]+\.(?:py|md|json))`")
_TYPED = re.compile(r"^(?:\$ )?tacita +([^\n#]+)", re.MULTILINE)
_QUOTED = re.compile(r"`tacita (?!COMMAND)([^`]+)`")
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


def _command(words: list[str]) -> tuple[Any, list[str], set[str]]:
    """The command that words lead to, what is left of them, and every option on the way."""
    command: Any = typer.main.get_command(app)
    options = {"--help", "-h"}
    words = list(words)
    while True:
        flags = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
        options |= {name for name in flags if name.startswith("-")}
        inner = getattr(command, "commands", None)
        if inner is None:
            return command, words, options
        # Options of the group stand before the command.
        while words and words[0].startswith("-"):
            is_flag = getattr(flags.get(words[0]), "is_flag", True)
            words = words[1 if is_flag else 2 :]
        if not words:
            return command, words, options
        assert words[0] in inner, f"there is no command {words[0]!r}"
        command, words = inner[words[0]], words[1:]


@pytest.mark.parametrize("page", [page for page in PAGES if _TYPED.search(page.read_text())], ids=_name)
def test_what_is_typed_is_understood(page: Path) -> None:
    """Every command line of a page has a command, its arguments and no unknown option. Nothing is run."""
    for line in _TYPED.findall(page.read_text()):
        command, words, _ = _command(shlex.split(line.split(" | ")[0]))
        command.make_context("tacita", words)


@pytest.mark.parametrize("page", [page for page in PAGES if _QUOTED.search(page.read_text())], ids=_name)
def test_quoted_commands_and_options_exist(page: Path) -> None:
    for line in _QUOTED.findall(page.read_text()):
        words = line.replace("\n", " ").split()
        _, _, options = _command(words)
        given = [word.partition("=")[0] for word in words if word.startswith("-") and word != "-"]
        assert [option for option in given if option not in options] == [], line


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(AssertionError, match="no command"):
        _command(["forgett", "x"])
    command, words, options = _command(["--home", "x", "archive", "read", "y", "--no-such"])
    assert (command.name, words) == ("read", ["y", "--no-such"])
    assert "--no-such" not in options
