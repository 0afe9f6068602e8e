"""A second memory of how far each vault had come, in a file elsewhere: for when data and key ring go back in time together.

The key ring's anchors notice old data. Nothing beside them notices an old ring that comes with old data, unless somebody else
remembers. The file holds keyed vault ids, sequence numbers and chain values under a MAC, and no key.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

import msgspec

from tacita.errors import StoreError, Tampered
from tacita.hazmat import SecretKey, equal, random_bytes
from tacita.ports.keys import KeyRing
from tacita.sealed import VAULT_ID_BYTES
from tacita.vault.format import length_prefixed

log = logging.getLogger("tacita.anchors")

_DOMAIN: Final = b"tacita/v1/anchors"


class _Mirror(msgspec.Struct, forbid_unknown_fields=True):
    tacita_anchors: int
    at: int
    vaults: dict[str, tuple[int, str]]
    """Vault id -> (sequence number, chain value), in hex."""
    mac: str


class AnchorMirror:
    """The file. `check` before anything is read, `write` whenever what was written since shall be remembered."""

    def __init__(self, path: Path, key: SecretKey) -> None:
        self._path = path
        self._key = key

    def check(self, ring: KeyRing) -> int:
        """Compare the ring with the file; how many vaults were compared.

        Raises Tampered when the ring is older than the file or the file was changed. A file that is not there is none: it is
        made by the first `write`.
        """
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            log.warning("%s is not there: nothing says whether this home went back in time", self._path)
            return 0
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read: {error.strerror}") from None
        try:
            mirror = msgspec.json.decode(raw, type=_Mirror)
            remembered = {
                bytes.fromhex(name): (seq, bytes.fromhex(chain)) for name, (seq, chain) in mirror.vaults.items()
            }
            mac = bytes.fromhex(mirror.mac)
            expected = self._mac(mirror)
        except (ValueError, OverflowError, RecursionError):
            raise Tampered(f"{self._path} is damaged") from None
        if any(len(vault_id) != VAULT_ID_BYTES for vault_id in remembered):
            raise Tampered(f"{self._path} is damaged")
        if not equal(mac, expected):
            raise Tampered(f"{self._path} was changed, or belongs to another home")
        for vault_id, (seq, chain) in remembered.items():
            entry = ring.get(vault_id)
            name = vault_id.hex()[:12]
            if entry is None:
                if not ring.shredded(vault_id):
                    raise Tampered(
                        f"vault {name}: data and key ring went back in time together; the ring never knew it"
                    )
            elif entry.anchor.seq < seq:
                raise Tampered(
                    f"vault {name} seq {seq}: data and key ring went back in time together; they end at {entry.anchor.seq}"
                )
            elif entry.anchor.seq == seq and not equal(entry.anchor.chain, chain):
                raise Tampered(f"vault {name} seq {seq}: its history is not the one that {self._path.name} knows")
        return len(remembered)

    def write(self, ring: KeyRing, at: int) -> None:
        """Remember every anchor as it is, atomically and durably. Raises StoreError."""
        vaults = {entry.vault_id.hex(): (entry.anchor.seq, entry.anchor.chain.hex()) for entry in ring.entries()}
        mirror = _Mirror(1, at, vaults, "")
        mirror.mac = self._mac(mirror).hex()
        made = self._path.with_name(f".{self._path.name}-{random_bytes(4).hex()}")
        try:
            handle = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0), 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(mirror))
                file.flush()
                os.fsync(file.fileno())
            os.replace(made, self._path)
        except OSError as error:
            made.unlink(missing_ok=True)
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from None

    def _mac(self, mirror: _Mirror) -> bytes:
        body = msgspec.msgpack.encode((mirror.tacita_anchors, mirror.at, sorted(mirror.vaults.items())))
        return self._key.mac(length_prefixed(_DOMAIN, body))
