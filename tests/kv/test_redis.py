"""Redis: what is refused at the door, what survives a kill, what leaves the append-only file, what errors tell."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from tests.kv.servers import PASSWORD, RedisCluster, RedisServer, named, refuses_a_forked_child, secret, wait_for

from tacita.credentials import Credential
from tacita.errors import ConfigError, HeadMoved, StoreError, Tampered
from tacita.stores import _redis_uri
from tacita.stores.redis import RedisLogStore
from tacita.stores.redis_ring import RedisKeyRing
from tacita.testing.log_contract import A, E, event
from tacita.testing.ring_contract import entry

KILLS = int(os.environ.get("TACITA_REDIS_KILLS", "3"))


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    made: list[RedisServer] = []

    def one(*options: str) -> RedisServer:
        made.append(RedisServer(tmp_path / f"server{len(made)}", *options))
        return made[-1]

    yield one
    for server in made:
        server.stop()


@pytest.mark.parametrize(
    "line", ["appendonly no", "appendfsync everysec", "appendfsync no", "no-appendfsync-on-rewrite yes"]
)
def test_a_server_that_loses_what_it_acknowledged_is_refused(make: Callable[..., RedisServer], line: str) -> None:
    server = make(line)
    for kind in (RedisLogStore, RedisKeyRing):
        with pytest.raises(StoreError, match="acknowledged memories could be lost: set " + line.split()[0]):
            kind(server.uri(), secret)
    store = RedisLogStore(server.uri(durability="accepted-loss"), secret)
    assert store.append(A, 0, [event(1)], epoch=E) == 1
    store.close()


def test_a_server_that_makes_room_by_forgetting_is_refused_whatever_is_accepted(
    make: Callable[..., RedisServer],
) -> None:
    server = make("maxmemory 50mb", "maxmemory-policy allkeys-lru")
    with pytest.raises(StoreError, match="deletes keys when its memory is full"):
        RedisLogStore(server.uri(durability="accepted-loss"), secret)


def test_a_server_that_does_not_tell_is_refused(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "mute", "on", f">{PASSWORD}", "~*", "+@all", "-config", "-bgrewriteaof"
        )
    with pytest.raises(StoreError, match=r"\+config\|get"):
        RedisLogStore(redis_server.uri("mute", user="mute"), secret)
    store = RedisLogStore(redis_server.uri("mute", user="mute", durability="accepted-loss"), secret)
    store.append(A, 0, [event(1)], epoch=E)
    # It may not ask for a rewrite of the file either; the how-to says what then remains.
    store.append(A, 1, [event(2)], purge=[1], epoch=E)
    assert next(store.read(A)).sealed is None
    store.close()


def test_the_rights_in_the_how_to_are_enough(redis_server: RedisServer) -> None:
    text = (Path(__file__).parents[2] / "docs/how-to/redis.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("ACL SETUSER tacita "))
    with redis_server.client() as client:
        client.execute_command(*(f">{PASSWORD}" if word.startswith(">") else word for word in line.split()))
    store = RedisLogStore(redis_server.uri(user="tacita"), secret)
    ring = RedisKeyRing(redis_server.uri(user="tacita"), secret)
    store.append(A, 0, [event(number) for number in range(1, 1_200)], epoch=E)
    store.append(A, 1_199, [event(3)], purge=[1], epoch=E)
    ring.create(entry(A))
    assert [each.vault_id for each in ring.entries()] == [each.vault_id for each in store.vaults()] == [A]
    assert store.size() > 0
    ring.shred(A)
    store.drop(A, epoch=E)
    store.close()
    ring.close()


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(
    make: Callable[..., RedisServer], record_property: Callable[[str, object], None]
) -> None:
    server = make()
    acknowledged = 0
    for number in range(KILLS):
        store = RedisLogStore(server.uri(), secret)
        ring = RedisKeyRing(server.uri(), secret)
        killed = Event()

        def write(worker: int, store: RedisLogStore = store, killed: Event = killed, number: int = number) -> list[int]:
            done = []
            for count in range(100_000):
                mine = 1_000_000 * (number + 1) + 100_000 * worker + count
                try:
                    head = store.head(A)
                    store.append(A, head.seq if head else 0, [event(mine)], epoch=E)
                except HeadMoved:
                    continue
                except StoreError as failed:
                    return done if killed.is_set() and failed.retryable else []
                done.append(mine)
            raise AssertionError("never killed")

        with ThreadPoolExecutor(3) as pool:
            writers = [pool.submit(write, worker) for worker in range(3)]
            time.sleep(0.4)
            killed.set()
            server.kill()
            done = {mine for each in writers for mine in each.result()}
        assert len(done) > 5
        ring.close()
        server.start()
        after = RedisLogStore(server.uri(), secret)
        rows = list(after.read(A))
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        kept = {int.from_bytes(row.item_tag) for row in rows}
        assert len(kept) == len(rows), "nothing twice"
        assert done <= kept
        acknowledged += len(done)
        after.close()
    assert acknowledged > 50
    record_property("figure", f"{KILLS} kills, {acknowledged} appends acknowledged, none lost")


def test_a_server_that_comes_back_is_used_again(make: Callable[..., RedisServer]) -> None:
    server = make()
    store = RedisLogStore(server.uri(), secret)
    store.append(A, 0, [event(1)], epoch=E)
    server.kill()
    with pytest.raises(StoreError) as failed:
        store.head(A)
    assert failed.value.retryable
    server.start()
    assert store.append(A, 1, [event(2)], epoch=E) == 2
    store.close()


def test_what_was_purged_leaves_the_append_only_file(make: Callable[..., RedisServer]) -> None:
    server = make()
    store = RedisLogStore(server.uri(rewrite="0"), secret)
    store.append(A, 0, [event(111_111), event(222_222)], epoch=E)
    assert server.file_holds(b"111111111111")
    store.append(A, 2, [event(3)], purge=[1], epoch=E)
    wait_for(lambda: not server.file_holds(b"111111111111"), "the rewritten file")
    assert server.file_holds(b"222222222222")
    time.sleep(0.2)  # a rewrite that is under way would make the next one be owed
    store.drop(A, epoch=E)
    store.close()
    wait_for(lambda: not server.file_holds(b"222222222222"), "the rewritten file")
    ring = RedisKeyRing(server.uri(rewrite="0"), secret)
    ring.create(entry(A, b"the wrapped key bytes"))
    assert server.file_holds(b"the wrapped key bytes")
    time.sleep(0.2)
    ring.shred(A)
    wait_for(lambda: not server.file_holds(b"the wrapped key bytes"), "the rewritten file")
    ring.close()


CANARY = "MARMALADE-CANARY"


def test_errors_tell_neither_secrets_nor_what_was_sent(make: Callable[..., RedisServer], tmp_path: Path) -> None:
    server = make("maxmemory 3mb", "maxmemory-policy noeviction")
    told: list[BaseException] = []

    def fails(call: Callable[[], object]) -> None:
        with pytest.raises((StoreError, ConfigError)) as failed:
            call()
        told.append(failed.value)

    wrong = Credential("env:REDIS_PASSWORD", lambda _: CANARY)
    fails(lambda: RedisLogStore(server.uri(), lambda _: wrong))
    fails(lambda: RedisLogStore(server.uri(user=CANARY), secret))
    store = RedisLogStore(server.uri(), secret)
    sealed = event(1).__class__(b"t" * 16, CANARY.encode() * 100_000, b"d" * 32)
    fails(lambda: [store.append(A, number, [sealed], epoch=E) for number in range(9)])
    with server.client() as client:
        client.execute_command("CONFIG", "SET", "maxmemory", "0")
        client.set(store._keys(A, "head")[0], CANARY)
    fails(lambda: store.head(A))
    fails(lambda: store.append(A, 0, [sealed], epoch=E))
    server.kill()
    fails(lambda: store.append(A, 0, [sealed], epoch=E))
    store._servers._client.close()
    for error in told:
        chain: BaseException | None = error
        while chain is not None:
            assert CANARY not in str(chain)
            assert PASSWORD not in str(chain)
            chain = None if chain.__suppress_context__ else chain.__context__


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("redis://db.example.com:6379/0", "rediss://"),
        ("redis+cluster://127.0.0.1:1,10.0.0.2:2", "rediss://"),
        (f"redis://127.0.0.1/0?password={CANARY}", "by reference"),
        (f"redis://user:{CANARY}@127.0.0.1/0", "no credentials"),
        (f"redis://127.0.0.1/0?pasword={CANARY}", "unknown"),
        ("redis://127.0.0.1/0?prefix=a&prefix=b", "twice"),
        ("redis://127.0.0.1/0?durability=whatever", "accepted-loss"),
        ("redis://127.0.0.1/zero", "database"),
        ("redis+cluster://127.0.0.1:1/3", "cluster"),
        ("redis://127.0.0.1,127.0.0.1", "cluster"),
        ("redis://127.0.0.1:99999/0", "HOST:PORT"),
        ("redis+unix://relative", "Unix socket"),
        ("redis://127.0.0.1?prefix=*", "prefix"),
        ("redis://127.0.0.1?timeout=never", "number"),
    ],
)
def test_addresses_that_are_refused(uri: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as failed:
        _redis_uri.parse(uri)
    assert CANARY not in str(failed.value)


def test_addresses_that_are_taken() -> None:
    parsed = _redis_uri.parse("rediss+cluster://a.example.com,[fd00::1]:7000?password=env:X&ca=/etc/ca.pem")
    assert (parsed.tls, parsed.cluster, parsed.hosts) == (True, True, (("a.example.com", 6379), ("fd00::1", 7000)))
    assert _redis_uri.parse("redis://localhost").database == 0


def test_a_unix_socket(redis_server: RedisServer, tmp_path: Path) -> None:
    uri = f"redis+unix://{redis_server.folder}/redis.sock?password=env:X&prefix={named(tmp_path)}"
    store = RedisLogStore(uri, secret)
    assert store.append(A, 0, [event(1)], epoch=E) == 1
    store.close()


def test_a_forked_child_is_refused_and_the_parent_goes_on(redis_server: RedisServer, tmp_path: Path) -> None:
    store = RedisLogStore(redis_server.uri(named(tmp_path)), secret)
    store.append(A, 0, [event(1)], epoch=E)
    assert refuses_a_forked_child(store, A)
    assert store.append(A, 1, [event(2)], epoch=E) == 2
    store.close()


def test_a_cluster_shares_the_vaults(redis_cluster: RedisCluster, tmp_path: Path) -> None:
    store = RedisLogStore(redis_cluster.uri(named(tmp_path)), secret)
    ids = sorted(bytes([number]) * 32 for number in range(30))
    for vault_id in ids:
        store.append(vault_id, 0, [event(1), event(2)], epoch=E)
        store.append(vault_id, 2, [event(3)], purge=[1], epoch=E)
    assert [head.vault_id for head in store.vaults()] == ids
    counts = []
    for server in redis_cluster.servers:
        with server.client() as client:
            counts.append(sum(1 for _ in client.scan_iter(f"{named(tmp_path)}*:head")))
    assert sum(counts) == 30
    assert all(counts)
    store.close()


@pytest.mark.parametrize("where", ["redis_server", "redis_cluster"])
def test_more_threads_than_connections_wait(request: pytest.FixtureRequest, where: str, tmp_path: Path) -> None:
    server: RedisServer | RedisCluster = request.getfixturevalue(where)
    store = RedisLogStore(f"{server.uri(named(tmp_path))}&pool=2", secret)
    ids = [bytes([number]) * 32 for number in range(100)]
    with ThreadPoolExecutor(24) as pool:
        done = list(pool.map(lambda vault_id: store.append(vault_id, 0, [event(1)], epoch=E), ids))
    assert done == [1] * 100
    store.close()


def test_values_that_were_never_written_are_told_as_such(redis_server: RedisServer, tmp_path: Path) -> None:
    name = named(tmp_path)
    store, ring = RedisLogStore(redis_server.uri(name), secret), RedisKeyRing(redis_server.uri(name), secret)
    with redis_server.client() as client:
        store.append(A, 0, [event(1)], epoch=E)
        client.hset(f"{name}:log:{{{A.hex()}}}:head", "seq", "9" * 5_000)
        with pytest.raises(Tampered):
            store.head(A)
        client.hset(f"{name}:log:{{{A.hex()}}}:head", "seq", str(1 << 32))
        with pytest.raises(Tampered):
            list(store.vaults())
        assert list(ring.settings()) == []
        client.set(f"{name}:ring-setting:no-hex", "x")
        with pytest.raises(Tampered):
            list(ring.settings())
    store.close()
    ring.close()
