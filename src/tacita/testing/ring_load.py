"""The part of the key ring contract about races, size and what errors tell; `KeyRingContract` has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from tacita.errors import Conflict, KeyUnavailable, StoreError
from tacita.ports.keys import KeyRing
from tacita.sealed import Anchor, RingEntry

A, B = b"a" * 32, b"b" * 32


def entry(vault_id: bytes, wrapped: bytes = b"wrapped key") -> RingEntry:
    return RingEntry(vault_id, 1, "test:1", wrapped, b"label", Anchor(0, b"c" * 32))


class KeyRingUnderLoad:
    """Opens the ring, and keeps it busy."""

    many = 2_100
    """Keys that it has to hold and list in order."""

    def make(self, folder: Path) -> KeyRing:
        """Open the ring that lives in `folder`; called again for the same folder to open it anew."""
        raise NotImplementedError

    @pytest.fixture
    def ring(self, tmp_path: Path) -> Iterator[KeyRing]:
        opened = self.make(tmp_path / "ring")
        yield opened
        opened.close()

    def test_a_race_to_prepare_has_one_winner(self, ring: KeyRing) -> None:
        ring.create(entry(A))
        following = replace(entry(A), key_version=2)
        with ThreadPoolExecutor(4) as pool:
            kept = set(pool.map(lambda number: ring.prepare(replace(following, wrapped=b"%d" % number)), range(12)))
        assert len(kept) == 1
        with ThreadPoolExecutor(4) as pool:
            promoted = list(pool.map(lambda _: ring.promote(A, 2, Anchor(1, b"1" * 32)), range(4)))
        assert sum(promoted) == 1
        assert ring.get(A) == replace(kept.pop(), anchor=Anchor(1, b"1" * 32))

    def test_creating_and_shredding_race_and_a_vault_is_in_one_state(self, ring: KeyRing) -> None:
        def change(number: int) -> None:
            for _ in range(5):
                if number % 2:
                    ring.shred(A)
                else:
                    try:
                        ring.create(entry(A, b"%d" % number))
                    except Conflict:
                        continue

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(change, range(4)))
        assert (ring.get(A) is None) == ring.shredded(A)
        ring.shred(A)
        ring.create(entry(A))
        assert (ring.get(A), ring.shredded(A)) == (entry(A), False)

    def test_anchors_race_and_the_furthest_stays(self, ring: KeyRing) -> None:
        ring.create(entry(A))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda seq: ring.advance(A, Anchor(seq, seq.to_bytes(32))), [5, 90, 30, 7, 60, 89, 1, 2]))
        found = ring.get(A)
        assert found is not None
        assert found.anchor == Anchor(90, (90).to_bytes(32))

    def test_errors_and_reprs_tell_no_key(self, ring: KeyRing) -> None:
        ring.create(entry(A, b"CANARY of a wrapped key"))
        with pytest.raises(Conflict) as conflict:
            ring.create(entry(A, b"CANARY of another"))
        with pytest.raises(KeyUnavailable) as missing:
            ring.prepare(replace(entry(B, b"CANARY of a third"), key_version=2))
        assert "CANARY" not in repr(ring) + repr(conflict.value) + repr(missing.value)

    @pytest.mark.slow
    def test_thousands_of_keys_are_listed_in_order(self, ring: KeyRing) -> None:
        ids = [number.to_bytes(32) for number in range(1, self.many + 1)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda vault_id: ring.create(entry(vault_id)), ids))
        assert [each.vault_id for each in ring.entries()] == ids

    def test_a_closed_ring_says_so(self, tmp_path: Path) -> None:
        ring = self.make(tmp_path / "closed")
        ring.create(entry(A))
        ring.close()
        ring.close()
        uses: list[Callable[[], object]] = [
            lambda: ring.get(A),
            lambda: ring.shredded(A),
            lambda: ring.create(entry(B)),
            lambda: ring.advance(A, Anchor(1, b"1" * 32)),
            lambda: ring.rewind(A, Anchor(1, b"1" * 32)),
            lambda: ring.prepare(replace(entry(A), key_version=2)),
            lambda: ring.promote(A, 2, Anchor(1, b"1" * 32)),
            lambda: ring.shred(A),
            lambda: ring.rewrap([(entry(A), entry(A))]),
            lambda: ring.successor(A),
            lambda: list(ring.successors()),
            lambda: list(ring.entries()),
            lambda: ring.setting("x"),
            lambda: ring.put_setting_once("x", b"1"),
            lambda: ring.drop_setting("x"),
        ]
        for use in uses:
            with pytest.raises(StoreError, match="closed"):
                use()
