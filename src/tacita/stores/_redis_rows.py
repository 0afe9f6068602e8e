"""How a row of a log is written as one value of Redis, and back. Pure."""

from __future__ import annotations

from typing import Final

from tacita.errors import Tampered
from tacita.sealed import DIGEST_BYTES, ITEM_TAG_BYTES, VAULT_ID_BYTES, PurgedEvent, SealedEvent, SealedRow

_MARK: Final = ITEM_TAG_BYTES + DIGEST_BYTES
_SEALED: Final = _MARK + 4
_BITS: Final = 32


def encode(event: SealedEvent | PurgedEvent) -> bytes:
    """tag 16 | digest 32 | 0 in 4 bytes | sealed"""
    return event.item_tag + event.digest + bytes(4) + (event.sealed if isinstance(event, SealedEvent) else b"")


def decode(seq: int, stored: bytes) -> tuple[SealedRow, int]:
    """The row, and of a purged one the head that the log had then (0 if it was put here without ciphertext)."""
    if len(stored) < _SEALED:
        raise Tampered("a log was changed: it holds a row that was never written")
    sealed = stored[_SEALED:] or None
    row = SealedRow(seq, stored[:ITEM_TAG_BYTES], sealed, stored[ITEM_TAG_BYTES:_MARK])
    return row, int.from_bytes(stored[_MARK:_SEALED])


def number(value: bytes | None) -> int:
    """A count or a sequence number, below 2**32. Raises ValueError for what is none."""
    if value is None or not value.isdigit() or int(value) >> _BITS:
        raise ValueError
    return int(value)


def vault_id(name: bytes) -> bytes:
    """From the digits in a key's name."""
    try:
        number = int(name, 16)
    except ValueError:
        number = -1
    if number < 0 or len(name) != 2 * VAULT_ID_BYTES or number.to_bytes(VAULT_ID_BYTES).hex().encode() != name:
        raise Tampered("the list of vaults was changed: it holds a key that was never written")
    return number.to_bytes(VAULT_ID_BYTES)
