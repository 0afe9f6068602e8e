"""A request that fails at any point of any change: a reader sees the vault as before or as after, and never half.

And an answer that is lost after the change took effect is neither reported as a failure nor makes it happen twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.kv.faults import (
    Crashed,
    Faults,
    FaultyDynamo,
    FaultyRedis,
    look,
    lost_dynamo_answer,
    lost_redis_answer,
)
from tests.kv.servers import MotoServer, RedisServer, named, secret

from tacita.ports.log import LogStore
from tacita.sealed import DropCounts, PurgedEvent, SealedPart, VaultHead
from tacita.stores import _dynamo, _dynamo_layout, _dynamo_write, dynamodb
from tacita.stores import redis as redis_store
from tacita.stores.dynamodb import DynamoLogStore
from tacita.stores.redis import RedisLogStore
from tacita.testing.log_contract import LATER, A, E, event, events

pytestmark = pytest.mark.slow
DYNAMO_STEP = int(os.environ.get("TACITA_DYNAMO_STEP", "4"))
"""moto takes some ten milliseconds for a request: every fourth one of an operation fails, in `make torture` every one."""
Open = Callable[[], LogStore]


def small_items(patch: pytest.MonkeyPatch) -> None:
    """Limits so low that a few events take every way that large ones take."""
    patch.setattr(_dynamo_layout, "PACK_BYTES", 400)
    patch.setattr(_dynamo_write, "_INLINE_BYTES", 500)
    patch.setattr(_dynamo_write, "_INLINE_PACKS", 3)
    patch.setattr(redis_store, "_AT_ONCE_ROWS", 4)


@pytest.fixture(params=["dynamodb", "redis"])
def faulty(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[Open, Faults, Callable[[], BaseException]]:
    """How to open the store, whose requests go through `Faults`, these, and what a lost answer looks like."""
    small_items(monkeypatch)
    faults = Faults()
    kind: str = request.param
    if kind == "dynamodb":
        moto: MotoServer = request.getfixturevalue("moto")
        moto.forget()
        faults.step = DYNAMO_STEP
        monkeypatch.setattr(_dynamo, "_PAUSE", 0.001)
        first = DynamoLogStore(moto.uri(named(tmp_path)), secret)
        table = first._table
        # One client for all: to make one takes longer than most tests.
        monkeypatch.setattr(
            dynamodb, "open_table", lambda *_: _dynamo.Table(FaultyDynamo(table.client, faults), table.name, 6)
        )
        return lambda: DynamoLogStore(moto.uri(named(tmp_path)), secret), faults, lost_dynamo_answer
    server: RedisServer = request.getfixturevalue("redis_server")

    def open_redis() -> LogStore:
        store = RedisLogStore(server.uri(named(tmp_path), rewrite="-1"), secret)
        store._servers._client = FaultyRedis(store._servers._client, faults)
        return store

    return open_redis, faults, lost_redis_answer


def before(store: LogStore) -> None:
    """A vault with small and large appends, a large event, a purged one and a snapshot."""
    store.append(A, 0, events(1, 2), epoch=E)
    store.append(A, 2, [event(3, 2_000), *events(4, 8)], epoch=E)
    store.append(A, 11, [event(12)], purge=[2], epoch=E)
    store.write_snapshot(A, 12, iter([SealedPart(0, b"s" * 900), SealedPart(1, b"t" * 900)]))


HOLE = PurgedEvent(b"t" * 16, b"d" * 32)
CHANGES: dict[str, Callable[[LogStore], Any]] = {
    "append": lambda store: store.append(A, 12, [event(13)], epoch=E),
    "append much": lambda store: store.append(A, 12, [event(13), event(14, 2_000), *events(15, 9)], epoch=E),
    "purge": lambda store: store.append(A, 12, [event(13)], purge=[1, 3, 5, 6], epoch=E),
    "replace": lambda store: store.replace(
        A, VaultHead(A, 1, 12, E), [event(51, 2_000), HOLE, *events(53, 11)], epoch=LATER
    ),
    "drop": lambda store: store.drop(A, epoch=E),
    "snapshot": lambda store: store.write_snapshot(A, 12, iter([SealedPart(0, b"new" * 900)])),
    "drop snapshots": lambda store: store.drop_snapshots(A),
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("what", CHANGES)
def test_cut_short_anywhere_a_reader_sees_old_or_new(
    faulty: tuple[Open, Faults, Callable[[], BaseException]], what: str, after: bool
) -> None:
    opened, faults, _ = faulty
    reference = opened()
    before(reference)
    old = look(reference)
    CHANGES[what](reference)
    new = look(reference)
    assert old != new
    reference.drop(A, epoch=new.head.epoch if new.head else E)
    outcomes = set()
    for number in faults.turns():
        store = opened()
        before(store)
        faults.arm(number, after=after)
        try:
            CHANGES[what](store)
            finished = True
        except Crashed:
            finished = False
        faults.arm(0, after=False)
        # Another process finds what this one left.
        found = look(opened())
        assert found in (old, new), (number, faults.seen)
        outcomes.add(found == new)
        _goes_on(opened(), found.head)
        if finished:
            break
    else:
        raise AssertionError("it never finished")
    assert outcomes == {False, True} or (after and outcomes == {True})
    assert number > 1


def _goes_on(store: LogStore, head: VaultHead | None) -> None:
    """Whatever was left over hinders nobody, and is gone with the vault."""
    seq = head.seq if head else 0
    epoch = head.epoch if head else E
    assert store.append(A, seq, [event(90)], epoch=epoch) == seq + 1
    assert [row.seq for row in store.read(A)] == list(range(1, seq + 2))
    assert store.drop(A, epoch=epoch).events == seq + 1
    assert store.head(A) is None
    assert list(store.read(A)) == []
    assert list(store.vaults()) == []
    assert _left(store) == 0


def _left(store: LogStore) -> int:
    """Items or keys that are left of a vault that was dropped, but those that expire."""
    if isinstance(store, DynamoLogStore):
        return len(store._table.client._client.scan(TableName=store._table.name)["Items"])
    assert isinstance(store, RedisLogStore)
    client = store._servers._client._client
    return sum(client.pttl(key) == -1 for key in client.scan_iter(f"{store._prefix}*"))


@pytest.mark.parametrize("what", CHANGES)
def test_a_lost_answer_is_neither_a_failure_nor_a_second_time(
    faulty: tuple[Open, Faults, Callable[[], BaseException]], what: str
) -> None:
    opened, faults, lost = faulty
    reference = opened()
    before(reference)
    answer = CHANGES[what](reference)
    new = look(reference)
    reference.drop(A, epoch=new.head.epoch if new.head else E)
    for number in faults.turns():
        store = opened()
        before(store)
        faults.arm(number, after=True, fail=lost)
        assert CHANGES[what](store) == answer, (number, faults.seen)
        reached = len(faults.seen) >= number
        faults.arm(0, after=False)
        assert look(store) == new, (number, faults.seen)
        _goes_on(store, new.head)
        if not reached:
            break
    assert number > 1


def test_a_lost_answer_is_known_even_when_others_wrote_since(
    faulty: tuple[Open, Faults, Callable[[], BaseException]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, faults, lost = faulty
    mine, others = opened(), opened()
    mine.append(A, 0, events(1, 2), epoch=E)
    other_faults = Faults()
    client = others._table if isinstance(others, DynamoLogStore) else others._servers  # type: ignore[attr-defined]
    name = "client" if isinstance(others, DynamoLogStore) else "_client"
    wrapped = getattr(client, name)
    setattr(client, name, type(wrapped)(wrapped._client, other_faults))
    around = faults.around
    lost_once = []

    def meanwhile(command: str, request: Callable[[], Any]) -> Any:
        answer = around(command, request)
        if command in ("transact_write_items", "EVAL") and not lost_once:
            lost_once.append(command)
            others.append(A, 3, [event(4)], epoch=E)
            raise lost()
        return answer

    monkeypatch.setattr(faults, "around", meanwhile)
    assert mine.append(A, 2, [event(3)], epoch=E) == 3
    assert lost_once
    assert [row.item_tag for row in mine.read(A)] == [event(number).item_tag for number in (1, 2, 3, 4)]


def test_a_row_is_never_gone_without_the_event_that_says_so(
    faulty: tuple[Open, Faults, Callable[[], BaseException]],
) -> None:
    """A reader that began before a purge sees the row, or the purge."""
    opened, _, _ = faulty
    reading, purging = opened(), opened()
    reading.append(A, 0, events(1, 2), epoch=E)
    reading.append(A, 2, [event(3, 2_000)], epoch=E)
    for number in range(4, 40):
        reading.append(A, number - 1, [event(number)], epoch=E)
    rows: Iterator[Any] = reading.read(A)
    seen = [next(rows)]
    purging.append(A, 39, [event(40)], purge=[2, 3, 30], epoch=E)
    seen += rows
    holes = [row.seq for row in seen if row.sealed is None]
    assert not holes or seen[-1].seq == 40
    assert [row.seq for row in seen] == list(range(1, len(seen) + 1))
    assert msgspec.structs.replace(seen[0]) == next(reading.read(A))


def test_a_snapshot_folded_before_a_purge_comes_too_late(
    faulty: tuple[Open, Faults, Callable[[], BaseException]],
) -> None:
    opened, _, _ = faulty
    store, other = opened(), opened()
    store.append(A, 0, events(1, 2), epoch=E)

    def parts() -> Iterator[SealedPart]:
        yield SealedPart(0, b"with the secret")
        other.append(A, 2, [event(3)], purge=[1], epoch=E)
        yield SealedPart(1, b"more")

    store.write_snapshot(A, 2, parts())
    assert store.read_snapshot(A) is None
    assert store.drop(A, epoch=E) == DropCounts(3, 0)
    assert _left(store) == 0
