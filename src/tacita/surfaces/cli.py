"""The `tacita` command. Each command builds a plain request, lets `operations` run it and shows the response."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from tacita import __version__
from tacita.config import egress
from tacita.errors import InvalidInput, TacitaError
from tacita.operations import Response, execute, mapping_of, stream
from tacita.surfaces.cli_moving import migrate_store
from tacita.surfaces.cli_oversight import register
from tacita.surfaces.command import (
    Agent,
    App,
    AsOf,
    Filter,
    ItemId,
    Json,
    Reference,
    Run,
    User,
    Yes,
    confirm,
    console,
    do,
    ids_of,
    json_object,
    mapping_exit,
    opened_memory,
    options,
    progress_bar,
    say,
    settings,
    text_of,
)
from tacita.surfaces.render import show

app = typer.Typer(
    help="Long-term memory for AI agents, sealed under a key for each person.",
    no_args_is_help=True,
    # Typer's own tracebacks print local variables, and those hold people's words.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
vectors_app = typer.Typer(help="Vectors that are in an engine outside (exposed-vectors).", no_args_is_help=True)
config_app = typer.Typer(help="Where each setting comes from.", no_args_is_help=True)
models_app = typer.Typer(help="Embedding models on this machine.", no_args_is_help=True)
guard_app = typer.Typer(help="What the guard finds, and what it does with it.", no_args_is_help=True)
telemetry_app = typer.Typer(help="What would be counted and sent, if you turn it on.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(vectors_app, name="vectors")
app.add_typer(telemetry_app, name="telemetry")
app.add_typer(guard_app, name="guard")
app.add_typer(models_app, name="models")
register(app)
app.command("migrate-store")(migrate_store)


def _version(show_it: bool) -> None:
    if show_it:
        console().print(f"tacita {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    home: Annotated[Path | None, typer.Option(help="Folder for data and keys.")] = None,
    config: Annotated[Path | None, typer.Option(help="Config file, TOML or JSON.")] = None,
    embedder: Annotated[
        str | None, typer.Option(help="local:minilm, local:minilm-static, onnx:FOLDER or none.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Language model for facts, openai:NAME?key=env:VAR.")] = None,
    as_json: Json = False,
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    options.home, options.config, options.embedder, options.model, options.json = home, config, embedder, model, as_json


@app.command()
def init(as_json: Json = False) -> None:
    """Make the home and choose its root key."""
    with opened_memory(embedder="none") as memory:
        described = memory.describe()
    kept = {name: described[name] for name in ("home", "key_provider", "key_location", "key_on_same_disk")}
    show(Response("init", kept), as_json=as_json or options.json, console=console())


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
    message = {"role": role, "content": text_of(text)}
    if name is not None:
        message["name"] = name
    do(
        "add",
        as_json,
        messages=message,
        metadata=json_object("--metadata", metadata),
        timestamp=timestamp,
        expires_at=expires_at,
        idempotency_key=idempotency_key,
        infer=infer or None,
        **ids_of(user, agent, app_id, run),
    )


@app.command()
def extract(user: User = None, agent: Agent = None, app_id: App = None, run: Run = None, as_json: Json = False) -> None:
    """Draw facts from messages that still wait for it, because the model failed or was not asked yet."""
    response = do("extract", as_json, **ids_of(user, agent, app_id, run))
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
    do("profile", as_json, renew=renew or None, **ids_of(user, agent, app_id, run))


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
    do("summary", as_json, renew=renew or None, **ids_of(user, agent, app_id, run))


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
    with opened_memory(embedder="none") as memory:
        recorded = execute(memory, "consent", {"models": models, **ids_of(user, agent, app_id, run)})
    shown = Response("consent", {"models": recorded.data})
    show(shown, as_json=as_json or options.json, console=console())


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
    do(
        "search",
        as_json,
        query=text_of(query),
        filters=json_object("--filter", filters),
        top_k=top_k,
        threshold=threshold,
        as_of=as_of,
        reference_time=reference_time,
        explain=explain,
        **ids_of(user, agent, app_id, run),
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
    do(
        "context",
        as_json,
        query=text_of(query),
        budget=budget,
        filters=json_object("--filter", filters),
        as_of=as_of,
        reference_time=reference_time,
        **ids_of(user, agent, app_id, run),
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
    do(
        "get_all",
        as_json,
        embedder="none",
        filters=json_object("--filter", filters),
        limit=limit,
        cursor=cursor,
        order="oldest" if oldest else "newest",
        **ids_of(user, agent, app_id, run),
    )


@app.command()
def get(
    item_id: ItemId, user: User = None, agent: Agent = None, app_id: App = None, run: Run = None, as_json: Json = False
) -> None:
    """One item."""
    do("get", as_json, embedder="none", id=item_id, **ids_of(user, agent, app_id, run))


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
    do(
        "update",
        as_json,
        id=item_id,
        text=None if text is None else text_of(text),
        metadata=json_object("--metadata", metadata),
        **ids_of(user, agent, app_id, run),
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
    confirm("Delete this item for good?", yes)
    do("delete", as_json, embedder="none", id=item_id, **ids_of(user, agent, app_id, run))


@app.command()
def history(
    item_id: ItemId, user: User = None, agent: Agent = None, app_id: App = None, run: Run = None, as_json: Json = False
) -> None:
    """Every change of an item."""
    do("history", as_json, embedder="none", id=item_id, **ids_of(user, agent, app_id, run))


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
    confirm("Erase everything of this subject for good?", yes)
    do("erase", as_json, embedder="none", **ids_of(user, agent, app_id, run))


@app.command()
def export(user: User = None, agent: Agent = None, app_id: App = None, run: Run = None) -> None:
    """Everything of a subject as JSON Lines on standard output, in plaintext."""
    with opened_memory(embedder="none") as memory:
        for response in stream(memory, "export", ids_of(user, agent, app_id, run)):
            show(response, as_json=True, console=console())


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
    with opened_memory() as memory, progress_bar("importing") as progress:
        report = memory.import_(file, infer=infer, progress=progress, **ids_of(user, agent, app_id, run))
    show(Response("import", msgspec.to_builtins(report.to_dict())), as_json=as_json or options.json, console=console())
    if report.bad_lines:
        raise typer.Exit(1)


@app.command()
def reindex(as_json: Json = False) -> None:
    """New vectors for items whose vectors are of another model; a vector index outside is put right as well."""
    with opened_memory() as memory, progress_bar("embedding") as progress:
        done = memory.reindex(progress=progress)
    show(Response("reindex", {"reembedded": done}), as_json=as_json or options.json, console=console())


@app.command()
def stats(user: User = None, agent: Agent = None, app_id: App = None, run: Run = None, as_json: Json = False) -> None:
    """Counts for one subject or for the whole home."""
    do("stats", as_json, **ids_of(user, agent, app_id, run))


@app.command()
def verify(
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    deep: Annotated[bool, typer.Option("--deep", help="Compare what snapshots hold with what the log says.")] = False,
    as_json: Json = False,
) -> None:
    """Open every event and follow every chain. Ends with code 13 when something is not as it was written."""
    with opened_memory(embedder="none") as memory, progress_bar("verifying") as report:
        found = memory.verify(deep=deep, progress=report, **ids_of(user, agent, app_id, run))
    shown = Response("verify", {**found.to_dict(), "ok": found.ok})
    show(shown, as_json=as_json or options.json, console=console())
    if not found.ok:
        raise typer.Exit(mapping_exit("Tampered"))


@app.command()
def doctor(as_json: Json = False) -> None:
    """What is sealed, where keys live, file modes, models, and what would leave the machine."""
    from tacita.models.fetch import models_status

    chosen = settings()
    with opened_memory(embedder="none") as memory:
        facts = memory.describe()
    facts["embedder"] = options.embedder or chosen.embedder
    facts["egress"] = egress(chosen, embedder=options.embedder, model=options.model)
    facts["models"] = [msgspec.to_builtins(status, enc_hook=str) for status in models_status(chosen.models)]
    if facts["key_on_same_disk"]:
        facts["advice"] = "the root key lies on the same disk as the data: move it (docs/how-to/keys.md)"
    show(Response("doctor", facts), as_json=as_json or options.json, console=console())
    if not facts["files_private"]:
        raise typer.Exit(mapping_exit("ConfigError"))


@vectors_app.command("status")
def vectors_status(as_json: Json = False) -> None:
    """Where vectors are outside, what is learned there, and how that place differs from the log."""
    with opened_memory(embedder="none") as memory, progress_bar("comparing") as progress:
        found = memory.vectors(progress=progress)
    show(Response("vectors", found), as_json=as_json or options.json, console=console())


@vectors_app.command("withdraw")
def vectors_withdraw(
    abandon: Annotated[bool, typer.Option(help="Only forget that it has them: it cannot be reached any more.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove all vectors of this home from the engine outside, and read back that they are gone."""
    confirm("Forget which engine has vectors of this home?" if abandon else "Remove all vectors from the engine?", yes)
    with opened_memory(embedder="none") as memory:
        count = memory.withdraw_vectors(abandon=abandon)
    show(Response("withdraw", {"vaults": count}), as_json=as_json or options.json, console=console())


@config_app.command("show")
def config_show(as_json: Json = False) -> None:
    """Each setting with its value and where that came from."""
    show(Response("config", settings().explain()), as_json=as_json or options.json, console=console())


@config_app.command("explain")
def config_explain(as_json: Json = False) -> None:
    """The same as `show`."""
    config_show(as_json)


@config_app.command("egress")
def config_egress(as_json: Json = False) -> None:
    """Every host that this configuration may contact, and what kind of data goes there."""
    found = egress(settings(), embedder=options.embedder, model=options.model)
    show(Response("egress", found), as_json=as_json or options.json, console=console())


@config_app.command("path")
def config_path() -> None:
    """The home folder."""
    console().print(Text(str(settings().home)))


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
    with opened_memory() as memory:
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

    chosen = policies.profile(profile) if profile else settings().policy()
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

    found = [msgspec.to_builtins(status, enc_hook=str) for status in models_status(settings().models)]
    show(Response("models", {"models": found}), as_json=as_json or options.json, console=console())


@models_app.command("fetch")
def models_fetch() -> None:
    """Download the default embedding model, pinned and checked. The only command that uses the network."""
    from tacita.models.fetch import fetch_minilm

    path = fetch_minilm(settings().models, progress=say)
    say(f"the model is in {path}")


@models_app.command("distil")
def models_distil() -> None:
    """Make the table of local:minilm-static from the default model, on this machine: half a minute on two processors."""
    from tacita.models.distil import distil

    with progress_bar("distilling") as progress:
        made = distil(settings().models, progress=progress)
    say(f"{made.name} is ready: {made.folder}")


@app.command()
def demo(
    keep: Annotated[Path | None, typer.Option(help="Keep the demo's home in this folder.")] = None,
    as_json: Json = False,
) -> None:
    """The whole story on a bundled conversation: import, ask, look at the bytes, erase."""
    from tacita.demo.run import run

    if not run(keep=keep, embedder=options.embedder, as_json=as_json or options.json, models=settings().models):
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
            say(f"error ({error.code}): {error}")
        sys.exit(row.exit_code)
