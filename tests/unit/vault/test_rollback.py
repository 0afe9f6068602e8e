"""A store that is not where the ring remembers it: what departs is found, and accepted one by one."""

from __future__ import annotations

import pytest
from tests.unit.vault.places import Place, added

from tacita.errors import Tampered
from tacita.flows.rollback import Departure, accept, departures, drop_erased
from tacita.sealed import Anchor
from tacita.stores.memory import MemoryLogStore
from tacita.stores.memory_ring import MemoryKeyRing


@pytest.fixture
def place() -> Place:
    place = Place()
    for who in ("ana", "rui"):
        place.write(added(1), added(2), who=who)
    return place


def cut(place: Place, who: str, rows: int) -> None:
    assert isinstance(place.store, MemoryLogStore)
    del place.store._by_id[place.vault_id(who)].rows[rows:]


def anchor(place: Place, who: str) -> Anchor:
    entry = place.ring.get(place.vault_id(who))
    assert entry is not None
    return entry.anchor


def test_what_is_where_it_should_be_does_not_depart(place: Place) -> None:
    place.keys.create("acme", "user", "new")
    assert departures(place.store, place.keys) == []


def test_what_ends_earlier_departs_and_is_accepted_where_it_ends(place: Place) -> None:
    chain = place.vault("ana")._log.chain(1)
    cut(place, "ana", 1)
    (found,) = departures(place.store, place.keys)
    assert found == Departure(place.vault_id("ana"), Anchor(1, chain))
    before = anchor(place, "rui")
    accept(place.keys, found)
    assert (anchor(place, "ana"), anchor(place, "rui")) == (found.ends, before)
    assert departures(place.store, place.keys) == []
    assert place.another_process().texts() == ["text 1"]


def test_what_went_on_in_another_way_departs(place: Place) -> None:
    """The old copy was written to: it is as long as before, or longer, and says something else."""
    known = anchor(place, "ana")
    cut(place, "ana", 1)
    place.ring.rewind(place.vault_id("ana"), Anchor(1, place.vault("rui")._log.chain(1)))
    (found,) = departures(place.store, place.keys)
    assert found.ends.seq == 1
    accept(place.keys, found)
    fork = place.another_process()
    fork.write(added(8), added(9))
    ends = anchor(place, "ana")
    place.ring.rewind(place.vault_id("ana"), known)
    (found,) = departures(place.store, place.keys)
    assert found == Departure(place.vault_id("ana"), ends)


def test_what_is_not_genuine_is_no_departure(place: Place) -> None:
    assert isinstance(place.store, MemoryLogStore)
    rows = place.store._by_id[place.vault_id("ana")].rows
    rows[0], rows[1] = rows[1], rows[0]
    with pytest.raises(Tampered):
        departures(place.store, place.keys)


class Erasing(MemoryKeyRing):
    """Somebody erases each subject just after it was listed."""

    on = False

    def entries(self):  # type: ignore[no-untyped-def]
        for entry in super().entries():
            if self.on:
                self.shred(entry.vault_id)
            yield entry


def test_what_is_erased_meanwhile_does_not_depart() -> None:
    ring = Erasing()
    place = Place(ring=ring)
    place.write(added(1), added(2))
    cut(place, "ana", 1)
    ring.on = True
    assert departures(place.store, place.keys) == []


def test_rows_of_destroyed_keys_are_removed_and_no_others(place: Place) -> None:
    place.ring.shred(place.vault_id("ana"))
    stranger = Place()
    stranger.write(added(1), who="eve")
    assert isinstance(place.store, MemoryLogStore)
    assert isinstance(stranger.store, MemoryLogStore)
    place.store._by_id[stranger.vault_id("eve")] = stranger.store._by_id[stranger.vault_id("eve")]
    assert drop_erased(place.store, place.keys) == 1
    assert {head.vault_id for head in place.store.vaults()} == {place.vault_id("rui"), stranger.vault_id("eve")}
    assert drop_erased(place.store, place.keys) == 0
