"""What every key ring must do. Subclass `KeyRingContract`, say how to open yours, and run pytest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from tacita.errors import Conflict, KeyUnavailable, Tampered
from tacita.ports.keys import KeyRing
from tacita.sealed import Anchor
from tacita.testing.ring_load import A, B, KeyRingUnderLoad, entry

__all__ = ["A", "B", "KeyRingContract", "entry"]


class KeyRingContract(KeyRingUnderLoad):
    """The promises of `KeyRing`. Set `persistent` to False for a ring that ends with its object."""

    persistent = True

    def test_three_states(self, ring: KeyRing) -> None:
        assert (ring.get(A), ring.shredded(A)) == (None, False)
        ring.create(entry(A))
        assert (ring.get(A), ring.shredded(A)) == (entry(A), False)
        assert ring.shred(A)
        assert (ring.get(A), ring.shredded(A)) == (None, True)
        assert not ring.shred(A)
        ring.create(entry(A, b"another key"))
        found = ring.get(A)
        assert found is not None
        assert found.wrapped == b"another key"
        assert not ring.shredded(A)
        assert ring.get(B) is None

    def test_a_key_is_never_replaced(self, ring: KeyRing) -> None:
        ring.create(entry(A))
        with pytest.raises(Conflict):
            ring.create(entry(A, b"usurper"))
        assert ring.get(A) == entry(A)

    def test_an_anchor_goes_back_only_when_told_to(self, ring: KeyRing) -> None:
        ring.create(entry(A))
        ring.advance(A, Anchor(5, b"d" * 32))
        ring.advance(A, Anchor(2, b"e" * 32))
        found = ring.get(A)
        assert found is not None
        assert found.anchor == Anchor(5, b"d" * 32)
        ring.rewind(A, Anchor(2, b"e" * 32))
        found = ring.get(A)
        assert found is not None
        assert found.anchor == Anchor(2, b"e" * 32)
        for missing in (B, A):
            ring.shred(A)
            with pytest.raises(KeyUnavailable):
                ring.rewind(missing, Anchor(0, b"c" * 32))

    def test_keys_are_rewrapped_and_settings_dropped(self, ring: KeyRing) -> None:
        ring.create(entry(A))
        ring.create(entry(B))
        ring.advance(A, Anchor(3, b"d" * 32))
        old, other = entry(A), entry(B, b"not what is kept")
        pairs = [(each, replace(each, wrapped=b"wrapped anew", provider="test:2")) for each in (old, other)]
        assert ring.rewrap(pairs) == 1
        found, untouched = ring.get(A), ring.get(B)
        assert found is not None
        assert (found.wrapped, found.provider, found.label) == (b"wrapped anew", "test:2", b"label")
        assert found.anchor == Anchor(3, b"d" * 32), "the anchor stays"
        assert untouched == entry(B)
        assert ring.rewrap(pairs) == 0
        ring.put_setting_once("name", b"value")
        ring.drop_setting("name")
        ring.drop_setting("name")
        assert ring.setting("name") is None

    def test_a_key_is_followed_by_another(self, ring: KeyRing) -> None:
        following = replace(entry(A, b"the next key"), key_version=2)
        with pytest.raises(KeyUnavailable):
            ring.prepare(following)
        ring.create(entry(A))
        ring.create(entry(B))
        ring.advance(A, Anchor(3, b"3" * 32))
        assert ring.successor(A) is None
        assert ring.prepare(following).wrapped == b"the next key"
        assert ring.prepare(replace(following, wrapped=b"too late")).wrapped == b"the next key"
        assert [each.vault_id for each in ring.successors()] == [A]
        with pytest.raises(KeyUnavailable):
            ring.prepare(replace(following, key_version=3))
        found = ring.get(A)
        assert found is not None
        assert (found.wrapped, found.key_version) == (b"wrapped key", 1), "it only waits"
        assert not ring.promote(A, 3, Anchor(4, b"4" * 32))
        assert not ring.promote(A, 2, Anchor(3, b"x" * 32))
        assert not ring.promote(B, 2, Anchor(4, b"4" * 32))
        assert ring.promote(A, 2, Anchor(4, b"4" * 32))
        assert not ring.promote(A, 2, Anchor(5, b"5" * 32))
        assert ring.get(A) == replace(following, anchor=Anchor(4, b"4" * 32))
        assert ring.successor(A) is None
        assert ring.get(B) == entry(B)

    def test_a_shredded_vault_has_no_successor(self, ring: KeyRing) -> None:
        ring.create(entry(A))
        ring.prepare(replace(entry(A, b"the next key"), key_version=2))
        ring.shred(A)
        assert ring.successor(A) is None
        assert not ring.promote(A, 2, Anchor(4, b"4" * 32))
        with pytest.raises(KeyUnavailable):
            ring.prepare(replace(entry(A, b"the next key"), key_version=2))

    def test_a_race_to_create_has_one_winner(self, ring: KeyRing) -> None:
        def attempt(number: int) -> bool:
            try:
                ring.create(entry(A, b"%d" % number))
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(attempt, range(8))) == 1

    def test_anchors_move_forward_only(self, ring: KeyRing) -> None:
        ring.create(entry(A))
        ring.advance(A, Anchor(5, b"5" * 32))
        ring.advance(A, Anchor(3, b"3" * 32))
        found = ring.get(A)
        assert found is not None
        assert found.anchor == Anchor(5, b"5" * 32)
        ring.advance(A, Anchor(5, b"5" * 32))
        with pytest.raises(Tampered):
            ring.advance(A, Anchor(5, b"x" * 32))

    def test_a_shredded_vault_has_no_anchor(self, ring: KeyRing) -> None:
        with pytest.raises(KeyUnavailable):
            ring.advance(A, Anchor(1, b"1" * 32))
        ring.create(entry(A))
        ring.shred(A)
        with pytest.raises(KeyUnavailable):
            ring.advance(A, Anchor(1, b"1" * 32))

    def test_settings_are_put_once(self, ring: KeyRing) -> None:
        assert ring.setting("x") is None
        assert ring.put_setting_once("x", b"1") == b"1"
        assert ring.put_setting_once("x", b"2") == b"1"
        assert ring.setting("x") == b"1"

    def test_a_setting_is_swapped_in_one_step(self, ring: KeyRing) -> None:
        assert ring.swap_setting("x", None, b"1")
        assert not ring.swap_setting("x", None, b"2")
        assert not ring.swap_setting("x", b"0", b"2")
        assert not ring.swap_setting("missing", b"0", b"2")
        assert ring.setting("x") == b"1"
        assert ring.swap_setting("x", b"1", b"2")
        assert ring.swap_setting("x", b"1", b"2"), "asked again after its answer was lost"
        assert ring.setting("x") == b"2"
        assert ring.setting("missing") is None

    def test_a_race_to_swap_has_one_winner(self, ring: KeyRing) -> None:
        ring.put_setting_once("x", b"before")
        with ThreadPoolExecutor(4) as pool:
            won = list(pool.map(lambda number: ring.swap_setting("x", b"before", b"%d" % number), range(8)))
        assert sum(won) == 1
        assert ring.setting("x") == b"%d" % won.index(True)

    def test_settings_are_listed(self, ring: KeyRing) -> None:
        assert list(ring.settings()) == []
        for name in ("rekeyed@b", "catalog", "catalog@file:1", "Z"):
            ring.put_setting_once(name, name.encode())
        ring.drop_setting("catalog")
        ring.create(entry(A))
        assert list(ring.settings()) == [(name, name.encode()) for name in ("Z", "catalog@file:1", "rekeyed@b")]

    def test_tombstones_are_listed_and_left_for_others(self, ring: KeyRing) -> None:
        assert list(ring.tombstones()) == []
        for vault_id in (B, A):
            ring.create(entry(vault_id))
            ring.shred(vault_id)
        assert list(ring.tombstones()) == [A, B]
        ring.create(entry(A))
        assert list(ring.tombstones()) == [B]
        with pytest.raises(Conflict):
            ring.bury(A)
        assert ring.get(A) == entry(A), "a key is not destroyed by it"
        for _ in range(2):
            ring.bury(B)
            ring.bury(b"c" * 32)
        assert list(ring.tombstones()) == [B, b"c" * 32]
        assert ring.shredded(b"c" * 32)
        ring.create(entry(b"c" * 32))
        assert list(ring.tombstones()) == [B]

    def test_it_has_a_name(self, ring: KeyRing, tmp_path: Path) -> None:
        if self.persistent:
            other = self.make(tmp_path / "another")
            assert ring.name not in ("", other.name)
            other.close()

    def test_entries_in_order(self, ring: KeyRing) -> None:
        ring.create(entry(B))
        ring.create(entry(A))
        assert list(ring.entries()) == [entry(A), entry(B)]
        ring.shred(A)
        assert list(ring.entries()) == [entry(B)]

    def test_opened_again_it_holds_the_same(self, tmp_path: Path) -> None:
        if not self.persistent:
            pytest.skip("this ring ends with its object")
        ring = self.make(tmp_path / "again")
        ring.create(entry(A))
        ring.advance(A, Anchor(2, b"2" * 32))
        ring.create(entry(B))
        ring.shred(B)
        ring.close()
        ring.close()
        again = self.make(tmp_path / "again")
        assert again.get(A) == replace(entry(A), anchor=Anchor(2, b"2" * 32))
        assert again.shredded(B)
        again.close()
