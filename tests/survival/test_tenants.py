"""Fifty tenants over one home, look-alike ids, threads side by side: nobody ever sees a word of somebody else's."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from tacita import InvalidInput, Memory, NotFound

OPERATIONS = int(os.environ.get("TACITA_TENANT_OPERATIONS", "200000"))
TENANTS, THREADS = 50, 32
IDS = [
    "ana",
    "Ana",
    "ana ",
    "ana*",
    "*",
    "%",
    "_",
    "an",
    "anaa",
    "a/na",
    "../ana",
    "ana\u0301",
    "án\u0061",
    "١",
    "1",
    "null",
]
FILTERS = [
    {"OR": [{"user_id": "ana"}, {"user_id": {"ne": "ana"}}]},
    {"user_id": {"in": IDS[:5]}},
    {"NOT": {"user_id": "nobody"}},
    {"text": {"icontains": "belongs"}},
    {"metadata.tenant": {"exists": True}},
]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_operation_crosses_a_tenant_or_a_subject(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    root = Memory(tmp_path / "home", embedder="none")
    views = []
    for number in range(TENANTS):
        view = root.bind()
        view._principal = replace(view._principal, tenant=f"tenant-{number}")
        views.append(view)
    with ThreadPoolExecutor(THREADS) as pool:
        counts = list(pool.map(lambda seed: _work(views, seed, OPERATIONS // THREADS), range(THREADS)))
    done, seen, refused = (sum(column) for column in zip(*counts, strict=True))
    assert root.verify().ok
    root.close()
    assert done >= OPERATIONS * 0.99
    assert seen > OPERATIONS // 10, "the history checker looked at something"
    assert refused > 0
    record_property("figure", f"{done:,} operations, {seen:,} items read, 0 leaks")


def _work(views: list[Memory], seed: int, operations: int) -> tuple[int, int, int]:
    """Random operations; every item that comes back names its own tenant and subject."""
    chance = random.Random(seed)
    done = seen = refused = 0
    foreign: list[str] = []
    while done < operations:
        done += 1
        number = chance.randrange(TENANTS)
        view, user = views[number], chance.choice(IDS)
        mark = f"t{number} u{user.strip()!r}"
        kind = chance.random()
        if kind < 0.12:
            ids = view.add(f"this belongs to {mark} end", user_id=user, metadata={"tenant": number}).ids
            if chance.random() < 0.1:
                foreign.append(ids[0])
        elif kind < 0.16 and foreign:
            try:
                item = view.get(chance.choice(foreign), user_id=user)
                assert f"belongs to {mark} end" in item.text
            except NotFound:
                refused += 1
        elif kind < 0.18 and foreign:
            try:
                view.delete(chance.choice(foreign), user_id=user)
            except NotFound:
                refused += 1
        elif kind < 0.6:
            try:
                hits = view.search("what belongs", user_id=user, filters=chance.choice([None, *FILTERS]), top_k=3)
            except InvalidInput:
                refused += 1
                continue
            for hit in hits:
                assert f"belongs to {mark} end" in hit.text, "a leak"
                seen += 1
        else:
            for item in view.get_all(user_id=user, limit=2):
                assert f"belongs to {mark} end" in item.text, "a leak"
                seen += 1
    return done, seen, refused
