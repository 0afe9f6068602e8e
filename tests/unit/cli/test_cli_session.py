"""A session on the real command line: every verb once, exit codes, JSON shapes, nothing spoken at rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tacita
from tacita import errors
from tacita.operations import ERROR_TABLE, OPERATIONS, Response
from tacita.surfaces.render import show

COMMAND = Path(sys.executable).with_name("tacita")
WORDS = "the heron nests behind the boathouse"


def run(home: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from tacita.surfaces.cli import main; main()"]
    return subprocess.run(
        [*command, "--home", str(home), "--embedder", "none", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def ok(home: Path, *arguments: str, stdin: str = "") -> Any:
    done = run(home, *arguments, "--json", stdin=stdin)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_session(home: Path) -> None:
    assert "key_provider" in ok(home, "init")
    item = ok(home, "add", "-", "--user", "ana", stdin=WORDS + "\n")["results"][0]["id"]
    assert ok(home, "search", "where is the heron?", "--user", "ana")["hits"][0]["id"] == item
    assert WORDS in ok(home, "context", "heron", "--user", "ana")["text"]
    assert ok(home, "update", item, "the heron moved to the island", "--user", "ana")["version"] == 2
    assert [change["event"] for change in ok(home, "history", item, "--user", "ana")] == ["added", "updated"]
    assert ok(home, "get", item, "--user", "ana")["text"] == "the heron moved to the island"
    assert ok(home, "list", "--user", "ana")["total"] == 1
    assert ok(home, "stats")["items"] == 1
    assert ok(home, "verify")["ok"] is True
    assert ok(home, "doctor")["egress"] == []
    assert ok(home, "config", "show")["home"]["origin"] == "argument"
    assert ok(home, "delete", item, "--user", "ana", "--yes")["events_purged"] == 2
    assert ok(home, "erase", "--user", "ana", "--yes")["keys_destroyed"] == 1
    assert ok(home, "search", "heron", "--user", "ana")["hits"] == []


def test_export_and_import_again(home: Path, tmp_path: Path) -> None:
    ok(home, "add", WORDS, "--user", "ana", "--timestamp", "2026-01-05T10:00:00")
    exported = run(home, "export", "--user", "ana")
    lines = [json.loads(line) for line in exported.stdout.splitlines()]
    assert lines[0]["tacita_export"] == 1
    assert lines[1]["text"] == WORDS
    file = tmp_path / "export.jsonl"
    file.write_text(exported.stdout)
    other = tmp_path / "other"
    assert ok(other, "import", str(file))["added"] == 1
    assert ok(other, "import", str(file)) == {
        "added": 0,
        "unchanged": 1,
        "quarantined": 0,
        "bad_lines": [],
        "extraction": None,
    }
    assert ok(other, "list", "--user", "ana")["items"][0]["timestamp"] == "2026-01-05T10:00:00Z"


def test_a_bad_line_is_named_and_the_rest_is_kept(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text('{"role": "user", "content": "one"}\nnot json\n{"role": "user", "content": "two"}\n')
    done = run(home, "import", str(file), "--user", "ana", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["added"] == 2
    assert [line for line, _ in report["bad_lines"]] == [2]


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (("search", "x"), "invalid_input", 2),
        (("get", "nobody", "--user", "ana"), "not_found", 3),
        (("delete", "nobody", "--user", "ana"), "invalid_input", 2),
        (("search", "x", "--user", "ana", "--filter", '{"nope": 1}'), "invalid_input", 2),
    ],
)
def test_errors(home: Path, arguments: tuple[str, ...], code: str, exit_code: int) -> None:
    done = run(home, *arguments, "--json")
    assert done.returncode == exit_code
    assert json.loads(done.stderr.splitlines()[-1])["error"]["code"] == code


def test_nothing_spoken_is_at_rest(home: Path) -> None:
    ok(home, "add", WORDS, "--user", "ana")
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"heron" not in written
    assert b"ana" not in written.replace(b"analy", b"")


def test_every_error_class_has_a_row() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.TacitaError)]
    assert [one.__name__ for one in classes if one not in ERROR_TABLE] == []


def test_a_surface_shows_responses_only() -> None:
    class Fake(Response):  # type: ignore[misc]
        pass

    with pytest.raises(TypeError):
        show(Fake("search", {}), as_json=True, console=None)  # type: ignore[arg-type]
    assert {name for name, one in OPERATIONS.items() if one.destroys} == {
        *("delete", "erase", "purge", "sweep", "forget", "redact", "isolate"),
    }


def test_version() -> None:
    done = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"tacita {tacita.__version__}\n"


def test_the_shell_completes_commands_and_options() -> None:
    def completed(words: str, at: int) -> list[str]:
        asked = {"_TACITA_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        done = subprocess.run([COMMAND], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert completed("tacita se", 1) == ["search"]
    assert set(completed("tacita ex", 1)) == {"export", "extract"}
    assert "--top-k" in completed("tacita search --top", 2)
