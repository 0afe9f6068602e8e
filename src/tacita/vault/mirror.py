"""A second memory of how far each vault had come, in a place elsewhere: for when data and key ring go back in time together.

The key ring's anchors notice old data. Nothing beside them notices an old ring that comes with old data, unless somebody else
remembers. It holds keyed vault ids, sequence numbers and chain values under a MAC, and no key.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from tacita.errors import Tampered
from tacita.hazmat import SecretKey, equal
from tacita.ports.keys import AnchorPlace, KeyRing
from tacita.sealed import VAULT_ID_BYTES
from tacita.vault.format import length_prefixed

log = logging.getLogger("tacita.anchors")

_DOMAIN: Final = b"tacita/v1/anchors"
_Vaults = dict[bytes, tuple[int, bytes]]
"""Vault id -> (sequence number, chain value)."""


class _Mirror(msgspec.Struct, forbid_unknown_fields=True):
    tacita_anchors: int
    at: int
    vaults: dict[str, tuple[int, str]]
    """Vault id -> (sequence number, chain value), in hex."""
    mac: str


class AnchorMirror:
    """What is remembered there. `check` before anything is read, `write` when what came since shall be remembered."""

    def __init__(self, place: AnchorPlace, key: SecretKey) -> None:
        self._place = place
        self._key = key
        self._at = 0

    def check(self, ring: KeyRing) -> int:
        """Compare the ring with the file; how many vaults were compared.

        Raises Tampered when the ring is older than the file or the file was changed. A file that is not there is none: it is
        made by the first `write`.
        """
        remembered = self._read()
        if remembered is None:
            log.warning("%s has no anchors: nothing says whether this home went back in time", self._place.name)
            return 0
        erased = set()
        for vault_id, (seq, chain) in remembered.items():
            entry = ring.get(vault_id)
            name = vault_id.hex()[:12]
            if entry is None:
                if not ring.shredded(vault_id):
                    raise Tampered(
                        f"vault {name}: data and key ring went back in time together; the ring never knew it"
                    )
                erased.add(vault_id)
            elif entry.anchor.seq < seq:
                raise Tampered(
                    f"vault {name} seq {seq}: data and key ring went back in time together; they end at {entry.anchor.seq}"
                )
            elif entry.anchor.seq == seq and not equal(entry.anchor.chain, chain):
                raise Tampered(f"vault {name} seq {seq}: its history is not the one that {self._place.name} knows")
        # An erasure that was cut short. Its subject may come back under a new key, whose history begins anew.
        self._forget(remembered, erased)
        return len(remembered)

    def write(self, ring: KeyRing, at: int) -> None:
        """Remember every anchor as it is, atomically and durably. Raises StoreError."""
        vaults = {entry.vault_id: (entry.anchor.seq, entry.anchor.chain) for entry in ring.entries()}
        # Else a power failure takes the anchors back from the ring but not from here, and that looks like a rollback.
        ring.settle()
        self._write(vaults, at)

    def forget(self, vault_id: bytes) -> None:
        """Drop an erased vault, durably. Raises StoreError, and Tampered when the file was changed.

        Its subject may come back at once, and whoever opens the home before the next `write` would compare the two.
        """
        self._forget(self._read() or {}, {vault_id})

    def _forget(self, remembered: _Vaults, erased: set[bytes]) -> None:
        if left := erased & remembered.keys():
            self._write({name: value for name, value in remembered.items() if name not in left}, self._at)

    def _read(self) -> _Vaults | None:
        raw = self._place.read()
        if raw is None:
            return None
        try:
            mirror = msgspec.json.decode(raw, type=_Mirror)
            remembered = {
                bytes.fromhex(name): (seq, bytes.fromhex(chain)) for name, (seq, chain) in mirror.vaults.items()
            }
            mac = bytes.fromhex(mirror.mac)
            expected = self._mac(mirror)
        except (ValueError, OverflowError, RecursionError):
            raise Tampered(f"{self._place.name} is damaged") from None
        if any(len(vault_id) != VAULT_ID_BYTES for vault_id in remembered):
            raise Tampered(f"{self._place.name} is damaged")
        if not equal(mac, expected):
            raise Tampered(f"{self._place.name} was changed, or belongs to another home")
        self._at = mirror.at
        return remembered

    def _write(self, vaults: _Vaults, at: int) -> None:
        mirror = _Mirror(1, at, {name.hex(): (seq, chain.hex()) for name, (seq, chain) in vaults.items()}, "")
        mirror.mac = self._mac(mirror).hex()
        self._place.write(msgspec.json.encode(mirror))

    def _mac(self, mirror: _Mirror) -> bytes:
        body = msgspec.msgpack.encode((mirror.tacita_anchors, mirror.at, sorted(mirror.vaults.items())))
        return self._key.mac(length_prefixed(_DOMAIN, body))
