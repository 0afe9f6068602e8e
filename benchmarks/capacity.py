"""A model of how large Tacita may grow: what a number of vaults takes in storage, RAM, connections, key service calls, money.

    python -m benchmarks.capacity [--parameters FILE] [--json]        the tables of docs/explanation/scale.md
    python -m benchmarks.capacity_run --help                          measures the parameters and checks the model

Vaults are opened on demand and held in RAM in the order of their last use, up to a number of bytes. Who asks next is drawn
from a Zipf law. In caches like that, the time after which an unused vault is evicted is nearly the same for all of them (Che,
Tung and Wang, "Hierarchical Web caching systems", IEEE JSAC 20(7), 2002; with sizes: Fricker, Robert and Roberts, ITC 24,
2012). So a vault that gets a part `p` of the requests is found open with probability 1 - exp(-p * T), where T, in requests,
solves sum(size * (1 - exp(-p * T))) = cache. Everything else is arithmetic on measured parameters.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
PARAMETERS = HERE / "capacity.json"
_BUCKETS = 4_000

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Parameters:
    """What one item, one vault and one request cost. Measured by `benchmarks.capacity_run`; times in ms, sizes in bytes."""

    item_bytes: float
    """Of the store, indexes and snapshots included, for an item of a vault."""
    vault_bytes: float
    """Of the store, for a vault besides its items."""
    ring_bytes: float
    """Of the key ring, for a vault."""
    open_item_bytes: float
    """RAM for an item of an open vault."""
    open_vault_bytes: float
    """RAM for an open vault besides its items."""
    cold_ms: float
    """Opening a vault and the first search in it, besides its items."""
    cold_item_ms: float
    warm_ms: float
    """A search in an open vault, besides its items."""
    warm_item_ms: float
    add_ms: float
    """One durable add to an open vault."""


@dataclass(frozen=True)
class Crowd:
    """How many vaults there are, how large, and how unevenly they are used."""

    vaults: int
    items: int
    """In all vaults together."""
    size_exponent: float = 0.6
    """The vault of rank r has a number of items in proportion to r ** -size_exponent, but at least `least`."""
    use_exponent: float = 0.9
    """Who asks next is the vault of rank r with a probability in proportion to r ** -use_exponent."""
    adds: float = 0.1
    """Part of the requests that are adds; the others are searches."""
    least: int = 4
    most: int = 20_000


@dataclass(frozen=True)
class Ranks:
    """Vaults by rank: each entry stands for `count` vaults that are alike. Shapes `(n,)`."""

    count: Array
    items: Array
    use: Array
    """Probability that the next request goes to one such vault."""


def ranks(crowd: Crowd, *, grouped: bool = False) -> Ranks:
    """All vaults one by one, or in groups of neighbouring ranks."""
    if not grouped:
        edges = np.arange(1, crowd.vaults + 2, dtype=float)
    else:
        edges = np.unique(np.geomspace(1, crowd.vaults + 1, _BUCKETS).astype(np.int64)).astype(float)
    count = np.diff(edges)
    middle = np.sqrt(edges[:-1] * np.maximum(edges[1:] - 1, edges[:-1]))
    shape = middle**-crowd.size_exponent

    def total(scale: float) -> float:
        return float((count * np.clip(scale * shape, crowd.least, crowd.most)).sum())

    low, high = 0.0, 1.0
    while total(high) < crowd.items and high < 1e18:
        high *= 2
    for _ in range(200):
        scale = (low + high) / 2
        low, high = (scale, high) if total(scale) < crowd.items else (low, scale)
    items = np.clip(high * shape, crowd.least, crowd.most)
    if not grouped:
        items = np.floor(items + 0.5)
    weight = middle**-crowd.use_exponent
    return Ranks(count, items, weight / float((count * weight).sum()))


@dataclass(frozen=True)
class Steady:
    """What one worker does once its cache is full."""

    hit: float
    """Part of the requests that find their vault open."""
    open_vaults: float
    open_items_bytes: float
    mean_ms: float
    per_second: float
    """Requests one after the other, without any that run side by side."""
    cold_per_second: float


def steady(given: Parameters, of: Ranks, cache_bytes: float, adds: float) -> Steady:
    """One worker that gets all requests, or its share of them when vaults are spread by consistent hashing."""
    size = given.open_vault_bytes + given.open_item_bytes * of.items
    if float((of.count * size).sum()) <= cache_bytes:
        there = np.ones_like(size)
    else:
        low, high = 0.0, 1.0

        def held(time: float) -> Array:
            return np.asarray(-np.expm1(-of.use * time))

        while float((of.count * size * held(high)).sum()) < cache_bytes:
            high *= 2
        for _ in range(100):
            time = (low + high) / 2
            low, high = (time, high) if float((of.count * size * held(time)).sum()) < cache_bytes else (low, time)
        there = held(high)
    use = of.count * of.use
    hit = float((use * there).sum())
    warm = given.warm_ms + given.warm_item_ms * of.items
    cold = given.cold_ms + given.cold_item_ms * of.items
    # An add to a vault that is not open has to open it, too; it does not search.
    searching = (1 - adds) * (there * warm + (1 - there) * cold)
    adding = adds * (given.add_ms + (1 - there) * cold)
    mean = float((use * (searching + adding)).sum())
    return Steady(
        hit=hit,
        open_vaults=float((of.count * there).sum()),
        open_items_bytes=float((of.count * size * there).sum()),
        mean_ms=mean,
        per_second=1000 / mean,
        cold_per_second=(1 - hit) * 1000 / mean,
    )


@dataclass(frozen=True)
class Prices:
    """Assumptions in dollars, not quotations: put in your own with `--prices`."""

    storage_gb_month: float = 0.12
    """A GB of replicated block storage, for a month."""
    ram_gb_month: float = 4.0
    """A GB of a machine's RAM with the cores that come with it, for a month."""
    key_calls_10k: float = 0.03
    """Ten thousand calls of a key service."""


@dataclass(frozen=True)
class Plan:
    """What a deployment takes."""

    vaults: int
    items: int
    store_tb: float
    ring_gb: float
    requests_per_second: float
    hit: float
    mean_ms: float
    """Of a request, of which those that open a vault are the long ones."""
    ram_gb: float
    """Of open vaults, on all workers together."""
    cores: float
    """Of workers, at 60 % use."""
    workers: int
    connections: int
    key_calls_per_second: float
    dollars_month: float


def plan(
    given: Parameters,
    crowd: Crowd,
    *,
    active: float = 0.05,
    daily: float = 20.0,
    peak: float = 3.0,
    worker_gb: float = 8.0,
    renew_seconds: float = 150.0,
    prices: Prices | None = None,
    pool: int = 8,
) -> Plan:
    """The cheapest deployment in which `active` of the vaults get `daily` requests a day, at `peak` times the mean rate.

    What is weighed is RAM for open vaults against the cores and the calls of a key service that opening them takes. The service
    is asked when a vault is opened and again every `renew_seconds` (half of `key_cache`) while it is in use.
    """
    prices = prices or Prices()
    of = ranks(crowd, grouped=True)
    rate = crowd.vaults * active * daily / 86_400 * peak
    whole = float((of.count * (given.open_vault_bytes + given.open_item_bytes * of.items)).sum())
    caches = np.geomspace(min(1e9, whole), whole, 30)
    plans = [
        _with_cache(given, crowd, of, rate, float(cache), peak, worker_gb, renew_seconds, prices, pool)
        for cache in caches
    ]
    return min(plans, key=lambda each: each.dollars_month)


def _with_cache(
    given: Parameters,
    crowd: Crowd,
    of: Ranks,
    rate: float,
    cache: float,
    peak: float,
    worker_gb: float,
    renew_seconds: float,
    prices: Prices,
    pool: int,
) -> Plan:
    at = steady(given, of, cache, crowd.adds)
    ram_gb = at.open_items_bytes / 1e9
    cores = rate * at.mean_ms / 1000 / 0.6
    workers = max(2, int(np.ceil(max(cores, ram_gb / worker_gb))))
    cold = rate * (1 - at.hit)
    # A vault is asked for again only while somebody uses it: at most once for each request that it gets.
    renewals = float((of.count * np.minimum(rate * of.use, 1 / renew_seconds)).sum())
    calls = cold + renewals
    store = crowd.items * given.item_bytes + crowd.vaults * given.vault_bytes
    ring = crowd.vaults * given.ring_bytes
    month = 30 * 86_400
    dollars = (
        (store + ring) / 1e9 * prices.storage_gb_month
        # The machines have to hold the vaults, or to have the cores: 4 GB come with a core.
        + max(ram_gb, 4 * cores) * prices.ram_gb_month
        + calls / peak * month / 10_000 * prices.key_calls_10k
    )
    return Plan(
        vaults=crowd.vaults,
        items=crowd.items,
        store_tb=store / 1e12,
        ring_gb=ring / 1e9,
        requests_per_second=rate,
        hit=at.hit,
        mean_ms=at.mean_ms,
        ram_gb=ram_gb,
        cores=cores,
        workers=workers,
        connections=workers * pool,
        key_calls_per_second=calls,
        dollars_month=dollars,
    )


def load(path: Path = PARAMETERS) -> Parameters:
    """Parameters from a file that `capacity_run` wrote. Raises ValueError for a file that holds others."""
    held = json.loads(path.read_text())["parameters"]
    known = {each.name for each in fields(Parameters)}
    if held.keys() - known:
        raise ValueError(f"{path} holds unknown parameters: {', '.join(sorted(held.keys() - known))}")
    return Parameters(**held)


PLANS: tuple[tuple[str, str], ...] = (
    ("items", "{:,.0f}"),
    ("store_tb", "{:,.2f} TB"),
    ("ring_gb", "{:,.1f} GB"),
    ("requests_per_second", "{:,.0f}"),
    ("hit", "{:.1%}"),
    ("mean_ms", "{:,.1f} ms"),
    ("ram_gb", "{:,.1f} GB"),
    ("cores", "{:,.1f}"),
    ("workers", "{:,.0f}"),
    ("connections", "{:,.0f}"),
    ("key_calls_per_second", "{:,.0f}"),
    ("dollars_month", "{:,.0f}"),
)
SAYS = {
    "items": "items",
    "store_tb": "store",
    "ring_gb": "key ring",
    "requests_per_second": "requests a second, at the peak",
    "hit": "find their vault open",
    "mean_ms": "a request takes, embedding excluded",
    "ram_gb": "RAM of open vaults",
    "cores": "cores of workers, 60 % busy",
    "workers": "workers of 8 GB or one core",
    "connections": "connections, at most",
    "key_calls_per_second": "calls of a key service a second",
    "dollars_month": "dollars a month",
}


def plans_table(plans: Sequence[Plan]) -> list[str]:
    """Markdown."""
    lines = ["| | " + " | ".join(f"{each.vaults:,} vaults" for each in plans) + " |", "|---|" + "---:|" * len(plans)]
    for name, how in PLANS:
        cells = " | ".join(how.format(getattr(each, name)) for each in plans)
        lines.append(f"| {SAYS[name]} | {cells} |")
    return lines


def checks_table(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown: what was measured beside what the model said."""
    lines = [
        "| cache | of all | found open | model | mean, ms | model | vaults open | model |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for each in checks:
        seen, said = each["measured"], each["predicted"]
        lines.append(
            f"| {each['cache_bytes'] / 1e9:.2f} GB | {each['part']:.0%} | {seen['hit']:.1%} | {said['hit']:.1%} "
            f"| {seen['mean_ms']:.1f} | {said['mean_ms']:.1f} | {seen['open_vaults']:,} | {said['open_vaults']:,.0f} |"
        )
    return lines


def tables(path: Path = PARAMETERS, prices: Prices | None = None, items: int = 50, active: float = 0.05) -> str:
    """All that the docs show: parameters, the check, the plans."""
    given, held = load(path), json.loads(path.read_text())
    plans = [
        plan(given, Crowd(vaults, vaults * items), active=active, prices=prices)
        for vaults in (1_000_000, 100_000_000, 1_000_000_000)
    ]
    measured = [
        f"| `{name}` | {value:,.0f} |" if value >= 100 else f"| `{name}` | {value:.2g} |"
        for name, value in asdict(given).items()
    ]
    return "\n".join(
        [
            *("| parameter | value |", "|---|---:|", *measured, ""),
            *(*checks_table(held["checks"]), ""),
            *plans_table(plans),
        ]
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--parameters", type=Path, default=PARAMETERS)
    parser.add_argument("--prices", type=json.loads, default={}, help='such as {"storage_gb_month": 0.1}')
    parser.add_argument("--items", type=int, default=50, help="mean number of items of a vault")
    parser.add_argument("--active", type=float, default=0.05, help="part of the vaults that are used on a day")
    parser.add_argument("--json", action="store_true", help="the plans only")
    chosen = parser.parse_args()
    prices = Prices(**chosen.prices)
    if not chosen.json:
        print(tables(chosen.parameters, prices, chosen.items, chosen.active))
        return
    given = load(chosen.parameters)
    crowds = [Crowd(vaults, vaults * chosen.items) for vaults in (1_000_000, 100_000_000, 1_000_000_000)]
    json.dump(
        [asdict(plan(given, crowd, active=chosen.active, prices=prices)) for crowd in crowds], sys.stdout, indent=1
    )


if __name__ == "__main__":
    main()
