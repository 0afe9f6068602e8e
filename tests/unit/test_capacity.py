"""The model of docs/explanation/scale.md, held to a cache that is played through request by request, and to the docs."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.capacity import Crowd, Parameters, plan, ranks, steady, tables

GIVEN = Parameters(
    item_bytes=2_000, vault_bytes=300, ring_bytes=500, open_item_bytes=3_000, open_vault_bytes=20_000, cold_ms=10,
    cold_item_ms=0.01, warm_ms=0.5, warm_item_ms=0.0001, add_ms=5,
)  # fmt: skip


@pytest.mark.parametrize("vaults", [1_000, 1_000_000, 1_000_000_000])
def test_a_crowd_has_the_vaults_and_items_that_it_is_asked_for(vaults: int) -> None:
    of = ranks(Crowd(vaults, vaults * 50), grouped=vaults > 1_000)
    assert of.count.sum() == pytest.approx(vaults)
    assert (of.count * of.items).sum() == pytest.approx(vaults * 50, rel=0.01)
    assert (of.count * of.use).sum() == pytest.approx(1)
    assert (np.diff(of.use) <= 0).all()


@pytest.mark.parametrize("part", [0.02, 0.1, 0.5])
def test_the_model_finds_as_many_vaults_open_as_a_cache_played_through(part: float) -> None:
    crowd = Crowd(5_000, 250_000)
    of = ranks(crowd)
    sizes = GIVEN.open_vault_bytes + GIVEN.open_item_bytes * of.items
    room = part * sizes.sum()
    held: OrderedDict[int, float] = OrderedDict()
    used, hits, counted = 0.0, 0, 0
    requests = np.random.default_rng(3).choice(len(of.use), 200_000, p=of.use / of.use.sum()).tolist()
    for number, vault in enumerate(requests):
        counts = number >= 100_000
        counted += counts
        if vault in held:
            hits += counts
            held.move_to_end(vault)
            continue
        held[vault] = sizes[vault]
        used += sizes[vault]
        while used > room:
            used -= held.popitem(last=False)[1]
    assert steady(GIVEN, of, room, 0.1).hit == pytest.approx(hits / counted, abs=0.02)


def test_when_everything_fits_everything_is_found_open() -> None:
    of = ranks(Crowd(1_000, 50_000))
    found = steady(GIVEN, of, 1e12, 0.0)
    assert found.hit == pytest.approx(1)
    assert found.open_vaults == pytest.approx(1_000)
    assert found.mean_ms == pytest.approx(float((of.count * of.use * (0.5 + 0.0001 * of.items)).sum()))


def test_groups_of_ranks_say_what_single_ranks_say() -> None:
    crowd = Crowd(100_000, 5_000_000)
    for cache in (1e8, 1e9, 1e10):
        one_by_one = steady(GIVEN, ranks(crowd), cache, 0.1)
        together = steady(GIVEN, ranks(crowd, grouped=True), cache, 0.1)
        for name in ("hit", "open_vaults", "mean_ms", "open_items_bytes"):
            assert getattr(together, name) == pytest.approx(getattr(one_by_one, name), rel=0.02), name


def test_ten_times_the_vaults_take_ten_times_the_storage_and_never_less_of_anything() -> None:
    one, ten = plan(GIVEN, Crowd(10**6, 5 * 10**7)), plan(GIVEN, Crowd(10**7, 5 * 10**8))
    assert ten.store_tb == pytest.approx(10 * one.store_tb)
    assert ten.ring_gb == pytest.approx(10 * one.ring_gb)
    assert ten.requests_per_second == pytest.approx(10 * one.requests_per_second)
    assert ten.requests_per_second == pytest.approx(10 * one.requests_per_second)
    assert ten.dollars_month > one.dollars_month
    slower = plan(replace(GIVEN, warm_ms=5.0), Crowd(10**6, 5 * 10**7))
    assert slower.dollars_month > one.dollars_month


def test_the_docs_show_what_the_model_says_of_what_was_measured() -> None:
    page = Path(__file__).parents[2] / "docs" / "explanation" / "scale.md"
    text = page.read_text()
    for table in tables().split("\n\n"):
        assert table in text, "write the tables anew: python -m benchmarks.capacity"
