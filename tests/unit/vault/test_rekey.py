"""A log sealed anew under another key: by whom, from where, and what is refused when something does not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.unit.vault.places import Place, added

from tacita.errors import HeadMoved, KeyUnavailable, StoreError, Tampered
from tacita.sealed import Anchor, PurgedEvent, SealedEvent, VaultHead
from tacita.stores.memory import MemoryLogStore
from tacita.stores.memory_ring import MemoryKeyRing
from tacita.vault import rekey
from tacita.vault.events import Isolated, ItemDeleted, Rekeyed, decode, encode
from tacita.vault.format import VaultKeys
from tacita.vault.log import SealedLog
from tacita.vault.rekey import Place as LogPlace


@pytest.fixture
def place() -> Place:
    return Place()


def anew(place: Place, who: str = "ana") -> bool:
    return rekey.rekey(place.store, place.keys, "acme", place.vault_id(who), at=7, actor="operator")


def found(place: Place, who: str = "ana") -> tuple[VaultKeys, Anchor]:
    keys = rekey.find(place.store, place.keys, "acme", place.vault_id(who))
    assert keys is not None
    return keys


def events(place: Place, who: str = "ana") -> dict[int, Any]:
    keys, anchor = found(place, who)
    log = SealedLog(place.store, place.ring, keys)
    told = {row.seq: None if body is None else decode(body) for row, body in log.tail()}
    log.check_anchor(anchor)
    return told


def test_the_same_events_under_another_key(place: Place) -> None:
    gone = ItemDeleted(at=3, actor="ana", id=(2).to_bytes(16), purged=(2,))
    place.write(added(1), added(2))
    place.write(gone, purge=[2])
    old, _ = found(place)
    rows = list(place.store.read(old.vault_id))
    assert anew(place)
    keys, anchor = found(place)
    assert (keys.version, anchor.seq, place.ring.successor(old.vault_id)) == (2, 4, None)
    told = events(place)
    last = told.pop(4)
    assert told == {1: added(1), 2: None, 3: gone}
    assert isinstance(last, Rekeyed)
    chain = SealedLog(place.store, place.ring, old)
    before = [chain.keys.genesis]
    for row in rows:
        before.append(rekey.next_chain(old, before[-1], row.seq, row.digest))
    assert last == Rekeyed(at=7, actor="operator", version=2, seq=3, chain=before[-1], content_key=old.content_key)
    now = list(place.store.read(old.vault_id))
    assert now[0].item_tag == keys.item_tag((1).to_bytes(16))
    assert now[2].item_tag == keys.item_tag((2).to_bytes(16)), "a deletion is about its item"
    assert now[1].item_tag == keys.item_tag((2).to_bytes(16)), "a hole stays that of its item"
    assert now[3].item_tag == keys.item_tag(b"")
    assert not {row.sealed for row in rows if row.sealed} & {row.sealed for row in now}
    assert not {row.item_tag for row in rows} & {row.item_tag for row in now}
    assert not {row.digest for row in rows} & {row.digest for row in now}
    assert anew(place)
    assert events(place)[5].content_key == old.content_key, "the first key's, all its life"
    assert anew(place)
    assert events(place)[6].content_key == old.content_key
    assert place.texts() == ["text 1"]


def test_what_was_given_up_stays_given_up(place: Place) -> None:
    vault = place.write(added(1), added(2))
    vault._log.append([(bytes(16), encode(Isolated(at=3, actor="ana", lost=(1,))))], purge=[1])
    assert anew(place)
    keys, _ = found(place)
    (row,) = place.store.fetch(keys.vault_id, [1])
    assert row.item_tag == keys.item_tag(b"")
    assert place.another_process().texts() == ["text 2"]


def test_where_there_is_no_log_there_is_nothing_to_do(place: Place) -> None:
    assert not anew(place)
    place.vault()
    assert not anew(place), "a key without events"
    assert place.ring.successor(place.vault_id()) is None


def test_a_hole_that_nothing_explains_is_not_sealed_over(place: Place) -> None:
    vault = place.write(added(1), added(2))
    vault._log.append([(bytes(16), encode(added(3)))], purge=[2])
    before = list(place.store.read(vault.keys.vault_id))
    with pytest.raises(Tampered, match=f"vault {vault.keys.name} seq 2: ciphertext is gone"):
        anew(place)
    assert list(place.store.read(vault.keys.vault_id)) == before
    assert found(place)[0].version == 1


def test_a_log_that_ends_before_its_anchor_is_not_made_genuine(place: Place) -> None:
    vault = place.write(added(1))
    place.ring.rewind(vault.keys.vault_id, Anchor(2, bytes(32)))
    with pytest.raises(Tampered, match="rolled back"):
        anew(place)
    place.ring.rewind(vault.keys.vault_id, Anchor(1, bytes(32)))
    with pytest.raises(Tampered, match="its history is not the one"):
        anew(place)
    assert place.ring.successor(vault.keys.vault_id) is None


class Meanwhile(MemoryLogStore):
    """Does something the first times that a log is replaced or read."""

    before_replace: list[Callable[[], object]]
    before_read: list[Callable[[], object]]

    def __init__(self) -> None:
        super().__init__()
        self.before_replace, self.before_read = [], []

    def _replace(
        self, vault_id: bytes, expected: VaultHead, events: Sequence[SealedEvent | PurgedEvent], epoch: bytes
    ) -> None:
        if self.before_replace:
            self.before_replace.pop(0)()
        super()._replace(vault_id, expected, events, epoch)

    def _read(self, vault_id: bytes, after: int) -> Any:
        rows = list(super()._read(vault_id, after))
        if self.before_read:
            rows = self.before_read.pop(0)() or rows
        return iter(rows)


def test_what_others_write_meanwhile_is_in_it() -> None:
    store = Meanwhile()
    place = Place(store)
    place.write(added(1))
    other = place.another_process()
    store.before_replace = [lambda: other.write(added(2)), lambda: other.write(added(3))]
    assert anew(place)
    assert place.texts() == other.texts() == ["text 1", "text 2", "text 3"]
    assert found(place)[1].seq == 4


def test_erased_meanwhile_there_is_nothing_left_to_seal() -> None:
    store = Meanwhile()
    place = Place(store)
    place.write(added(1))
    store.before_replace = [lambda: place.another_process().erase()]
    assert not anew(place)
    assert place.store.head(place.vault_id()) is None
    assert place.ring.shredded(place.vault_id())


def test_a_key_that_is_destroyed_while_the_log_is_read_gets_no_successor() -> None:
    store = Meanwhile()
    place = Place(store=store)
    place.write(added(1))
    store.before_read.append(lambda: not place.ring.shred(place.vault_id()))
    assert not anew(place)
    assert place.ring.successor(place.vault_id()) is None


def test_whoever_keeps_losing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rekey, "_ATTEMPTS", 3)
    store = Meanwhile()
    place = Place(store)
    vault = place.write(added(1))
    other = place.another_process()
    store.before_replace = [lambda number=number: other.write(added(number)) for number in range(2, 9)]
    with pytest.raises(HeadMoved, match=f"vault {vault.keys.name}: other writers kept being first"):
        anew(place)
    assert len(store.before_replace) == 4
    assert place.texts() == [f"text {number}" for number in range(1, 5)]
    store.before_replace.clear()
    assert anew(place), "a key that waits is used the next time"


def test_two_that_seal_anew_at_once_do_so_one_after_the_other() -> None:
    """The log is of another epoch in the middle of reading it: what was read opens no more, and is read again."""
    store = Meanwhile()
    place = Place(store)
    vault = place.write(added(1), added(2))
    other = place.another_process()
    keys, _ = found(place)

    def first() -> object:
        assert anew(other)
        return list(MemoryLogStore._read(store, keys.vault_id, 0))

    store.before_read = [first]
    assert anew(place)
    assert found(place)[0].version == 3
    assert place.texts() == ["text 1", "text 2"]
    vault.refresh()
    assert vault.seq == 4


def test_what_is_read_is_read_again_when_it_was_sealed_anew_meanwhile(place: Place) -> None:
    place.write(added(1))
    versions = []

    def read(keys: VaultKeys, anchor: Anchor) -> int:
        versions.append(keys.version)
        if len(versions) < 3:
            assert anew(place)
            raise Tampered("as somebody sees it who reads what is not there any more")
        return anchor.seq

    assert rekey.steadily(place.store, place.keys, "acme", place.vault_id(), read) == 3
    assert versions == [1, 2, 3]


def test_what_is_refused_without_that_is_refused(place: Place) -> None:
    calls = []

    def refuse(keys: VaultKeys, _: Anchor) -> int:
        calls.append(keys.name)
        raise Tampered("no")

    assert rekey.steadily(place.store, place.keys, "acme", place.vault_id(), refuse) is None, "no keys"
    place.vault()
    with pytest.raises(Tampered, match=r"^no$"):  # keys, and no log
        rekey.steadily(place.store, place.keys, "acme", place.vault_id(), refuse)
    place.write(added(1))
    with pytest.raises(Tampered, match=r"^no$"):
        rekey.steadily(place.store, place.keys, "acme", place.vault_id(), refuse)
    assert len(calls) == 2


# ---------------------------------------------------------------------- between store and ring


class Cut(MemoryKeyRing):
    """The power goes before a successor takes over."""

    on = False

    def promote(self, vault_id: bytes, key_version: int, anchor: Anchor) -> bool:
        if not self.on:
            raise StoreError("the power went")
        return super().promote(vault_id, key_version, anchor)


def cut_short(*, ends: Anchor | None = None, last: Rekeyed | None = None) -> tuple[Place, Cut]:
    """A vault of two events whose log was put anew, perhaps ending with another event, and whose key did not follow."""
    ring = Cut()
    place = Place(ring=ring)
    place.write(added(1), added(2))
    keys, anchor = found(place)
    head = place.store.head(keys.vault_id)
    assert head is not None
    if last is None:
        places = [LogPlace((1).to_bytes(16), encode(added(1))), LogPlace((2).to_bytes(16), encode(added(2)))]
        with pytest.raises((StoreError, Tampered)):
            rekey.put_anew(place.store, place.keys, keys, head, ends or anchor, places, at=1, actor="x")
    else:
        new = place.keys.prepare_successor("acme", keys.vault_id, 2)
        bodies = [encode(added(1)), encode(added(2)), encode(last)]
        sealed = rekey._sealed_anew(new, [LogPlace(b"", body) for body in bodies])
        place.store.replace(keys.vault_id, head, sealed, epoch=new.epoch)
    ring.on = True
    return place, ring


def test_whoever_finds_it_lets_the_key_follow() -> None:
    place, ring = cut_short()
    successor = ring.successor(place.vault_id())
    assert successor is not None
    keys, anchor = found(place)
    assert (keys.version, anchor.seq, ring.successor(keys.vault_id)) == (2, 3, None)
    assert place.texts() == ["text 1", "text 2"]


def test_a_log_anew_that_ends_in_another_history_is_not_what_the_ring_knows() -> None:
    place, ring = cut_short(ends=Anchor(2, bytes(32)))
    with pytest.raises(Tampered, match="what was sealed anew is not what the key ring knows"):
        found(place)
    assert ring.successor(place.vault_id()) is not None
    entry = ring.get(place.vault_id())
    assert entry is not None
    assert entry.key_version == 1


def test_a_log_anew_that_leaves_out_the_end_is_not_what_the_ring_knows() -> None:
    place, ring = cut_short()
    entry = ring.get(place.vault_id())
    assert entry is not None
    ring.rewind(place.vault_id(), Anchor(3, entry.anchor.chain))
    with pytest.raises(Tampered, match="seq 3: what was sealed anew"):
        found(place)
    ring.rewind(place.vault_id(), Anchor(1, bytes(32)))
    assert found(place)[0].version == 2, "an anchor that was behind is caught up with"


@pytest.mark.parametrize(("version", "seq"), [(1, 2), (3, 2), (2, 1), (2, 3)])
def test_a_log_anew_ends_with_the_event_of_its_own_key_in_its_own_place(version: int, seq: int) -> None:
    last = Rekeyed(at=1, actor="x", version=version, seq=seq, chain=bytes(32), content_key=bytes(32))
    place, ring = cut_short(last=last)
    with pytest.raises(Tampered, match="sealed anew, but not to the end"):
        found(place)
    entry = ring.get(place.vault_id())
    assert entry is not None
    assert entry.key_version == 1


def test_a_log_of_an_epoch_that_the_ring_does_not_know_is_refused(place: Place) -> None:
    vault = place.write(added(1))
    store = place.store
    assert isinstance(store, MemoryLogStore)
    kept = store._by_id[vault.keys.vault_id]
    for waiting in (False, True):
        if waiting:
            place.keys.prepare_successor("acme", vault.keys.vault_id, 2)
        kept.epoch = b"e" * 16
        with pytest.raises(
            Tampered, match=f"vault {vault.keys.name} seq 1: its log is sealed under a key that the key"
        ):
            found(place)
    kept.epoch = bytes(16)
    assert found(place)[0].version == 1, "of before there were epochs"


class Slow(MemoryKeyRing):
    """The successor takes over just after its predecessor was asked for."""

    wait: Callable[[], object] | None = None

    def successor(self, vault_id: bytes) -> Any:
        if self.wait is not None:
            wait, self.wait = self.wait, None
            wait()
        return super().successor(vault_id)


def test_a_key_that_took_over_while_it_was_looked_for_is_found() -> None:
    ring = Slow()
    place = Place(ring=ring)
    vault = place.write(added(1))
    keys, anchor = found(place)
    new = place.keys.prepare_successor("acme", keys.vault_id, 2)
    head = place.store.head(keys.vault_id)
    assert head is not None
    last = Rekeyed(at=1, actor="x", version=2, seq=1, chain=anchor.chain, content_key=keys.content_key)
    sealed = rekey._sealed_anew(new, [LogPlace(b"", encode(added(1))), LogPlace(b"", encode(last))])
    place.store.replace(keys.vault_id, head, sealed, epoch=new.epoch)
    log = SealedLog(place.store, ring, new)
    for _ in log.tail():
        pass
    ring.wait = lambda: ring.promote(keys.vault_id, 2, Anchor(2, log.chain(2)))
    assert found(place)[0].version == 2
    vault.refresh()
    assert vault.keys.version == 2


def test_a_key_is_not_made_for_a_vault_that_was_erased(place: Place) -> None:
    vault = place.write(added(1))
    head = place.store.head(vault.keys.vault_id)
    assert head is not None
    place.erase()
    with pytest.raises(KeyUnavailable):
        rekey.put_anew(place.store, place.keys, vault.keys, head, Anchor(1, bytes(32)), [], at=1, actor="x")
