from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from tacita.retrieval.index import Doc, SearchIndex
from tacita.retrieval.search import prepare, rank

Docs = Callable[..., list[Doc]]
Vault = Callable[..., SearchIndex]
Unit = Callable[..., NDArray[np.float16]]
HOUR = 3_600_000_000


def chain(index: SearchIndex) -> list[tuple[int, int]]:
    """(previous, next) of each row, -1 for none."""
    return list(zip((index.previous[1:] - 1).tolist(), (index.following[1:] - 1).tolist(), strict=True))


def frozen(index: SearchIndex) -> dict[str, NDArray[Any]]:
    """Arrays as they come out of a snapshot: copies that cannot be written."""
    arrays = {key: np.array(value) for key, value in index.arrays().items()}
    for value in arrays.values():
        value.flags.writeable = False
    return arrays


def answers(index: SearchIndex, seed: int = 0) -> list[tuple[list[int], list[float], int]]:
    rng = np.random.default_rng(seed)
    found = []
    for text in ("ant bee", "wolf and toad", "Ana in January 1970", ""):
        vector = rng.standard_normal(16)
        query = prepare(text, (vector / np.linalg.norm(vector)).astype(np.float16), "m", None, index.names)
        ranked = rank(index, query, top_k=1000)
        found.append((ranked.rows.tolist(), ranked.scores.tolist(), ranked.without_vectors))
    return found


def same(first: list[Any], second: list[Any]) -> bool:
    return all(
        a[0] == b[0] and np.allclose(a[1], b[1], atol=1e-6) and a[2] == b[2] for a, b in zip(first, second, strict=True)
    )


def test_rows_go_on_where_they_ended() -> None:
    index = SearchIndex()
    with pytest.raises(ValueError, match="go on at 0"):
        index.add([Doc(1, "x")])
    index.add([])
    assert len(index) == 0


def test_neighbours_are_those_of_the_session() -> None:
    index = SearchIndex()
    index.add([Doc(row, "x", session=each, timestamp=row) for row, each in enumerate("ababa")])
    index.add([Doc(5, "x", session="b", timestamp=6)])
    assert chain(index) == [(-1, 2), (-1, 3), (0, 4), (1, 5), (2, -1), (3, -1)]


def test_hours_of_silence_end_a_session() -> None:
    index = SearchIndex()
    index.add([Doc(row, "x", timestamp=at * HOUR) for row, at in enumerate((0, 5, 12, 11))])
    assert chain(index) == [(-1, 1), (0, -1), (-1, 3), (2, -1)]


def test_a_new_version_takes_the_place_of_the_old_one(make_unit: Unit) -> None:
    index = SearchIndex()
    index.add([Doc(row, text) for row, text in enumerate(("one cat", "two dogs", "three eels"))])
    index.add([Doc(3, "two wolves", replaces=1), Doc(4, "four")])
    assert chain(index) == [(-1, 3), (-1, -1), (3, 4), (0, 2), (2, -1)]
    index.add([Doc(5, "five", replaces=4), Doc(6, "six")])
    assert chain(index)[4:] == [(-1, -1), (2, 6), (5, -1)]
    # The old version is still there for searches of the past.
    past = np.array([True, True, True, False, False, False, False])
    assert rank(index, prepare("dogs"), allowed=past, top_k=1).rows.tolist() == [1]


def test_removed_rows_are_closed_up_and_found_no_more(make_vault: Vault) -> None:
    index = SearchIndex()
    index.add([Doc(row, f"word{row}") for row in range(5)])
    index.remove([1, 2])
    assert chain(index) == [(-1, 3), (-1, -1), (-1, -1), (0, 4), (3, -1)]
    index.remove([4, 4])
    index.add([Doc(5, "later")])
    assert chain(index)[3:] == [(0, 5), (-1, -1), (3, -1)]
    assert sorted(rank(index, prepare("word1 word4"), top_k=9).rows.tolist()) == [0, 3, 5]
    assert len(index) == 6
    index.remove([])
    vault = make_vault(1, 60)
    vault.remove(range(60))
    assert rank(vault, prepare("ant")).rows.tolist() == []
    assert chain(vault) == [(-1, -1)] * 60


def test_nothing_of_a_removed_row_is_left_in_a_snapshot(make_unit: Unit) -> None:
    rng = np.random.default_rng(0)
    index = SearchIndex()
    secret = make_unit(rng, 3)
    index.add([Doc(0, "plain words"), Doc(1, "sesame", name="Zoltan", vectors=secret, model="m")])
    index.add([Doc(2, "other", vectors=make_unit(rng, 1), model="m")])
    index.remove([1])
    arrays = index.arrays()
    everything = b"".join(value.tobytes() for value in arrays.values())
    assert b"sesam" not in everything
    assert b"oltan" not in everything
    assert all(row.tobytes() not in everything for row in secret)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(1, 40), max_size=12))
def test_one_by_one_in_bulk_or_from_a_snapshot_it_is_the_same(make_docs: Docs, seed: int, cuts: list[int]) -> None:
    docs = make_docs(seed, 90)
    whole, pieces = SearchIndex(), SearchIndex()
    whole.add(docs)
    at = 0
    for cut in [*cuts, len(docs)]:
        pieces.add(docs[at : at + cut])
        at += cut
        if cut == 7:
            pieces = SearchIndex.from_arrays(frozen(pieces))
    assert chain(whole) == chain(pieces)
    assert same(answers(whole), answers(pieces))
    assert same(answers(whole), answers(SearchIndex.from_arrays(frozen(whole))))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), gone=st.sets(st.integers(0, 59)))
def test_removing_is_as_if_it_had_never_been(make_docs: Docs, seed: int, gone: set[int]) -> None:
    docs = [replace(doc, timestamp=0) for doc in make_docs(seed, 60)]
    index, fresh = SearchIndex(), SearchIndex()
    index.add(docs[:40])
    index.remove([row for row in gone if row < 40])
    index.add(docs[40:])
    index.remove(sorted(gone))
    kept = [doc for doc in docs if doc.row not in gone]
    fresh.add([replace(doc, row=row) for row, doc in enumerate(kept)])
    for one in (index, SearchIndex.from_arrays(frozen(index))):
        found = [([kept[row].row for row in rows], scores, count) for rows, scores, count in answers(fresh)]
        assert same(answers(one), found)


def test_vectors_of_another_model(make_vault: Vault, make_docs: Docs, make_unit: Unit) -> None:
    rng = np.random.default_rng(2)
    index = make_vault(8, 40)
    fresh = SearchIndex()
    renewed = {row: make_unit(rng, 1 + row % 3, 8) for row in range(40)}
    docs = make_docs(8, 40)
    for row in (0, 3, 5):
        index.set_vectors(row, renewed[row], "new")
    query = prepare("ant", make_unit(rng, 1, 8)[0], "new")
    assert rank(index, query).without_vectors == 37
    for row in range(39, -1, -1):
        index.set_vectors(row, renewed[row], "new")
    fresh.add([replace(doc, vectors=renewed[doc.row], model="new") for doc in docs])
    first, second = rank(index, query, top_k=40), rank(fresh, query, top_k=40)
    assert np.array_equal(first.rows, second.rows)
    assert np.array_equal(first.scores, second.scores)
    again = rank(SearchIndex.from_arrays(frozen(index)), query, top_k=40)
    assert np.array_equal(again.scores, second.scores)
    # The space of the model that nobody uses is gone, and its place is used again.
    assert index.nbytes() < 1.2 * fresh.nbytes()
    index.set_vectors(4, None, "")
    assert rank(index, query).without_vectors == 1
    index.set_vectors(4, renewed[4], "third")
    assert len(index.models) == 2
    index.set_vectors(4, renewed[6], "third")
    assert rank(index, prepare("", renewed[6][0], "third"), top_k=1).rows.tolist() == [4]


def test_a_name_of_a_model_means_one_space(make_unit: Unit) -> None:
    rng = np.random.default_rng(2)
    index = SearchIndex()
    index.add([Doc(0, "x", vectors=make_unit(rng, 1, 8), model="m")])
    with pytest.raises(ValueError, match="have 8 dimensions, not 16"):
        index.add([Doc(1, "x", vectors=make_unit(rng, 1, 16), model="m")])


def test_arrays_are_plain(make_vault: Vault) -> None:
    arrays = make_vault(9, 30).arrays()
    assert all(isinstance(value, np.ndarray) and value.dtype.kind in "iufb" for value in arrays.values())


def test_ram_is_the_arrays(make_vault: Vault) -> None:
    small, large = make_vault(1, 200).nbytes(), make_vault(1, 400).nbytes()
    assert 0.8 * large < 2 * small < 1.3 * large


def test_a_vault_of_many_sessions_and_names() -> None:
    index = SearchIndex()
    index.add([Doc(row, "x", name=f"N\n{row % 7}", session=f"s\x1f{row}\x00") for row in range(300)])
    again = SearchIndex.from_arrays(frozen(index))
    again.add([Doc(300, "y", session="s\x1f5\x00")])
    assert chain(again)[5] == (-1, 300)
    assert again.names.known == index.names.known
