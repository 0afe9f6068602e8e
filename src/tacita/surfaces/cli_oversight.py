"""Commands for those who answer for a home: quarantine, audit, receipts, holds, freezes, origins, expiry."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tacita.config.reading import read_reference
from tacita.errors import InvalidInput
from tacita.operations import Response, execute, stream
from tacita.surfaces.command import (
    Agent,
    App,
    ItemId,
    Json,
    Run,
    User,
    Yes,
    confirm,
    console,
    do,
    ids_of,
    mapping_exit,
    opened_memory,
    options,
    progress_bar,
    settings,
    text_of,
)
from tacita.surfaces.render import show

quarantine_app = typer.Typer(
    help="Text of tools and documents that wants to instruct its reader.", no_args_is_help=True
)
audit_app = typer.Typer(help="Who read, changed, was refused or deleted what, when and why.", no_args_is_help=True)
receipt_app = typer.Typer(help="Signed receipts of deletions.", no_args_is_help=True)
backup_app = typer.Typer(help="Copies of a home that is in use: data and keys apart.", no_args_is_help=True)
restore_app = typer.Typer(help="Put copies back. Stop everything that uses the home first.", no_args_is_help=True)
archive_app = typer.Typer(
    help="One subject's whole memory in one file, sealed under a passphrase.", no_args_is_help=True
)
Passphrase = Annotated[str, typer.Option("--passphrase", help="By reference: env:NAME or file:PATH.")]
Reason = Annotated[str | None, typer.Option(help="Why, for the history. No names.")]
End = Annotated[bool, typer.Option("--end", help="End it.")]


def register(app: typer.Typer) -> None:
    """Put these commands into the application."""
    app.add_typer(quarantine_app, name="quarantine")
    app.add_typer(audit_app, name="audit")
    app.add_typer(receipt_app, name="receipt")
    app.add_typer(archive_app, name="archive")
    app.add_typer(backup_app, name="backup")
    app.add_typer(restore_app, name="restore")
    app.command()(purge)
    app.command()(forget)
    app.command("mentions")(find_mentions)
    app.command()(redact)
    app.command()(hold)
    app.command()(freeze)
    app.command()(sweep)
    app.command()(rotate)
    app.command()(salvage)
    app.command()(isolate)
    app.command()(repair)
    app.command("anchors")(remember_anchors)


@quarantine_app.command("list")
def quarantine_list(
    user: User = None, agent: Agent = None, app_id: App = None, run: Run = None, as_json: Json = False
) -> None:
    """Show what waits, with the digest that an approval names."""
    do("quarantine", as_json, embedder="none", **ids_of(user, agent, app_id, run))


def _review(approve: bool, item_id: str, digest: str, ids: dict[str, str], as_json: bool) -> None:
    with opened_memory(embedder="none") as memory:
        execute(memory, "review", {"id": item_id, "approve": approve, "digest": digest, **ids})
    shown = Response("review", {"id": item_id, "event": "approved" if approve else "rejected"})
    show(shown, as_json=as_json or options.json, console=console())


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
    _review(True, item_id, digest, ids_of(user, agent, app_id, run), as_json)


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
    _review(False, item_id, digest, ids_of(user, agent, app_id, run), as_json)


def purge(
    origin: Annotated[str, typer.Argument(help="A channel, as items show it: tool:web, import, assistant, ...")],
    yes: Yes = False,
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Remove everything that came through one channel, and all that was made of it."""
    confirm("Remove all that came through this channel for good?", yes)
    do("purge", as_json, embedder="none", origin=origin, **ids_of(user, agent, app_id, run))


def forget(
    request: Annotated[
        str, typer.Argument(help='In words: "everything about my ex-husband Tom"; - reads standard input.')
    ],
    really: Annotated[bool, typer.Option("--really", help="Remove it; without this, only propose.")] = False,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Remove this of the proposal; may be repeated.")] = None,
    yes: Yes = False,
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Propose what a request in words means; with --really remove it, and all that was made of it."""
    if really:
        confirm("Remove this for good?", yes)
    scope = ids_of(user, agent, app_id, run)
    do("forget", as_json, embedder="none", request=text_of(request), dry_run=not really, ids=ids or None, **scope)


def find_mentions(
    who: Annotated[str, typer.Argument(help="A name, an address, a number or a code; - reads standard input.")],
    as_json: Json = False,
) -> None:
    """Find items that name somebody, in everybody's memory. Shows ids and counts, no content."""
    do("find_mentions", as_json, embedder="none", who=text_of(who))


def redact(
    who: Annotated[str, typer.Argument(help="A name, an address, a number or a code; - reads standard input.")],
    yes: Yes = False,
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Take a name out of every item of one subject, older versions included."""
    confirm("Take this name out of every item for good?", yes)
    do("redact", as_json, who=text_of(who), **ids_of(user, agent, app_id, run))


def hold(
    end: End = False,
    reason: Reason = None,
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Begin a legal hold: nothing of this subject can be deleted or expires until it ends."""
    do("hold", as_json, embedder="none", on=not end, reason=reason, **ids_of(user, agent, app_id, run))


def freeze(
    end: End = False,
    reason: Reason = None,
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Freeze a subject: what is kept stays, and is neither read nor told to a model until it ends."""
    do("freeze", as_json, embedder="none", on=not end, reason=reason, **ids_of(user, agent, app_id, run))


def sweep(as_json: Json = False) -> None:
    """Delete everything whose time is over, in every vault. For a timer: expiry also happens when a vault is used."""
    with progress_bar("sweeping") as report, opened_memory(embedder="none") as memory:
        found = memory.sweep(progress=report)
    show(Response("sweep", found.to_dict()), as_json=as_json or options.json, console=console())


def rotate(
    to: Annotated[
        str | None, typer.Option("--to", help="New root key: file:NAME (made if missing), env:VAR, ...")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Give every vault another key too, and seal its whole log anew under it.")
    ] = False,
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", help="Only this tenant's vaults, under the root key that the settings name."),
    ] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Also put every key under the newest version of its root key.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Wrap every vault key under another root key, while the home is in use. Without --to: finish, and drop the old key."""
    from tacita.rotating import rotate as run

    with progress_bar("rotating") as report:
        found = run(settings(), to, report, deep=deep, tenant=tenant, renew=renew)
    show(Response("rotate", found.to_dict()), as_json=as_json or options.json, console=console())


def remember_anchors() -> None:
    """Write how far every vault has come to the place that the setting `anchors` names. For a timer."""
    with opened_memory(embedder="none") as memory:
        memory.remember_anchors()


def salvage(user: User = None, agent: Agent = None, app_id: App = None, run: Run = None) -> None:
    """Print what can still be read of a damaged vault, as JSON Lines: first what is lost, then items. In plaintext."""
    with opened_memory(embedder="none") as memory:
        for response in stream(memory, "salvage", ids_of(user, agent, app_id, run)):
            show(response, as_json=True, console=console())


def isolate(
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be lost.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give up what is damaged in a vault, so that the rest can be used again. Withdraws consent; set holds again."""
    if not dry_run:
        confirm("Give up every event of this vault that cannot be read?", yes)
    do("isolate", as_json, embedder="none", dry_run=dry_run, **ids_of(user, agent, app_id, run))


def repair(as_json: Json = False) -> None:
    """Rebuild snapshots that are not what the log says. Never changes the log. Ends with code 13 if a log is damaged."""
    with opened_memory(embedder="none") as memory, progress_bar("repairing") as report:
        found = memory.repair(progress=report)
    show(Response("repair", {**found.to_dict(), "ok": found.ok}), as_json=as_json or options.json, console=console())
    if not found.ok:
        raise typer.Exit(mapping_exit("Tampered"))


@audit_app.command("tail")
def audit_tail(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many entries.")] = 20, as_json: Json = False
) -> None:
    """The last entries, writes included, oldest first."""
    with opened_memory(embedder="none") as memory:
        entries = [response.data for response in stream(memory, "audit", {})][-count:]
    show(Response("audit", entries), as_json=as_json or options.json, console=console())


@audit_app.command("export")
def audit_export() -> None:
    """Every entry as JSON Lines on standard output, in order of time. Pseudonyms and counts, no content."""
    with opened_memory(embedder="none") as memory:
        for response in stream(memory, "audit", {}):
            show(response, as_json=True, console=console())


@audit_app.command("verify")
def audit_verify(
    checkpoint: Annotated[
        Path | None, typer.Option(help="What `audit checkpoint` printed: also check that the log goes on from there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Follow the chain of the audit log from its first entry. Ends with code 13 when it was tampered with."""
    given = None if checkpoint is None else _json_file(checkpoint)
    with opened_memory(embedder="none") as memory:
        since = {} if given is None else {"checkpoint": memory.verify_checkpoint(given)["entries"]}
        count = sum(1 for _ in stream(memory, "audit", {}))
    found = {"entries": count, **since, "ok": True}
    show(Response("audit_verify", found), as_json=as_json or options.json, console=console())


@audit_app.command("checkpoint")
def audit_checkpoint() -> None:
    """Print how far the audit log has come, signed, as JSON. Keep it elsewhere."""
    with opened_memory(embedder="none") as memory:
        proof = memory.audit_checkpoint()
    show(Response("checkpoint", proof.to_dict()), as_json=True, console=console())


@receipt_app.command("key")
def receipt_key(as_json: Json = False) -> None:
    """The public key with which receipts of this home can be checked anywhere."""
    with opened_memory(embedder="none") as memory:
        key = memory.receipt_key()
    show(Response("receipt_key", {"key": key}), as_json=as_json or options.json, console=console())


@receipt_app.command("verify")
def receipt_verify(
    file: Annotated[Path, typer.Argument(help="What `--json` printed for a deletion; - reads standard input.")],
    key: Annotated[str | None, typer.Option(help="Public key, 64 hex digits; by default this home's.")] = None,
    as_json: Json = False,
) -> None:
    """Check a receipt's signature. Ends with code 13 when it was changed or signed by somebody else."""
    found = _json_file(file)
    proof = found.get("proof", found)
    if key is None:
        with opened_memory(embedder="none") as memory:
            facts = memory.verify_receipt(proof)
    else:
        from tacita.flows.receipts import verify

        facts = verify(proof, _public(key))
    show(Response("receipt", facts), as_json=as_json or options.json, console=console())


def _json_file(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        raise InvalidInput("this file cannot be read as JSON") from None
    if not isinstance(found, dict):
        raise InvalidInput("this file holds no JSON object")
    return found


def _public(key: str) -> bytes:
    try:
        return bytes.fromhex(key)
    except ValueError:
        raise InvalidInput("a public key is 64 hex digits") from None


@backup_app.command("data")
def backup_data(
    file: Annotated[Path, typer.Argument(help="A new file, or with --update a copy.")],
    update: Annotated[bool, typer.Option("--update", help="Bring a copy up to date: write only what changed.")] = False,
    as_json: Json = False,
) -> None:
    """Copy the sealed data as of one moment. Noise without the keys."""
    with opened_memory(embedder="none") as memory:
        report = memory.backup(file, update=update)
    done = {"file": str(file), "bytes": file.stat().st_size, **report.to_dict()}
    show(Response("backup", done), as_json=as_json or options.json, console=console())


@backup_app.command("keys")
def backup_keys(folder: Annotated[Path, typer.Argument(help="A new folder.")], as_json: Json = False) -> None:
    """Copy the key ring and home.json, not the root key. Before the data, and kept apart from them."""
    with opened_memory(embedder="none") as memory:
        memory.backup_keys(folder)
    show(Response("backup", {"folder": str(folder)}), as_json=as_json or options.json, console=console())


@restore_app.command("data")
def restore_data(
    file: Annotated[Path, typer.Argument(help="As `backup data` wrote it.")],
    accept_rollback: Annotated[
        bool, typer.Option("--accept-rollback", help="Lose what came since, and bring back what was deleted since.")
    ] = False,
    accept_unchecked: Annotated[
        bool, typer.Option("--accept-unchecked", help="Go on without tenants whose root key is out of reach.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put a copy of the data in the place of what is there. Erased people stay erased."""
    from tacita.restoring import restore_data as restore

    confirm("Replace the data of this home by this copy?", yes)
    report = restore(settings(), file, accept_rollback=accept_rollback, accept_unchecked=accept_unchecked)
    show(Response("restore", report.to_dict()), as_json=as_json or options.json, console=console())


@restore_app.command("keys")
def restore_keys(
    folder: Annotated[Path, typer.Argument(help="As `backup keys` wrote it.")], as_json: Json = False
) -> None:
    """Put the key ring and home.json into a home that has none."""
    from tacita.restoring import restore_keys as restore

    restore(settings(), folder)
    show(Response("restore", {"home": str(settings().home)}), as_json=as_json or options.json, console=console())


@archive_app.command("write")
def archive_write(
    file: Annotated[Path, typer.Argument(help="A new file.")],
    passphrase: Passphrase,
    user: User = None,
    agent: Agent = None,
    app_id: App = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Write everything of one subject: versions, trust, history and vectors."""
    with opened_memory(embedder="none") as memory:
        report = memory.export_archive(file, read_reference(passphrase), **ids_of(user, agent, app_id, run))
    show(Response("archive", report.to_dict()), as_json=as_json or options.json, console=console())


@archive_app.command("read")
def archive_read(
    file: Annotated[Path, typer.Argument(help="As `archive write` wrote it.")],
    passphrase: Passphrase,
    as_json: Json = False,
) -> None:
    """Replay an archive into a home that knows nothing of its subject."""
    with opened_memory(embedder="none") as memory:
        report = memory.import_archive(file, read_reference(passphrase))
    show(Response("archive", report.to_dict()), as_json=as_json or options.json, console=console())
