"""What is damaged in a vault given up by the operator, so that the rest can be used again; and what is derived, rebuilt.

A vault with an event that cannot be read is refused as a whole: that event may have been a restriction, a refusal or a newer
version. Only the operator can say that the rest is to be used without it (ADR 73).
"""

from __future__ import annotations

from collections import Counter

import msgspec

from tacita.access.principal import Principal
from tacita.errors import CryptoError, HeadMoved, InvalidInput, StoreError, Tampered
from tacita.flows.engine import Engine, subject_of
from tacita.flows.ids import format_id
from tacita.flows.inspect import AUDIT_KIND, Progress, no_progress, problem_of, snapshot_is_sound
from tacita.flows.salvage import keys_of, readable_events
from tacita.items import IsolateReport, RepairReport, Scope, VaultProblem
from tacita.sealed import Anchor, RingEntry
from tacita.vault import rekey
from tacita.vault.events import (
    ConsentSet,
    Event,
    ExtractionEnded,
    ExtractionRequested,
    Isolated,
    ItemAdded,
    ItemDeleted,
    ItemReembedded,
    ItemReleased,
    ItemSuperseded,
    ItemUpdated,
    Rekeyed,
    about,
    encode,
)
from tacita.vault.format import VaultKeys


def isolate(engine: Engine, principal: Principal, scope: Scope, *, dry_run: bool) -> IsolateReport:
    """Seal a damaged vault anew without what cannot be read of it. What is lost stays named in its log.

    Raises InvalidInput when nothing is damaged or nothing can be read, StoreError (retryable) when others write meanwhile.
    """
    found = keys_of(engine, scope)
    head = engine.store.head(engine.vault_id(scope))
    if found is None or head is None:
        raise InvalidInput("nothing is stored of this subject that could be read: restore a copy, or erase it")
    keys, anchor = found
    places, lost, outdated = _places(engine, keys, anchor)
    if not lost and _is_sound(engine, keys, anchor):
        raise InvalidInput("nothing in this vault is damaged")
    if len(lost) == len(places):
        raise InvalidInput("nothing of this vault can be read: restore a copy, or erase it")
    report = IsolateReport(
        subject=subject_of(scope),
        lost=tuple(sorted(lost)),
        kept=sum(place.body is not None for place in places),
        outdated=tuple(map(format_id, outdated)),
        done=not dry_run,
    )
    if dry_run:
        return report
    at = engine.clock()
    marks: list[Event] = [Isolated(at=at, actor=principal.actor, purpose=principal.purpose, lost=report.lost)]
    if lost:
        # Whoever lost an event may have lost a refusal.
        marks.append(ConsentSet(at=at, actor=principal.actor, purpose=principal.purpose, models=False))
    places += [rekey.Place(b"", encode(event)) for event in marks]
    try:
        rekey.put_anew(engine.store, engine.keys, keys, head, anchor, places, at=at, actor=principal.actor)
    except HeadMoved:
        raise StoreError("somebody wrote to this vault meanwhile; try again", retryable=True) from None
    engine.vaults.forget_open(keys.vault_id)
    engine.audit.record(principal.actor, "isolate", vault_id=keys.vault_id, items=len(lost), purpose=principal.purpose)
    engine.audit.flush()
    return report


def _is_sound(engine: Engine, keys: VaultKeys, anchor: Anchor) -> bool:
    try:
        snapshot_is_sound(engine, "user", keys, anchor)
    except Tampered:
        return False
    return True


def _places(engine: Engine, keys: VaultKeys, anchor: Anchor) -> tuple[list[rekey.Place], set[int], list[bytes]]:
    """Every place of the log, the ones that are lost, and the items of which a later event is among those."""
    places: list[rekey.Place] = []
    gone: set[int] = set()
    explained: dict[int, bytes] = {}
    tags: set[bytes] = set()
    there: dict[bytes, None] = {}
    for row, event in readable_events(engine, keys):
        while len(places) < row.seq - 1:  # rows that are missing
            gone.add(len(places) + 1)
            places.append(rekey.Place(b"", None))
        kept = None if event is None else _still_about_something(event, there)
        if event is None:
            gone.add(row.seq)
            if row.sealed is not None:
                tags.add(row.item_tag)
        elif kept is None:
            gone.add(row.seq)
        if isinstance(event, ItemDeleted):
            explained.update(dict.fromkeys(event.purged, event.id))
        elif isinstance(event, Isolated):
            explained.update(dict.fromkeys(event.lost, b""))
        body = None if kept is None else encode(kept)
        places.append(
            rekey.Place(b"" if kept is None else about(kept), body, kept if isinstance(kept, Rekeyed) else None)
        )
    while len(places) < anchor.seq:  # the end is missing
        gone.add(len(places) + 1)
        places.append(rekey.Place(b"", None))
    for seq in gone & explained.keys():
        places[seq - 1].item_id = explained[seq]
    outdated = [item_id for item_id in there if keys.item_tag(item_id) in tags]
    return places, gone - explained.keys(), outdated


def _still_about_something(event: Event, there: dict[bytes, None]) -> Event | None:
    """The event as it makes sense without those that are lost; None if it makes none."""
    match event:
        case ItemAdded(item=item):
            there[item.id] = None
        case ItemUpdated(item=item, at=at, actor=actor, purpose=purpose):
            if item.id not in there:
                there[item.id] = None
                return ItemAdded(at=at, actor=actor, purpose=purpose, item=item)
        case ItemDeleted(id=item_id):
            there.pop(item_id, None)
        case ItemReembedded(id=item_id) | ItemSuperseded(id=item_id) | ItemReleased(id=item_id):
            return event if item_id in there else None
        case ExtractionRequested(ids=ids) | ExtractionEnded(ids=ids):
            left = tuple(item_id for item_id in ids if item_id in there)
            return msgspec.structs.replace(event, ids=left) if left else None
        case _:
            pass
    return event


def repair(engine: Engine, principal: Principal, progress: Progress = no_progress) -> RepairReport:
    """Rebuild every snapshot that is not what the log says. The log itself is never changed."""
    entries = list(engine.keys.ring.entries())
    problems: list[VaultProblem] = []
    counts: Counter[str] = Counter()
    for number, entry in enumerate(entries):
        progress(number, len(entries))
        try:
            _repair(engine, entry, counts)
        except CryptoError as error:
            problems.append(problem_of(entry.vault_id, error))
    progress(len(entries), len(entries))
    engine.audit.record(principal.actor, "repair", items=counts["rebuilt"], purpose=principal.purpose)
    return RepairReport(vaults=len(entries), rebuilt=counts["rebuilt"], problems=tuple(problems))


def _repair(engine: Engine, entry: RingEntry, counts: Counter[str]) -> None:
    tenant, kind, subject = engine.keys.whose(entry)
    if kind == AUDIT_KIND:
        return

    def sound(keys: VaultKeys, anchor: Anchor) -> bool:
        return snapshot_is_sound(engine, kind, keys, anchor)

    if rekey.steadily(engine.store, engine.keys, tenant, entry.vault_id, sound) is False:
        engine.store.drop_snapshots(entry.vault_id)
        engine.vaults.forget_open(entry.vault_id)
        vault = engine.vaults.find(tenant, subject_of(Scope(tenant=tenant, **{f"{kind}_id": subject})))
        if vault is not None:
            vault.save_snapshot(after=1)
        counts["rebuilt"] += 1
