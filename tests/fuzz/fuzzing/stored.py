"""Other things that lie on disks: archives, receipts, the anchor mirror, the audit log, key files, SQLite files."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from fuzzing import vaults
from fuzzing.kit import Refused, Target, attempt, from_msgpack, msgpack_seeds, require, skips_unreadable
from fuzzing.vaults import EVENTS, KEYS
from tacita import Memory, _home, hazmat
from tacita.access.audit import AuditLog
from tacita.errors import ConfigError, CryptoError, InvalidInput, TacitaError, Tampered, WrongKey
from tacita.flows import archive, receipts
from tacita.hazmat import SecretKey, SigningKey, committed_seal
from tacita.keys._local import LocalProvider, decode_root
from tacita.keys.passphrase import open_passphrase
from tacita.sealed import Anchor, RingEntry
from tacita.stores.anchor_file import FilePlace
from tacita.stores.memory import MemoryLogStore
from tacita.stores.memory_ring import MemoryKeyRing
from tacita.testing.embedder import HashEmbedder
from tacita.vault.keyring import Keys
from tacita.vault.mirror import AnchorMirror, _Mirror

FOLDER: Final = Path(tempfile.mkdtemp(prefix="tacita-fuzz-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
_PASSPHRASE: Final = "correct horse battery"
_MOST_KIB: Final = 256 * 1024
"""What opening a file may cost: the promise of every target is half a gigabyte."""


def _stretched(passphrase: bytes, salt: bytes, *, memory_kib: int, iterations: int, lanes: int) -> SecretKey:
    """A quick stand-in for Argon2id, which is not what is tested; what it is asked for is."""
    require(memory_kib <= _MOST_KIB and iterations <= 16, "a file cannot ask for more than half a gigabyte")
    words = f"{memory_kib} {iterations} {lanes} ".encode()
    return SecretKey(hazmat.sha256(words + salt + passphrase))


def archived(value: Any) -> None:
    """An archive: raw bytes, or frames that are sealed as they must be around whatever the input says."""
    if isinstance(value, bytes):
        raw = value
    elif isinstance(value, list):
        raw = _sealed_archive([each if isinstance(each, bytes) else msgspec.msgpack.encode(each) for each in value])
    else:
        return
    path = FOLDER / "archive"
    path.write_bytes(raw)
    original, hazmat.stretch_passphrase = hazmat.stretch_passphrase, _stretched
    try:
        with Memory(store="memory:", embedder=HashEmbedder(4)) as memory:
            report = attempt(lambda: memory.import_archive(path, _PASSPHRASE), InvalidInput, Tampered, WrongKey)
            if isinstance(report, Refused):
                require(memory.stats().events == 0, "what is refused writes nothing")
                return
            ids = {f"{report.subject.kind}_id": report.subject.id}
            list(memory.export(**ids))
            again = FOLDER / "again"
            again.unlink(missing_ok=True)
            memory.export_archive(again, _PASSPHRASE, **ids)
        with Memory(store="memory:", embedder=HashEmbedder(4)) as second:
            require(second.import_archive(again, _PASSPHRASE).subject == report.subject, "what came in goes out again")
    finally:
        hazmat.stretch_passphrase = original


def _sealed_archive(bodies: list[bytes]) -> bytes:
    head = archive._HEAD.pack(b"TACX", 1, b"s" * 32, 64, 1, 4)
    key = _stretched(_PASSPHRASE.encode(), b"s" * 32, memory_kib=64, iterations=1, lanes=4)
    made = head
    for number, body in enumerate(bodies):
        sealed = committed_seal(key, archive._context(head, number, last=number == len(bodies) - 1), body)
        made += len(sealed).to_bytes(4) + sealed
    return made


def _archive_seeds() -> Iterator[bytes]:
    kept = [[seq, msgspec.msgpack.encode(each)] for seq, each in enumerate(EVENTS[:-1], 1)]
    first = {"kind": "user", "subject": "ana", "at": 10**15, "events": len(kept)}
    yield msgspec.msgpack.encode([first, kept])
    yield msgspec.msgpack.encode([{**first, "events": 1}, kept[:1]])
    yield msgspec.msgpack.encode(_sealed_archive([msgspec.msgpack.encode(first), msgspec.msgpack.encode(kept)]))


_SIGNER: Final = SigningKey(SecretKey(b"r" * 32))


def receipt(value: Any) -> None:
    """A receipt; with `true` before it, its payload is signed as it must be."""
    genuine, proof = value if isinstance(value, list) and len(value) == 2 else (False, value)
    if genuine is True and isinstance(proof, dict) and isinstance(proof.get("payload"), str):
        signature = _SIGNER.sign(b"tacita/v1/receipt\0" + proof["payload"].encode("utf-8", "replace"))
        proof = {**proof, "signature": signature.hex()}
    facts = attempt(lambda: receipts.verify(proof, _SIGNER.public), InvalidInput, Tampered)
    require(isinstance(facts, Refused) or (genuine is True and isinstance(facts, dict)), "only what was signed is true")


_RECEIPT: Final = {"payload": '{"tacita_receipt": 1, "kind": "delete", "ids": []}', "signature": "00" * 64}
_MIRROR_KEY: Final = SecretKey(b"m" * 32)


def mirror(value: Any) -> None:
    """The file of anchors: raw bytes, or fields under the right MAC."""
    ring = MemoryKeyRing()
    ring.create(RingEntry(KEYS.vault_id, 1, "p", b"w", b"l", Anchor(3, b"c" * 32)))
    path = FOLDER / "anchors.json"
    kept = AnchorMirror(FilePlace(path), _MIRROR_KEY)
    if isinstance(value, bytes):
        path.write_bytes(value)
    else:
        try:
            fields = msgspec.convert(value, _Mirror)
        except (msgspec.ValidationError, UnicodeEncodeError):
            return
        fields.mac = kept._mac(fields).hex()
        path.write_bytes(msgspec.json.encode(fields))
    attempt(lambda: kept.check(ring), Tampered)
    kept.write(ring, 5)
    require(kept.check(ring) == 1, "what is written can be read")


def audit(values: Any) -> None:
    """A tenant's audit log of hostile events under genuine seals, through every surface that shows it."""
    if not isinstance(values, list):
        return
    store, ring = MemoryLogStore(), MemoryKeyRing()
    keys = Keys(ring, LocalProvider(SecretKey(b"p" * 32), scheme="fuzz", where="here"))
    log = AuditLog(store, keys, "default", lambda: 10**15)
    opened = log._open()
    assert opened is not None
    bodies = vaults.encoded(values[:32])
    if bodies:
        opened.append([(opened.keys.item_tag(b"audit"), body) for body in bodies])
    found = attempt(lambda: list(log.entries()), Tampered)
    provider = LocalProvider(SecretKey(b"p" * 32), scheme="fuzz", where="here")
    with Memory(store=store, ring=ring, keys=provider, embedder="none") as memory:
        told = attempt(lambda: list(memory.audit()), Tampered)
        require(isinstance(told, Refused) or not isinstance(found, Refused), "what is refused is not told")
        attempt(memory.verify, TacitaError)


_ROOT: Final = LocalProvider(SecretKey(b"p" * 32), scheme="fuzz", where="here")


def key_ring(value: Any) -> None:
    """What lies in the ring and beside it: wrapped keys, labels, the home's record, a passphrase's record, root keys."""
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], int)):
        return
    kind, content = value[0] % 5, value[1]
    raw = content if isinstance(content, bytes) else str(content).encode("utf-8", "surrogatepass")
    if kind in (0, 1):
        ring = MemoryKeyRing()
        keys = Keys(ring, _ROOT)
        body = content if isinstance(content, bytes) else msgspec.msgpack.encode(content)
        label = committed_seal(keys._labels, KEYS.vault_id, body) if kind else body
        entry = RingEntry(KEYS.vault_id, 1, _ROOT.id, body, label, Anchor(0, b"c" * 32))
        ring.create(entry)
        attempt(lambda: keys.whose(entry), Tampered)
        attempt(lambda: keys.find("t", KEYS.vault_id), CryptoError)
    elif kind == 2:
        (FOLDER / "home.json").write_bytes(raw)
        attempt(lambda: _home.recorded_keys(FOLDER), ConfigError)
        attempt(lambda: _home.previous_keys(FOLDER), ConfigError)
        (FOLDER / "home.json").unlink()
    elif kind == 3:
        record = FOLDER / "passphrase.json"
        record.write_bytes(raw)
        attempt(lambda: open_passphrase(_PASSPHRASE, record), ConfigError, WrongKey)
    else:
        attempt(lambda: decode_root(raw.decode("ascii", "replace"), "a file"), WrongKey)


_RECORD: Final = b'{"format":1,"created":"2024-05-01","keys":"file:root.key","provider":"file:00"}'
_PASSPHRASE_RECORD: Final = (
    b'{"format":1,"cost":"insecure-test","salt":"AAAAAAAAAAAAAAAAAAAAAA==","check":"passphrase:0"}'
)


TARGETS: Final = (
    Target(
        "archive",
        "A hostile archive is refused with nothing written, or comes in, can be exported and comes in again",
        skips_unreadable(archived, from_msgpack),
        _archive_seeds,
        "msgpack",
    ),
    Target(
        "receipt",
        "Only a signed receipt is true; anything else is InvalidInput or Tampered",
        skips_unreadable(receipt, from_msgpack),
        msgpack_seeds(_RECEIPT, [True, _RECEIPT], [False, _RECEIPT]),
        "msgpack",
    ),
    Target(
        "anchor-mirror",
        "A hostile file of anchors is Tampered or holds; it can be written over",
        skips_unreadable(mirror, from_msgpack),
        msgpack_seeds(
            b'{"tacita_anchors":1,"at":1,"vaults":{},"mac":""}',
            {"tacita_anchors": 1, "at": 1, "vaults": {(b"v" * 32).hex(): [3, (b"c" * 32).hex()]}, "mac": ""},
            {"tacita_anchors": 1, "at": 1, "vaults": {"aa": [2, "bb"]}, "mac": ""},
        ),
        "msgpack",
    ),
    Target(
        "audit",
        "A genuinely sealed hostile audit log is Tampered or told whole",
        skips_unreadable(audit, from_msgpack),
        msgpack_seeds([EVENTS[-1], EVENTS[-1]], [EVENTS[0]], []),
        "msgpack",
    ),
    Target(
        "key-ring",
        "Hostile labels, wrapped keys, home and passphrase records are refused with a typed error",
        skips_unreadable(key_ring, from_msgpack),
        msgpack_seeds([0, bytes(96)], [1, ["t", "user", "ana"]], [2, _RECORD], [3, _PASSPHRASE_RECORD], [4, "00" * 32]),
        "msgpack",
    ),
)
