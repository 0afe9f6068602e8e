"""A finding: where in a text something secret or personal stands. It never holds the thing itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Class = Literal["secret", "pii"]


class Finding(msgspec.Struct, frozen=True):
    """A span of a text, in characters."""

    type: str
    """Such as `aws-access-key` or `iban`."""
    kind: Class
    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


def without_overlaps(findings: Iterable[Finding]) -> list[Finding]:
    """In order of the text. Of two that overlap the secret one stays, else the longer, else the one that came first."""
    ordered = sorted(findings, key=lambda each: (each.kind != "secret", -each.length))
    taken = bytearray(max((each.end for each in ordered), default=0))
    kept = []
    for one in ordered:
        if taken.find(1, one.start, one.end) < 0:
            taken[one.start : one.end] = b"\x01" * one.length
            kept.append(one)
    return sorted(kept, key=lambda each: each.start)
