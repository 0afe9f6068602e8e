"""Large events and batches, and races of threads and processes, on every kind of store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.kv.servers import MotoServer, RedisCluster, RedisServer, named, secret

from tacita import limits, registry
from tacita.errors import HeadMoved
from tacita.ports.log import LogStore
from tacita.sealed import SealedPart, VaultHead
from tacita.testing.log_contract import LATER, A, E, event, events

pytestmark = pytest.mark.slow
Open = Callable[[], LogStore]


@pytest.fixture(params=["redis", "cluster", "dynamodb"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    name: str = request.param
    if name == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.uri(named(tmp_path))
    if name == "cluster":
        cluster: RedisCluster = request.getfixturevalue("redis_cluster")
        return cluster.uri(named(tmp_path))
    moto: MotoServer = request.getfixturevalue("moto")
    moto.forget()
    return moto.uri(named(tmp_path))


@pytest.fixture
def opened(uri: str) -> Open:
    return lambda: registry.lookup("stores", registry.split(uri)[0])(uri, secret)


def test_five_thousand_events_at_once_and_large_ones(opened: Open) -> None:
    store = opened()
    many = [event(number, 1_500) for number in range(1, 5_001)]
    assert store.append(A, 0, many, epoch=E) == 5_000
    assert [row.sealed for row in store.read(A)] == [each.sealed for each in many]
    largest = [event(5_001, limits.SEALED_EVENT_BYTES - 6), event(5_002, 500_000), event(5_003)]
    assert store.append(A, 5_000, largest, epoch=E) == 5_003
    assert [row.sealed for row in store.read(A, after=5_000)] == [each.sealed for each in largest]
    assert [row.seq for row in store.fetch(A, [1, 2_500, 5_001, 5_004])] == [1, 2_500, 5_001]
    assert store.append(A, 5_003, [event(5_004)], purge=[*range(2, 3_000), 5_001], epoch=E) == 5_004
    rows = list(store.read(A))
    assert [row.seq for row in rows if row.sealed is None] == [*range(2, 3_000), 5_001]
    parts = [SealedPart(number, os.urandom(1_048_576 + 200)) for number in range(3)]
    store.write_snapshot(A, 5_004, iter(parts))
    found = store.read_snapshot(A)
    assert found is not None
    assert list(found[1]) == parts
    log = [event(number, 1_500) for number in range(1, 5_006)]
    assert store.replace(A, VaultHead(A, 1, 5_004, E), log, epoch=LATER) == 5_005
    assert [row.sealed for row in store.read(A)] == [each.sealed for each in log]
    assert store.drop(A, epoch=LATER).events == 5_005
    assert opened().head(A) is None


def test_processes_race(opened: Open, uri: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    writers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.kv.writer", uri, str(1_000 * number), "15"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=Path(__file__).parents[2],
        )
        for number in range(3)
    ]
    for writer in writers:
        _, told = writer.communicate(timeout=120)
        assert writer.returncode == 0, told
    tags = sorted(int.from_bytes(row.item_tag) for row in opened().read(A))
    assert tags == [1_000 * number + count for number in range(3) for count in range(15)]


def test_large_and_small_appends_race(opened: Open) -> None:
    """None is lost, and none is there in half."""
    store = opened()

    def write(number: int) -> None:
        mine = [event(100 * number + count, 6_000 if number % 2 else 100) for count in range(100 if number % 2 else 1)]
        while True:
            head = store.head(A)
            try:
                store.append(A, head.seq if head else 0, mine, epoch=E)
            except HeadMoved:
                continue
            return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(1, 13)))
    tags = [int.from_bytes(row.item_tag) for row in store.read(A)]
    assert len(tags) == 6 * 100 + 6
    assert sorted(tags) == sorted(set(tags))
    for number in range(1, 13, 2):
        start = tags.index(100 * number)
        assert tags[start : start + 100] == list(range(100 * number, 100 * number + 100))


def test_readers_while_a_log_is_replaced_and_purged(opened: Open) -> None:
    store = opened()
    store.append(A, 0, events(1, 50), epoch=E)

    def change() -> None:
        for number in range(6):
            head = store.head(A)
            assert head is not None
            epoch = bytes([number]) * 16
            store.replace(A, head, events(1_000 * number, head.seq + 1), epoch=epoch)
            store.append(A, head.seq + 1, [event(7)], purge=[3, 4], epoch=epoch)

    reader = opened()
    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        seen = 0
        while not changing.done():
            try:
                rows = list(reader.read(A))
            except HeadMoved:
                continue
            assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
            holes = [row.seq for row in rows if row.sealed is None]
            assert holes in ([], [3, 4])
            first, second = (int.from_bytes(row.item_tag) for row in rows[:2])
            assert second == first + 1
            seen += 1
        changing.result()
    assert seen
