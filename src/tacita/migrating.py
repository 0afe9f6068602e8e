"""Moving a memory to another store: its sealed log, and its keys too or only the log. Everything travels as ciphertext.

It is in use while it is copied, and stopped for the last changes and the look at what arrived. The source's key ring says how
far it is, so that one that was cut short goes on, and nobody uses what was left behind. How to copy is the stores' business.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from tacita import _home, registry
from tacita.access.audit import AuditLog
from tacita.config import Parts, Settings, build
from tacita.errors import ConfigError, Conflict, InvalidInput, Moved
from tacita.flows import moving
from tacita.flows.engine import system_clock
from tacita.flows.moving import Contents, Destroyed, Examination, Progress, Side, no_progress
from tacita.hazmat import random_bytes
from tacita.items import MigrateReport, Shredded
from tacita.stores.following import follow, follow_ring
from tacita.vault import moved
from tacita.vault.keyring import Keys
from tacita.vault.moved import SETTING, Mark

_ROUNDS = 5
"""Most rounds while the memory is in use. Each is shorter than the one before, unless it changes faster than it is copied."""
_FEW = 16
"""Vaults that changed in a round after which the rest is left to the last one."""


def migrate(
    settings: Settings,
    to: str,
    ring: str | None = None,
    progress: Progress = no_progress,
    *,
    verify: bool = True,
    shred_source: bool = False,
    dry_run: bool = False,
) -> MigrateReport:
    """Move the memory that the settings describe to another store. Run again, it goes on where it was cut short.

    Others may use it meanwhile. At the end they get `Moved`, first until the last changes are over, then for good: change the
    settings and start them again. Snapshots stay behind; they are made anew.

    Args:
        to: URI of the store to which the log goes. It has to be empty.
        ring: URI of the key ring to which the keys go; without it they stay where they are.
        progress: called with (vaults done, how many there are or None).
        verify: open every event in the target before it is taken into use.
        shred_source: then destroy what was left behind: its keys, if they went along, and its rows.
        dry_run: check everything and count, move nothing. A target that makes its own tables or files makes them.

    Raises:
        ConfigError: source and target are the same, or one of them cannot be moved from or to.
        Conflict: the target is not empty, another migration was begun, or a deep rotation is under way. Nothing was moved.
        Moved: the memory is not here any more.
        KeyUnavailable: there are rows without a key. Nothing was moved.
        Tampered, StoreError: the target is not what the source is, or cannot be reached. The source is in use again.
    """
    if registry.split(to)[0] == "memory" or (ring is not None and registry.split(ring)[0] == "memory"):
        raise ConfigError("a memory: store ends with its process; name one that lasts")
    with _home.alone(settings.home, "a migration of this memory"), _opened(settings, to, ring) as (source, target):
        return _Migration(settings, source, target, progress, verify=verify).run(shred=shred_source, dry_run=dry_run)


def reopen(settings: Settings) -> str:
    """Let the memory that the settings describe be used again, although it is being moved or was moved.

    What was written to the other place since is not here: that is the operator's decision. Returns what the key ring said.

    Raises InvalidInput when nothing is in the way, Conflict when its keys were destroyed.
    """
    with _home.alone(settings.home, "a migration of this memory"):
        parts = build(settings, embedder="none", fenced=False)
        try:
            mark = Mark.of(parts.ring)
            if mark is None or (mark.stage == "settled" and mark.at == parts.store.name):
                raise InvalidInput(f"{parts.store.name} was not moved: there is nothing to reopen")
            if mark.stage == "shredded":
                raise Conflict(
                    f"the keys in {parts.ring.name} were destroyed after the move to {mark.log}: nothing is left"
                )
            if mark.stage == "arriving":
                raise InvalidInput(
                    "this is the target of a migration: finish it where it was begun, or use the source again"
                )
            if mark.stage == "settled" or (mark.stage == "moved" and not mark.ring):
                # The anchors went on with the log. What is here would be refused, vault by vault, as a rollback.
                raise Conflict(
                    f"the key ring goes with {mark.log} now: to come back, move it from there to an empty store"
                )
            if mark.at:
                before = Mark(id=mark.id, stage="settled", log=mark.at, at=mark.at)
                if not before.follows(parts.ring, mark):
                    raise Conflict("somebody else changed how far the migration is; look again")
            else:
                parts.ring.drop_setting(SETTING)
            _audit(settings, parts, "reopen_store", mark.stage)
            return mark.stage
        finally:
            parts.close()


@contextmanager
def _opened(settings: Settings, to: str, ring: str | None) -> Iterator[tuple[Parts, Parts]]:
    source = build(settings, embedder="none", fenced=False)
    try:
        if "memory" in (source.store.scheme, registry.split(settings.ring or "")[0]):
            raise ConfigError("a memory: store ends with its process and cannot be moved; use `tacita archive`")
        mark = Mark.of(source.ring)
        if mark is not None and mark.stage == "shredded" and ring is None:
            raise Moved(f"this memory was moved to {mark.log}, and its keys here were destroyed")
        target = build(settings, store=to, ring=source.ring if ring is None else ring, embedder="none", fenced=False)
        try:
            yield source, target
        finally:
            target.close()
    finally:
        source.close()


class _Migration:
    """One run. What it finds in the source's key ring says where it goes on."""

    def __init__(self, settings: Settings, source: Parts, target: Parts, progress: Progress, *, verify: bool) -> None:
        self._settings = settings
        self._parts = target
        self._source = Side(source.store, source.ring)
        self._target = Side(target.store, target.ring)
        self._progress = progress
        self._verify = verify
        self._stays = target.ring is source.ring
        self._ring = "" if self._stays else target.ring.name
        self._before: Mark | None = None
        self._rounds = self._written = 0
        self._stopped = 0.0
        self._examination: Examination | None = None

    def run(self, *, shred: bool, dry_run: bool) -> MigrateReport:
        mark = self._agree()
        left = mark.stage not in ("copying", "closed")
        if dry_run:
            return self._report(Contents.of(self._target if left else self._source), done=left)
        if not left:
            mark = self._copy(mark)
        contents = Contents.of(self._target)
        mark = self._arrive(mark)
        gone = self._shred(mark) if shred else None
        return self._report(contents, done=True, shredded=gone)

    # ------------------------------------------------------------------ before anything is written

    def _agree(self) -> Mark:
        """The mark to go on from. Raises when this migration may not be."""
        source, target = self._source, self._target
        for mine, theirs in ((source.log.name, target.log.name), (source.ring.name, self._ring)):
            if mine == theirs:
                raise ConfigError(
                    f"source and target are the same: {mine}" if mine else "a store without a name cannot move"
                )
        mark = self._before = Mark.of(source.ring)
        if mark is None or (mark.stage == "settled" and mark.at == source.log.name):
            moving.check_whole(source)
            moving.check_empty(target, ring=not self._stays)
            at = "" if mark is None else mark.at
            return Mark(id=random_bytes(8).hex(), stage="copying", log=target.log.name, ring=self._ring, at=at)
        if mark.stage == "arriving" or (mark.stage == "settled" and mark.at != target.log.name):
            raise Moved(f"this memory cannot be moved from here: {mark.refuses(source.log.name)}")
        if (mark.log, mark.ring) != (target.log.name, self._ring):
            there = f"{mark.log}, its keys to {mark.ring}" if mark.ring else f"{mark.log}, without its keys"
            if mark.stage in ("moved", "shredded"):
                raise Moved(f"this memory was moved to {there} already")
            raise Conflict(
                f"a migration to {there} was begun: finish it, or give it up with `tacita migrate-store --reopen`"
            )
        if mark.stage in ("copying", "closed"):
            self._check_target(mark)
            moving.check_whole(source)
        return mark

    def _check_target(self, mark: Mark) -> None:
        if not self._stays:
            there = Mark.of(self._target.ring)
            if there is None:
                moving.check_empty(self._target, ring=True)
            elif (there.stage, there.id) != ("arriving", mark.id):
                raise Conflict(f"{self._target.ring.name} is the target of another migration")
        moving.check_ours(self._target, self._source)

    # ------------------------------------------------------------------ while the memory is in use, and then is not

    def _copy(self, mark: Mark) -> Mark:
        """Bring everything over. From when this returns on, the target is the memory."""
        self._put(mark, self._before)
        if not self._stays:
            arriving = Mark(id=mark.id, stage="arriving", log=mark.log, ring=mark.ring)
            if not arriving.follows(self._target.ring, None):
                raise Conflict(f"{self._target.ring.name} is the target of another migration")
        if mark.stage == "copying":
            self._follow_along()
        closed = self._put(replace(mark, stage="closed"), mark)
        began = time.monotonic()
        try:
            # Whoever has the memory open has asked by then, or asks before it believes that anything was written.
            time.sleep(moved.GRACE * 1.25)
            self._finish()
            left = self._put(replace(mark, stage="moved"), closed)
        except BaseException:
            # Nothing was left yet: people need their memory more than we do.
            replace(mark, stage="copying").follows(self._source.ring, closed)
            raise
        self._stopped = time.monotonic() - began
        return left

    def _put(self, mark: Mark, before: Mark | None) -> Mark:
        if mark != before and not mark.follows(self._source.ring, before):
            raise Conflict("somebody else changed how far the migration is; look again")
        return mark

    def _follow_along(self) -> None:
        for _ in range(_ROUNDS):
            changed = self._bring()
            if self._verify:
                # What was in the middle of a change is looked at again. What is damaged shows itself at the end.
                self._examined().open_all(self._progress)
            if changed <= _FEW:
                return

    def _finish(self) -> None:
        moving.check_whole(self._source)
        self._bring()
        if self._verify:
            self._examined().compare(self._progress)
        else:
            moving.compare_heads(self._target, self._source)

    def _bring(self) -> int:
        # Keys before rows: an anchor that is behind its log is harmless, one that is ahead of it is not.
        if not self._stays:
            follow_ring(self._target.ring, self._source.ring, but=(SETTING,))
        counts = follow(self._target.log, self._source.log, self._progress)
        moving.drop_erased(self._target)
        self._rounds += 1
        self._written += counts.written
        return counts.written + counts.dropped

    def _examined(self) -> Examination:
        if self._examination is None:
            keys = Keys(self._target.ring, self._parts.keys)
            self._examination = Examination(self._target, self._source, keys)
        return self._examination

    # ------------------------------------------------------------------ afterwards

    def _arrive(self, mark: Mark) -> Mark:
        """Let the target be used. Repeated after a kill, it may be told twice in the audit log."""
        if self._stays:
            if mark.stage == "moved":
                _audit(self._settings, self._parts, "migrate_store")
                mark = self._put(replace(mark, stage="settled", at=mark.log), mark)
        else:
            there = Mark.of(self._target.ring)
            if there is not None and (there.stage, there.id) == ("arriving", mark.id):
                _audit(self._settings, self._parts, "migrate_store")
                self._target.ring.drop_setting(SETTING)
        return mark

    def _shred(self, mark: Mark) -> Destroyed:
        if mark.stage == "shredded":
            return Destroyed(0, 0, 0, 0)
        gone = moving.shred(self._source, self._target, ring=not self._stays)
        _audit(self._settings, self._parts, "shred_source", items=gone.keys or gone.vaults)
        if not self._stays:
            self._put(replace(mark, stage="shredded"), mark)
        return gone

    def _report(self, contents: Contents, *, done: bool, shredded: Destroyed | None = None) -> MigrateReport:
        examined = self._examination
        return MigrateReport(
            done=done,
            source=self._source.log.name,
            target=self._target.log.name,
            ring=self._ring,
            vaults=contents.vaults,
            events=contents.events,
            keys=contents.keys,
            tombstones=contents.tombstones,
            settings=contents.settings,
            bytes=contents.bytes,
            rounds=self._rounds,
            written=self._written,
            opened=examined.opened if examined else 0,
            compared=examined.compared if examined else 0,
            stopped_seconds=round(self._stopped, 3),
            shredded=None
            if shredded is None
            else Shredded(
                keys=shredded.keys,
                vaults=shredded.vaults,
                events=shredded.events,
                snapshot_parts=shredded.snapshot_parts,
            ),
        )


def _audit(settings: Settings, parts: Parts, operation: str, outcome: str = "ok", *, items: int = 0) -> None:
    audit = AuditLog(parts.store, Keys(parts.ring, parts.keys), settings.tenant, system_clock)
    audit.record("local", operation, outcome, items=items)
    audit.close()
