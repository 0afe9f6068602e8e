"""What callers send: filters, messages, ids, and requests as a surface decodes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from fuzzing import vaults
from fuzzing.kit import MARKER, Refused, Target, attempt, from_json, json_seeds, require, skips_unreadable
from tacita import Memory
from tacita.errors import CallerError, InvalidInput, NotFound
from tacita.flows import filters, ids, parse
from tacita.flows.engine import State
from tacita.operations import OPERATIONS, Response, execute, stream
from tacita.testing.embedder import HashEmbedder


def _state() -> State:
    store, ring, anchor = vaults.sealed_vault(vaults.encoded(vaults.EVENTS[:-1]))
    return vaults.opened(store, ring, anchor).state


_STATE: Final = _state()


def filtered(value: Any) -> None:
    """A caller's filter: InvalidInput, or a mask; and NOT is the opposite of what it negates."""
    parsed = attempt(lambda: filters.parse_filters(value), InvalidInput)
    if isinstance(parsed, Refused) or parsed is None:
        return
    mask = filters.evaluate(parsed, _STATE)
    require(mask.shape == (len(_STATE),) and mask.dtype == bool, "a filter is a mask over the rows")
    negated = attempt(lambda: filters.parse_filters({"NOT": [value]}), InvalidInput)
    if not isinstance(negated, Refused) and negated is not None:
        require(bool((filters.evaluate(negated, _STATE) == ~mask).all()), "NOT is the opposite")


def messages(value: Any) -> None:
    """What `add` takes: InvalidInput, or messages that say the same when they are parsed again."""
    if isinstance(value, dict) and set(value) == {"messages", "metadata", "timestamp"}:
        given, metadata, timestamp = value["messages"], value["metadata"], value["timestamp"]
    else:
        given, metadata, timestamp = value, None, None
    parsed = attempt(lambda: parse.parse_messages(given, metadata=metadata, timestamp=timestamp), InvalidInput)
    if isinstance(parsed, Refused):
        return
    require(parse.parse_messages(parsed) == parsed, "messages stay what they are")
    for message in parsed:
        json.dumps(message.metadata, allow_nan=False).encode()
        message.text.encode()


def item_id(data: bytes) -> None:
    """An item's id in any spelling: sixteen bytes that are written and read the same, or no such item."""
    text = data.decode("utf-8", "surrogatepass") if data[:1] != b"\0" else data.decode("latin-1")
    found = attempt(lambda: ids.parse_id(text), NotFound, InvalidInput)
    if not isinstance(found, Refused):
        require(len(found) == 16 and ids.parse_id(ids.format_id(found)) == found, "an id survives being written")


def _id_run(data: bytes) -> None:
    try:
        item_id(data)
    except UnicodeDecodeError:
        return


_STREAMED: Final = frozenset({"export", "salvage", "audit", "find_mentions"})


def requested(value: Any) -> None:
    """Requests of a surface, one after the other, to a memory that holds two items."""
    if not isinstance(value, list):
        return
    with Memory(store="memory:", embedder=HashEmbedder(4), clock=lambda: 10**15) as memory:
        first = memory.add(["Ana likes tea.", "Ana lives in Porto."], user_id="ana").results[0].id
        for each in value[:4]:
            if isinstance(each, list) and len(each) == 2 and isinstance(each[0], str) and isinstance(each[1], Mapping):
                payload = {key: first if given == "$ID" else given for key, given in each[1].items()}
                _request(memory, each[0], payload)
        # Whatever was asked: what is kept is whole.
        require(memory.verify().ok, "no request damages a vault")


def _request(memory: Memory, name: str, payload: dict[str, Any]) -> None:
    def run() -> list[Response]:
        return list(stream(memory, name, payload)) if name in _STREAMED else [execute(memory, name, payload)]

    answer = attempt(run, CallerError)
    if not isinstance(answer, Refused):
        for response in answer:
            json.dumps(response.data)
            require(MARKER not in repr(response), "a response's repr holds no content")


_ADD: Final = {
    "messages": [
        {"role": "user", "content": MARKER, "name": "Ana", "timestamp": "2024-05-01T10:00:00Z", "metadata": {"a": [1]}},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes"}, {"type": "image_url", "image_url": "u"}]},
    ],
    "metadata": {"place": MARKER},
    "timestamp": 1714557600.5,
}
_ANA: Final = {"user_id": "ana"}
_FILTER: Final = {
    "AND": [{"user_id": "ana"}, {"OR": [{"metadata.place": {"in": ["home", 1]}}, {"text": {"icontains": MARKER}}]}],
    "NOT": {"trust": {"lt": "user"}, "version": 7},
    "timestamp": {"gte": "2001-01-01", "lt": 4e9},
    "expires_at": {"exists": False},
    "metadata.n": {"gt": 0.5, "ne": 3},
}
_REQUESTS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("add", {**_ADD, **_ANA, "expires_at": "2090-01-01", "idempotency_key": "k"}),
    ("search", {**_ANA, "query": "tea in May 2023", "filters": _FILTER, "top_k": 3, "threshold": 0.1, "explain": True}),
    ("search", {"query": "tea", "subjects": [_ANA], "as_of": "2030-01-01", "reference_time": 1e9}),
    ("context", {**_ANA, "query": "tea", "budget": 50, "as_of": 2e9}),
    ("get_all", {**_ANA, "limit": 1, "cursor": None, "order": "oldest", "filters": {"kind": "message"}}),
    ("get", {**_ANA, "id": "$ID"}),
    ("update", {**_ANA, "id": "$ID", "text": MARKER, "metadata": {"a": 1}}),
    ("history", {**_ANA, "id": "$ID"}),
    ("delete", {**_ANA, "id": "$ID"}),
    ("review", {**_ANA, "id": "$ID", "approve": True, "digest": "00"}),
    ("forget", {**_ANA, "request": "forget Ana and tea", "dry_run": False, "ids": ["$ID"]}),
    ("redact", {**_ANA, "who": "Ana"}),
    ("find_mentions", {"who": "Ana", "subjects": [_ANA]}),
    ("purge", {**_ANA, "origin": "user"}),
    ("hold", {**_ANA, "on": True, "reason": MARKER}),
    ("freeze", {**_ANA, "on": False}),
    ("consent", {**_ANA, "models": True}),
    ("quarantine", _ANA),
    ("export", _ANA),
    ("salvage", _ANA),
    ("isolate", {**_ANA, "dry_run": True}),
    ("repair", {}),
    ("erase", _ANA),
    ("verify", {"deep": True}),
    ("stats", _ANA),
    ("audit", {}),
    ("sweep", {}),
)
assert {name for name, _ in _REQUESTS} >= OPERATIONS.keys() - {"extract", "profile", "summary"}

TARGETS: Final = (
    Target(
        "filters",
        "A caller's filter is InvalidInput or a mask, NOT is its opposite; errors hold none of it",
        skips_unreadable(filtered, from_json),
        json_seeds(_FILTER, {"text": MARKER}, {"AND": [_FILTER]}, {"role": {"nin": ["user"]}}),
        "json",
    ),
    Target(
        "messages",
        "What add takes is InvalidInput or messages that can be kept and parsed again; errors hold none of it",
        skips_unreadable(messages, from_json),
        json_seeds(_ADD, MARKER, _ADD["messages"], ["a", {"content": "b"}]),
        "json",
    ),
    Target(
        "item-id",
        "An item id in any spelling is NotFound or survives being written",
        _id_run,
        lambda: iter([b"0190a5c0-7c3e-7000-8000-000000000001", b"{0190a5c07c3e70008000000000000001}"]),
    ),
    Target(
        "requests",
        "Any request of a surface is answered in JSON types or refused as the caller's error; the vault stays whole",
        skips_unreadable(requested, from_json),
        json_seeds(*[[list(each)] for each in _REQUESTS], [list(each) for each in _REQUESTS[:4]]),
        "json",
    ),
)
