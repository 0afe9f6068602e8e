"""What every vector index must do. Subclass `VectorIndexContract`, say how to open yours, and run pytest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tacita.errors import StoreError, TacitaError
from tacita.hazmat import sha256
from tacita.ports.vectors import VectorIndex

A, B = b"a" * 16, b"a" * 15 + b"b"
"""Two vaults."""
DIMENSIONS = 16


def tag(number: int) -> bytes:
    """A name as Tacita makes them: 16 bytes without a pattern."""
    return sha256(number.to_bytes(8))[:16]


def tags(first: int, count: int) -> list[bytes]:
    """Names of consecutive numbers."""
    return [tag(number) for number in range(first, first + count)]


def unit(seed: int, count: int, dimensions: int = DIMENSIONS) -> NDArray[np.float32]:
    """Vectors of length 1 that are the same on every machine."""
    rows = np.array(
        [np.frombuffer(_stream(f"{seed}/{row}".encode(), 4 * dimensions), "<u4") for row in range(count)], np.float64
    )
    rows = rows.reshape(count, dimensions) / 2.0**31 - 1
    made: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return made


def _stream(seed: bytes, size: int) -> bytes:
    blocks = [sha256(seed + block.to_bytes(4)) for block in range(-(-size // 32))]
    return b"".join(blocks)[:size]


def nearest(vectors: NDArray[np.float32], query: NDArray[np.float32], k: int) -> list[int]:
    """The exact answer."""
    found: list[int] = np.argsort(-(vectors @ query), kind="stable")[:k].tolist()
    return found


class VectorIndexContract:
    """The promises of `VectorIndex`. Set `persistent` to False for one that ends with its object."""

    persistent = True
    recall = 0.99
    """Share of the true neighbours that an approximate engine must find."""
    bulk = 10_000

    def make(self, folder: Path, dimensions: int = DIMENSIONS) -> VectorIndex:
        """Open the index that belongs to `folder`; called again for the same folder to open it anew."""
        raise NotImplementedError

    def settled(self, read: Callable[[], Any], wanted: Any) -> None:
        """Hold until what was written shows. Override for an engine that shows it late."""
        assert read() == wanted

    @pytest.fixture
    def index(self, tmp_path: Path) -> Iterator[VectorIndex]:
        opened = self.make(tmp_path / "index")
        yield opened
        opened.close()

    def test_what_is_kept_is_found_best_first_with_its_dot_product(self, index: VectorIndex) -> None:
        vectors = unit(1, 50)
        index.upsert(A, tags(0, 50), vectors)
        self.settled(lambda: index.count(A), 50)
        for query in unit(2, 5):
            found = index.search(A, query, 10)
            assert [name for name, _ in found] == [tag(at) for at in nearest(vectors, query, 10)]
            for name, score in found:
                assert score == pytest.approx(float(vectors[tags(0, 50).index(name)] @ query), abs=1e-3)

    def test_a_user_with_5_items_beside_one_with_5000_gets_all_5(self, index: VectorIndex) -> None:
        query = unit(3, 1)[0]
        near = query[None, :] + unit(4, 5_000) * np.float32(0.1)
        near /= np.linalg.norm(near, axis=1, keepdims=True)
        index.upsert(A, tags(0, 5_000), near.astype(np.float32))
        index.upsert(B, tags(9_000, 5), -near[:5].astype(np.float32))
        self.settled(lambda: (index.count(A), index.count(B)), (5_000, 5))
        found = index.search(B, query, 10)
        assert {name for name, _ in found} == set(tags(9_000, 5))
        assert not {name for name, _ in index.search(A, query, 100)} & set(tags(9_000, 5))

    def test_a_vault_is_matched_exactly(self, index: VectorIndex) -> None:
        for number in range(8):
            assert index.search(A, unit(1, 1)[0], 5) == []
            other = bytearray(A)
            other[number * 2] ^= 1 << number
            index.upsert(bytes(other), [tag(number)], unit(1, 1))
        assert index.count(A) == 0
        assert index.tags(A) == frozenset()
        assert index.search(A, unit(1, 1)[0], 5) == []

    def test_hostile_names_are_only_names(self, index: VectorIndex) -> None:
        hostile = [
            bytes(16),
            b"\xff" * 16,
            b"*" * 16,
            b"' OR 1=1 --     ",
            b"%%%%____%%%%____",
            b'{"$ne":"a"}     ',
            b"../../../../etc/",
            b"a\x00a\x00a\x00a\x00a\x00a\x00a\x00a\x00",
            b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n",
            b"Aa" * 8,
            b"aA" * 8,
        ]
        for number, vault in enumerate(hostile):
            index.upsert(vault, [*hostile[: number + 1]], unit(number, number + 1))
        for number, vault in enumerate(hostile):
            self.settled(partial(index.tags, vault), frozenset(hostile[: number + 1]))
            assert index.present(vault, hostile) == frozenset(hostile[: number + 1])
        index.drop(b"*" * 16)
        self.settled(lambda: index.count(b"*" * 16), 0)
        assert index.count(bytes(16)) == 1
        assert index.vaults() == frozenset(hostile) - {b"*" * 16}

    @pytest.mark.parametrize("wrong", ["a" * 16, b"a" * 15, b"a" * 17, b"", None, bytearray(b"a" * 16), 7])
    def test_only_tags_are_names(self, index: VectorIndex, wrong: Any) -> None:
        vector = unit(1, 1)
        for call in (
            lambda: index.upsert(wrong, [tag(1)], vector),
            lambda: index.upsert(A, [wrong], vector),
            lambda: index.delete(wrong, [tag(1)]),
            lambda: index.delete(A, [wrong]),
            lambda: index.drop(wrong),
            lambda: index.search(wrong, vector[0], 1),
            lambda: index.present(wrong, []),
            lambda: index.tags(wrong),
            lambda: index.count(wrong),
        ):
            with pytest.raises(TypeError):
                call()

    def test_vectors_of_another_shape_are_refused(self, index: VectorIndex) -> None:
        good = unit(1, 2)
        bad = np.full((1, DIMENSIONS), np.nan, np.float32)
        wrongs: tuple[Any, ...] = (good[:, 1:], good.astype(np.float64), good[:1], np.concatenate([good[:1], bad]))
        for wrong in wrongs:
            with pytest.raises(TypeError):
                index.upsert(A, tags(0, 2), wrong)
        with pytest.raises(TypeError):
            index.upsert(A, [tag(1), tag(1)], good)
        for query, k in ((good[0][1:], 1), (good[0], 0), (good[0], index.most + 1), (good, 1)):
            with pytest.raises(TypeError):
                index.search(A, query, k)
        assert index.count(A) == 0

    def test_two_vaults_may_use_the_same_tags(self, index: VectorIndex) -> None:
        vectors = unit(1, 4)
        index.upsert(A, tags(0, 4), vectors)
        index.upsert(B, tags(0, 4), -vectors)
        self.settled(lambda: (index.count(A), index.count(B)), (4, 4))
        best, worst = index.search(A, vectors[0], 1)[0], index.search(B, vectors[0], 4)[-1]
        assert (best[0], worst[0]) == (tag(0), tag(0))
        assert (best[1], worst[1]) == pytest.approx((1, -1), abs=1e-3)
        index.delete(A, [tag(0)])
        self.settled(lambda: index.count(A), 3)
        assert index.present(B, tags(0, 4)) == frozenset(tags(0, 4))
        index.drop(A)
        self.settled(lambda: index.count(A), 0)
        assert index.count(B) == 4
        assert index.vaults() == {B}

    def test_what_is_kept_again_takes_the_old_place(self, index: VectorIndex) -> None:
        vectors = unit(1, 3)
        index.upsert(A, tags(0, 2), vectors[:2])
        index.upsert(A, tags(0, 1), vectors[2:])
        self.settled(lambda: index.count(A), 2)
        self.settled(lambda: index.search(A, vectors[2], 1)[0][0], tag(0))
        assert index.search(A, vectors[0], 2)[0][1] < 0.99
        assert len(index.search(A, vectors[0], 3)) == 2

    def test_deleted_is_gone_when_read_back(self, index: VectorIndex) -> None:
        vectors = unit(1, 20)
        index.upsert(A, tags(0, 20), vectors)
        self.settled(lambda: index.present(A, tags(0, 25)), frozenset(tags(0, 20)))
        index.delete(A, tags(5, 5) + tags(100, 3))
        left = frozenset(tags(0, 20)) - frozenset(tags(5, 5))
        self.settled(lambda: index.tags(A), left)
        assert index.present(A, tags(0, 20)) == left
        assert index.count(A) == 15
        assert {name for name, _ in index.search(A, vectors[7], 20)} == left
        index.delete(A, tags(5, 5))
        index.upsert(A, [tag(5)], vectors[5:6])
        self.settled(lambda: index.search(A, vectors[5], 1)[0][0], tag(5))

    def test_a_dropped_vault_begins_anew(self, index: VectorIndex) -> None:
        index.upsert(A, tags(0, 10), unit(1, 10))
        self.settled(lambda: index.count(A), 10)
        index.drop(A)
        index.drop(A)
        self.settled(lambda: index.count(A), 0)
        assert index.search(A, unit(1, 1)[0], 5) == []
        assert index.vaults() == frozenset()
        index.upsert(A, tags(3, 1), unit(2, 1))
        self.settled(lambda: index.tags(A), frozenset([tag(3)]))

    def test_ten_thousand_go_in_and_are_found(self, index: VectorIndex) -> None:
        vectors = unit(5, self.bulk)
        index.upsert(A, tags(0, self.bulk), vectors)
        self.settled(lambda: index.count(A), self.bulk)
        assert len(index.tags(A)) == self.bulk
        hits = total = 0
        for query in unit(6, 20):
            found = {name for name, _ in index.search(A, query, 200)}
            wanted = {tag(at) for at in nearest(vectors, query, 200)}
            hits, total = hits + len(found & wanted), total + 200
        assert hits / total >= self.recall

    def test_it_is_there_when_opened_again(self, tmp_path: Path) -> None:
        if not self.persistent:
            pytest.skip("this index ends with its object")
        index = self.make(tmp_path / "again")
        index.upsert(A, tags(0, 5), unit(1, 5))
        self.settled(lambda: index.count(A), 5)
        index.close()
        index.close()
        with pytest.raises(StoreError, match="closed"):
            index.count(A)
        again = self.make(tmp_path / "again")
        assert again.tags(A) == frozenset(tags(0, 5))
        assert [name for name, _ in again.search(A, unit(1, 5)[3], 1)] == tags(3, 1)
        again.close()

    def test_other_dimensions_are_refused(self, tmp_path: Path) -> None:
        if not self.persistent:
            pytest.skip("this index ends with its object")
        index = self.make(tmp_path / "size")
        index.upsert(A, tags(0, 2), unit(1, 2))
        self.settled(lambda: index.count(A), 2)
        index.close()
        other = self.make(tmp_path / "size", DIMENSIONS * 2)
        with pytest.raises(StoreError, match="dimensions"):
            other.upsert(A, tags(5, 1), unit(1, 1, DIMENSIONS * 2))
        other.close()
        again = self.make(tmp_path / "size")
        assert again.tags(A) == frozenset(tags(0, 2))
        again.close()

    def test_threads_do_not_disturb_each_other(self, index: VectorIndex) -> None:
        vectors = unit(7, 160)

        def work(number: int) -> bool:
            vault, mine = sha256(bytes([number]))[:16], tags(number * 1_000, 20)
            some = vectors[number * 20 : number * 20 + 20]
            index.upsert(vault, mine, some)
            index.delete(vault, mine[:5])
            self.settled(lambda: index.tags(vault), frozenset(mine[5:]))
            return index.search(vault, some[7], 1)[0][0] == mine[7]

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(8))) == [True] * 8

    def test_an_error_quotes_nothing(self, index: VectorIndex, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: Any) -> Any:
            raise ConnectionError("the query was [0.125, 0.25] for b'aaaa' and the key is hunter2")

        monkeypatch.setattr(index, "_search", broken)
        with pytest.raises(TacitaError) as caught:
            index.search(A, unit(1, 1)[0], 5)
        assert caught.value.retryable
        assert "0.125" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
