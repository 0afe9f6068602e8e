"""The command that moves a memory to another store, and the one that takes that back."""

from __future__ import annotations

from typing import Annotated

import typer

from tacita.errors import InvalidInput
from tacita.operations import Response
from tacita.surfaces.command import Json, Yes, confirm, console, options, progress_bar, say, settings
from tacita.surfaces.render import show


def migrate_store(
    to: Annotated[
        str | None, typer.Argument(help="URI of an empty store: postgres://..., dynamodb:..., sqlite:PATH, ...")
    ] = None,
    ring: Annotated[
        str | None, typer.Option("--ring", help="URI of an empty key ring for the keys; without it they stay.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Open every event in the target before it is used.")
    ] = True,
    shred_source: Annotated[
        bool, typer.Option("--shred-source", help="Then destroy what was left behind, and read back that it is gone.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, count, and move nothing.")] = False,
    reopen: Annotated[
        bool, typer.Option("--reopen", help="Use the configured store again, although it is being moved or was.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Move the whole memory to another store while it is in use. Run it again to go on where it was cut short."""
    from tacita.migrating import migrate
    from tacita.migrating import reopen as reopened

    if reopen:
        if to is not None or ring is not None or shred_source or dry_run:
            raise InvalidInput("--reopen is about the configured store and takes nothing else")
        confirm("Use this store again, without what was written to the other one?", yes)
        found: dict[str, object] = {"reopened": True, "was": reopened(settings())}
        show(Response("migrate_store", found), as_json=as_json or options.json, console=console())
        return
    if to is None:
        raise InvalidInput("name the store to which the memory is to go, such as postgres://ROLE@HOST/DATABASE")
    if shred_source and not dry_run:
        confirm("Destroy the old keys and rows when everything has arrived?", yes)
    with progress_bar("moving") as progress:
        report = migrate(settings(), to, ring, progress, verify=verify, shred_source=shred_source, dry_run=dry_run)
    show(Response("migrate_store", report.to_dict()), as_json=as_json or options.json, console=console())
    if report.done:
        # To standard error: what a script reads is the report.
        say("the memory is at the new place; set this before anybody uses it again:")
        say(f'  store = "{to}"')
        if ring is not None:
            say(f'  ring = "{ring}"')
