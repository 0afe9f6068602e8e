"""Which worker serves whom: the same for all who ask, few move when workers come and go, and nobody can tell who it is."""

from __future__ import annotations

from collections import Counter

import pytest

from tacita.errors import InvalidInput
from tacita.routing import affinity, ranked

SECRET = bytes(range(16))
WORKERS = [f"worker-{number}" for number in range(8)]
KEYS = [affinity(SECRET, tenant="acme", kind="user", subject_id=f"user-{number}") for number in range(8_000)]


def test_frozen_values() -> None:
    """Two versions of an application route alike."""
    key = affinity(SECRET, tenant="acme", kind="user", subject_id="ana")
    assert key == "10450caeab1dcd35cc69debd4369bc0b"
    assert ranked(WORKERS, key)[:2] == ["worker-2", "worker-3"]


def test_every_worker_gets_its_part_whatever_the_order_of_names() -> None:
    counts = Counter(ranked(WORKERS, key)[0] for key in KEYS)
    assert min(counts.values()) > 900
    assert max(counts.values()) < 1_100
    assert ranked(WORKERS, KEYS[0]) == ranked(WORKERS[::-1], KEYS[0])


def test_only_the_subjects_of_a_worker_that_went_move_each_to_its_second() -> None:
    left = WORKERS[1:]
    for key in KEYS[:1_000]:
        before = ranked(WORKERS, key)
        assert ranked(left, key) == [each for each in before if each != WORKERS[0]]


def test_another_secret_tenant_kind_or_id_is_another_key() -> None:
    keys = {
        affinity(SECRET, tenant="acme", kind="user", subject_id="ana"),
        affinity(bytes(16), tenant="acme", kind="user", subject_id="ana"),
        affinity(SECRET, tenant="bolt", kind="user", subject_id="ana"),
        affinity(SECRET, tenant="acme", kind="agent", subject_id="ana"),
        affinity(SECRET, tenant="acmeuser", kind="app", subject_id=""),
        affinity(SECRET, tenant="acme", kind="app", subject_id="user"),
    }
    assert len(keys) == 6
    assert all(len(bytes.fromhex(key)) == 16 for key in keys)


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(InvalidInput, match="16 random bytes"):
        affinity(b"short", tenant="acme", kind="user", subject_id="ana")
    with pytest.raises(InvalidInput, match="once"):
        ranked(["a", "a"], KEYS[0])
    assert ranked([], KEYS[0]) == []
