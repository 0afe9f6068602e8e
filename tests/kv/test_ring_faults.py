"""A key ring whose requests fail at any point: as before or as after, and a lost answer changes nothing of the answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.kv.faults import Crashed, Faults, FaultyDynamo, FaultyRedis, lost_dynamo_answer, lost_redis_answer
from tests.kv.servers import MotoServer, RedisServer, named, secret

from tacita.ports.keys import KeyRing
from tacita.sealed import Anchor, RingEntry
from tacita.stores import _dynamo
from tacita.stores.dynamodb_ring import DynamoKeyRing
from tacita.stores.redis_ring import RedisKeyRing
from tacita.testing.ring_contract import entry

Faulty = tuple[KeyRing, Faults, Callable[[], BaseException]]


@pytest.fixture(params=["dynamodb", "redis"])
def faulty(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faulty:
    faults = Faults()
    if request.param == "dynamodb":
        moto: MotoServer = request.getfixturevalue("moto")
        moto.forget()
        monkeypatch.setattr(_dynamo, "_PAUSE", 0.001)
        dynamo = DynamoKeyRing(moto.uri(named(tmp_path)), secret)
        dynamo._table.client = FaultyDynamo(dynamo._table.client, faults)
        return dynamo, faults, lost_dynamo_answer
    server: RedisServer = request.getfixturevalue("redis_server")
    redis = RedisKeyRing(server.uri(named(tmp_path), rewrite="-1"), secret)
    redis._servers._client = FaultyRedis(redis._servers._client, faults)
    return redis, faults, lost_redis_answer


def following(vault_id: bytes) -> RingEntry:
    return replace(entry(vault_id, b"next " + vault_id[:4]), key_version=2)


CHANGES: dict[str, Callable[[KeyRing, bytes], Any]] = {
    "create": lambda ring, new: ring.create(entry(new[::-1], b"another")),
    "advance": lambda ring, new: ring.advance(new, Anchor(7, b"7" * 32)),
    "rewind": lambda ring, new: ring.rewind(new, Anchor(1, b"1" * 32)),
    "prepare": lambda ring, new: ring.prepare(replace(following(new), key_version=2)),
    "promote": lambda ring, new: ring.promote(new, 2, Anchor(9, b"9" * 32)),
    "shred": lambda ring, new: ring.shred(new),
    "put setting": lambda ring, new: ring.put_setting_once(new.hex(), b"value"),
    "swap in setting": lambda ring, new: ring.swap_setting(new.hex(), None, b"value"),
    "swap setting": lambda ring, new: ring.swap_setting("old" + new.hex(), b"old", b"new"),
    "bury": lambda ring, new: ring.bury(new[::-1]),
    "drop setting": lambda ring, new: ring.drop_setting("old" + new.hex()),
}


def before(ring: KeyRing, new: bytes, what: str) -> None:
    ring.create(entry(new))
    ring.advance(new, Anchor(3, b"3" * 32))
    ring.put_setting_once("old" + new.hex(), b"old")
    if what == "promote":
        ring.prepare(following(new))


def look(ring: KeyRing, new: bytes) -> tuple[Any, ...]:
    """All that is known of a vault, with its id taken out."""
    kept = (ring.get(new), ring.successor(new), ring.get(new[::-1]))
    plain = tuple(None if each is None else replace(each, vault_id=b"", wrapped=each.wrapped[:5]) for each in kept)
    gone = (ring.shredded(new), ring.shredded(new[::-1]))
    return (*plain, *gone, ring.setting(new.hex()), ring.setting("old" + new.hex()))


def vault(number: int) -> bytes:
    return bytes([number, 1]) * 15 + b"zz"


@pytest.mark.parametrize("what", CHANGES)
def test_before_or_after(faulty: Faulty, what: str) -> None:
    ring, faults, _ = faulty
    before(ring, vault(0), what)
    old = look(ring, vault(0))
    CHANGES[what](ring, vault(0))
    new = look(ring, vault(0))
    assert old != new
    for number in range(1, 20):
        for after in (False, True):
            mine = vault(2 * number + after)
            before(ring, mine, what)
            faults.arm(number, after=after)
            try:
                CHANGES[what](ring, mine)
                finished = True
            except Crashed:
                finished = False
            faults.arm(0, after=False)
            assert look(ring, mine) in (old, new)
        if finished:
            return
    raise AssertionError("it never finished")


@pytest.mark.parametrize("what", CHANGES)
def test_a_lost_answer(faulty: Faulty, what: str) -> None:
    ring, faults, lost = faulty
    before(ring, vault(0), what)
    answer = CHANGES[what](ring, vault(0))
    new = look(ring, vault(0))
    for number in range(1, 20):
        before(ring, vault(number), what)
        faults.arm(number, after=True, fail=lost)
        again = CHANGES[what](ring, vault(number))
        reached = len(faults.seen) >= number
        faults.arm(0, after=False)
        assert again == answer or isinstance(answer, RingEntry)
        assert look(ring, vault(number)) == new
        if not reached:
            return
    raise AssertionError("it never finished")


def test_a_lost_answer_to_rewrap(faulty: Faulty) -> None:
    ring, faults, lost = faulty
    ids = [vault(number) for number in range(5)]
    for vault_id in ids:
        ring.create(entry(vault_id))
    for round_, at in enumerate((1, 2)):
        pairs = []
        for vault_id in ids:
            old = ring.get(vault_id)
            assert old is not None
            pairs.append((old, replace(old, wrapped=b"round %d" % round_, provider="test:2")))
        faults.arm(at, after=True, fail=lost)
        assert ring.rewrap(pairs) == 5
        faults.arm(0, after=False)
        assert {each.wrapped for each in ring.entries()} == {b"round %d" % round_}
