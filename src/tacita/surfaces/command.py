"""What every command uses: global options, the memory that they name, asking before destroying, showing what came back."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from tacita.config import Settings
from tacita.errors import InvalidInput
from tacita.operations import ERROR_TABLE, Response, execute
from tacita.surfaces.render import show


class Options:
    """The global options of this run."""

    home: Path | None = None
    config: Path | None = None
    embedder: str | None = None
    model: str | None = None
    json: bool = False


options = Options()

User = Annotated[str | None, typer.Option("--user", "--user-id", "-u", help="Whose memory: a person.")]
Agent = Annotated[str | None, typer.Option("--agent", "--agent-id", help="An agent.")]
App = Annotated[str | None, typer.Option("--app", "--app-id", help="An app or team.")]
Run = Annotated[str | None, typer.Option("--run", "--run-id", help="A session.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Filter = Annotated[str | None, typer.Option("--filter", help='JSON, e.g. {"metadata.topic": "health"}.')]
ItemId = Annotated[str, typer.Argument(help="Id of the item.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="What was valid then (ISO 8601).")]
Reference = Annotated[str | None, typer.Option("--reference-time", help='What "yesterday" counts from.')]


def console() -> Console:
    return Console(soft_wrap=True, highlight=False)


def say(words: str) -> None:
    Console(stderr=True, highlight=False).print(Text(words))


@contextmanager
def opened_memory(*, embedder: str | None = None) -> Iterator[Any]:
    from tacita.memory import Memory

    memory = Memory(settings=settings(), embedder=embedder or options.embedder, model=options.model)
    try:
        yield memory
    finally:
        memory.close()


def settings() -> Settings:
    return Settings.load(home=options.home, config=options.config)


def ids_of(user: str | None, agent: str | None, app_id: str | None, run: str | None) -> dict[str, str]:
    given = {"user_id": user, "agent_id": agent, "app_id": app_id, "run_id": run}
    return {field: value for field, value in given.items() if value is not None}


def do(operation: str, as_json: bool, *, embedder: str | None = None, **request: Any) -> Response:
    payload = {field: value for field, value in request.items() if value is not None}
    with opened_memory(embedder=embedder) as memory:
        response = execute(memory, operation, payload)
    show(response, as_json=as_json or options.json, console=console())
    return response


def text_of(argument: str) -> str:
    """The argument, or standard input for `-`, so that a secret need not stand in the shell's history."""
    return sys.stdin.read().rstrip("\n") if argument == "-" else argument


def json_object(option: str, value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise InvalidInput(f"{option} takes a JSON object")
    return parsed


def confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput("this destroys data; say --yes, or run it in a terminal")
    if not typer.confirm(question):
        raise typer.Exit(1)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int | None], None]]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def mapping_exit(name: str) -> int:
    """The exit code of an error class, by its name."""
    return next(row.exit_code for kind, row in ERROR_TABLE.items() if kind.__name__ == name)
