"""Vault keys: made once, found again, opened by the root key that they are under, and told apart by nobody without the ring."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.vault.places import Place, added

from tacita import hazmat
from tacita.errors import Conflict, KeyUnavailable, Tampered, WrongKey
from tacita.hazmat import SecretKey
from tacita.keys._local import LocalProvider, ephemeral
from tacita.ports.keys import KeyContext, KeyProvider
from tacita.sealed import Anchor, RingEntry
from tacita.stores.memory_ring import MemoryKeyRing
from tacita.vault import keyring
from tacita.vault.keyring import Keys
from tacita.vault.succession import Succession


@pytest.fixture
def place() -> Place:
    return Place()


def entry_of(place: Place, who: str = "ana") -> RingEntry:
    entry = place.ring.get(place.vault_id(who))
    assert entry is not None
    return entry


def test_a_key_is_found_again_with_its_anchor(place: Place) -> None:
    assert place.keys.find("acme", place.vault_id()) is None
    keys, anchor = place.keys.create("acme", "user", "ana")
    assert (anchor, keys.version, keys.vault_id) == (Anchor(0, keys.genesis), 1, place.vault_id())
    found, kept = place.another_process().keys.find("acme", place.vault_id()) or (None, None)
    assert found is not None
    assert (found.epoch, found.genesis, kept) == (keys.epoch, keys.genesis, anchor)
    with pytest.raises(WrongKey):
        place.keys.find("acmf", place.vault_id())
    assert place.keys.whose(entry_of(place)) == ("acme", "user", "ana")


def test_whoever_is_second_gets_the_key_of_the_first(place: Place) -> None:
    first, _ = place.keys.create("acme", "user", "ana")
    second, anchor = place.another_process().keys.create("acme", "user", "ana")
    assert (second.epoch, anchor) == (first.epoch, Anchor(0, first.genesis))


class Erased(MemoryKeyRing):
    """Somebody else made the vault first, and erased it before its key was found."""

    def create(self, entry: RingEntry) -> None:
        super().create(entry)
        self.shred(entry.vault_id)
        raise Conflict("it has a key already")


def test_erased_while_it_was_being_made_it_is_not_made_up() -> None:
    place = Place(ring=Erased())
    with pytest.raises(KeyUnavailable, match=f"vault {place.vault_id().hex()[:12]}: erased while it was being made"):
        place.keys.create("acme", "user", "ana")
    assert place.ring.get(place.vault_id()) is None


def test_two_names_are_never_one_vault(place: Place) -> None:
    names = [
        ("acme", "user", "ana"), ("acme", "agent", "ana"), ("acm", "euser", "ana"), ("acme", "usera", "na"),
        ("acme", "user", "an"), ("acme", "user", ""), ("", "user", "ana"),
    ]  # fmt: skip
    ids = [place.keys.vault_id(*name) for name in names]
    assert len(set(ids)) == len(names)
    assert [place.another_process().keys.vault_id(*name) for name in names] == ids
    assert {len(each) for each in ids} == {32}
    assert not set(ids) & {Place().keys.vault_id(*name) for name in names}, "without the ring there is nothing to guess"


def test_ids_that_are_remembered_are_bounded_and_stay_right(place: Place) -> None:
    for number in range(3 * keyring._KNOWN_IDS):
        place.keys.vault_id("acme", "user", f"u{number}")
        assert len(place.keys._known_ids) <= keyring._KNOWN_IDS
    assert len(place.keys._known_ids) == keyring._KNOWN_IDS
    assert place.keys.vault_id("acme", "user", "u1") == place.another_process().keys.vault_id("acme", "user", "u1")


def test_stand_ins_are_a_vaults_own(place: Place) -> None:
    ana, rui = place.vault_id(), place.vault_id("rui")
    tag = place.keys.stand_in_tag(ana, b"mail")
    assert tag == place.another_process().keys.stand_in_tag(ana, b"mail")
    assert len({tag, place.keys.stand_in_tag(rui, b"mail"), place.keys.stand_in_tag(ana, b"mai")}) == 3
    told = place.keys.installation()
    assert len(told) == 32
    assert told == place.another_process().keys.installation() != Place().keys.installation()


def test_a_label_of_another_entry_is_refused(place: Place) -> None:
    place.keys.create("acme", "user", "ana")
    place.keys.create("acme", "user", "rui")
    entry, other = entry_of(place), entry_of(place, "rui")
    for label in (other.label, entry.label[:-1], bytes(len(entry.label))):
        with pytest.raises(Tampered, match=f"key ring entry {entry.vault_id.hex()[:12]}: its label was changed"):
            place.keys.whose(replace(entry, label=label))


@pytest.mark.parametrize("label", [b"", b"\xc1", ("acme", "user"), ("acme", "user", 7), "ana", [b"\xff", b"", b""]])
def test_a_genuine_label_of_another_form_is_refused(place: Place, label: object) -> None:
    place.keys.create("acme", "user", "ana")
    entry = entry_of(place)
    told = label if isinstance(label, bytes) else msgspec.msgpack.encode(label)
    sealed = hazmat.committed_seal(place.keys._labels, entry.vault_id, told)
    with pytest.raises(Tampered, match=f"key ring entry {entry.vault_id.hex()[:12]}: its label is of no known form"):
        place.keys.whose(replace(entry, label=sealed))


def test_a_key_under_a_root_key_that_nobody_has_says_which(place: Place) -> None:
    place.keys.create("acme", "user", "ana")
    stranger = ephemeral()
    with pytest.raises(WrongKey):
        Keys(place.ring, stranger)
    entry = replace(entry_of(place), provider="file:another")
    with pytest.raises(
        KeyUnavailable, match=rf"under key provider file:another, which neither this home \({place.provider.id}\)"
    ):
        place.keys.rewrapped(entry, place.provider)


def test_the_uses_of_a_root_key_are_counted(place: Place) -> None:
    assert place.keys.uses.total == {"wrap": 1}, "the catalog's"
    place.keys.create("acme", "user", "ana")
    place.keys.find("acme", place.vault_id())
    assert place.keys.uses.total == {"wrap": 2, "unwrap": 1}
    assert place.another_process().keys.uses.total == {}


def test_what_is_derived_from_the_catalog_is_the_same_for_ever() -> None:
    """Another name for a vault would be another vault: no version may change one of these."""
    ring, provider = MemoryKeyRing(), LocalProvider(SecretKey(bytes(range(32))), scheme="test", where="here")
    assert provider.id == "test:6e1ea94e443c06e8"
    ring.put_setting_once("catalog", provider.wrap(SecretKey(b"c" * 32), KeyContext("", bytes(32), 0)))
    keys = Keys(ring, provider)
    assert {
        "vault": keys.vault_id("acme", "user", "ana").hex(),
        "installation": keys.installation(),
        "stand-in": keys.stand_in_tag(b"v" * 32, b"mail").hex(),
        "receipts": keys.receipts.public.hex(),
        "anchors": keys.anchors.mac(b"x").hex(),
        "labels": keys._labels.mac(b"x").hex(),
    } == {
        "vault": "ad912c340f9da121bcf5f326c49db3b74515073715617e38d5c1e219c5500d0b",
        "installation": "98da9e1dc20303e5dc5f361c8448a989",
        "stand-in": "9e9a598054a64afc9e729ed41924439da941f022fec7f0eca2ca20d90843f05c",
        "receipts": "e701b776544ecc8b18dc639dbe7e6d4c3d587e2a20cd1bfee6d43276c809e884",
        "anchors": "8779b8d5bf755bc63aa1b4fab1d132e64f526ec478cb3b6458b853553584ea06",
        "labels": "5aabac3209d097c558e117e35743343ef0547db251ab54a7cef921dc1b5dc81a",
    }


# ---------------------------------------------------------------------- another root key


def succession(present: KeyProvider, *others: KeyProvider) -> Succession:
    return Succession(present, lambda wanted: next((each for each in others if each.id == wanted), None))


def test_another_root_key_takes_over_and_the_old_one_opens_nothing_any_more(place: Place) -> None:
    keys, _ = place.keys.create("acme", "user", "ana")
    new = ephemeral()
    with pytest.raises(KeyUnavailable, match="not handed"):
        place.keys.take_catalog_from(new.id)
    place.keys.hand_catalog_to(new)
    moved = Keys(place.ring, succession(new, place.provider))
    assert moved.vault_id("acme", "user", "ana") == keys.vault_id
    entry = entry_of(place)
    assert entry.provider == place.provider.id
    rewrapped = moved.rewrapped(entry, new)
    assert rewrapped.provider == new.id
    assert replace(rewrapped, wrapped=entry.wrapped, provider=entry.provider) == entry
    assert place.ring.rewrap([(entry, rewrapped)]) == 1
    found = moved.find("acme", keys.vault_id)
    assert found is not None
    assert found[0].epoch == keys.epoch
    moved.take_catalog_from(place.provider.id)
    assert place.ring.setting("catalog") is None
    found = Keys(place.ring, new).find("acme", keys.vault_id)
    assert found is not None
    assert found[0].epoch == keys.epoch
    third = ephemeral()
    moved.hand_catalog_to(third)
    last = Keys(place.ring, succession(third, new))
    last.take_catalog_from(new.id)
    assert place.ring.setting(f"catalog@{new.id}") is None
    assert Keys(place.ring, third).vault_id("acme", "user", "ana") == keys.vault_id


class Closable(LocalProvider):
    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_succession_wraps_under_the_present_key_and_opens_others_once() -> None:
    present, before = (Closable(SecretKey.generate(), scheme="test", where=where) for where in ("here", "there"))
    asked: list[str] = []

    def find(provider_id: str) -> KeyProvider | None:
        asked.append(provider_id)
        return before if provider_id == before.id else None

    both = Succession(present, find)
    context, key = KeyContext("acme", bytes(32), 1), SecretKey.generate()
    assert (both.id, both.where) == (present.id, "here")
    assert present.unwrap(both.wrap(key, context), context).equals(key)
    assert both.unwrap(present.wrap(key, context), context).equals(key)
    assert both.known_as(present.id) is both
    assert both.known_as("nobody") is None
    assert [both.known_as(before.id) for _ in range(3)] == [before] * 3
    assert asked == ["nobody", before.id]
    assert both.known_as("nobody") is None
    both.close()
    both.close()
    assert (present.closed, before.closed) == (2, 1)


# ---------------------------------------------------------------------- the key that follows


def test_the_key_that_follows_is_kept_until_it_takes_over(place: Place) -> None:
    keys, anchor = place.keys.create("acme", "user", "ana")
    assert place.keys.successor("acme", keys.vault_id) is None
    second = place.keys.prepare_successor("acme", keys.vault_id, 2)
    assert (second.version, second.vault_id) == (2, keys.vault_id)
    assert second.epoch != keys.epoch
    assert place.another_process().keys.prepare_successor("acme", keys.vault_id, 2).epoch == second.epoch
    waiting = place.another_process().keys.successor("acme", keys.vault_id)
    assert waiting is not None
    assert waiting.epoch == second.epoch
    found = place.keys.find("acme", keys.vault_id)
    assert found is not None
    assert (found[0].epoch, found[1]) == (keys.epoch, anchor)


@pytest.mark.parametrize("version", [1, 3])
def test_only_the_next_version_can_follow(place: Place, version: int) -> None:
    keys, _ = place.keys.create("acme", "user", "ana")
    with pytest.raises(KeyUnavailable, match=f"vault {keys.name}: it has no key of version {version - 1}"):
        place.keys.prepare_successor("acme", keys.vault_id, version)
    assert place.ring.successor(keys.vault_id) is None
    with pytest.raises(KeyUnavailable, match="no key of version 1"):
        place.keys.prepare_successor("acme", place.vault_id("nobody"), 2)


def test_receipts_and_anchors_have_keys_of_their_own_that_outlive_the_process(place: Place) -> None:
    again = place.another_process().keys
    assert again.receipts.public == place.keys.receipts.public != Place().keys.receipts.public
    assert again.anchors.equals(place.keys.anchors)
    place.write(added(1))
    assert not place.keys.anchors.equals(place.keys._labels)
