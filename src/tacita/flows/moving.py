"""A memory that goes to another store: what stands against it, whether all arrived, and the end of what was left behind.

Works on ports and keys alone. Nothing here copies, and nothing knows which store is which.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Final

import msgspec

from tacita.errors import Conflict, KeyUnavailable, StoreError, Tampered
from tacita.ports.keys import KeyRing
from tacita.ports.log import LogStore
from tacita.sealed import RingEntry, VaultHead
from tacita.vault import rekey
from tacita.vault.events import decode
from tacita.vault.keyring import Keys
from tacita.vault.log import SealedLog
from tacita.vault.moved import SETTING

Progress = Callable[[int, int | None], None]
REKEYED: Final = "rekeyed"
"""Setting of the ring: the last vault that a deep rotation has done; of one tenant's, with its name behind an @."""


class Side(msgspec.Struct, frozen=True):
    """A memory as it is kept: its log and its keys."""

    log: LogStore
    ring: KeyRing


class Contents(msgspec.Struct, frozen=True):
    """What a memory consists of, in numbers."""

    vaults: int
    events: int
    keys: int
    tombstones: int
    settings: int
    bytes: int

    @classmethod
    def of(cls, side: Side) -> Contents:
        """Count them."""
        heads = list(side.log.vaults())
        return cls(
            vaults=len(heads),
            events=sum(head.seq for head in heads),
            keys=sum(1 for _ in side.ring.entries()),
            tombstones=sum(1 for _ in side.ring.tombstones()),
            settings=sum(1 for name, _ in side.ring.settings() if name != SETTING),
            bytes=side.log.size(),
        )


class Destroyed(msgspec.Struct, frozen=True):
    """What was taken from an old copy."""

    keys: int
    vaults: int
    events: int
    snapshot_parts: int


def check_whole(side: Side) -> None:
    """Raises Conflict while vaults are being sealed anew, KeyUnavailable when there are rows without a key."""
    waiting = sum(1 for _ in side.ring.successors())
    begun = [name for name, _ in side.ring.settings() if name.partition("@")[0] == REKEYED]
    if waiting or begun:
        raise Conflict("a deep rotation was begun and is not finished: run `tacita rotate --deep` to its end first")
    if unknown := _unknown(side.log, side.ring):
        raise KeyUnavailable(
            f"{unknown} vaults of {side.log.name} have no key in {side.ring.name}: this is not its key ring, or an older copy"
        )


def check_empty(side: Side, *, ring: bool) -> None:
    """Raises Conflict when a place is not empty to which a memory is to go."""
    if next(side.log.vaults(), None) is not None:
        raise Conflict(f"{side.log.name} is not empty: name a store that holds nothing")
    if ring and (
        next(side.ring.entries(), None) is not None
        or next(side.ring.tombstones(), None) is not None
        or next(side.ring.settings(), None) is not None
    ):
        raise Conflict(f"{side.ring.name} is not empty: name a key ring that holds nothing")


def check_ours(target: Side, source: Side) -> None:
    """Raises Conflict when there are vaults at the place to which a memory goes that it never had."""
    foreign = _unknown(target.log, source.ring)
    if target.ring is not source.ring:
        foreign += sum(1 for each in target.ring.entries() if not _knows(source.ring, each.vault_id))
    if foreign:
        raise Conflict(
            f"{target.log.name} holds {foreign} vaults of another memory: it is not the place of this migration"
        )


def _unknown(log: LogStore, ring: KeyRing) -> int:
    return sum(1 for head in log.vaults() if not _knows(ring, head.vault_id))


def _knows(ring: KeyRing, vault_id: bytes) -> bool:
    return ring.get(vault_id) is not None or ring.shredded(vault_id)


def drop_erased(side: Side) -> int:
    """Remove the rows of vaults whose keys were destroyed: an erasure was cut short, or came in between."""
    erased = [head for head in side.log.vaults() if side.ring.shredded(head.vault_id)]
    for head in erased:
        side.log.drop(head.vault_id, epoch=head.epoch)
    return len(erased)


class Examination:
    """Opens what arrived. A vault that was opened and did not change since is not opened again."""

    def __init__(self, target: Side, source: Side, keys: Keys) -> None:
        """`keys` are the target's."""
        self._target = target
        self._source = source
        self._keys = keys
        self._opened: dict[bytes, VaultHead | None] = {}
        self.compared = 0
        """Vaults whose tenants' root keys are out of reach: their rows were compared byte by byte instead."""

    @property
    def opened(self) -> int:
        """Vaults that were opened as they are now."""
        return len(self._opened)

    def open_all(self, progress: Progress) -> Tampered | None:
        """Open every vault of the target that is not known yet, all its events; the first that does not open.

        With others at work in the source that may be one that was in the middle of a change.
        """
        failure = None
        entries = list(self._target.ring.entries())
        for done, entry in enumerate(entries, 1):
            try:
                self._open(entry)
            except Tampered as error:
                self._opened.pop(entry.vault_id, None)
                failure = failure or error
            progress(done, len(entries))
        return failure

    def _open(self, entry: RingEntry) -> None:
        vault_id = entry.vault_id
        head = self._target.log.head(vault_id)
        if vault_id in self._opened and self._opened[vault_id] == head:
            return
        tenant, _, _ = self._keys.whose(entry)
        try:
            found = rekey.find(self._target.log, self._keys, tenant, vault_id)
        except KeyUnavailable:
            if not self._keys.is_tenants(entry):
                raise
            # The tenant's to say. It must not keep the others here.
            return
        if found is None:
            return  # erased meanwhile, where the ring stays
        log = SealedLog(self._target.log, self._target.ring, found[0])
        for _, body in log.tail():
            if body is not None:
                decode(body)
        log.check_anchor(found[1])
        self._opened[vault_id] = head

    def compare(self, progress: Progress) -> None:
        """Both sides hold the same, and all of it opens in the target. Nobody else uses either.

        Raises Tampered for a vault that does not open, StoreError for one that is not the same.
        """
        _compare_rings(self._target.ring, self._source.ring)
        here = compare_heads(self._target, self._source)
        self._opened = {vault_id: head for vault_id, head in self._opened.items() if here.get(vault_id) == head}
        if (failure := self.open_all(progress)) is not None:
            raise failure
        self.compared = 0
        for vault_id in here.keys() - self._opened.keys():
            self._compare_rows(vault_id)
            self.compared += 1

    def _compare_rows(self, vault_id: bytes) -> None:
        pairs = zip_longest(self._target.log.read(vault_id), self._source.log.read(vault_id))
        for mine, row in pairs:
            if mine != row:
                seq = (row or mine).seq
                raise StoreError(f"vault {vault_id.hex()[:12]} seq {seq}: it is not the same as in the source")


def compare_heads(target: Side, source: Side) -> dict[bytes, VaultHead]:
    """Both logs hold the same vaults up to the same events, and both rings the same keys. Opens nothing.

    Returns the vaults. Raises StoreError.
    """
    _compare_rings(target.ring, source.ring)
    here = {head.vault_id: head for head in target.log.vaults()}
    # What is left of an erasure that was cut short does not go along.
    there = {head.vault_id: head for head in source.log.vaults() if not source.ring.shredded(head.vault_id)}
    for vault_id in here.keys() | there.keys():
        if here.get(vault_id) != there.get(vault_id):
            raise StoreError(
                f"vault {vault_id.hex()[:12]}: it is not in {target.log.name} as it is in {source.log.name}"
            )
    return here


def _compare_rings(target: KeyRing, source: KeyRing) -> None:
    if target is source:
        return
    for what, mine, theirs in (
        ("keys", target.entries(), source.entries()),
        ("tombstones", target.tombstones(), source.tombstones()),
        ("settings", _settings(target), _settings(source)),
    ):
        if any(a != b for a, b in zip_longest(iter(mine), iter(theirs))):
            raise StoreError(f"the {what} in {target.name} are not those of {source.name}: run it again")


def _settings(ring: KeyRing) -> list[tuple[str, bytes]]:
    return [each for each in ring.settings() if each[0] != SETTING]


def shred(old: Side, new: Side, *, ring: bool) -> Destroyed:
    """Destroy a copy from before: with `ring` its keys first and then its rows, else its rows. Read back.

    Raises Conflict, with nothing destroyed, when the new place lacks something of it; StoreError when something is left.
    """
    _check_nothing_lacks(old, new, ring=ring)
    keys = 0
    if ring:
        keys = sum(old.ring.shred(entry.vault_id) for entry in list(old.ring.entries()))
        for name, _ in _settings(old.ring):
            old.ring.drop_setting(name)
    vaults = events = parts = 0
    for head in list(old.log.vaults()):
        counts = old.log.drop(head.vault_id, epoch=head.epoch)
        vaults, events, parts = vaults + 1, events + counts.events, parts + counts.snapshot_parts
    left = sum(1 for _ in old.log.vaults())
    if ring:
        left += len(list(old.ring.entries())) + len(list(old.ring.successors())) + len(_settings(old.ring))
    if left:
        raise StoreError(
            f"{left} keys, settings or vaults of the old copy are still there: run it again", retryable=True
        )
    return Destroyed(keys, vaults, events, parts)


def _check_nothing_lacks(old: Side, new: Side, *, ring: bool) -> None:
    lacking = 0
    for head in old.log.vaults():
        now = new.log.head(head.vault_id)
        # Another epoch: sealed anew since, or erased and made anew. The new ring is the judge of that.
        kept = new.ring.shredded(head.vault_id) or (
            now is not None and (now.epoch != head.epoch or now.seq >= head.seq)
        )
        lacking += not kept
    if ring:
        lacking += sum(not _knows(new.ring, entry.vault_id) for entry in old.ring.entries())
    if lacking:
        raise Conflict(
            f"{lacking} vaults of the old copy are not in {new.log.name} as they should be: nothing was destroyed; "
            "run `tacita verify` there"
        )


def no_progress(_done: int, _total: int | None) -> None:
    """For whoever does not want to know."""
