"""A snapshot brings back what the log says or nothing: parts are put together, never mixed, and never trusted."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from tests.unit.vault.places import Place, added

from tacita import limits
from tacita.errors import Tampered
from tacita.flows.engine import INDEX
from tacita.retrieval.index import SearchIndex
from tacita.sealed import SealedPart
from tacita.vault import snapshot
from tacita.vault.events import ItemDeleted
from tacita.vault.fold import VaultState
from tacita.vault.format import seal_part
from tacita.vault.vault import SNAPSHOT_AFTER, OpenVault


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(limits, "SNAPSHOT_PART_BYTES", 512)
    return Place()


def written(place: Place) -> OpenVault[SearchIndex]:
    vault = place.write(*(added(number, f"é text {number}", metadata={"n": number}) for number in range(1, 20)))
    assert vault.save_snapshot(after=1)
    return vault


def read(place: Place, vault: OpenVault[SearchIndex]) -> tuple[bytearray, VaultState[SearchIndex]] | None:
    return snapshot.read(place.store, vault.keys, INDEX.load, index_version=INDEX.version)


def parts(place: Place, vault: OpenVault[SearchIndex]) -> list[SealedPart]:
    found = place.store.read_snapshot(vault.keys.vault_id)
    assert found is not None
    return list(found[1])


def put(place: Place, vault: OpenVault[SearchIndex], changed: list[SealedPart]) -> None:
    place.store.drop_snapshots(vault.keys.vault_id)
    place.store.write_snapshot(vault.keys.vault_id, vault.seq, iter(changed))


def test_many_parts_are_one_state(place: Place) -> None:
    vault = written(place)
    kept = parts(place, vault)
    assert len(kept) > 5
    assert [part.part for part in kept] == list(range(len(kept)))
    assert len({len(part.sealed) for part in kept[:-1]}) == 1, "all but the last are of one size"
    found = read(place, vault)
    assert found is not None
    chains, state = found
    assert chains == vault._log.chains
    assert (state.texts, state.ids, state.by_id) == (vault.state.texts, vault.state.ids, vault.state.by_id)
    assert state.columns() == vault.state.columns()
    assert (state.rows == vault.state.rows).all()
    again = place.another_process().vault()
    assert again.state.texts == vault.state.texts
    assert again._snapshot_seq == 19


def test_a_state_that_fills_its_parts_exactly_comes_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = written(place)
    whole = sum(1 for _ in parts(place, vault))
    for size in range(1_000, 1_032):
        monkeypatch.setattr(limits, "SNAPSHOT_PART_BYTES", size)
        snapshot.write(place.store, vault.keys, vault._log.chains, vault.state, index_version=INDEX.version)
        assert len(parts(place, vault)) < whole
        found = read(place, vault)
        assert found is not None
        assert found[1].texts == vault.state.texts


def other_part(place: Place, vault: OpenVault[SearchIndex], kept: list[SealedPart]) -> list[SealedPart]:
    snapshot.write(place.store, vault.keys, vault._log.chains, vault.state, index_version=INDEX.version)
    return [kept[0], *parts(place, vault)[1:]]


def last_missing(_: Place, __: OpenVault[SearchIndex], kept: list[SealedPart]) -> list[SealedPart]:
    return kept[:-1]


def middle_missing(_: Place, __: OpenVault[SearchIndex], kept: list[SealedPart]) -> list[SealedPart]:
    return kept[:1] + kept[2:]


def renumbered(_: Place, __: OpenVault[SearchIndex], kept: list[SealedPart]) -> list[SealedPart]:
    return [kept[0], SealedPart(1, kept[2].sealed), SealedPart(2, kept[1].sealed), *kept[3:]]


def endless(_: Place, vault: OpenVault[SearchIndex], kept: list[SealedPart]) -> list[SealedPart]:
    size = limits.SNAPSHOT_PART_BYTES * 4096 + 1
    return [seal_part(vault.keys, bytes(16), vault.seq, 0, size.to_bytes(8) + bytes(100)), *kept[1:]]


def other_type(place: Place, vault: OpenVault[SearchIndex], kept: list[SealedPart]) -> list[SealedPart]:
    """Objects, which numpy would make of bytes that say so."""
    manifest = msgspec.msgpack.encode(
        {"layout": snapshot.LAYOUT, "index": INDEX.version, "arrays": [("x", "|O", [1])], "columns": {}}
    )
    body = len(manifest).to_bytes(8) + manifest + bytes(8)
    return [seal_part(vault.keys, bytes(16), vault.seq, 0, body)]


def no_manifest(_: Place, vault: OpenVault[SearchIndex], kept: list[SealedPart]) -> list[SealedPart]:
    return [seal_part(vault.keys, bytes(16), vault.seq, 0, (3).to_bytes(8) + b"\xc1xyz"), *kept[1:]]


@pytest.mark.parametrize(
    "change",
    [other_part, last_missing, middle_missing, renumbered, endless, no_manifest, other_type],
    ids=lambda change: change.__name__,
)
def test_parts_that_do_not_belong_together_are_no_snapshot(
    place: Place, change: object, caplog: pytest.LogCaptureFixture
) -> None:
    vault = written(place)
    put(place, vault, change(place, vault, parts(place, vault)))  # type: ignore[operator]
    assert read(place, vault) is None
    assert "snapshot not usable, rebuilding from the log" in caplog.text
    assert vault.keys.name in caplog.text
    assert place.another_process().texts() == vault.state.texts


def test_a_manifest_is_not_read_before_its_size_is_believed(place: Place) -> None:
    """Whoever could seal one that says it is endless must not be able to take all memory."""
    vault = written(place)
    put(place, vault, endless(place, vault, parts(place, vault))[:1])
    asked: list[int] = []

    class Counting(snapshot._PartReader):
        def take(self, count: int) -> bytes:
            asked.append(count)
            return super().take(count)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(snapshot, "_PartReader", Counting)
        assert read(place, vault) is None
    assert asked == [8]


def test_a_snapshot_of_another_index_or_another_length_of_history_is_left(place: Place) -> None:
    vault = written(place)
    assert snapshot.read(place.store, vault.keys, INDEX.load, index_version="other") is None
    assert read(place, vault) is not None
    place.store.drop_snapshots(vault.keys.vault_id)
    assert read(place, vault) is None
    longer = vault._log.chains + b"x"
    snapshot.write(place.store, vault.keys, longer, vault.state, index_version=INDEX.version)
    assert place.store.read_snapshot(vault.keys.vault_id) is not None
    assert read(place, vault) is None
    assert place.another_process().texts() == vault.state.texts


def test_a_snapshot_is_written_when_it_is_worth_it_and_never_with_dead_rows(place: Place) -> None:
    vault = place.write(*(added(number) for number in range(1, SNAPSHOT_AFTER)))
    assert not vault.save_snapshot()
    place.write(added(SNAPSHOT_AFTER))
    assert vault.save_snapshot()
    assert not vault.save_snapshot(after=1), "nothing came since"
    gone = ItemDeleted(at=1, actor="ana", id=(1).to_bytes(16), purged=(1,))
    place.write(gone, purge=[1])
    assert place.store.read_snapshot(vault.keys.vault_id) is None, "a purge drops it"
    assert not vault.save_snapshot(after=1)


def test_the_tail_that_a_snapshot_does_not_hold_is_folded_behind_it(place: Place) -> None:
    vault = written(place)
    place.write(added(30, "after"))
    again = place.another_process().vault()
    assert again._snapshot_seq == 19
    assert again.state.texts == [*vault.state.texts[:19], "after"]
    assert again.state.columns() == vault.state.columns()


def test_after_a_purge_the_next_snapshot_does_not_wait(place: Place) -> None:
    vault = written(place)
    place.write(ItemDeleted(at=1, actor="ana", id=(1).to_bytes(16), purged=(1,)), purge=[1])
    assert vault._snapshot_seq == 0
    place.write(added(30))
    assert vault._snapshot_seq == 0


def test_a_part_that_is_out_of_order_is_not_read_on(place: Place) -> None:
    vault = written(place)
    kept = parts(place, vault)
    for left in ([kept[0], kept[2]], [kept[0]], [kept[1], kept[0]]):
        reader = snapshot._PartReader(vault.keys, vault.seq, iter(left))
        with pytest.raises(Tampered, match=f"vault {vault.keys.name}: snapshot part [01] is missing"):
            reader.take(3 * limits.SNAPSHOT_PART_BYTES)


def test_parts_are_read_one_at_a_time(place: Place) -> None:
    vault = written(place)
    kept = parts(place, vault)
    taken: list[int] = []

    def one_by_one() -> Iterator[SealedPart]:
        for part in kept:
            taken.append(part.part)
            yield part

    reader = snapshot._PartReader(vault.keys, vault.seq, one_by_one())
    assert (reader.take(0), taken) == (b"", [])
    reader.take(10)
    assert taken == [0]
    reader.take(limits.SNAPSHOT_PART_BYTES)
    assert taken == [0, 1]


def test_a_snapshot_is_read_to_its_end_and_holds_no_more_than_it_says(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store's read that is abandoned costs it its connection."""
    vault = written(place)
    kept = parts(place, vault)
    ended: list[bool] = []

    def told(_: bytes) -> tuple[int, Iterator[SealedPart]]:
        def all_of_them() -> Iterator[SealedPart]:
            yield from kept
            ended.append(True)

        return vault.seq, all_of_them()

    monkeypatch.setattr(place.store, "read_snapshot", told)
    assert read(place, vault) is not None
    assert ended == [True]
    for taken in (8, 600):
        reader = snapshot._PartReader(vault.keys, vault.seq, iter(kept))
        reader.take(taken)
        with pytest.raises(Tampered, match="more than it says"):
            reader.finish()
