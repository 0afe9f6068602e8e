"""What a target is, and the promises that every target checks in the same words."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from tacita.errors import TacitaError

MARKER: Final = "Zanzibar7391"
"""Stands in inputs for what somebody said. No error may carry it: errors end in logs and on other people's screens."""

Result = TypeVar("Result")


class Broken(AssertionError):
    """A promise did not hold."""


@dataclass(frozen=True)
class Target:
    """One parser under attack."""

    name: str
    promise: str
    """What holds for every input, in a sentence."""
    run: Callable[[bytes], None]
    """Raises whatever breaks the promise; returns for an input that was read or refused as it must be."""
    seeds: Callable[[], Iterable[bytes]]
    """Small valid inputs to begin from. Made, not stored: they follow the formats."""
    codec: str = "raw"
    """How a mutation sees structure: raw, json, lines (JSON lines) or msgpack."""
    max_len: int = 8_192


@dataclass(frozen=True)
class Refused:
    """The input was refused with an error of the library's own."""

    error: TacitaError


def attempt(call: Callable[[], Result], *allowed: type[TacitaError], quotes_marker: bool = False) -> Result | Refused:
    """What a call gives, or that it was refused with one of the errors that it may raise. Anything else goes on up.

    Args:
        quotes_marker: the input puts the marker where a message may name it (a setting's name, a host).
    """
    try:
        return call()
    except allowed as error:
        # All that a log would show: the message, the repr, and the errors behind it that a traceback prints.
        shown = "".join(traceback.format_exception_only(error)) + repr(error)
        behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        shown += "" if behind is None else str(behind) + repr(behind)
        if MARKER in shown and not quotes_marker:
            raise Broken(f"{type(error).__name__} carries content") from error
        return Refused(error)


def require(holds: bool, promise: str) -> None:
    """An `assert` that also stands under `python -O`."""
    if not holds:
        raise Broken(promise)


def from_json(data: bytes) -> Any:
    """A hostile Python value: JSON as the standard library reads it, with NaN, lone surrogates and large numbers.

    Raises ValueError for bytes that are no JSON; the target then has nothing to do.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("too deep for the harness itself") from None


def from_msgpack(data: bytes) -> Any:
    """A hostile Python value from MessagePack, which can be written again. Raises ValueError for bytes that are none."""
    try:
        value = msgspec.msgpack.decode(data)
        _write(value, 50)
        return value
    except RecursionError:
        raise ValueError("too deep for the harness itself") from None


def _write(value: Any, frames: int) -> bytes:
    """Encode it so many calls deeper than here, which is further than any target does."""
    return _write(value, frames - 1) if frames else msgspec.msgpack.encode(value)


def skips_unreadable(run: Callable[[Any], None], read: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    """A target over values: bytes that are no value are nobody's input."""

    def over_bytes(data: bytes) -> None:
        try:
            value = read(data)
        except ValueError:
            return
        run(value)

    return over_bytes


def json_seeds(*values: Any) -> Callable[[], Iterator[bytes]]:
    """Seeds from plain values."""
    return lambda: (json.dumps(value).encode() for value in values)


def msgpack_seeds(*values: Any) -> Callable[[], Iterator[bytes]]:
    """Seeds from plain values."""
    return lambda: (msgspec.msgpack.encode(value) for value in values)
