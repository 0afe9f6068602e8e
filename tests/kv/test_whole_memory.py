"""A whole memory whose data and keys are elsewhere, opened through settings: everything works, and only noise is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.kv.servers import MotoServer, RedisCluster, RedisServer, named

from tacita import Memory
from tacita.config import Settings
from tacita.errors import Tampered
from tacita.rotating import rotate
from tacita.testing.canary import found_in

pytestmark = pytest.mark.slow

WORD = "marmalade"


@pytest.fixture(params=["redis", "cluster", "dynamodb"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    kind: str = request.param
    if kind == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        store, ring = server.uri(named(tmp_path)), server.uri(named(tmp_path) + "-keys")
    elif kind == "cluster":
        cluster: RedisCluster = request.getfixturevalue("redis_cluster")
        store, ring = cluster.uri(named(tmp_path)), cluster.uri(named(tmp_path) + "-keys")
    else:
        moto: MotoServer = request.getfixturevalue("moto")
        moto.forget()
        store = ring = moto.uri(named(tmp_path))
    written = tmp_path / "tacita.toml"
    written.write_text(f'store = "{store}"\nring = "{ring}"\nembedder = "none"\n')
    return written


def opened(home: Path, config: Path) -> Memory:
    return Memory(settings=Settings.load(home=home, config=config))


def kept(memory: Memory) -> bytes:
    """Every byte that data and keys are kept as."""
    found = bytearray()
    for part in (memory._engine.store, memory._engine.keys.ring):
        table = getattr(part, "_table", None)
        if table is not None:
            found += repr(table.client.scan(TableName=table.name)["Items"]).encode()
            continue
        for server in part._servers.primaries():  # type: ignore[attr-defined]
            for key in server.scan_iter(f"{part._prefix.split(':')[0]}*"):  # type: ignore[attr-defined]
                found += key + (server.dump(key) or b"")
    return bytes(found)


def test_everything(config: Path, home: Path) -> None:
    with opened(home, config) as memory:
        ids = memory.add([f"the {WORD} is in the cellar", "the key is under the mat", "third"], user_id="ana").ids
        memory.add("rui likes tea", user_id="rui")
        assert memory.search(f"where is the {WORD}", user_id="ana").hits[0].item.id == ids[0]
        assert memory.delete(ids[1], user_id="ana").events_purged == 1
        memory.update(ids[2], "the third", user_id="ana")
        assert memory.erase(user_id="rui").events_dropped > 0
        assert memory.verify().ok
        assert memory.stats().vaults >= 1
        assert not list(found_in(kept(memory), [WORD]))
    with opened(home, config) as memory:
        texts = {item.text for item in memory.get_all(user_id="ana").items}
        assert texts == {f"the {WORD} is in the cellar", "the third"}
        assert memory.get_all(user_id="rui").total == 0
        other = opened(home, config)
        memory.add("from one", user_id="ana")
        assert "from one" in {item.text for item in other.get_all(user_id="ana").items}
        other.close()


def test_every_vault_gets_another_key(config: Path, home: Path) -> None:
    with opened(home, config) as memory:
        for number in range(4):
            memory.add([f"text {number}", "more"], user_id=f"user-{number}")
        memory.delete(memory.add("gone", user_id="user-1").ids[0], user_id="user-1")
        report = rotate(Settings.load(home=home, config=config), None, deep=True)
        assert report.resealed >= 4
        assert memory.get_all(user_id="user-1").total == 2, "an open memory follows"
        memory.add("after", user_id="user-1")
    with opened(home, config) as memory:
        assert memory.verify().ok
        assert {item.text for item in memory.get_all(user_id="user-1").items} == {"text 1", "more", "after"}


def test_another_history_of_the_same_length_is_noticed(redis_server: RedisServer, home: Path, tmp_path: Path) -> None:
    """As after a failover to a replica that lacked the last write, when somebody has written to it since."""
    store, ring = redis_server.uri(named(tmp_path)), redis_server.uri(named(tmp_path) + "-keys")
    config = tmp_path / "tacita.toml"
    config.write_text(f'store = "{store}"\nring = "{ring}"\nembedder = "none"\n')
    with opened(home, config) as memory, redis_server.client() as client:
        memory.add("the first", user_id="ana")
        replica = {key: client.dump(key) for key in client.scan_iter(f"{named(tmp_path)}*")}
        memory.add("what the replica never saw", user_id="ana")
        assert memory.search("replica", user_id="ana").hits
        for key, dumped in replica.items():
            assert isinstance(dumped, bytes)
            client.restore(key, 0, dumped, replace=True)
        with opened(home, config) as other:
            other.add("said to the replica", user_id="ana")
        with pytest.raises(Tampered, match="another history"):
            memory.search("replica", user_id="ana")
