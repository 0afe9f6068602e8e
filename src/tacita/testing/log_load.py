"""The part of the log store contract about races, threads, size and what errors tell; `LogStoreContract` has it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tacita import limits
from tacita.errors import HeadMoved, InvalidInput, StoreError
from tacita.hazmat import sha256
from tacita.ports.log import LogStore
from tacita.sealed import SealedEvent, SealedPart, VaultHead

A, B = b"a" * 32, b"a" * 31 + b"b"
E, LATER = b"e" * 16, b"l" * 16
"""Two epochs of a vault."""


def event(number: int, size: int = 100) -> SealedEvent:
    """A well-formed event with recognisable bytes."""
    sealed = (b"%06d" % number) * (size // 6 + 1)
    return SealedEvent(number.to_bytes(16), sealed, sha256(number.to_bytes(16) + sealed))


def events(first: int, count: int) -> list[SealedEvent]:
    return [event(number) for number in range(first, first + count)]


class LogStoreUnderLoad:
    """Opens the store, and keeps it busy."""

    many = 50_000
    """Vaults that it has to hold and list in order. Override it where that takes too long to do at every change."""

    def make(self, folder: Path) -> LogStore:
        """Open the store that lives in `folder`; called again for the same folder to open it anew."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[LogStore]:
        opened = self.make(tmp_path / "store")
        yield opened
        opened.close()

    def test_a_vault_has_one_first_writer(self, store: LogStore) -> None:
        def write(number: int) -> bool:
            try:
                store.append(A, 0, events(number, 3), epoch=number.to_bytes(16))
            except HeadMoved:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(write, range(100, 124)))
        assert sum(won) == 1
        head = store.head(A)
        assert head is not None
        assert head.epoch == (100 + won.index(True)).to_bytes(16)
        assert [row.seq for row in store.read(A)] == [1, 2, 3]

    def test_appending_replacing_and_dropping_race_and_the_log_stays_whole(self, store: LogStore) -> None:
        def change(number: int) -> None:
            for _ in range(6):
                head = store.head(A)
                try:
                    if head is None or number % 3 == 0:
                        seq, epoch = (head.seq, head.epoch) if head else (0, number.to_bytes(16))
                        store.append(A, seq, events(1000 * number, 3), epoch=epoch, purge=[seq] if seq else [])
                    elif number % 3 == 1:
                        others = events(1000 * number, head.seq + 1)
                        store.replace(A, head, others, epoch=number.to_bytes(16))
                    else:
                        store.drop(A, epoch=head.epoch)
                except HeadMoved:
                    continue

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(change, range(1, 7)))
        head = store.head(A)
        rows = list(store.read(A))
        assert [row.seq for row in rows] == list(range(1, (head.seq if head else 0) + 1))
        assert not rows or rows[-1].sealed is not None

    def test_big_batches_and_the_largest_event(self, store: LogStore) -> None:
        assert store.append(A, 0, events(1, 10_000), epoch=E) == 10_000
        largest = event(7, limits.SEALED_EVENT_BYTES - 6)
        assert len(largest.sealed) <= limits.SEALED_EVENT_BYTES
        assert store.append(A, 10_000, [largest], purge=range(1, 9_001), epoch=E) == 10_001
        rows = list(store.read(A))
        assert [row.seq for row in rows] == list(range(1, 10_002))
        assert [row.sealed is None for row in rows] == [True] * 9_000 + [False] * 1_001
        assert rows[-1].sealed == largest.sealed
        assert [row.sealed for row in rows[9_000:10_000]] == [one.sealed for one in events(9_001, 1_000)]
        before = store.head(A)
        assert before is not None
        assert store.replace(A, before, [largest, *events(1, 12_000)], epoch=LATER) == 12_001
        assert [row.digest for row in store.read(A)] == [largest.digest, *(one.digest for one in events(1, 12_000))]

    def test_snapshots_from_before_a_purge_or_behind_the_head_are_refused(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 3), epoch=E)
        store.write_snapshot(A, 4, iter([SealedPart(0, b"of what is not there yet")]))
        assert store.read_snapshot(A) is None
        store.append(A, 3, [event(4)], purge=[2], epoch=E)
        store.write_snapshot(A, 3, iter([SealedPart(0, b"with what was purged")]))
        assert store.read_snapshot(A) is None
        store.write_snapshot(B, 1, iter([SealedPart(0, b"of no vault")]))
        assert store.read_snapshot(B) is None
        store.write_snapshot(A, 4, iter([SealedPart(0, b"now")]))
        found = store.read_snapshot(A)
        assert found is not None
        assert found[0] == 4

    def test_a_purge_while_a_snapshot_is_being_written_wins(self, store: LogStore) -> None:
        store.append(A, 0, events(1, 3), epoch=E)

        def parts() -> Iterator[SealedPart]:
            for number in range(9):
                if number == 6:
                    store.append(A, 3, [event(4)], purge=[2], epoch=E)
                yield SealedPart(number, b"with what is purged meanwhile")

        store.write_snapshot(A, 3, parts())
        assert store.read_snapshot(A) is None
        assert store.drop_snapshots(A) == 0

    def test_many_threads_use_one_store(self, store: LogStore) -> None:
        def use(number: int) -> int:
            vault_id = number.to_bytes(32)
            for seq in range(5):
                store.append(vault_id, seq, [event(100 * number + seq)], epoch=E)
                assert [row.seq for row in store.read(vault_id)] == list(range(1, seq + 2))
            return len(store.fetch(vault_id, [1, 5]))

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(use, range(1, 25))) == [2] * 24
        assert [head.seq for head in store.vaults()] == [5] * 24

    def test_errors_tell_nothing_of_what_was_written(self, store: LogStore) -> None:
        store.append(A, 0, events(777_777, 2), epoch=E)
        attempts: list[Callable[[], object]] = [
            lambda: store.append(A, 1, [event(777_777)], epoch=E),
            lambda: store.append(A, 0, events(777_777, 600), epoch=E),
            lambda: store.append(A, 2, [event(777_777)], epoch=LATER),
            lambda: store.append(A, 2, [event(777_777)], epoch=E, format=9),
            lambda: store.replace(A, VaultHead(A, 1, 1, E), events(777_777, 3), epoch=LATER),
        ]
        for attempt in attempts:
            with pytest.raises((HeadMoved, InvalidInput)) as failed:
                attempt()
            shown = "".join(traceback.format_exception(failed.value)) + repr(failed.value)
            assert "777777" not in shown
            assert b"777777".hex() not in shown
        assert "777777" not in repr(store) + repr(list(store.read(A)))

    @pytest.mark.slow
    def test_many_vaults_are_listed_in_order(self, store: LogStore) -> None:
        ids = sorted(sha256(number.to_bytes(4)) for number in range(self.many))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda vault_id: store.append(vault_id, 0, [event(1)], epoch=E), ids))
        listed = store.vaults()
        first = next(listed)
        store.drop(ids[-1], epoch=E)  # the caller may do anything in between
        assert [first.vault_id, *(head.vault_id for head in listed)] in (ids, ids[:-1])

    def test_a_closed_store_says_so(self, tmp_path: Path) -> None:
        store = self.make(tmp_path / "closed")
        store.append(A, 0, events(1, 2), epoch=E)
        store.close()
        store.close()
        uses: list[Callable[[], object]] = [
            lambda: store.head(A),
            lambda: store.append(A, 2, [event(3)], epoch=E),
            lambda: store.replace(A, VaultHead(A, 1, 2, E), events(1, 3), epoch=E),
            lambda: list(store.read(A)),
            lambda: store.fetch(A, [1]),
            lambda: store.drop(A, epoch=E),
            lambda: list(store.vaults()),
            lambda: store.write_snapshot(A, 2, iter([SealedPart(0, b"part")])),
            lambda: store.read_snapshot(A),
            lambda: store.drop_snapshots(A),
            store.size,
        ]
        for use in uses:
            with pytest.raises(StoreError, match="closed"):
                use()
