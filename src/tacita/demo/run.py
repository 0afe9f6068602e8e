"""The main job on the bundled conversation: import, ask, search the written bytes for the words, erase one person."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tacita.config import Settings
from tacita.memory import Memory
from tacita.patterns import lazy_pattern

QUESTIONS = (
    ("ana", "which medicines must she avoid?", "penicillin"),
    ("ana", "when does she travel to see her sister?", "Porto"),
    ("ana", "what happened with her leg in March?", "knee"),
    ("ana", "what is the dog afraid of?", "umbrellas"),
    ("ben", "what does he want to buy with his savings?", "houseboat"),
    ("ben", "is his heart all right?", "blood pressure"),
)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
_WORD = lazy_pattern(r"[A-Za-z]{7,}")


@contextmanager
def _home(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="tacita-demo-") as folder:
        yield Path(folder) / "home"


def run(*, keep: Path | None, embedder: str | None, as_json: bool, models: Path) -> bool:
    """Run the demonstration; True if every check held. `models` is the folder that holds the embedding model."""
    console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False, quiet=as_json)
    with as_file(files("tacita.demo") / "conversation.jsonl") as conversation, _home(keep) as home:
        words = {word.lower() for word in _WORD.findall(_spoken(conversation))}
        checks: dict[str, bool] = {}
        settings = Settings(home=home, models_folder=models)
        with Memory(settings=settings, embedder=embedder) as memory:
            console.rule("1. Import a conversation of two people")
            report = memory.import_(conversation)
            console.print(
                f"{report.added} messages kept, each sealed under its own key; {len(report.bad_lines)} bad lines"
            )
            checks["imported"] = report.added > 0 and not report.bad_lines
            console.rule("2. Ask")
            for user, question, expected in QUESTIONS:
                checks[f"found: {question}"] = _ask(memory, console, user, question, expected)
            block = memory.context("what should a doctor know?", user_id="ana", budget=160, reference_time=NOW)
            console.print(Panel(Text(block.text), title=f"context for a prompt, {block.tokens} tokens"))
        console.rule("3. Look for the words in what was written")
        control = _found(words, [conversation])
        found = _found(words, [path for path in home.rglob("*") if path.is_file()])
        console.print(f"in the file that was imported: {len(control)} of {len(words)} distinctive words")
        console.print(Text(f"in all files under the home:   {len(found)} of {len(words)}", style="bold"))
        checks["words at rest: 0"] = not found and len(control) == len(words)
        _glance(console, home / "data" / "log.db")
        console.rule("4. Erase one person")
        with Memory(settings=settings, embedder=embedder) as memory:
            before = memory.stats(user_id="ben").items
            receipt = memory.erase(user_id="ana")
            hits = len(memory.search("penicillin", user_id="ana"))
            after = memory.stats(user_id="ben").items
            console.print(f"keys destroyed: {receipt.keys_destroyed}, rows dropped: {receipt.events_dropped}")
            console.print(f"hits for ana now: {hits}; items of ben: {before} before, {after} after")
            checks["erased"] = receipt.keys_destroyed == 1 and hits == 0 and memory.verify().ok
            checks["the other person is untouched"] = before == after > 0
    return _conclude(checks, console, as_json)


def _spoken(conversation: Path) -> str:
    return " ".join(json.loads(line)["content"] for line in conversation.read_text().splitlines())


def _ask(memory: Memory, console: Console, user: str, question: str, expected: str) -> bool:
    hits = memory.search(question, user_id=user, top_k=3, reference_time=NOW)
    table = Table(title=f"{user}: {question}", title_justify="left", show_header=False, box=None)
    for hit in hits:
        right = expected.lower() in hit.text.lower()
        table.add_row(
            f"{hit.score:.3f}", Text(f"{hit.timestamp:%d %b}", style="dim"), Text(hit.text, "green" if right else "")
        )
    console.print(table)
    return any(expected.lower() in hit.text.lower() for hit in hits)


def _found(words: set[str], paths: list[Path]) -> set[str]:
    """The words that occur in any of the files, in any case."""
    content = b"\n".join(path.read_bytes() for path in paths).lower()
    return {word for word in words if word.encode() in content}


def _glance(console: Console, path: Path) -> None:
    raw = path.read_bytes()
    # A page's records grow from its end: the last bytes before a page boundary are the inside of an event.
    start = next((at for at in range(len(raw) - 128, 0, -4096) if 0 not in raw[at : at + 64]), len(raw) - 64)
    rows = [raw[at : at + 16] for at in range(start, start + 64, 16)]
    lines = [f"{row.hex(' ')}  {''.join(chr(b) if 32 <= b < 127 else '.' for b in row)}" for row in rows]
    console.print(Panel(Text("\n".join(lines)), title="64 bytes of log.db"))


def _conclude(checks: dict[str, bool], console: Console, as_json: bool) -> bool:
    passed = all(checks.values())
    if as_json:
        sys.stdout.write(json.dumps({"passed": passed, "checks": checks}) + "\n")
        return passed
    console.rule("checks")
    for name, held in checks.items():
        console.print(Text(f"{'ok  ' if held else 'FAIL'}  {name}", style="green" if held else "red"))
    return passed
