"""Format v1 of sealed events and snapshot parts: header, padding, associated data, chain. Pure functions.

The specification is docs/explanation/wire-format.md; tests/vectors holds frozen examples, failing ones too.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from tacita import hazmat
from tacita.errors import Tampered, WrongKey
from tacita.hazmat import SecretKey
from tacita.sealed import EPOCH_BYTES, ITEM_TAG_BYTES, SealedEvent, SealedPart, SealedRow
from tacita.vault.leases import Lease

FORMAT = 1
MAGIC = b"TC"
SUITE_HKDF_AES256GCM = 1
HEADER = struct.Struct(">2sBBI")
"""magic, format version, suite, key version: 8 bytes."""
SNAPSHOT_ID_BYTES = 16

_EVENT = b"tacita/v1/event"
_SNAPSHOT = b"tacita/v1/snapshot"
_GENESIS = b"tacita/v1/genesis"


def length_prefixed(*parts: bytes) -> bytes:
    """Each part behind its length in 4 bytes. Joining with a separator would let two tuples share an encoding."""
    return b"".join([len(part).to_bytes(4) + part for part in parts])


_EPOCH = length_prefixed(b"tacita/v1/epoch")
_CONTENT_KEY = length_prefixed(b"tacita/v1/content-key")
_ITEM = length_prefixed(b"tacita/v1/item")
_VECTOR = length_prefixed(b"tacita/v1/vector")
_PLACE = struct.Struct(">IQI")
"""`length_prefixed(seq, chain value)` up to the latter: once for every event, and the lengths are always the same."""


@dataclass(frozen=True, slots=True)
class VaultKeys:
    """The sub-keys of one vault, and what every seal of it is bound to."""

    tenant: str
    vault_id: bytes
    version: int
    seal: SecretKey
    tag: SecretKey
    chain: SecretKey
    snapshot: SecretKey
    header: bytes
    """First 8 bytes of everything sealed under these keys."""
    event_context: bytes
    """What every event's context begins with; built once, because sealing is the hot path of an add."""
    lease: Lease | None = field(default=None, compare=False)
    """For how long they may be used, if a provider elsewhere unwrapped them."""

    @classmethod
    def derive(
        cls, key: SecretKey, *, tenant: str, vault_id: bytes, version: int, lease: Lease | None = None
    ) -> VaultKeys:
        """One key per use, so that no two uses can ever be confused."""

        def sub(use: bytes) -> SecretKey:
            return key.derive(length_prefixed(b"tacita/v1/key", use, vault_id))

        header = HEADER.pack(MAGIC, FORMAT, SUITE_HKDF_AES256GCM, version)
        return cls(
            tenant,
            vault_id,
            version,
            sub(b"seal"),
            sub(b"tag"),
            sub(b"chain"),
            sub(b"snapshot"),
            header,
            length_prefixed(_EVENT, header, tenant.encode(), vault_id),
            lease,
        )

    @property
    def name(self) -> str:
        """Pseudonym of the vault for messages: the first hex digits of its id."""
        return self.vault_id.hex()[:12]

    @property
    def genesis(self) -> bytes:
        """Chain value 0."""
        return self.chain.mac(length_prefixed(_GENESIS, self.tenant.encode(), self.vault_id))

    def item_tag(self, item_id: bytes) -> bytes:
        """What the store sees instead of an item id, 16 bytes."""
        return self.tag.mac(b"".join((_ITEM, len(item_id).to_bytes(4), item_id)))[:ITEM_TAG_BYTES]

    def vector_tag(self, seq: int, part: int) -> bytes:
        """What an engine outside calls a vector: the one with the number `part` in the event `seq`. 16 bytes.

        Another domain than `item_tag`: nobody who sees both can say which row of a store a vector belongs to.
        """
        return self.tag.mac(_VECTOR + length_prefixed(seq.to_bytes(8), part.to_bytes(2)))[:ITEM_TAG_BYTES]

    @property
    def epoch(self) -> bytes:
        """What the store calls the time of these keys, 16 bytes."""
        return self.chain.mac(_EPOCH)[:EPOCH_BYTES]

    @property
    def content_key(self) -> bytes:
        """For `content_tag`, 32 bytes. A vault keeps that of its first keys all its life: the tags lie in its events."""
        return self.tag.mac(_CONTENT_KEY)


def content_tag(content_key: bytes, use: bytes, content: bytes) -> bytes:
    """A keyed fingerprint, 16 bytes, for equality tests inside the vault."""
    return SecretKey(content_key).mac(length_prefixed(b"tacita/v1/content", use, content))[:16]


def padme(length: int) -> int:
    """The padded length: at most 12 % more, and only O(log log n) bits of the true length remain visible.

    Source: Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019.
    """
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    spare = exponent - exponent.bit_length()
    if spare <= 0:
        return length
    step = 1 << spare
    return (length + step - 1) & -step


def _pad(body: bytes) -> bytes:
    return (len(body).to_bytes(4) + body).ljust(padme(4 + len(body)), b"\0")


def _unpad(padded: bytes) -> bytes:
    length = int.from_bytes(padded[:4])
    if len(padded) < 4 or padme(4 + length) != len(padded):
        raise WrongKey("padding is not canonical")
    return padded[4 : 4 + length]


def _event_context(keys: VaultKeys, seq: int, previous_chain: bytes) -> bytes:
    return keys.event_context + _PLACE.pack(8, seq, len(previous_chain)) + previous_chain


def _part_context(keys: VaultKeys, header: bytes, upto_seq: int, part: int) -> bytes:
    return length_prefixed(
        _SNAPSHOT, header, keys.tenant.encode(), keys.vault_id, upto_seq.to_bytes(8), part.to_bytes(4)
    )


def _check_header(keys: VaultKeys, header: bytes) -> bytes:
    if len(header) != HEADER.size:
        raise WrongKey("shorter than its header")
    magic, version, suite, key_version = HEADER.unpack(header)
    # Refuse before any key is touched: what we do not know, and what we retired, is never opened.
    if magic != MAGIC or version != FORMAT or suite != SUITE_HKDF_AES256GCM:
        raise WrongKey("unknown or retired format")
    if key_version != keys.version:
        raise WrongKey(f"sealed under key version {key_version}, the key ring has {keys.version}")
    return header


def seal_event(keys: VaultKeys, seq: int, previous_chain: bytes, item_tag: bytes, body: bytes) -> SealedEvent:
    """Seal one event for its place in the log: the same bytes open at no other seq, vault, tenant or history."""
    context = _event_context(keys, seq, previous_chain)
    sealed = keys.header + hazmat.committed_seal(keys.seal, context, _pad(body))
    return SealedEvent(item_tag, sealed, digest(item_tag, sealed))


def open_event(keys: VaultKeys, previous_chain: bytes, row: SealedRow) -> bytes:
    """The body of a row that still has its ciphertext. Raises Tampered, naming vault and seq."""
    if row.sealed is None:
        raise Tampered(f"vault {keys.name} seq {row.seq}: no ciphertext to open")
    try:
        if not hazmat.equal(digest(row.item_tag, row.sealed), row.digest):
            raise WrongKey("digest does not match")
        _check_header(keys, row.sealed[: HEADER.size])
        context = _event_context(keys, row.seq, previous_chain)
        return _unpad(hazmat.committed_open(keys.seal, context, row.sealed[HEADER.size :]))
    except WrongKey as error:
        raise Tampered(f"vault {keys.name} seq {row.seq}: {error}") from None


def digest(item_tag: bytes, sealed: bytes) -> bytes:
    """SHA-256 over tag and ciphertext; a tag moved to another row would otherwise go unnoticed."""
    return hazmat.sha256(item_tag + sealed)


def next_chain(keys: VaultKeys, previous: bytes, seq: int, digest: bytes) -> bytes:
    """chain_n = HMAC(chain key, chain_{n-1} | seq | digest_n)."""
    return keys.chain.mac(previous + seq.to_bytes(8) + digest)


def seal_part(keys: VaultKeys, snapshot_id: bytes, upto_seq: int, part: int, body: bytes) -> SealedPart:
    """Seal one snapshot part. The random snapshot id keeps parts of two snapshots from being mixed."""
    header = keys.header + snapshot_id
    context = _part_context(keys, header, upto_seq, part)
    return SealedPart(part, header + hazmat.committed_seal(keys.snapshot, context, _pad(body)))


def open_part(keys: VaultKeys, upto_seq: int, part: SealedPart) -> tuple[bytes, bytes]:
    """(snapshot id, body). Raises Tampered."""
    try:
        size = HEADER.size + SNAPSHOT_ID_BYTES
        header = _check_header(keys, part.sealed[: HEADER.size]) + part.sealed[HEADER.size : size]
        context = _part_context(keys, header, upto_seq, part.part)
        body = _unpad(hazmat.committed_open(keys.snapshot, context, part.sealed[size:]))
    except WrongKey as error:
        raise Tampered(f"vault {keys.name} snapshot part {part.part}: {error}") from None
    return header[HEADER.size :], body
