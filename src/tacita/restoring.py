"""Putting backups of a home back. Nothing may use the home meanwhile.

Data and keys are separate copies with separate ways back: whoever restores the data cannot bring erased people back,
because the ring that stayed has no key for them.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from tacita import _home, registry
from tacita.access.audit import AuditLog
from tacita.config import Settings, build
from tacita.durable import new_file, sync_folder
from tacita.errors import ConfigError, Conflict, InvalidInput, KeyUnavailable, TacitaError
from tacita.flows import rollback
from tacita.flows.engine import system_clock
from tacita.items import RestoreReport
from tacita.vault.keyring import Keys
from tacita.vault.mirror import AnchorMirror

_RECORD = "home.json"

log = logging.getLogger("tacita.restore")


def restore_data(
    settings: Settings, copy: Path, *, accept_rollback: bool = False, accept_unchecked: bool = False
) -> RestoreReport:
    """Put a copy of `data/log.db` in the place of what is there, after opening everything in it.

    Subjects who were erased since stay erased. Vaults that changed since would go back in time, which is refused unless
    it is accepted: what was said since is lost then, and what was deleted since comes back. Vaults of a tenant whose own
    root key is out of reach cannot be opened, which is refused unless it is accepted, too: one of them that goes back in time
    is then refused as rolled back when it is next opened.

    Raises:
        InvalidInput: there is no such file.
        Conflict: vaults would go back in time. Nothing was changed.
        Tampered: something in the copy is not genuine. Nothing was changed.
        KeyUnavailable: the home has no key ring; restore that first. Or tenants' root keys are out of reach, whom it names.
            Nothing was changed.
        StoreError: the file is no log of Tacita, or cannot be written.
    """
    elsewhere = settings.store is not None and registry.split(settings.store)[0] not in ("sqlite", "memory")
    if settings.store is not None and not elsewhere:
        raise ConfigError("restore puts back the log of a home; this home's settings name another SQLite file")
    # What `backup --update` leaves beside a copy when it is killed: without it the file may be half of before, half of after.
    # No other companion is taken: a rollback journal may name files for SQLite to delete.
    left = copy.with_name(f"{copy.name}-wal")
    if not copy.is_file() or copy.is_symlink():
        raise InvalidInput(f"{copy} is no file")
    if left.is_symlink():
        raise InvalidInput(f"{left} is a link: put the file itself there")
    ring_is_here = settings.ring is not None or (settings.keys_folder / "ring.db").exists()
    if not (settings.home / _RECORD).exists() or not ring_is_here:
        raise KeyUnavailable(f"{settings.home} has no key ring: restore the keys first")
    _home.prepare(settings.home)
    live = settings.data / "log.db"
    candidate = settings.data / f".restore-{os.getpid()}.db"
    try:
        _copy(copy, candidate)
        if left.is_file():
            _copy(left, candidate.with_name(candidate.name + "-wal"))
        report = _adopt(settings, candidate, accept_rollback=accept_rollback, accept_unchecked=accept_unchecked)
        if elsewhere:
            _follow(settings, candidate)
            return _recorded(settings, report)
        _settle(settings, live)
        for suffix in ("-wal", "-shm"):
            live.with_name(live.name + suffix).unlink(missing_ok=True)
        os.replace(candidate, live)
        sync_folder(settings.data)
    finally:
        for path in (candidate, *(candidate.with_name(candidate.name + suffix) for suffix in ("-wal", "-shm"))):
            path.unlink(missing_ok=True)
    return _recorded(settings, report)


def restore_keys(settings: Settings, folder: Path) -> None:
    """Put a copy of the key ring and `home.json` into a home that has none.

    Raises InvalidInput when the copy is not complete, Conflict when the home has a ring: an older one would bring back
    the keys of people who were erased since.
    """
    wanted = {folder / _RECORD: settings.home / _RECORD, folder / "ring.db": settings.keys_folder / "ring.db"}
    if missing := [source.name for source in wanted if not source.is_file()]:
        raise InvalidInput(f"{folder} lacks {' and '.join(missing)}")
    if there := [target.name for target in wanted.values() if target.exists()]:
        raise Conflict(
            f"this home has {' and '.join(there)} already; move them away by hand if they are to be replaced"
        )
    _home.prepare(settings.home)
    for source, target in wanted.items():
        _copy(source, target)


def _adopt(settings: Settings, candidate: Path, *, accept_rollback: bool, accept_unchecked: bool) -> RestoreReport:
    """Check a copy against the ring, and move the anchors of what goes back in time."""
    parts = build(settings, store=f"sqlite:{candidate}", embedder="none")
    try:
        keys = Keys(parts.ring, parts.keys)
        missing = rollback.out_of_reach(keys)
        unchecked = sum(missing.values())
        if missing and not accept_unchecked:
            tenants = ", ".join(sorted({tenant for tenant, _ in missing}))
            raise KeyUnavailable(
                f"{unchecked} vaults cannot be checked, because root keys of these tenants are out of reach: {tenants}; "
                "go on without with --accept-unchecked"
            )
        erased = rollback.drop_erased(parts.store, keys)
        old = rollback.departures(parts.store, keys, missing)
        if old and not accept_rollback:
            raise Conflict(
                f"{len(old)} vaults changed since this copy was made and would go back in time; "
                "accept it with --accept-rollback, or keep what is there"
            )
        # Anchors first: data that are ahead of them are harmless, data behind them are refused.
        for departure in old:
            rollback.accept(keys, departure)
        vaults = sum(1 for head in parts.store.vaults() if keys.ring.get(head.vault_id) is not None)
        return RestoreReport(vaults=vaults, rolled_back=len(old), erased=erased, unchecked=unchecked)
    finally:
        parts.close()


def _settle(settings: Settings, live: Path) -> None:
    """Fold the write-ahead log of what is replaced into its file: until the end it stays as good as it is."""
    if live.exists():
        try:
            build(settings, embedder="none").close()
        except TacitaError as error:
            log.warning("the data that are being replaced do not open (%s)", error.code)


def _follow(settings: Settings, candidate: Path) -> None:
    """Bring a store elsewhere to what the copy holds."""
    parts = build(settings, embedder="none")
    try:
        parts.store.follow_copy(candidate)
    finally:
        parts.close()


def _recorded(settings: Settings, report: RestoreReport) -> RestoreReport:
    parts = build(settings, embedder="none")
    try:
        keys = Keys(parts.ring, parts.keys)
        audit = AuditLog(parts.store, keys, settings.tenant, system_clock)
        audit.record("local", "restore", "rolled back" if report.rolled_back else "ok", items=report.rolled_back)
        if report.unchecked:
            audit.record("local", "restore", "unchecked", items=report.unchecked)
        audit.close()
        if parts.anchors is not None:
            # What was accepted is accepted there as well.
            AnchorMirror(parts.anchors, keys.anchors).write(parts.ring, system_clock())
    finally:
        parts.close()
    return report


def _copy(source: Path, target: Path) -> None:
    with new_file(target) as written, source.open("rb") as read:
        shutil.copyfileobj(read, written, 1 << 20)
