"""The cursor of one sealed log: what it appends, what it refuses, and that a refusal leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from tests.unit.vault.places import Place

from tacita.errors import HeadMoved, KeyUnavailable, Tampered
from tacita.sealed import Anchor, SealedRow
from tacita.stores.memory import MemoryLogStore
from tacita.vault.format import seal_event
from tacita.vault.log import SealedLog


@pytest.fixture
def place() -> Place:
    return Place()


def opened(place: Place, who: str = "ana") -> SealedLog:
    keys, _ = place.keys.find("acme", place.vault_id(who)) or place.keys.create("acme", "user", who)
    log = SealedLog(place.store, place.ring, keys)
    for _ in log.tail():
        pass
    return log


def body(number: int) -> tuple[bytes, bytes]:
    return number.to_bytes(16), b"body %d" % number


def test_what_is_appended_is_read_in_order_by_whoever_comes_later(place: Place) -> None:
    log = opened(place)
    assert (log.seq, log.chain(0)) == (0, log.keys.genesis)
    log.append([body(1), body(2)])
    log.append([body(3)], purge=[2])
    assert log.seq == 3
    again = SealedLog(place.store, place.ring, log.keys)
    assert [(row.seq, opened_body) for row, opened_body in again.tail()] == [(1, b"body 1"), (2, None), (3, b"body 3")]
    assert (again.seq, again.chains) == (3, log.chains)
    entry = place.ring.get(log.keys.vault_id)
    assert entry is not None
    assert entry.anchor == Anchor(3, log.chain(3))
    again.check_anchor(entry.anchor)
    again.check_anchor(Anchor(1, log.chain(1)))
    assert list(again.tail()) == []


def test_a_cursor_behind_an_anchor_goes_on_from_there(place: Place) -> None:
    log = opened(place)
    log.append([body(1), body(2)])
    started = SealedLog(place.store, place.ring, log.keys, start=Anchor(2, log.chain(2)))
    assert (started.seq, started.chain(2)) == (2, log.chain(2))
    log.append([body(3)])
    assert [opened_body for _, opened_body in started.tail()] == [b"body 3"]
    started.append([body(4)])
    assert [opened_body for _, opened_body in log.tail()] == [b"body 4"]
    assert started.open_rows([3, 4]) == {3: b"body 3", 4: b"body 4"}


def test_another_history_of_the_same_length_is_refused(place: Place) -> None:
    log = opened(place)
    log.append([body(1), body(2)])
    with pytest.raises(Tampered, match=f"vault {log.keys.name} seq 2: its history is not the one"):
        log.check_anchor(Anchor(2, log.chain(1)))
    with pytest.raises(Tampered, match="seq 3: rolled back, the store ends at 2"):
        log.check_anchor(Anchor(3, log.chain(2)))


def test_chain_values_of_another_vault_are_not_gone_on_from(place: Place) -> None:
    log, other = opened(place), opened(place, "rui")
    other.append([body(1)])
    for chains in (other.chains, bytearray(log.chain(0) + b"x"), bytearray()):
        with pytest.raises(Tampered, match="starts another chain"):
            log.resume(chains)
        assert (log.seq, log.chain(0)) == (0, log.keys.genesis)
    more = opened(place)
    more.append([body(1)])
    log.resume(bytearray(more.chains))
    assert (log.seq, log.chain(1)) == (1, more.chain(1))


def test_whoever_is_second_writes_nothing_and_stays_where_it_was(place: Place) -> None:
    first, second = opened(place), opened(place)
    first.append([body(1)])
    before = bytes(second.chains)
    with pytest.raises(HeadMoved):
        second.append([body(2), body(3)])
    assert (second.seq, bytes(second.chains)) == (0, before)
    assert [opened_body for _, opened_body in second.tail()] == [b"body 1"]
    second.append([body(2)])
    assert [opened_body for _, opened_body in first.tail()] == [b"body 2"]


def test_what_is_written_while_the_vault_is_erased_is_removed_again(place: Place) -> None:
    log = opened(place)
    log.append([body(1)])
    place.ring.shred(log.keys.vault_id)
    with pytest.raises(KeyUnavailable):
        log.append([body(2)])
    assert place.store.head(log.keys.vault_id) is None, "no noise is left"


def test_single_events_are_opened_and_purged_ones_left_out(place: Place) -> None:
    log = opened(place)
    log.append([body(1), body(2), body(3)])
    log.append([body(4)], purge=[2])
    assert log.open_rows([1, 2, 4, 9]) == {1: b"body 1", 4: b"body 4"}


class Changing(MemoryLogStore):
    """Gives another row when one is asked for on its own than when the log is read."""

    def _fetch(self, vault_id: bytes, seqs: object) -> list[SealedRow]:
        first, second = super()._fetch(vault_id, [1, 2])
        return [replace(second, seq=1, digest=first.digest), second][:1]


def test_an_event_that_was_changed_since_it_was_read_is_refused() -> None:
    place = Place(store=Changing())
    log = opened(place)
    log.append([body(1), body(2)])
    with pytest.raises(Tampered, match=f"vault {log.keys.name} seq 1"):
        log.open_rows([1])


def test_a_genuine_event_of_another_history_is_refused(place: Place) -> None:
    """Sealed with the right keys, in the right place, and still not what was read: the chain tells."""
    log = opened(place)
    log.append([body(1)])
    other = MemoryLogStore()
    copy = SealedLog(other, place.ring, log.keys)
    forked = seal_event(log.keys, 1, log.keys.genesis, *body(2))
    other.append(log.keys.vault_id, 0, [forked], epoch=log.epoch)
    assert [opened_body for _, opened_body in copy.tail()] == [b"body 2"]
    log._store = other
    with pytest.raises(Tampered, match="seq 1: changed since it was read"):
        log.open_rows([1])


@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_row_is_named(missing: int) -> None:
    class Gap(MemoryLogStore):
        def _read(self, vault_id: bytes, after: int) -> Iterator[SealedRow]:
            return (row for row in super()._read(vault_id, after) if row.seq != missing)

    place = Place(store=Gap())
    keys, _ = place.keys.create("acme", "user", "ana")
    SealedLog(place.store, place.ring, keys).append([body(1), body(2), body(3)])
    with pytest.raises(Tampered, match=f"seq {missing}: missing, the next row is {missing + 1}"):
        opened(place)
