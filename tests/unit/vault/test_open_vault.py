"""Open vaults and the cache of them: caught up before each use, let go of when they are erased, evicted by size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from tests.unit.vault.places import Place, added, item

from tacita.errors import KeyUnavailable, StoreError, Tampered
from tacita.items import Subject
from tacita.sealed import DropCounts, SealedEvent, SealedRow, VaultHead
from tacita.stores.memory import MemoryLogStore
from tacita.stores.memory_ring import MemoryKeyRing
from tacita.vault import cache, vault
from tacita.vault.events import Isolated, ItemAdded, ItemDeleted, encode
from tacita.vault.fold import VaultState
from tacita.vault.rekey import Place as LogPlace
from tacita.vault.rekey import put_anew, rekey
from tacita.vault.vault import Change

ANA = Subject(kind="user", id="ana")


@pytest.fixture
def place() -> Place:
    return Place()


def sealed_anew(place: Place, who: str = "ana") -> None:
    assert rekey(place.store, place.keys, "acme", place.vault_id(who), at=1, actor="ana")


def deletion(number: int, *purged: int) -> ItemDeleted:
    return ItemDeleted(at=9, actor="ana", id=number.to_bytes(16), purged=purged)


# ---------------------------------------------------------------------- reading and writing


def test_two_processes_read_what_the_other_wrote(place: Place) -> None:
    other = place.another_process()
    place.write(added(1, "one"))
    assert other.texts() == ["one"]
    other.write(added(2, "two"), added(3, "three"))
    assert place.texts() == ["one", "two", "three"]
    place.write(deletion(2, 2), purge=[2])
    assert other.texts() == ["one", "three"]
    assert [vault.seq for vault in (place.vault(), other.vault())] == [4, 4]
    assert place.find("nobody") is None
    assert place.store.head(place.vault_id("nobody")) is None, "to look for a vault makes none"


def test_a_decision_is_made_again_on_what_the_winner_wrote(place: Place) -> None:
    other = place.another_process()
    place.vault()
    seen = []

    def decide(state: VaultState) -> Change[int]:  # type: ignore[type-arg]
        seen.append(len(state.by_id))
        if len(seen) < 3:
            other.write(added(10 + len(seen)))
        return Change(len(state.by_id), [added(1)])

    assert place.vault().transact(decide) == 2
    assert seen == [0, 1, 2]
    assert place.texts() == other.texts() == ["text 11", "text 12", "text 1"]


def test_who_has_just_found_the_vault_loses_no_race_either(place: Place) -> None:
    other = place.another_process()
    found, asked, seen = place.vault(), [], []
    head = place.store.head

    def counted(vault_id: bytes) -> VaultHead | None:
        asked.append(vault_id)
        return head(vault_id)

    def decide(state: VaultState) -> Change[int]:  # type: ignore[type-arg]
        seen.append(len(state.by_id))
        return Change(len(state.by_id), [added(1 + len(state.by_id))])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place.store, "head", counted)
        assert found.transact(decide, caught_up=True) == 0
        assert not asked, "the append itself says whether another writer was first"
    other.write(added(11))
    assert found.transact(decide, caught_up=True) == 2
    assert seen == [0, 1, 2]
    assert place.texts() == other.texts() == ["text 1", "text 11", "text 3"]


def test_what_is_not_to_be_believed_is_not_written_to(place: Place) -> None:
    place.write(added(1))
    found = place.vault()
    found._refused = "half of a tail was folded"
    with pytest.raises(Tampered, match="half of a tail"):
        found.transact(lambda _: Change(None, [added(2)]), caught_up=True)
    assert place.another_process().texts() == ["text 1"]


def test_a_writer_that_keeps_losing_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "CONTENTION_SECONDS", 0.02)
    other = place.another_process()
    place.vault()
    turns = iter(range(10, 10_000))

    def decide(_: object) -> Change[None]:
        other.write(added(next(turns)))
        return Change(None, [added(1)])

    with pytest.raises(StoreError, match="other writers kept being first") as caught:
        place.vault().transact(decide)
    assert caught.value.retryable
    assert next(turns) > 12, "it tried more than once"
    assert "text 1" not in other.texts()


def test_what_decides_nothing_writes_nothing(place: Place) -> None:
    place.write(added(1))
    assert place.vault().transact(lambda state: Change(len(state.by_id))) == 1
    assert place.vault().seq == 1


def test_single_events_are_read_again_also_after_the_log_was_sealed_anew(place: Place) -> None:
    kept = place.write(added(1, "one"), added(2, "two"), added(3))
    place.write(deletion(3, 3), purge=[3])
    sealed_anew(place.another_process())
    assert kept.events([1, 2, 3]) == {1: added(1, "one"), 2: added(2, "two")}
    assert kept.keys.version == 2


class Swapped(MemoryLogStore):
    """Gives the second event where the first is asked for on its own."""

    def _fetch(self, vault_id: bytes, seqs: Sequence[int]) -> list[SealedRow]:
        return [msgspec.structs.replace(super()._fetch(vault_id, [2])[0], seq=1)]


def test_a_changed_event_is_refused_and_not_read_for_ever() -> None:
    place = Place(store=Swapped())
    with pytest.raises(Tampered, match="seq 1"):
        place.write(added(1), added(2)).events([1])


def test_a_fold_error_says_whose_vault_it_is(place: Place) -> None:
    opened = place.write(added(1))
    opened._log.append([(bytes(16), vault.encode(added(1)))])
    with pytest.raises(Tampered, match=f"^vault {opened.keys.name} seq 2: adds an item that is already there$"):
        place.another_process().find()
    place.write(added(1), who="rui")
    place.vault("rui")._log.append([(bytes(16), b"\xc1")])
    name = place.vault_id("rui").hex()[:12]
    with pytest.raises(Tampered, match=f"^vault {name} an event opened but is not of a known form"):
        place.another_process().find("rui")


def test_a_hole_that_no_deletion_explains_is_refused(place: Place) -> None:
    opened = place.write(added(1), added(2))
    opened._log.append([(bytes(16), vault.encode(added(3)))], purge=[1, 2])
    with pytest.raises(Tampered, match=f"vault {opened.keys.name} seq 1: ciphertext is gone and no deletion says why"):
        place.another_process().find()


# ---------------------------------------------------------------------- erased, rolled back, sealed anew


def test_erased_elsewhere_an_open_vault_is_let_go_of_and_may_be_made_anew(place: Place) -> None:
    other = place.another_process()
    opened = place.write(added(1, "secret"))
    assert other.erase() == (True, 1)
    with pytest.raises(KeyUnavailable, match="erased"):
        opened.refresh()
    assert place.find() is None
    assert not place.vaults._kept
    other.write(added(2, "new life"))
    assert place.texts() == ["new life"]


def test_made_anew_with_as_many_events_it_is_another_vault(place: Place) -> None:
    other = place.another_process()
    opened = place.write(added(1, "secret"))
    other.erase()
    other.write(added(2, "new life"))
    with pytest.raises(KeyUnavailable, match="erased"):
        opened.refresh()
    with pytest.raises(KeyUnavailable):
        opened.transact(lambda _: Change(None, [added(3)]))
    assert place.texts() == other.texts() == ["new life"]


def test_erased_while_its_log_was_being_sealed_anew(place: Place) -> None:
    """The key is gone, the rows of the new epoch are there still: whoever had it open must not go on."""
    opened = place.write(added(1, "secret"))
    sealed_anew(place.another_process())
    place.ring.shred(opened.keys.vault_id)
    with pytest.raises(KeyUnavailable, match="erased"):
        opened.refresh()
    assert place.find() is None
    assert place.store.head(opened.keys.vault_id) is None, "the noise is removed by whoever comes across it"


def test_an_open_vault_goes_on_under_another_key_with_what_came_meanwhile(place: Place) -> None:
    other = place.another_process()
    opened = place.write(added(1, "one"))
    tag = opened.content_tag(b"use", b"content")
    other.write(added(2, "two"))
    sealed_anew(other)
    other.write(added(3, "three"))
    opened.refresh()
    assert [opened.state.texts[row] for row in opened.state.by_id.values()] == ["one", "two", "three"]
    assert (opened.keys.version, opened.seq) == (2, 4)
    assert opened.content_tag(b"use", b"content") == tag, "what was said before is known again"
    assert other.vault().content_tag(b"use", b"content") == tag
    assert opened.content_tag(b"use", b"other") != tag != opened.content_tag(b"other", b"content")
    opened.transact(lambda _: Change(None, [added(4, "four")]))
    assert other.texts() == ["one", "two", "three", "four"]


def test_data_that_went_back_in_time_are_refused_by_an_open_vault_too() -> None:
    place, old = Place(), MemoryLogStore()
    opened = place.write(added(1))
    for row in place.store.read(opened.keys.vault_id):
        old._by_id[opened.keys.vault_id] = place.store._find(opened.keys.vault_id).__class__(
            1, opened.keys.epoch, [row]
        )  # type: ignore[attr-defined]
    place.write(added(2))
    opened._store = old
    with pytest.raises(Tampered, match="seq 2: rolled back, the store ends at 1"):
        opened.refresh()
    opened._store = MemoryLogStore()
    with pytest.raises(Tampered, match="seq 2: rolled back, the store ends at 0"):
        opened.refresh()


def test_a_vault_without_events_is_no_rollback(place: Place) -> None:
    opened = place.vault()
    opened.refresh()
    assert (opened.seq, place.store.head(opened.keys.vault_id)) == (0, None)


# ---------------------------------------------------------------------- the cache


def test_data_without_their_key_ring_say_so_and_stay(place: Place) -> None:
    place.write(added(1))
    stranger = Place(place.store)
    lone = place.vault_id()
    stranger.keys.vault_id = lambda *_: lone  # type: ignore[method-assign]
    for call in (stranger.find, stranger.vault):
        with pytest.raises(KeyUnavailable, match=f"vault {lone.hex()[:12]}: the store has its rows but the key ring"):
            call()
    assert place.another_process().texts() == ["text 1"]


def test_the_least_recently_used_vaults_are_closed_first_and_lose_nothing() -> None:
    place = Place(capacity=1)
    users = ["ana", "rui", "eva"]
    for number, who in enumerate(users, 1):
        place.write(added(number), who=who)
    assert list(place.vaults._kept) == [place.vault_id("eva")], "over the limit by itself, and kept all the same"
    assert [place.texts(who) for who in users] == [["text 1"], ["text 2"], ["text 3"]]
    assert place.vaults.open_bytes()[0] == 1


def test_what_fits_stays_open_and_the_order_is_that_of_use(place: Place) -> None:
    for who in ("ana", "rui", "eva"):
        place.write(added(1), who=who)
    place.texts("ana")
    assert list(place.vaults._kept) == [place.vault_id(who) for who in ("rui", "eva", "ana")]
    count, size = place.vaults.open_bytes()
    sizes = [slot.share.nbytes for slot in place.vaults._slots.values() if slot.share is not None]
    assert (count, size) == (3, sum(sizes))
    assert all(sizes)
    place.vaults.room.capacity = size - 1
    place.vaults.room.trim()
    assert list(place.vaults._kept) == [place.vault_id(who) for who in ("eva", "ana")], "no more than needed"
    place.vaults.forget_open(place.vault_id("eva"))
    assert list(place.vaults._kept) == [place.vault_id("ana")]
    place.vaults.forget_open(place.vault_id("eva"))


def test_a_place_for_a_vault_that_is_not_there_is_not_kept(place: Place) -> None:
    for number in range(5):
        assert place.find(f"nobody-{number}") is None
    assert not place.vaults._slots
    assert place.vaults.open_bytes() == (0, 0)


def test_an_evicted_or_closed_vault_leaves_a_snapshot_that_is_worth_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault.OpenVault.save_snapshot, "__kwdefaults__", {"after": 2})
    place.vaults.room.capacity = 1
    place.write(added(1), added(2), who="ana")
    place.write(added(1), who="rui")
    assert place.store.read_snapshot(place.vault_id("ana")) is not None
    place.write(added(2), who="rui")
    assert place.store.read_snapshot(place.vault_id("rui")) is None
    place.vaults.close()
    assert place.store.read_snapshot(place.vault_id("rui")) is not None
    assert place.vaults.open_bytes() == (0, 0)
    place.vaults.close()


def test_size_is_counted_again_when_a_vault_grows_and_while_it_is_used(place: Place) -> None:
    place.write(added(1))
    before = place.vaults.open_bytes()[1]
    place.write(*(added(number, "long " * 50) for number in range(2, 40)))
    assert place.vaults.open_bytes()[1] == before, "not at every use"
    for _ in range(cache._RECOUNT_EVERY):
        place.find()
    used = place.vaults.open_bytes()[1]
    assert used > before + 38 * 250
    place.write(*(added(number, "long " * 50) for number in range(40, 200)))
    assert place.vaults.open_bytes()[1] > used + 160 * 250


def test_whoever_opens_a_vault_is_told_once(place: Place) -> None:
    told: list[bytes] = []
    place.vaults.on_open = told.append
    place.write(added(1))
    place.texts()
    place.find("nobody")
    assert told == [place.vault_id()]
    place.vaults.forget_open(place.vault_id())
    place.texts()
    assert told == [place.vault_id()] * 2


def test_whoever_follows_writes_is_told_of_each(place: Place) -> None:
    told: list[int] = []
    place.vaults.on_write = lambda written: told.append(written.seq)
    place.write(added(1))
    place.write(added(2), added(3))
    place.texts()
    assert told == [1, 3]


# ---------------------------------------------------------------------- erasing


def test_erasing_destroys_the_key_and_every_row(place: Place) -> None:
    place.write(added(1), added(2))
    place.write(added(1), who="rui")
    assert place.erase() == (True, 2)
    assert (place.ring.get(place.vault_id()), place.store.head(place.vault_id())) == (None, None)
    assert place.ring.shredded(place.vault_id())
    assert place.erase() == (False, 0)
    assert place.erase("nobody") == (False, 0)
    assert place.texts("rui") == ["text 1"]
    assert place.vaults.open_bytes()[0] == 1


class MadeAnew(MemoryLogStore):
    """Somebody makes a vault anew at the moment in which its rows were dropped."""

    place: Place | None = None

    def _drop(self, vault_id: bytes, epoch: bytes) -> DropCounts:
        dropped = super()._drop(vault_id, epoch)
        if self.place is not None:
            other, self.place = self.place, None
            other.write(ItemAdded(at=1, actor="ana", item=item(5, "new life")))
        return dropped


def test_a_vault_that_is_made_anew_while_it_is_erased_is_left_alone() -> None:
    store = MadeAnew()
    place = Place(store=store)
    place.write(added(1, "secret"))
    store.place = place.another_process()
    assert place.erase() == (True, 1)
    assert place.texts() == ["new life"]


class MadeMeanwhile(MemoryLogStore):
    """Somebody makes a vault after the ring was asked for its key, and before the store is asked for its rows."""

    place: Place | None = None

    def head(self, vault_id: bytes) -> VaultHead | None:
        if self.place is not None:
            other, self.place = self.place, None
            other.write(added(1, "first"))
        return super().head(vault_id)


@pytest.mark.parametrize("create", [False, True])
def test_a_vault_that_another_process_makes_while_it_is_looked_for_is_found(create: bool) -> None:
    store = MadeMeanwhile()
    place = Place(store=store)
    store.place = place.another_process()
    if create:
        place.write(added(2, "second"))
        assert place.texts() == ["first", "second"]
    else:
        assert place.texts() == ["first"]


def test_rows_without_a_key_are_refused_and_left_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write(added(1))
    elsewhere = Place(store=place.store, ring=MemoryKeyRing(), provider=place.provider)
    # Names are the ring's own; these rows have the name that they would have there.
    monkeypatch.setattr(elsewhere.keys, "vault_id", place.keys.vault_id)
    for look in (elsewhere.find, elsewhere.vault):
        with pytest.raises(KeyUnavailable, match="the store has its rows but the key ring has no key for it"):
            look()
    assert place.another_process().texts() == ["text 1"]


class Swept(MemoryLogStore):
    """Brings the rows of before back once, as a store does that was restored at that moment."""

    kept: object = None

    def _drop(self, vault_id: bytes, epoch: bytes) -> DropCounts:
        kept = self._by_id[vault_id]
        dropped = super()._drop(vault_id, epoch)
        if self.kept is None:
            self.kept = self._by_id[vault_id] = kept
        return dropped


def test_rows_that_come_back_while_a_vault_is_erased_are_dropped_again() -> None:
    place = Place(store=Swept())
    place.write(added(1, "secret"))
    assert place.erase() == (True, 1)
    assert place.store.head(place.vault_id()) is None


def test_a_head_of_before_there_were_epochs_is_taken_as_ours(place: Place) -> None:
    opened = place.write(added(1))
    known = opened.keys.vault_id
    head = place.store.head(known)
    assert head is not None

    class Old(MemoryLogStore):
        def _head(self, vault_id: bytes) -> VaultHead | None:
            return replace(head, epoch=bytes(16))

    opened._store = Old()
    opened.refresh()
    assert opened.seq == 1


def test_a_vault_of_which_events_were_given_up_is_opened_again(place: Place) -> None:
    """What was given up is in the RAM of whoever had it open, and nowhere else."""
    opened = place.write(added(1, "one"), added(2, "two"))
    other = place.another_process()
    keys, anchor = other.keys.find("acme", place.vault_id()) or pytest.fail("no keys")
    head = place.store.head(keys.vault_id)
    assert head is not None
    lost = Isolated(at=3, actor="operator", lost=(1,))
    places = [LogPlace(b"", None), LogPlace((2).to_bytes(16), encode(added(2, "two"))), LogPlace(b"", encode(lost))]
    put_anew(place.store, other.keys, keys, head, anchor, places, at=3, actor="operator")
    with pytest.raises(KeyUnavailable, match="events of it were given up"):
        opened.refresh()
    assert place.texts() == other.texts() == ["two"]
    again = place.vault()
    sealed_anew(other)
    again.refresh()
    assert again.keys.version == 3, "given up before it was opened is no reason to open it again"
    assert place.vault() is again


class Telling(MemoryLogStore):
    """A store that tells the last event's digest, as one with standbys does."""

    def _head(self, vault_id: bytes) -> VaultHead | None:
        head = super()._head(vault_id)
        if head is None:
            return None
        last = self._fetch(vault_id, [head.seq])
        return replace(head, digest=last[0].digest if last else None)


def test_another_history_that_has_come_as_far_is_noticed_where_the_store_tells_its_last_event() -> None:
    """A failover lost the last event, the key ring went back with it, and somebody else wrote as many since."""
    before = Place(Telling())
    before.write(added(1))
    after = Place(Telling(), ring=before.ring, provider=before.provider)
    rows = [SealedEvent(row.item_tag, row.sealed or b"", row.digest) for row in before.store.read(before.vault_id())]
    head = before.store.head(before.vault_id())
    assert head is not None
    after.store.append(before.vault_id(), 0, rows, epoch=head.epoch)
    anchor = before.ring.get(before.vault_id())
    assert anchor is not None
    opened = before.write(added(2, "acknowledged, and lost"))
    opened.refresh()
    before.ring.rewind(before.vault_id(), anchor.anchor)
    after.write(added(3, "another history"))
    before.ring.rewind(before.vault_id(), anchor.anchor)
    opened._store = after.store
    for use in (opened.refresh, lambda: opened.transact(lambda _: Change(None, [added(4)]))):
        with pytest.raises(Tampered, match="seq 2: rolled back, and another history was written since"):
            use()
    assert after.texts() == ["text 1", "another history"]
