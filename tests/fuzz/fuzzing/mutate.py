"""Mutations that know structure: a JSON or MessagePack tree with one node changed gets past a parser's first line.

Bytes flipped at random rarely do. Every other mutation is the fuzzer's own, on bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Final

import msgspec

from fuzzing.kit import MARKER

_PLAIN: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2, 16, 255, 256, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, 2**53 + 1),
    *(2**62, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 0.0, -0.5, 1e-9, 1e18, 1e308, float("nan"), float("inf")),
    *("", " ", "\0", "\n", "a", "é", "ß", "\u202e", "\U0001f600", MARKER, MARKER * 40, "x" * 300, "1" * 4_400),
    *("2024-02-30", "2024-05-01T10:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "1e999", "-1"),
    *("user", "fact", "https://[", "data:image/png;base64,AA==", "https://a.example/x", "~nobody/x", "${HOME}"),
    *([], {}, [[]], {"": None}, [MARKER], {"text": MARKER}),
)
_JSON_ONLY: Final[tuple[Any, ...]] = (2**64, -(2**70), 10**400, "\ud800", "a\udfff", {"\ud800": 1})
_MSGPACK_ONLY: Final[tuple[Any, ...]] = (b"", b"\0", b"a" * 16, b"b" * 15, b"\xff" * 32, b"\0" * 64)


def mutated(data: bytes, codec: str, chance: random.Random) -> bytes | None:
    """The input with one thing changed in its tree; None if it is no tree, and bytes must do."""
    try:
        if codec == "json":
            return _dumped(_changed(json.loads(data), chance, _PLAIN + _JSON_ONLY))
        if codec == "lines":
            return _line_changed(data, chance)
        if codec == "msgpack":
            return msgspec.msgpack.encode(_changed(msgspec.msgpack.decode(data), chance, _PLAIN + _MSGPACK_ONLY))
    except (ValueError, RecursionError, TypeError, OverflowError, NotImplementedError):
        return None
    return None


def deepened(data: bytes, codec: str, chance: random.Random) -> bytes:
    """The input with thousands of opened brackets in it: what exhausts a parser's stack."""
    opened = b"\x91" if codec == "msgpack" else chance.choice((b"[", b'{"a":', b"{", b"["))
    at = chance.randrange(len(data) + 1)
    count = chance.choice((20, 200, 900, 2_500))
    return data[:at] + opened * count + data[at:]


def _dumped(value: Any) -> bytes:
    return json.dumps(value, separators=(", ", ": ")).encode()


def _line_changed(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    kind = chance.randrange(8)
    if kind == 0:
        lines.insert(chance.randrange(len(lines) + 1), lines[at])
    elif kind == 1:
        del lines[at]
    else:
        lines[at] = _dumped(_changed(json.loads(lines[at]), chance, _PLAIN + _JSON_ONLY))
    return b"\n".join(lines)


def _changed(tree: Any, chance: random.Random, pool: tuple[Any, ...]) -> Any:
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        tree = _change_one(tree, chance, pool)
    return tree


def _change_one(tree: Any, chance: random.Random, pool: tuple[Any, ...]) -> Any:
    """One node replaced, removed, doubled, wrapped or moved. The tree itself may be changed."""
    places: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting and len(places) < 2_000:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        places += [(node, key) for key in keys]
        waiting += [node[key] for key in keys]
    if not places:
        return chance.choice(pool)
    holder, key = chance.choice(places)
    kind = chance.randrange(10)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, _copy(holder[key]))
    elif kind == 1:
        holder[chance.choice([*holder, "", "x", MARKER])] = _copy(holder[key])
    elif kind == 2:
        other, at = chance.choice(places)
        holder[key] = _copy(other[at])
    elif kind == 3:
        for _ in range(chance.choice((1, 1, 9, 40))):
            holder[key] = [holder[key]] if chance.randrange(2) else {"a": holder[key]}
    elif kind == 4 and isinstance(holder, dict):
        holder[str(chance.choice(pool))[:300]] = holder.pop(key)
    elif kind in (5, 6):
        holder[key] = _near(holder[key], chance, pool)
    else:
        holder[key] = _copy(chance.choice(pool))
    return tree


def _near(value: Any, chance: random.Random, pool: tuple[Any, ...]) -> Any:
    """A value of the same type, changed a little: the far ends of a range are found from inside."""
    if isinstance(value, bool) or value is None:
        return chance.choice(pool)
    if isinstance(value, int):
        made: int = chance.choice(
            (value + 1, value - 1, -value, value << 7, value >> 3, value ^ (1 << chance.randrange(63)))
        )
        return made if -(2**63) <= made < 2**64 else 0
    if isinstance(value, float):
        return chance.choice((-value, value * 1e9, value / 1e9, value + 1))
    if isinstance(value, str | bytes):
        at = chance.randrange(len(value) + 1)
        kinds: tuple[Callable[[Any], Any], ...] = (
            lambda text: text[:at],
            lambda text: text[at:],
            lambda text: text * 2,
            lambda text: text[:at] + text[at : at + 1] * chance.choice((2, 70, 400)) + text[at:],
        )
        return chance.choice(kinds)(value)
    return value


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value
