"""A memory goes from files to Redis, from there to DynamoDB and home again: nothing is lost, nothing readable is seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.kv.servers import MotoServer, RedisServer, named, secret

from tacita import Memory, Moved
from tacita.config import Settings
from tacita.migrating import migrate
from tacita.stores.dynamodb import DynamoLogStore
from tacita.stores.dynamodb_ring import DynamoKeyRing
from tacita.stores.redis import RedisLogStore
from tacita.stores.redis_ring import RedisKeyRing
from tacita.vault import moved

CANARY = "marmaladecanary"
PEOPLE = ("ana", "rui", "zoe")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moved, "GRACE", 0.3)
    monkeypatch.setattr(moved, "ASK_AFTER", 0.05)


def at(home: Path, place: tuple[str, str] | None = None) -> Settings:
    new = {"store": place[0], "ring": place[1]} if place else {}
    return Settings.load(home=home, config={"embedder": "none", **new})


def told(memory: Memory) -> object:
    return {
        person: [
            (item.to_dict(), [change.to_dict() for change in memory.history(item.id, user_id=person)])
            for item in memory.get_all(user_id=person, limit=1_000).items
        ]
        for person in PEOPLE
    }


def test_from_store_to_store(home: Path, tmp_path: Path, redis_server: RedisServer, moto: MotoServer) -> None:
    moto.forget()
    name = named(tmp_path)
    redis = (redis_server.uri(name), redis_server.uri(name))
    dynamo = (moto.uri(name), moto.uri(name))
    (tmp_path / "back").mkdir(mode=0o700)
    back = (f"sqlite:{tmp_path / 'back' / 'log.db'}", f"sqlite:{tmp_path / 'back' / 'ring.db'}")
    with Memory(settings=at(home)) as memory:
        for person in PEOPLE:
            ids = memory.add([f"{CANARY} of {person} {number}" for number in range(20)], user_id=person).ids
            memory.delete(ids[3], user_id=person)
            memory.update(ids[4], text=f"{CANARY} anew", user_id=person)
        memory.erase(user_id="zoe")
        expected = told(memory)
    before: tuple[str, str] | None = None
    for place in (redis, dynamo, back):
        report = migrate(at(home, before), *place, shred_source=True)
        assert (report.vaults, report.opened, report.keys, report.tombstones) == (3, 3, 3, 1)
        assert report.shredded is not None
        assert (report.shredded.keys, report.shredded.vaults) == (3, 3)
        with pytest.raises(Moved, match="was moved to"):
            Memory(settings=at(home, before))
        with Memory(settings=at(home, place)) as memory:
            assert told(memory) == expected
            assert memory.verify(deep=True).ok
        if place is redis:
            assert not redis_server.file_holds(CANARY.encode())
        if place is dynamo:
            tables = [
                each._table.client.scan(TableName=each._table.name)["Items"]
                for each in (DynamoLogStore(dynamo[0], secret), DynamoKeyRing(dynamo[1], secret))
            ]
            assert CANARY not in str(tables)
        before = place
    left = [RedisLogStore(redis[0], secret), DynamoLogStore(dynamo[0], secret)]
    rings = [RedisKeyRing(redis[1], secret), DynamoKeyRing(dynamo[1], secret)]
    assert not [head for store in left for head in store.vaults()]
    assert not [entry for ring in rings for entry in ring.entries()]
    for each in (*left, *rings):
        each.close()
