"""The `tacita` command. Each command builds a plain request, lets `operations` run it and shows the response."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from tacita import __version__
from tacita.config import Settings, egress
from tacita.errors import InvalidInput, TacitaError
from tacita.operations import ERROR_TABLE, Response, execute, mapping_of, stream
from tacita.surfaces.render import show

app = typer.Typer(
    help="Long-term memory for AI agents, sealed under a key for each person.",
    no_args_is_help=True,
    # Typer's own tracebacks print local variables, and those hold people's words.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(help="Where each setting comes from.", no_args_is_help=True)
models_app = typer.Typer(help="Embedding models on this machine.", no_args_is_help=True)
guard_app = typer.Typer(help="What the guard finds, and what it does with it.", no_args_is_help=True)
telemetry_app = typer.Typer(help="What would be counted and sent, if you turn it on.", no_args_is_help=True)
app.add_typer(config_app, name="config")
quarantine_app = typer.Typer(
    help="Text of tools and documents that wants to instruct its reader.", no_args_is_help=True
)
app.add_typer(telemetry_app, name="telemetry")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(guard_app, name="guard")
app.add_typer(models_app, name="models")


class _Options:
    """The global options of this run."""

    home: Path | None = None
    config: Path | None = None
    embedder: str | None = None
    model: str | None = None
    json: bool = False


options = _Options()

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


def _version(show_it: bool) -> None:
    if show_it:
        _console().print(f"tacita {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    home: Annotated[Path | None, typer.Option(help="Folder for data and keys.")] = None,
    config: Annotated[Path | None, typer.Option(help="Config file, TOML or JSON.")] = None,
    embedder: Annotated[str | None, typer.Option(help="local:minilm, onnx:FOLDER or none.")] = None,
    model: Annotated[str | None, typer.Option(help="Language model for facts, openai:NAME?key=env:VAR.")] = None,
    as_json: Json = False,
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    options.home, options.config, options.embedder, options.model, options.json = home, config, embedder, model, as_json


def _console() -> Console:
    return Console(soft_wrap=True, highlight=False)


def _say(words: str) -> None:
    Console(stderr=True, highlight=False).print(Text(words))


@contextmanager
def _memory(*, embedder: str | None = None) -> Iterator[Any]:
    from tacita.memory import Memory

    memory = Memory(settings=_settings(), embedder=embedder or options.embedder, model=options.model)
    try:
        yield memory
    finally:
        memory.close()


def _settings() -> Settings:
    return Settings.load(home=options.home, config=options.config)


def _ids(user: str | None, agent: str | None, app_id: str | None, run: str | None) -> dict[str, str]:
    given = {"user_id": user, "agent_id": agent, "app_id": app_id, "run_id": run}
    return {field: value for field, value in given.items() if value is not None}


def _do(operation: str, as_json: bool, *, embedder: str | None = None, **request: Any) -> Response:
    payload = {field: value for field, value in request.items() if value is not None}
    with _memory(embedder=embedder) as memory:
        response = execute(memory, operation, payload)
    show(response, as_json=as_json or options.json, console=_console())
    return response


def _text(argument: str) -> str:
    """The argument, or standard input for `-`, so that a secret need not stand in the shell's history."""
    return sys.stdin.read().rstrip("\n") if argument == "-" else argument


def _object(option: str, value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise InvalidInput(f"{option} takes a JSON object")
    return parsed


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput("this destroys data; say --yes, or run it in a terminal")
    if not typer.confirm(question):
        raise typer.Exit(1)


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int | None], None]]:
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


@app.command()
def init(as_json: Json = False) -> None:
    """Make the home and choose its root key."""
    with _memory(embedder="none") as memory:
        described = memory.describe()
    kept = {name: described[name] for name in ("home", "key_provider", "key_location", "key_on_same_disk")}
    show(Response("init", kept), as_json=as_json or options.json, console=_console())


@app.command()
def add(
    text: Annotated[str, typer.Argument(help="What was said; - reads standard input.")],
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    role: Annotated[str, typer.Option(help="user, assistant, system or tool.")] = "user",
    name: Annotated[str | None, typer.Option(help="Who said it.")] = None,
    metadata: Annotated[str | None, typer.Option(help="JSON object.")] = None,
    timestamp: Annotated[str | None, typer.Option(help="When (ISO 8601).")] = None,
    expires_at: Annotated[str | None, typer.Option(help="Delete it then (ISO 8601).")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key adds nothing twice.")] = None,
    infer: Annotated[bool, typer.Option("--infer", help="Draw facts from it with the language model.")] = False,
    as_json: Json = False,
) -> None:
    """Keep one message."""
    message = {"role": role, "content": _text(text)}
    if name is not None:
        message["name"] = name
    _do(
        "add",
        as_json,
        messages=message,
        metadata=_object("--metadata", metadata),
        timestamp=timestamp,
        expires_at=expires_at,
        idempotency_key=idempotency_key,
        infer=infer or None,
        **_ids(user, agent, app_id, run),
    )


@app.command()
def extract(user: User = None, agent: Agent = None, app_id: App = None, run: Run = None, as_json: Json = False) -> None:
    """Draw facts from messages that still wait for it, because the model failed or was not asked yet."""
    response = _do("extract", as_json, **_ids(user, agent, app_id, run))
    if response.data["failure"]:
        raise typer.Exit(mapping_exit("ModelError"))


@app.command()
def profile(
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    renew: Annotated[bool, typer.Option("--renew", help="Have the language model write it anew.")] = False,
    as_json: Json = False,
) -> None:
    """A short profile of somebody that rests on known facts."""
    _do("profile", as_json, renew=renew or None, **_ids(user, agent, app_id, run))


@app.command()
def summary(
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    renew: Annotated[bool, typer.Option("--renew", help="Have the language model write it anew.")] = False,
    as_json: Json = False,
) -> None:
    """A summary of the conversation of exactly these ids, which rests on its messages."""
    _do("summary", as_json, renew=renew or None, **_ids(user, agent, app_id, run))


@app.command()
def consent(
    models: Annotated[
        bool | None, typer.Option("--models/--no-models", help="Whether models elsewhere may be told; none: ask.")
    ] = None,
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Record whether models elsewhere may be told about somebody, or show what is recorded."""
    with _memory(embedder="none") as memory:
        recorded = execute(memory, "consent", {"models": models, **_ids(user, agent, app_id, run)})
    shown = Response("consent", {"models": recorded.data})
    show(shown, as_json=as_json or options.json, console=_console())


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="A question; - reads standard input.")],
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    filters: Filter = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", help="How many hits.")] = 10,
    threshold: Annotated[float | None, typer.Option(help="Leave out hits with a lower score.")] = None,
    as_of: AsOf = None,
    reference_time: Reference = None,
    explain: Annotated[bool, typer.Option(help="Show what each signal said.")] = False,
    as_json: Json = False,
) -> None:
    """Find the best items for a question."""
    _do(
        "search",
        as_json,
        query=_text(query),
        filters=_object("--filter", filters),
        top_k=top_k,
        threshold=threshold,
        as_of=as_of,
        reference_time=reference_time,
        explain=explain,
        **_ids(user, agent, app_id, run),
    )


@app.command()
def context(
    query: Annotated[str, typer.Argument(help="A question; - reads standard input.")],
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    budget: Annotated[int, typer.Option(help="Most tokens.")] = 1_000,
    filters: Filter = None,
    as_of: AsOf = None,
    reference_time: Reference = None,
    as_json: Json = False,
) -> None:
    """A block of memories for a prompt."""
    _do(
        "context",
        as_json,
        query=_text(query),
        budget=budget,
        filters=_object("--filter", filters),
        as_of=as_of,
        reference_time=reference_time,
        **_ids(user, agent, app_id, run),
    )


@app.command("list")
def list_items(
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    filters: Filter = None,
    limit: Annotated[int, typer.Option(help="Items on a page.")] = 100,
    cursor: Annotated[str | None, typer.Option(help="From the page before.")] = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="Oldest first.")] = False,
    as_json: Json = False,
) -> None:
    """Items by time."""
    _do(
        "get_all",
        as_json,
        embedder="none",
        filters=_object("--filter", filters),
        limit=limit,
        cursor=cursor,
        order="oldest" if oldest else "newest",
        **_ids(user, agent, app_id, run),
    )


@app.command()
def get(
    item_id: ItemId, user: User = None, agent: Agent = None, app_id: App = None, run: Run = None, as_json: Json = False
) -> None:
    """One item."""
    _do("get", as_json, embedder="none", id=item_id, **_ids(user, agent, app_id, run))


@app.command()
def update(
    item_id: ItemId,
    text: Annotated[str | None, typer.Argument(help="New text; - reads standard input.")] = None,
    metadata: Annotated[str | None, typer.Option(help="New metadata, a JSON object.")] = None,
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """A new version of an item; the old one stays in its history."""
    _do(
        "update",
        as_json,
        id=item_id,
        text=None if text is None else _text(text),
        metadata=_object("--metadata", metadata),
        **_ids(user, agent, app_id, run),
    )


@app.command()
def delete(
    item_id: ItemId,
    yes: Yes = False,
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Remove an item with all its versions."""
    _confirm("Delete this item for good?", yes)
    _do("delete", as_json, embedder="none", id=item_id, **_ids(user, agent, app_id, run))


@app.command()
def history(
    item_id: ItemId, user: User = None, agent: Agent = None, app_id: App = None, run: Run = None, as_json: Json = False
) -> None:
    """Every change of an item."""
    _do("history", as_json, embedder="none", id=item_id, **_ids(user, agent, app_id, run))


@app.command()
def erase(
    yes: Yes = False,
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Erase everything of one subject: its key is destroyed, its rows are dropped."""
    _confirm("Erase everything of this subject for good?", yes)
    _do("erase", as_json, embedder="none", **_ids(user, agent, app_id, run))


@app.command()
def export(user: User = None, agent: Agent = None, app_id: App = None, run: Run = None) -> None:
    """Everything of a subject as JSON Lines on standard output, in plaintext."""
    with _memory(embedder="none") as memory:
        for response in stream(memory, "export", _ids(user, agent, app_id, run)):
            show(response, as_json=True, console=_console())


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="OpenAI-style JSONL, ChatGPT export, LoCoMo, transcript, export.")],
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    infer: Annotated[bool, typer.Option("--infer", help="Draw facts from them with the language model.")] = False,
    as_json: Json = False,
) -> None:
    """Bring messages in. Importing again adds nothing twice; bad lines are reported and the rest is kept."""
    with _memory() as memory, _progress("importing") as progress:
        report = memory.import_(file, infer=infer, progress=progress, **_ids(user, agent, app_id, run))
    show(Response("import", msgspec.to_builtins(report.to_dict())), as_json=as_json or options.json, console=_console())
    if report.bad_lines:
        raise typer.Exit(1)


@app.command()
def reindex(as_json: Json = False) -> None:
    """New vectors for items whose vectors are of another model."""
    with _memory() as memory, _progress("embedding") as progress:
        done = memory.reindex(progress=progress)
    show(Response("reindex", {"reembedded": done}), as_json=as_json or options.json, console=_console())


@app.command()
def stats(user: User = None, agent: Agent = None, app_id: App = None, run: Run = None, as_json: Json = False) -> None:
    """Counts for one subject or for the whole home."""
    _do("stats", as_json, **_ids(user, agent, app_id, run))


@app.command()
def verify(user: User = None, agent: Agent = None, app_id: App = None, run: Run = None, as_json: Json = False) -> None:
    """Open every event and follow every chain."""
    response = _do("verify", as_json, embedder="none", **_ids(user, agent, app_id, run))
    if not response.data["ok"]:
        raise typer.Exit(mapping_exit("Tampered"))


def mapping_exit(name: str) -> int:
    """The exit code of an error class, by its name."""
    return next(row.exit_code for kind, row in ERROR_TABLE.items() if kind.__name__ == name)


@app.command()
def doctor(as_json: Json = False) -> None:
    """What is sealed, where keys live, file modes, models, and what would leave the machine."""
    from tacita.models.fetch import models_status

    settings = _settings()
    with _memory(embedder="none") as memory:
        facts = memory.describe()
    facts["embedder"] = options.embedder or settings.embedder
    facts["egress"] = egress(settings, embedder=options.embedder, model=options.model)
    facts["models"] = [msgspec.to_builtins(status, enc_hook=str) for status in models_status(settings.models)]
    if facts["key_on_same_disk"]:
        facts["advice"] = "the root key lies on the same disk as the data: move it (docs/how-to/keys.md)"
    show(Response("doctor", facts), as_json=as_json or options.json, console=_console())
    if not facts["files_private"]:
        raise typer.Exit(mapping_exit("ConfigError"))


@config_app.command("show")
def config_show(as_json: Json = False) -> None:
    """Each setting with its value and where that came from."""
    show(Response("config", _settings().explain()), as_json=as_json or options.json, console=_console())


@config_app.command("explain")
def config_explain(as_json: Json = False) -> None:
    """The same as `show`."""
    config_show(as_json)


@config_app.command("egress")
def config_egress(as_json: Json = False) -> None:
    """Every host that this configuration may contact, and what kind of data goes there."""
    found = egress(_settings(), embedder=options.embedder, model=options.model)
    show(Response("egress", found), as_json=as_json or options.json, console=_console())


@config_app.command("path")
def config_path() -> None:
    """The home folder."""
    _console().print(Text(str(_settings().home)))


@quarantine_app.command("list")
def quarantine_list(
    user: User = None, agent: Agent = None, app_id: App = None, run: Run = None, as_json: Json = False
) -> None:
    """Show what waits, with the digest that an approval names."""
    _do("quarantine", as_json, embedder="none", **_ids(user, agent, app_id, run))


def _review(approve: bool, item_id: str, digest: str, ids: dict[str, str], as_json: bool) -> None:
    with _memory(embedder="none") as memory:
        execute(memory, "review", {"id": item_id, "approve": approve, "digest": digest, **ids})
    shown = Response("review", {"id": item_id, "event": "approved" if approve else "rejected"})
    show(shown, as_json=as_json or options.json, console=_console())


@quarantine_app.command("approve")
def quarantine_approve(
    item_id: ItemId,
    digest: Annotated[str, typer.Option(help="As `quarantine list` shows it.")],
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Let an item go. It stays untrusted."""
    _review(True, item_id, digest, _ids(user, agent, app_id, run), as_json)


@quarantine_app.command("reject")
def quarantine_reject(
    item_id: ItemId,
    digest: Annotated[str, typer.Option(help="As `quarantine list` shows it.")],
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Remove an item for good."""
    _review(False, item_id, digest, _ids(user, agent, app_id, run), as_json)


@telemetry_app.command("preview")
def telemetry_preview(
    operation: Annotated[str, typer.Argument(help="An operation, such as add or search.")] = "search",
    outcome: Annotated[str, typer.Option(help="How it ended: ok or an error's code.")] = "ok",
) -> None:
    """Print the exact bytes that a run of one operation would send, and nothing else. Sends nothing."""
    from tacita.telemetry import OPERATIONS

    name = {"import": "import_", "list": "get_all"}.get(operation, operation)
    if name not in OPERATIONS:
        raise InvalidInput(f"no such operation is counted; known are {', '.join(sorted(OPERATIONS))}")
    with _memory() as memory:
        sys.stdout.write(memory.telemetry_preview(name, outcome).decode())


@guard_app.command("scan")
def guard_scan(
    file: Annotated[Path, typer.Argument(help="JSON Lines with a `text` each, or plain lines.")],
    profile: Annotated[
        str | None, typer.Option(help="default, strict, clinical or off; else the configured one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what `add` would do with each line of a file. Nothing is kept, and what is found is not printed."""
    from tacita.privacy import policy as policies
    from tacita.privacy.detect import scan
    from tacita.privacy.files import texts

    chosen = policies.profile(profile) if profile else _settings().policy()
    counts: Counter[str] = Counter()
    for line, text in texts(file):
        findings = [
            {"type": one.type, "class": one.kind, "start": one.start, "end": one.end, "action": chosen.action(one)}
            for one in scan(text)
        ]
        if as_json or options.json:
            typer.echo(json.dumps({"findings": findings}))
            continue
        for found in findings:
            what = f"{found['type']} ({found['class']}): {found['action']}"
            counts[what] += 1
            typer.echo(f"line {line}, {found['start']}-{found['end']}: {what}")
    if not (as_json or options.json):
        typer.echo(f"{sum(counts.values())} findings under the profile {chosen.name}")
        for name, count in sorted(counts.items()):
            typer.echo(f"  {count:6d}  {name}")


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """Models on this machine."""
    from tacita.models.fetch import models_status

    found = [msgspec.to_builtins(status, enc_hook=str) for status in models_status(_settings().models)]
    show(Response("models", {"models": found}), as_json=as_json or options.json, console=_console())


@models_app.command("fetch")
def models_fetch() -> None:
    """Download the default embedding model, pinned and checked. The only command that uses the network."""
    from tacita.models.fetch import fetch_minilm

    path = fetch_minilm(_settings().models, progress=_say)
    _say(f"the model is in {path}")


@app.command()
def demo(
    keep: Annotated[Path | None, typer.Option(help="Keep the demo's home in this folder.")] = None,
    as_json: Json = False,
) -> None:
    """The whole story on a bundled conversation: import, ask, look at the bytes, erase."""
    from tacita.demo.run import run

    if not run(keep=keep, embedder=options.embedder, as_json=as_json or options.json, models=_settings().models):
        raise typer.Exit(1)


@app.command()
def version() -> None:
    """The version of this program."""
    _version(True)


def main() -> None:
    """Run the command line. Tacita's errors become one line and an exit code; they never hold content."""
    try:
        app()
    except TacitaError as error:
        row = mapping_of(error)
        if options.json or "--json" in sys.argv:
            sys.stderr.write(json.dumps({"error": {"code": error.code, "message": str(error)}}) + "\n")
        else:
            _say(f"error ({error.code}): {error}")
        sys.exit(row.exit_code)
