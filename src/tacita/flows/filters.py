"""The filter language of `search` and `get_all`: parsed strictly, evaluated to a mask over a vault's rows.

Whatever is not known (a field, an operator, a type) is an error, never dropped: a deny filter that vanishes is a leak.
Metadata is named `metadata.key` (dots go deeper); everything else is a field of the item.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacita import limits
from tacita.errors import InvalidInput
from tacita.flows.engine import State, microseconds
from tacita.flows.parse import parse_moment
from tacita.items import Trust
from tacita.vault.fold import NEVER

Mask = NDArray[np.bool_]
Test = Callable[[Any], bool]

_TIMES = ("timestamp", "created_at", "updated_at", "expires_at")
_NAMES = ("user_id", "agent_id", "app_id", "run_id", "name", "role", "channel", "kind")
_NUMBERS = ("version", "trust")
FIELDS = (*_TIMES, *_NAMES, *_NUMBERS, "text")
OPERATORS = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "icontains", "exists")
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_MISSING = msgspec.UNSET


class Term(msgspec.Struct, frozen=True):
    """One field and one test. `negative` tests hold for rows without the field, too (`ne`, `nin`, `exists: false`)."""

    field: str
    test: Test
    negative: bool


class Group(msgspec.Struct, frozen=True):
    """`all` (AND), `any` (OR) or `none` (NOT) of its parts."""

    kind: str
    parts: tuple[Term | Group, ...]


def parse_filters(filters: object) -> Group | None:
    """A nested mapping as the caller wrote it. Raises InvalidInput."""
    if filters is None:
        return None
    counter = [0]
    parsed = _parse_mapping(filters, 0, counter)
    return parsed if parsed.parts else None


def _parse_mapping(node: object, depth: int, counter: list[int]) -> Group:
    if not isinstance(node, Mapping):
        raise InvalidInput("a filter is a mapping of fields, or of AND, OR and NOT")
    if depth > limits.FILTER_DEPTH:
        raise InvalidInput(f"filters are nested deeper than {limits.FILTER_DEPTH}")
    parts: list[Term | Group] = []
    for key, value in node.items():
        if not isinstance(key, str):
            raise InvalidInput("a filter field is a string")
        if key in ("AND", "OR", "NOT"):
            parts.append(_parse_group(key, value, depth, counter))
        else:
            parts += _parse_field(key, value, counter)
    return Group("all", tuple(parts))


def _parse_group(key: str, value: object, depth: int, counter: list[int]) -> Group:
    entries = [value] if isinstance(value, Mapping) else value
    if not isinstance(entries, Sequence) or isinstance(entries, str | bytes) or not entries:
        raise InvalidInput(f"{key} takes a list of filters")
    parts = tuple(_parse_mapping(entry, depth + 1, counter) for entry in entries)
    if not all(part.parts for part in parts):
        raise InvalidInput(f"{key} holds an empty filter")
    return Group({"AND": "all", "OR": "any", "NOT": "none"}[key], parts)


def _parse_field(field: str, value: object, counter: list[int]) -> list[Term]:
    if field not in FIELDS and not (field.startswith("metadata.") and all(field.split("."))):
        raise InvalidInput(f"unknown filter field; known are {', '.join(FIELDS)} and metadata.<key>")
    tests = value if isinstance(value, Mapping) else {"eq": value}
    if not tests:
        raise InvalidInput("a filter field needs at least one operator")
    counter[0] += len(tests)
    if counter[0] > limits.FILTER_TERMS:
        raise InvalidInput(f"filters have more than {limits.FILTER_TERMS} terms")
    return [_parse_term(field, str(name), operand) for name, operand in tests.items()]


def _parse_term(field: str, name: str, operand: Any) -> Term:
    if name not in OPERATORS:
        raise InvalidInput(f"unknown filter operator; known are {', '.join(OPERATORS)}")
    if name == "exists":
        if not isinstance(operand, bool):
            raise InvalidInput("exists takes true or false")
        return Term(field, lambda _: operand, negative=not operand)
    if name in ("in", "nin"):
        if not isinstance(operand, list | tuple | set | frozenset) or len(operand) > limits.FILTER_VALUES:
            raise InvalidInput(f"{name} takes a list of at most {limits.FILTER_VALUES} values")
        values = [_typed(field, one) for one in operand]
        wanted = name == "in"
        return Term(field, lambda value: any(_same(value, one) for one in values) is wanted, negative=not wanted)
    if name in ("contains", "icontains"):
        return Term(field, _containing(name, _typed(field, operand)), negative=False)
    wanted_value = _typed(field, operand)
    if name in ("eq", "ne"):
        wanted = name == "eq"
        return Term(field, lambda value: _same(value, wanted_value) is wanted, negative=not wanted)
    compare = _ORDER[name]
    if isinstance(wanted_value, bool) or not isinstance(wanted_value, int | float | str):
        raise InvalidInput(f"{name} compares numbers, strings or times")
    return Term(field, lambda value: _comparable(value, wanted_value) and compare(value, wanted_value), negative=False)


def _typed(field: str, value: Any) -> Any:
    """The operand in the type that the field has. Raises InvalidInput where that cannot be."""
    if field in _TIMES:
        return microseconds(parse_moment(f"filter on {field}", value))
    if field == "trust":
        if isinstance(value, str) and value.upper() in Trust.__members__:
            return int(Trust[value.upper()])
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidInput(f"trust is one of {', '.join(name.lower() for name in Trust.__members__)}")
        return int(value)
    if field == "version" and (isinstance(value, bool) or not isinstance(value, int)):
        raise InvalidInput("version is a whole number")
    if field in (*_NAMES, "text") and not isinstance(value, str):
        raise InvalidInput(f"{field} is a string; use exists to test whether it is set")
    if value is None or not isinstance(value, str | int | float | bool):
        raise InvalidInput("a filter value is a string, a number or a boolean; use exists for missing fields")
    return value


def _same(a: Any, b: Any) -> bool:
    # True == 1 in Python; in JSON they are different values.
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _comparable(a: Any, b: Any) -> bool:
    if isinstance(a, bool):
        return False
    return isinstance(a, str) if isinstance(b, str) else isinstance(a, int | float)


def _containing(name: str, needle: Any) -> Test:
    fold = str.casefold if name == "icontains" else str

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return isinstance(needle, str) and fold(needle) in fold(value)
        if isinstance(value, list):
            if name == "icontains" and isinstance(needle, str):
                return any(isinstance(one, str) and fold(one) == fold(needle) for one in value)
            return any(_same(one, needle) for one in value)
        return False

    return test


def evaluate(node: Term | Group, state: State) -> Mask:
    """The rows of the vault that pass, dead ones undefined. Shape (rows,)."""
    if isinstance(node, Term):
        return _evaluate_term(node, state)
    masks = [evaluate(part, state) for part in node.parts]
    if node.kind == "all":
        every: Mask = np.all(masks, axis=0)
        return every
    combined: Mask = np.any(masks, axis=0)
    return combined if node.kind == "any" else ~combined


def _evaluate_term(term: Term, state: State) -> Mask:
    rows = state.rows
    if term.field in _NAMES:
        # One test for each distinct name, then one gather: independent of the number of rows.
        passed = [term.negative if name is None else term.test(name) for name in state.names]
        return np.asarray(np.array(passed, np.bool_)[rows[term.field]])
    if term.field in _TIMES or term.field in _NUMBERS:
        values, inverse = np.unique(rows[term.field], return_inverse=True)
        nullable = term.field == "expires_at"
        passed = [term.negative if nullable and value == NEVER else term.test(value) for value in values.tolist()]
        return np.asarray(np.array(passed, np.bool_)[inverse])
    column = state.texts if term.field == "text" else state.metadata_column(term.field.removeprefix("metadata."))
    return np.fromiter(
        (term.negative if value is _MISSING or value is None else term.test(value) for value in column),
        np.bool_,
        len(column),
    )
