"""Item ids: 16 bytes inside, 36 characters outside."""

from __future__ import annotations

import uuid

from tacita.errors import InvalidInput, NotFound
from tacita.hazmat import random_bytes


def new_id(now: int) -> bytes:
    """A UUID version 7 (RFC 9562): milliseconds of `now` (microseconds), then 74 random bits."""
    tail = bytearray(random_bytes(10))
    tail[0] = 0x70 | (tail[0] & 0x0F)
    tail[2] = 0x80 | (tail[2] & 0x3F)
    return (now // 1_000).to_bytes(6) + bytes(tail)


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
