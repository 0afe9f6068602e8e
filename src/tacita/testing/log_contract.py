"""What every log store must do. Subclass `LogStoreContract`, say how to open yours, and run pytest."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tacita.errors import HeadMoved, InvalidInput, Moved, StoreError
from tacita.ports.log import LogStore
from tacita.sealed import DropCounts, PurgedEvent, SealedEvent, SealedPart, VaultHead
from tacita.testing.log_load import LATER, A, B, E, LogStoreUnderLoad, event, events

__all__ = ["LATER", "A", "B", "E", "LogStoreContract", "event", "events"]


class LogStoreContract(LogStoreUnderLoad):
    """The promises of `LogStore`. Set `persistent` to False for a store that ends with its object."""

    persistent = True

    def test_append_and_read(self, store: LogStore) -> None:
        assert store.head(A) is None
        assert store.append(A, 0, events(1, 3), epoch=E) == 3
        assert store.append(A, 3, events(4, 2), epoch=E) == 5
        rows = list(store.read(A))
        assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
        assert [row.sealed for row in rows] == [one.sealed for one in events(1, 5)]
        assert [row.digest for row in rows] == [one.digest for one in events(1, 5)]
        assert [row.seq for row in store.read(A, after=3)] == [4, 5]
        assert store.head(A) == VaultHead(A, 1, 5, E)

    def test_a_digest_that_the_head_tells_is_of_the_last_event(self, store: LogStore) -> None:
        for seq in (1, 2, 3):
            store.append(A, seq - 1, [event(seq)], epoch=E, purge=[seq - 1] if seq > 1 else ())
            head = store.head(A)
            assert head is not None
            assert head.digest in (None, event(seq).digest)
        store.replace(A, VaultHead(A, 1, 3, E), events(5, 4), epoch=LATER)
        head = store.head(A)
        assert head is not None
        assert head.digest in (None, event(8).digest)

    def test_compare_and_set(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 2), epoch=E)
        for expected in (0, 1, 3):
            with pytest.raises(HeadMoved):
                store.append(A, expected, events(9, 1), epoch=E)
        assert len(list(store.read(A))) == 2

    def test_a_race_has_one_winner_each_time(self, store: LogStore) -> None:
        def write(number: int) -> int:
            for attempt in range(1_000):
                head = store.head(A)
                try:
                    store.append(A, head.seq if head else 0, [event(number)], epoch=E)
                except HeadMoved:
                    continue
                return attempt
            raise AssertionError("never won")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(40)))
        tags = sorted(int.from_bytes(row.item_tag) for row in store.read(A))
        assert tags == list(range(40))

    def test_vaults_are_apart(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 2), epoch=E)
        store.append(B, 0, events(7, 1), epoch=E)
        assert [row.item_tag for row in store.read(B)] == [event(7).item_tag]
        assert store.drop(A, epoch=E) == DropCounts(2, 0)
        assert [row.seq for row in store.read(B)] == [1]
        assert [head.vault_id for head in store.vaults()] == [B]

    def test_a_dropped_vault_starts_anew(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 3), epoch=E)
        store.write_snapshot(A, 3, iter([SealedPart(0, b"old")]))
        store.drop(A, epoch=E)
        assert store.head(A) is None
        assert store.drop(A, epoch=E) == DropCounts(0, 0)
        store.append(A, 0, events(8, 1), epoch=E)
        assert [row.item_tag for row in store.read(A)] == [event(8).item_tag]
        assert store.read_snapshot(A) is None

    def test_purge_keeps_tag_and_digest(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 3), epoch=E)
        store.write_snapshot(A, 3, iter([SealedPart(0, b"part")]))
        store.append(A, 3, [event(4)], purge=[1, 3], epoch=E)
        rows = list(store.read(A))
        assert [row.sealed is None for row in rows] == [True, False, True, False]
        assert [row.digest for row in rows] == [one.digest for one in events(1, 4)]
        assert store.read_snapshot(A) is None

    def test_another_life_of_a_vault_is_not_written_to_nor_dropped(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 2), epoch=LATER)
        with pytest.raises(HeadMoved):
            store.append(A, 2, events(3, 1), epoch=E)
        assert store.drop(A, epoch=E) == DropCounts(0, 0)
        assert store.head(A) == VaultHead(A, 1, 2, LATER)

    def test_a_log_takes_the_place_of_another(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 3), epoch=E)
        store.append(B, 0, events(7, 1), epoch=E)
        store.append(A, 3, [event(4)], purge=[2], epoch=E)
        store.write_snapshot(A, 4, iter([SealedPart(0, b"old")]))
        hole = PurgedEvent(b"t" * 16, b"d" * 32)
        before = store.head(A)
        assert before is not None
        others: list[SealedEvent | PurgedEvent] = [event(51), hole, event(53), event(54), event(55)]
        assert store.replace(A, before, others, epoch=LATER) == 5
        assert store.head(A) == VaultHead(A, 1, 5, LATER)
        rows = list(store.read(A))
        assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
        assert [row.sealed for row in rows] == [
            None if isinstance(each, PurgedEvent) else each.sealed for each in others
        ]
        assert [(row.item_tag, row.digest) for row in rows] == [(each.item_tag, each.digest) for each in others]
        assert store.read_snapshot(A) is None
        store.write_snapshot(A, 4, iter([SealedPart(0, b"folded from the old log")]))
        assert store.read_snapshot(A) is None
        assert store.append(A, 5, [event(56)], epoch=LATER) == 6
        assert [row.seq for row in store.read(B)] == [1]
        with pytest.raises(HeadMoved):
            store.replace(A, before, [event(number) for number in range(60, 70)], epoch=E)

    def test_a_log_is_replaced_only_as_it_was_seen(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 2), epoch=E)
        for seen in (VaultHead(A, 1, 1, E), VaultHead(A, 1, 2, LATER), VaultHead(A, 1, 3, E)):
            with pytest.raises(HeadMoved):
                store.replace(A, seen, events(10, 4), epoch=LATER)
        with pytest.raises(HeadMoved):
            store.replace(B, VaultHead(B, 1, 2, E), events(10, 4), epoch=LATER)
        ends_in_a_hole: list[SealedEvent | PurgedEvent] = [*events(10, 2), PurgedEvent(bytes(16), bytes(32))]
        for wrong in (events(10, 2), ends_in_a_hole):
            with pytest.raises(InvalidInput):
                store.replace(A, VaultHead(A, 1, 2, E), wrong, epoch=LATER)
        assert [row.sealed for row in store.read(A)] == [one.sealed for one in events(1, 2)]

    def test_a_lost_race_purges_nothing(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 2), epoch=E)
        with pytest.raises(HeadMoved):
            store.append(A, 1, [event(3)], purge=[1], epoch=E)
        assert all(row.sealed for row in store.read(A))

    def test_fetch(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 1_200), epoch=E)
        assert [row.seq for row in store.fetch(A, [7, 3, 3, 9_999])] == [3, 7]
        assert len(store.fetch(A, range(1, 1_201))) == 1_200
        assert store.fetch(B, [1]) == []

    def test_snapshots_are_replaced_by_newer_ones_only(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 9), epoch=E)
        store.write_snapshot(A, 5, iter([SealedPart(0, b"five"), SealedPart(1, b"more")]))
        store.write_snapshot(A, 3, iter([SealedPart(0, b"three")]))
        found = store.read_snapshot(A)
        assert found is not None
        assert (found[0], [part.sealed for part in found[1]]) == (5, [b"five", b"more"])
        store.write_snapshot(A, 9, iter([SealedPart(0, b"nine")]))
        found = store.read_snapshot(A)
        assert found is not None
        assert (found[0], [part.sealed for part in found[1]]) == (9, [b"nine"])
        assert store.drop_snapshots(A) == 1
        assert store.read_snapshot(A) is None

    def test_a_snapshot_that_fails_half_way_leaves_the_old_one(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 2), epoch=E)
        store.write_snapshot(A, 1, iter([SealedPart(0, b"whole")]))

        def broken() -> Iterator[SealedPart]:
            yield SealedPart(0, b"half")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store.write_snapshot(A, 2, broken())
        found = store.read_snapshot(A)
        assert found is not None
        assert [part.sealed for part in found[1]] == [b"whole"]

    def test_plaintext_is_refused(self, store: LogStore) -> None:
        class Loose(SealedEvent):  # type: ignore[misc]
            pass

        loose = Loose(bytes(16), b"x", bytes(32))
        for wrong in (b"bytes", "text", loose, None):
            with pytest.raises(TypeError):
                store.append(A, 0, [wrong], epoch=E)  # type: ignore[list-item]
        with pytest.raises(TypeError):
            store.head("a" * 32)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            store.append(A, 0, [], epoch=E)
        assert store.head(A) is None

    def test_reading_goes_on_while_others_write(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 1_500), epoch=E)
        reader = store.read(A)
        first = next(reader)
        store.append(A, 1_500, events(2_000, 5), epoch=E)
        assert first.seq == 1
        assert len(list(reader)) == 1_499
        abandoned = store.read(A)
        next(abandoned)
        del abandoned
        assert store.append(A, 1_505, [event(3)], epoch=E) == 1_506

    def test_a_fence_stops_what_would_be_lost(self, store: LogStore) -> None:
        class Closed:
            def begin(self) -> None:
                raise AssertionError("a store begins nothing by itself")

            def finish(self) -> None:
                raise Moved("no more")

        store.append(A, 0, events(1, 2), epoch=E)
        store.fence, before = Closed(), store.fence
        for use in (
            lambda: store.head(A),
            lambda: store.append(A, 2, [event(3)], epoch=E),
            lambda: store.replace(A, VaultHead(A, 1, 2, E), events(1, 3), epoch=E),
            lambda: store.drop(A, epoch=E),
        ):
            with pytest.raises(Moved):
                use()
        store.fence = before
        assert [row.seq for row in store.read(A)] == [1, 2]

    def test_it_has_a_name(self, store: LogStore, tmp_path: Path) -> None:
        if self.persistent:
            other = self.make(tmp_path / "another")
            assert store.name not in ("", other.name)
            other.close()

    def test_opened_again_it_holds_the_same(self, tmp_path: Path) -> None:
        if not self.persistent:
            pytest.skip("this store ends with its object")
        store = self.make(tmp_path / "again")
        store.append(A, 0, events(1, 4), epoch=E)
        before = list(store.read(A))
        store.close()
        store.close()
        with pytest.raises(StoreError):
            store.head(A)
        again = self.make(tmp_path / "again")
        assert list(again.read(A)) == before
        again.close()
