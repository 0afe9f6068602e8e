"""One subject's whole vault in one file, sealed under a passphrase: every event that is left, to be replayed elsewhere.

File: magic, version, parameters of Argon2id | frames, each `length 4 | committed_seal(...)`. A frame is bound to the file's
beginning, to its number and to whether it is the last one, so that none can be moved, dropped or cut off.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from tacita import hazmat
from tacita.access.principal import Permission, Principal
from tacita.durable import new_file
from tacita.errors import Conflict, InvalidInput, StoreError, Tampered, WrongKey
from tacita.flows.engine import INDEX, Engine, State, moment, subject_of
from tacita.hazmat import SecretKey
from tacita.items import ArchiveReport, Scope
from tacita.sealed import Anchor
from tacita.vault import rekey
from tacita.vault.events import (
    Event,
    ExtractionEnded,
    ExtractionRequested,
    ItemAdded,
    ItemDeleted,
    ItemReembedded,
    ItemReleased,
    ItemSuperseded,
    ItemUpdated,
    Moment,
    Rekeyed,
    decode,
)
from tacita.vault.fold import VaultState
from tacita.vault.format import VaultKeys
from tacita.vault.log import SealedLog
from tacita.vault.vault import Change

_HEAD: Final = struct.Struct(">4sB32sIII")
"""Magic, version, salt, KiB of memory, passes, lanes."""
_MAGIC, _VERSION = b"TACX", 1
_KIB, _PASSES, _LANES = 65_536, 3, 4
_MOST_KIB, _MOST_PASSES, _MOST_LANES = 1 << 18, 16, 16
"""What a file may ask of the machine that opens it: 256 MiB and a few seconds."""
_LENGTH: Final = struct.Struct(">I")
_FRAME: Final = 1 << 20
_LARGEST: Final = 1 << 26
PASSPHRASE: Final = 12
"""Fewest characters of a passphrase."""


class _First(msgspec.Struct, forbid_unknown_fields=True):
    """What the first frame says."""

    kind: str
    subject: str
    at: Moment
    events: int


_Frame = list[tuple[int, bytes]]
"""(sequence number in the vault that was exported, event)."""
_frames: msgspec.msgpack.Decoder[_Frame] = msgspec.msgpack.Decoder(_Frame)


def write(engine: Engine, principal: Principal, scope: Scope, path: Path, passphrase: str) -> ArchiveReport:
    """Write everything of a subject to a new private file.

    Raises InvalidInput when the file exists, the passphrase is short, or nothing is known of the subject.
    """
    subject = subject_of(scope)
    vault = engine.find(scope)
    if vault is None:
        raise InvalidInput("nothing is known of this subject")
    head = _HEAD.pack(_MAGIC, _VERSION, hazmat.random_bytes(32), _KIB, _PASSES, _LANES)
    key = _key(passphrase, head)

    def told(keys: VaultKeys, _: Anchor) -> list[tuple[int, bytes]]:
        log = SealedLog(engine.store, engine.keys.ring, keys)
        return [(row.seq, body) for row, body in log.tail() if body is not None]

    events = rekey.steadily(engine.store, engine.keys, scope.tenant, vault.keys.vault_id, told)
    if events is None:
        raise InvalidInput("nothing is known of this subject")
    first = msgspec.msgpack.encode(_First(subject.kind, subject.id, engine.clock(), len(events)))
    bodies = [first, *map(msgspec.msgpack.encode, _batches(events))]
    try:
        with new_file(path) as file:
            file.write(head)
            for number, body in enumerate(bodies):
                context = _context(head, number, last=number == len(bodies) - 1)
                sealed = hazmat.committed_seal(key, context, body)
                file.write(_LENGTH.pack(len(sealed)) + sealed)
    except FileExistsError:
        raise InvalidInput(f"{path} is there already; an archive never overwrites a file") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None
    engine.read_entry(principal, "export_archive", vault, len(events))
    return ArchiveReport(subject=subject, events=len(events), at=moment(engine.clock()))


def read(engine: Engine, principal: Principal, path: Path, passphrase: str) -> ArchiveReport:
    """Replay an archive into a vault that holds nothing yet: the same items, ids, versions, trust and times.

    What it says of trust is believed, for whoever knows its passphrase made it.

    Raises:
        InvalidInput: it is no archive, or cannot be read.
        WrongKey: the passphrase is another one.
        Tampered: it was changed or cut off. Nothing was written.
        AccessDenied: its subject is none of the principal's, or the principal is no admin.
        Conflict: something is known of the subject already.
    """
    principal.require(Permission.ADMIN)
    first, events = _opened(path, passphrase)
    scope = engine.authorize(principal, Permission.ADMIN, "import_archive", {f"{first.kind}_id": first.subject})
    replayed = _replayable(events)
    _check_folds(replayed, scope)
    vault = engine.vaults.get(scope.tenant, subject_of(scope))

    def decide(_: State) -> Change[None]:
        # Looked at inside: another process may have been first.
        if vault.seq:
            raise Conflict("something is known of this subject already; erase it first, or leave it as it is")
        return Change(None, replayed)

    # One transaction: it is there whole, or not at all.
    vault.transact(decide)
    engine.read_entry(principal, "import_archive", vault, len(replayed))
    engine.audit.flush()
    return ArchiveReport(subject=subject_of(scope), events=len(replayed), at=moment(first.at))


def _check_folds(events: Sequence[Event], scope: Scope) -> None:
    """Raises Tampered for events that would make no vault of this subject: what is once written cannot be taken back."""
    state = VaultState(INDEX.empty())
    (own,) = scope.ids.items()
    for seq, event in enumerate(events, 1):
        if isinstance(event, ItemAdded | ItemUpdated) and getattr(event.item, own[0]) != own[1]:
            raise Tampered("this archive opens, but holds items of somebody else")
        state.apply(seq, event)
    state.check_explained()
    state.settle()


def _key(passphrase: str, head: bytes) -> SecretKey:
    if len(passphrase) < PASSPHRASE:
        raise InvalidInput(f"a passphrase has at least {PASSPHRASE} characters")
    _, _, salt, kib, passes, lanes = _HEAD.unpack(head)
    return hazmat.stretch_passphrase(passphrase.encode(), salt, memory_kib=kib, iterations=passes, lanes=lanes)


def _context(head: bytes, number: int, *, last: bool) -> bytes:
    return b"tacita/v1/archive" + head + number.to_bytes(8) + bytes([last])


def _batches(events: Sequence[tuple[int, bytes]]) -> Iterator[_Frame]:
    batch: _Frame = []
    size = 0
    for seq, body in events:
        batch.append((seq, body))
        size += len(body)
        if size >= _FRAME:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _opened(path: Path, passphrase: str) -> tuple[_First, list[tuple[int, Event]]]:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD.size)
            if len(head) != _HEAD.size or not head.startswith(_MAGIC + bytes([_VERSION])):
                raise InvalidInput(f"{path} is no archive of Tacita, or of a newer version")
            _, _, _, kib, passes, lanes = _HEAD.unpack(head)
            if not (8 * lanes <= kib <= _MOST_KIB and 1 <= passes <= _MOST_PASSES and 1 <= lanes <= _MOST_LANES):
                raise InvalidInput(f"{path} asks for more memory or time than an archive may")
            bodies = list(_bodies(file, head, _key(passphrase, head)))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    try:
        first = msgspec.msgpack.decode(bodies[0], type=_First)
        events = [(seq, decode(body)) for frame in bodies[1:] for seq, body in _frames.decode(frame)]
    except (ValueError, RecursionError, IndexError):
        raise Tampered("this archive opens, but is not of a known form") from None
    if len(events) != first.events or first.kind not in ("user", "agent", "app", "run"):
        raise Tampered("this archive opens, but does not hold what it says")
    return first, events


def _bodies(file: BinaryIO, head: bytes, key: SecretKey) -> Iterator[bytes]:
    number = 0
    while True:
        raw = file.read(_LENGTH.size)
        if not raw:
            raise Tampered("this archive was cut off")
        length = _LENGTH.unpack(raw)[0] if len(raw) == _LENGTH.size else _LARGEST + 1
        sealed = file.read(length) if length <= _LARGEST else b""
        if not sealed or len(sealed) != length:
            raise Tampered("this archive was cut off or changed")
        last = False
        try:
            body = hazmat.committed_open(key, _context(head, number, last=False), sealed)
        except WrongKey:
            try:
                body, last = hazmat.committed_open(key, _context(head, number, last=True), sealed), True
            except WrongKey:
                if number == 0:
                    raise WrongKey("the passphrase does not open this archive, or it was changed") from None
                raise Tampered(f"frame {number} of this archive was changed") from None
        yield body
        number += 1
        if last:
            if file.read(1):
                raise Tampered("something was put behind this archive")
            return


def _replayable(events: Sequence[tuple[int, Event]]) -> list[Event]:
    """The events without what is about items that are gone, numbered anew."""
    there: set[bytes] = set()
    places: dict[int, int] = {}
    kept: list[Event] = []
    for seq, event in events:
        made: Event | None = event
        match event:
            case ItemAdded(item=item) | ItemUpdated(item=item):
                there.add(item.id)
                # Tags are keyed by the vault that they were made in.
                made = msgspec.structs.replace(
                    event, item=msgspec.structs.replace(item, idempotency=None, fingerprint=None)
                )
            case ItemDeleted(id=item_id):
                there.discard(item_id)
                made = None
            case ItemReembedded(id=item_id, seq=of):
                made = msgspec.structs.replace(event, seq=places[of]) if item_id in there and of in places else None
            case ItemSuperseded(id=item_id) | ItemReleased(id=item_id):
                made = event if item_id in there else None
            case ExtractionRequested(ids=ids) | ExtractionEnded(ids=ids):
                left = tuple(item_id for item_id in ids if item_id in there)
                made = msgspec.structs.replace(event, ids=left) if left else None
            case Rekeyed():
                made = None
            case _:
                pass
        if made is not None:
            kept.append(made)
            places[seq] = len(kept)
    return kept
