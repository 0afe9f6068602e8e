"""Item ids: 16 bytes inside, 36 characters outside."""

from __future__ import annotations

import uuid

from tacita.errors import InvalidInput, NotFound
from tacita.hazmat import random_bytes

_RANDOM = 0x0FFF_3FFF_FFFF_FFFF_FFFF
_VERSION_7 = 0x7000_8000_0000_0000_0000


def new_id(now: int) -> bytes:
    """A UUID version 7 (RFC 9562): milliseconds of `now` (microseconds), then 74 random bits."""
    return new_ids(now, 1)[0]


def new_ids(now: int, count: int) -> list[bytes]:
    """Several of them, with one call to the system's generator."""
    drawn = random_bytes(10 * count)
    head = (now // 1_000).to_bytes(6)
    return [
        head + (int.from_bytes(drawn[at : at + 10]) & _RANDOM | _VERSION_7).to_bytes(10)
        for at in range(0, 10 * count, 10)
    ]


def format_id(item_id: bytes) -> str:
    """The 36 characters that callers see."""
    digits = item_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse_id(value: object) -> bytes:
    """The 16 bytes of an id. A malformed one is simply one that nobody has: NotFound."""
    if not isinstance(value, str):
        raise InvalidInput(f"an item id is a string, not {type(value).__name__}")
    try:
        return uuid.UUID(value).bytes
    except ValueError:
        raise no_such_item() from None


def no_such_item() -> NotFound:
    """The same words for an item of somebody else and for one that never was."""
    return NotFound("no such item in this scope")
