"""Room for open vaults: who gets some, who waits, who is refused, and what gives it back."""

from __future__ import annotations

import gc
import logging
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import pytest
from tests.unit.vault.places import Place, added

from tacita.errors import KeyUnavailable, Overloaded, StoreError, Tampered
from tacita.stores.memory import MemoryLogStore
from tacita.vault import room as rooms
from tacita.vault import vault as vaults
from tacita.vault.rekey import rekey
from tacita.vault.room import Room, Share


def nothing(*, least: int) -> bool:
    return False


def waits(seconds: float = 10.0) -> Room:
    return Room(100, seconds, nothing)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# ---------------------------------------------------------------------- the room alone


def test_what_fits_enters_and_what_does_not_is_refused_and_says_what_to_do() -> None:
    room = waits(0.02)
    held = [room.enter(60, room.deadline()), room.enter(40, room.deadline())]
    assert room.taken() == (2, 100)
    with pytest.raises(Overloaded, match=r"2 are in use.*raise cache_bytes or run more workers") as refused:
        room.enter(1, room.deadline())
    assert refused.value.retryable
    assert (room.waits, room.refusals) == (1, 1)
    assert room.taken() == (2, 100), "who was refused takes nothing"
    for share in held:
        room.leave(share)
    assert room.taken() == (0, 0)


def test_one_that_is_larger_than_everything_gets_it_alone() -> None:
    room = waits(0.02)
    small = room.enter(1, room.deadline())
    with pytest.raises(Overloaded):
        room.enter(500, room.deadline())
    room.leave(small)
    giant = room.enter(500, room.deadline())
    with pytest.raises(Overloaded):
        room.enter(1, room.deadline())
    room.leave(giant)
    assert room.enter(1, room.deadline()).nbytes == 1


def test_the_first_who_came_is_the_first_who_enters_whatever_would_fit() -> None:
    room = waits()
    held = [room.enter(50, room.deadline()), room.enter(40, room.deadline())]
    order: deque[int] = deque()
    threads = []
    for nbytes in (90, 5, 5):

        def come(nbytes: int = nbytes) -> None:
            share = room.enter(nbytes, room.deadline())
            order.append(nbytes)
            room.leave(share)

        threads.append(threading.Thread(target=come))
        threads[-1].start()
        until(lambda: len(room._queue) == len(threads))
    assert room.wanted
    room.leave(held.pop())
    time.sleep(0.02)
    assert not order, "small ones do not pass a large one, which would wait for ever"
    room.leave(held.pop())
    for thread in threads:
        thread.join(10)
    assert order[0] == 90
    assert (room.taken(), room.waits, room.refusals) == ((0, 0), 3, 0)


def test_what_is_kept_for_later_goes_before_anybody_waits() -> None:
    kept: list[Share] = []

    def let_go(*, least: int) -> bool:
        if len(kept) <= least:
            return False
        room.leave(kept.pop(0))
        return True

    room = Room(100, 0.02, let_go)
    kept += [room.enter(40, room.deadline()), room.enter(40, room.deadline())]
    room.enter(50, room.deadline())
    assert (len(kept), room.taken(), room.waits) == (1, (2, 90), 0)
    room.resize(kept[0], 80)
    assert room.taken() == (2, 130), "what is there is never refused"
    room.trim()
    assert len(kept) == 1, "but for the one that was used last"


def test_an_error_of_who_lets_go_is_told_and_leaves_nobody_in_the_queue() -> None:
    def let_go(*, least: int) -> bool:
        raise StoreError("the disk is full")

    room = Room(100, 10, let_go)
    room.enter(100, room.deadline())
    with pytest.raises(StoreError, match="full"):
        room.enter(1, room.deadline())
    assert not room.wanted
    assert room.taken() == (1, 100)


def test_rubbish_is_collected_before_anybody_is_refused_but_not_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Not by the clock: to collect everything may take longer than the pause.
    monkeypatch.setattr(rooms, "COLLECT_SECONDS", 3_600.0)

    class Node:
        pass

    room = waits(0)
    node = Node()
    node.me = node  # type: ignore[attr-defined]
    weakref.finalize(node, room.leave, room.enter(100, room.deadline()))
    gc.disable()
    try:
        del node
        assert room.taken() == (1, 100)
        second = room.enter(100, room.deadline())
        assert second.nbytes == 100
        other = Node()
        other.me = other  # type: ignore[attr-defined]
        weakref.finalize(other, room.leave, second)
        del other, second
        with pytest.raises(Overloaded):
            room.enter(100, room.deadline())
        room._collected -= rooms.COLLECT_SECONDS
        room.enter(100, room.deadline())
    finally:
        gc.enable()


def test_a_finaliser_may_run_while_the_lock_is_held() -> None:
    room = waits(0)
    share = room.enter(100, room.deadline())
    room._queue.append(bell := SimpleQueue())
    with room._lock:
        room.leave(share)
    assert bell.qsize() == 1, "and whoever waits is told"
    room._queue.clear()
    assert room.taken() == (0, 0)


# ---------------------------------------------------------------------- vaults in it

USERS = [f"user-{number}" for number in range(12)]


@pytest.fixture
def crowded() -> Place:
    """Twelve vaults, and room for about three of them. Nobody waits long."""
    place = Place()
    for number, who in enumerate(USERS):
        place.write(*(added(100 * number + n, "some words " * 20) for n in range(300)), who=who)
    place.vaults.close()
    place = place.another_process()
    place.find(USERS[0])
    one = place.vaults.open_bytes()[1]
    place = place.another_process()
    place.vaults.room.capacity = one * 9 // 2
    place.vaults.room.patience = 0.05
    return place


def test_a_vault_in_use_is_neither_closed_nor_opened_twice(crowded: Place) -> None:
    held = crowded.find(USERS[0])
    for who in USERS[1:]:
        assert len(crowded.texts(who)) == 300
    assert crowded.vault_id(USERS[0]) not in crowded.vaults._kept, "let go of"
    assert crowded.find(USERS[0]) is held
    assert crowded.vault_id(USERS[0]) in crowded.vaults._kept, "and kept again"


def test_users_of_others_are_waited_for_and_an_error_gives_its_room_back(crowded: Place) -> None:
    held = [crowded.find(who) for who in USERS[:3]]
    with pytest.raises(Overloaded, match="3 are in use"):
        crowded.find(USERS[3])
    assert crowded.vaults.open_bytes()[0] == 3
    assert not crowded.vaults._kept, "who waits takes all that is kept for later"
    assert len(crowded.vaults._slots) == 3
    held.clear()
    assert crowded.vaults.open_bytes() == (0, 0)
    assert len(crowded.texts(USERS[3])) == 300
    assert (crowded.vaults.room.waits, crowded.vaults.room.refusals) == (1, 1)


def test_who_waits_enters_when_a_user_is_done(crowded: Place) -> None:
    crowded.vaults.room.patience = 10
    held = [crowded.find(who) for who in USERS[:3]]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: len(crowded.texts(USERS[3])))
        until(lambda: crowded.vaults.room.waits == 1)
        # While somebody waits, what is used is not kept for later.
        assert crowded.find(USERS[0]) is held[0]
        assert not crowded.vaults._kept
        held.pop()
        held.pop()
        assert waiting.result(10) == 300


@pytest.mark.parametrize("change", ["sealed anew", "erased"])
def test_what_became_of_a_vault_while_one_waited_is_seen(crowded: Place, change: str) -> None:
    crowded.vaults.room.patience = 10
    held = [crowded.find(who) for who in USERS[:3]]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(crowded.texts, USERS[3])
        until(lambda: crowded.vaults.room.waits == 1)
        if change == "erased":
            crowded.another_process().erase(USERS[3])
        else:
            assert rekey(crowded.store, crowded.keys, "acme", crowded.vault_id(USERS[3]), at=1, actor="ana")
        held.clear()
        if change == "erased":
            with pytest.raises(KeyUnavailable, match="erased"):
                waiting.result(10)
        else:
            assert len(waiting.result(10)) == 300
    assert crowded.vaults.open_bytes()[0] == (change != "erased")


def test_those_who_want_the_same_vault_are_refused_together(crowded: Place) -> None:
    room, now = crowded.vaults.room, [0.0]
    room._clock, room.patience = lambda: now[0], 1.0
    held = [crowded.find(who) for who in USERS[:3]]

    def want() -> str:
        try:
            crowded.find(USERS[3])
        except Overloaded:
            return "refused"
        return "served"

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(want) for _ in range(8)]
        until(lambda: room.waits == 1 and crowded.vaults._slots[crowded.vault_id(USERS[3])].asking == 8)
        # From here the clock stands still: one who began to wait anew after another would wait until there is room.
        now[0] = 100.0
        try:
            assert {each.result(30) for each in asked} == {"refused"}
        finally:
            held.clear()


class Failing(MemoryLogStore):
    """Reads fail, now and then, in the ways in which they do."""

    often = 0.0

    def _read(self, vault_id: bytes, after: int):  # type: ignore[no-untyped-def]
        if random.random() < self.often:
            raise random.choice([StoreError("down", retryable=True), Tampered("changed")])
        return super()._read(vault_id, after)


def test_threads_errors_and_writers_leave_nothing_behind_and_nobody_hangs() -> None:
    """Sixteen threads want twelve vaults, of which three fit; a tenth of the openings fail."""
    store = Failing()
    place = Place(store)
    for who in USERS:
        place.write(*(added(n, "some words " * 20) for n in range(300)), who=who)
    place.vaults.close()
    place = place.another_process()
    place.find(USERS[0])
    one = place.vaults.open_bytes()[1]
    place = place.another_process()
    room = place.vaults.room
    room.capacity, room.patience = one * 9 // 2, 30.0
    store.often = 0.1
    most, served, failed = deque([0]), deque[int](), deque[str]()
    ends = time.monotonic() + 3

    def work(seed: int) -> None:
        chance = random.Random(seed)
        number = 0
        while time.monotonic() < ends:
            who = chance.choice(USERS)
            number += 1
            try:
                if number % 5 == 0:
                    place.write(added(1_000_000 * (seed + 1) + number), who=who)
                else:
                    assert len(place.texts(who)) >= 300
                served.append(seed)
            except (StoreError, Tampered) as error:
                failed.append(error.code)
            most[0] = max(most[0], place.vaults.open_bytes()[1])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    store.often = 0.0
    counts = [served.count(seed) for seed in range(16)]
    assert min(counts) > 0, "nobody is left out"
    assert max(counts) < 20 * min(counts)
    assert failed
    # What is being opened was admitted by an estimate; what is written grows.
    assert most[0] < 2 * room.capacity
    place.vaults.close()
    gc.collect()
    assert (room.taken(), room.wanted, room.refusals) == ((0, 0), False, 0)
    assert not place.vaults._slots


def test_the_operator_is_told_of_a_vault_larger_than_everything(
    crowded: Place, caplog: pytest.LogCaptureFixture
) -> None:
    crowded.vaults.room.capacity = 1
    with caplog.at_level(logging.WARNING, "tacita.vaults"):
        assert len(crowded.texts(USERS[0])) == 300
    assert "takes more than cache_bytes: it is opened when no other is in use" in caplog.text


def test_a_vault_that_somebody_reads_is_let_go_of_without_its_snapshot(
    crowded: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vaults.OpenVault.save_snapshot, "__kwdefaults__", {"after": 2})
    vault = crowded.find(USERS[0])
    assert vault is not None
    crowded.store.drop_snapshots(crowded.vault_id(USERS[0]))
    vault._snapshot_seq = 0
    with ThreadPoolExecutor(1) as pool, vault.lock:
        assert pool.submit(crowded.vaults._let_go_oldest, least=0).result(10)
    assert crowded.store.read_snapshot(crowded.vault_id(USERS[0])) is None
    assert not crowded.vaults._let_go_oldest(least=0)


def test_a_vault_forgotten_while_it_is_being_looked_for_is_not_kept(crowded: Place) -> None:
    vault = crowded.find(USERS[0])
    assert vault is not None
    slot = crowded.vaults._slots[crowded.vault_id(USERS[0])]
    crowded.vaults.forget_open(crowded.vault_id(USERS[0]))
    crowded.vaults._keep(crowded.vault_id(USERS[0]), slot, vault)
    crowded.vaults._forget(crowded.vault_id(USERS[0]), slot)
    assert not crowded.vaults._kept
    assert crowded.find(USERS[0]) is not vault
