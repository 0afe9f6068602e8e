from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from tacita.retrieval import evidence, matrix, signals
from tacita.retrieval.index import TABLE_AFTER, Doc, SearchIndex
from tacita.retrieval.pool import Pool
from tacita.retrieval.profile import HYBRID
from tacita.retrieval.search import Query, prepare, rank

Docs = Callable[..., list[Doc]]
Vault = Callable[..., SearchIndex]
Unit = Callable[..., NDArray[np.float16]]


def exhaustive(index: SearchIndex, query: Query, k: int, allowed: NDArray[np.bool_] | None) -> list[tuple[int, float]]:
    """Every message scored exactly, the slow and plain way."""
    pool = Pool.of(index.alive, index.living, allowed)
    every = evidence.gather(index, query, pool, HYBRID).scores(np.arange(pool.size))
    rows = (pool.links() - 1).tolist()
    ordered = sorted(zip(every.tolist(), rows, strict=True), reverse=True)
    return [(row, score) for score, row in ordered[:k]]


@contextmanager
def codes() -> Iterator[None]:
    """Makes small vaults take the path of large ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix, "DIRECT", 0)
        patch.setattr(signals, "GATHER", 1 << 40)
        yield


@codes()
@pytest.mark.parametrize("seed", range(12))
def test_the_first_pass_loses_nothing(seed: int, make_vault: Vault, make_unit: Unit) -> None:
    index = make_vault(seed, 700)
    rng = np.random.default_rng(seed)
    for text in ("ant wolf", "jay kite and toad of Ana", "", "in January 1970"):
        query = prepare(text, make_unit(rng, 1)[0], "m", None, index.names)
        allowed = [None, rng.random(700) < 0.9, rng.random(700) < 0.02][seed % 3]
        for k in (1, 7, 500, 1000):
            found = rank(index, query, top_k=k, allowed=allowed)
            assert list(zip(found.rows.tolist(), found.scores.tolist(), strict=True)) == exhaustive(
                index, query, k, allowed
            )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_near_ties_are_told_apart(data: st.DataObject) -> None:
    """Vectors that differ in their last bits, and many that are equal."""
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    base = rng.standard_normal(16)
    spread = data.draw(st.sampled_from([0.0, 1e-4, 1e-3, 1e-2]))
    rows = base + spread * rng.standard_normal((data.draw(st.integers(2, 400)), 16))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    query = prepare("y", rows[data.draw(st.integers(0, len(rows) - 1))], "m")
    k = data.draw(st.integers(1, 40))
    with codes() if data.draw(st.booleans()) else nullcontext():
        index = SearchIndex()
        index.add([Doc(row, "x", "user", vectors=rows[row : row + 1], model="m") for row in range(len(rows))])
        found = rank(index, query, top_k=k)
        assert list(zip(found.rows.tolist(), found.scores.tolist(), strict=True)) == exhaustive(index, query, k, None)
    if spread == 0.0:
        assert found.rows.tolist() == list(range(len(rows)))[::-1][:k], "of equals the newest comes first"


def test_a_small_vault_that_is_searched_often_answers_as_it_did(make_docs: Docs, make_unit: Unit) -> None:
    """Its words lie in a table then, until something changes."""
    rng = np.random.default_rng(4)
    docs, index, tables = make_docs(4, 30), SearchIndex(), []
    index.add(docs[:20])
    for step in range(8):
        query = prepare("ant and wolf of Ana", make_unit(rng, 1)[0], "m", None, index.names)
        flags = rng.random(len(index)) < 0.7
        for allowed in (None, flags):
            # One that was just loaded knows no table.
            fresh = rank(SearchIndex.from_arrays(index.arrays()), query, allowed=allowed, explain=True)
            for _ in range(TABLE_AFTER + 1):
                again = rank(index, query, allowed=allowed, explain=True)
                assert np.array_equal(again.rows, fresh.rows)
                assert np.array_equal(again.scores, fresh.scores)
                assert again.signals == fresh.signals
        tables.append(index._table)
        assert index._table is not None
        if step % 2:
            index.remove([3 * step])
        else:
            index.add([replace(docs[20 + step], row=len(index))])
    assert len(set(map(id, tables))) == len(tables), "no change without another table"


def test_a_large_vault_has_no_table(make_vault: Vault) -> None:
    index = make_vault(5, 1_200)
    for _ in range(TABLE_AFTER + 1):
        assert rank(index, prepare("ant and wolf")).rows.size
    assert index._table is None


def test_both_paths_give_the_same(make_vault: Vault, make_unit: Unit) -> None:
    query = prepare("ant and wolf", make_unit(np.random.default_rng(0), 1)[0], "m")
    direct = rank(make_vault(5, 900), query, top_k=50)
    with codes():
        passed = rank(make_vault(5, 900), query, top_k=50)
    assert np.array_equal(direct.rows, passed.rows)
    assert np.allclose(direct.scores, passed.scores, rtol=0, atol=4e-6)


def test_top_k_is_honoured_even_when_nothing_matches(make_vault: Vault) -> None:
    index = make_vault(1, 30)
    for k in (1, 10, 30, 99):
        assert len(rank(index, prepare("zzz"), top_k=k).rows) == min(k, 30)
    allowed = np.arange(30) % 10 == 0
    assert sorted(rank(index, prepare(""), top_k=10, allowed=allowed).rows.tolist()) == [0, 10, 20]
    nothing = rank(index, prepare("ant"), allowed=np.zeros(30, np.bool_), explain=True)
    assert (len(nothing.rows), nothing.searched, nothing.signals) == (0, 0, ())
    assert len(rank(SearchIndex(), prepare("ant")).rows) == 0


def test_equal_scores_come_newest_first() -> None:
    index = SearchIndex()
    index.add([Doc(row, "same words", "user", session=str(row)) for row in range(50)])
    assert rank(index, prepare("words"), top_k=5).rows.tolist() == [49, 48, 47, 46, 45]
    assert rank(index, prepare("nothing"), top_k=5).rows.tolist() == [49, 48, 47, 46, 45]


def test_a_threshold_cuts_and_nothing_else_does(make_vault: Vault) -> None:
    index = make_vault(2, 40)
    found = rank(index, prepare("wolf"), top_k=40)
    cut = float(found.scores[10])
    kept = rank(index, prepare("wolf"), top_k=40, threshold=cut)
    assert kept.scores.tolist() == [score for score in found.scores.tolist() if score >= cut]


def test_scores_are_about_0_to_1(make_vault: Vault, make_unit: Unit) -> None:
    index = make_vault(3, 300)
    for seed in range(20):
        scores = rank(index, prepare("ant", make_unit(np.random.default_rng(seed), 1)[0], "m"), top_k=300).scores
        assert -1.1 <= scores.min() <= scores.max() <= 1.001
        assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("explained", ["wolf of Ana", "ant in 1970", "zzz"])
def test_signals_add_up(explained: str, make_vault: Vault, make_unit: Unit) -> None:
    index = make_vault(4, 200)
    query = prepare(explained, make_unit(np.random.default_rng(9), 1)[0], "m", None, index.names)
    found = rank(index, query, top_k=20, explain=True)
    plain = rank(index, query, top_k=20)
    assert np.array_equal(found.rows, plain.rows)
    assert np.array_equal(found.scores, plain.scores)
    assert found.signals is not None
    for score, told in zip(found.scores, found.signals, strict=True):
        assert sum(signal.contribution for signal in told) == pytest.approx(float(score), abs=1e-5)
        assert all(1 <= signal.rank <= 200 for signal in told)
        assert {signal.name for signal in told} >= {"role", "dense"}
    tops = {signal.name: signal.rank for told in found.signals for signal in told if signal.rank == 1}
    assert "dense" in tops or "lexical" in tops


def test_what_is_not_allowed_has_no_say(make_docs: Docs, make_unit: Unit) -> None:
    """Change everything about the rows outside the scope but their words' frequencies: no score moves."""
    rng = np.random.default_rng(6)
    docs = make_docs(6, 120)
    allowed = np.arange(120) % 3 != 0
    index, other = SearchIndex(), SearchIndex()
    index.add(docs)
    query = prepare("ant bee of Ana Lima", make_unit(rng, 1)[0], "m", None, index.names)
    assert query.vector is not None
    hidden = [doc for doc in docs if not allowed[doc.row]]
    # The same texts by the same speakers in another order, a perfect vector, another time.
    order = iter(rng.permutation(len(hidden)).tolist())
    best = query.vector[None, :]
    for doc in docs:
        if not allowed[doc.row]:
            said = hidden[next(order)]
            doc = replace(doc, text=said.text, name=said.name, vectors=best, model="m", timestamp=doc.timestamp + 1)
        other.add([doc])
    first = rank(index, query, top_k=120, allowed=allowed)
    second = rank(other, query, top_k=120, allowed=allowed)
    assert np.array_equal(first.rows, second.rows)
    assert np.allclose(first.scores, second.scores, atol=2e-6)


def test_rows_without_vectors_are_counted(make_vault: Vault, make_docs: Docs, make_unit: Unit) -> None:
    index = make_vault(7, 50)
    missing = sum(doc.vectors is None for doc in make_docs(7, 50))
    vector = make_unit(np.random.default_rng(1), 1)[0]
    assert rank(index, prepare("ant", vector, "m")).without_vectors == missing > 0
    assert rank(index, prepare("ant", vector, "other")).without_vectors == 50
    assert rank(index, prepare("ant", vector[:8], "m")).without_vectors == 50
    assert rank(index, prepare("ant")).without_vectors == 0


def test_the_named_speaker_the_named_time_and_the_user_count_for_more() -> None:
    day = 86_400_000_000
    index = SearchIndex()
    index.add(
        [
            Doc(0, "we saw a film", "user", "Ana", "a", 19_480 * day),
            Doc(1, "we saw a film", "user", "Bo", "b", 19_480 * day),
            Doc(2, "we saw a film", "user", "Ana", "c", 19_480 * day + 90 * day),
            Doc(3, "we saw a film", "assistant", "Bo", "d", 19_480 * day),
        ]
    )
    query = prepare("Which film did Bo see in May 2023?", None, "", None, index.names)
    assert rank(index, query).rows.tolist()[0] == 1
    assert rank(index, prepare("Which film did Ana see in August 2023?", names=index.names)).rows.tolist()[0] == 2
    assert rank(index, prepare("film"), top_k=4).rows.tolist()[-1] == 3


def test_who_asks_about_others_does_not_tell_of_herself() -> None:
    index = SearchIndex()
    texts = ["Are you in a film club, like him?", "We saw it in a film club.", "I know nobody in a film club."]
    index.add([Doc(row, text, "user", "Bo" if row == 2 else "Ana", str(row)) for row, text in enumerate(texts)])
    query = prepare("What does Ana say about the film club?", names=index.names)
    found = rank(index, query, explain=True)
    assert found.rows.tolist()[0] == 1
    assert found.signals is not None
    told = [next(each.value for each in signals if each.name == "speaker") for signals in found.signals]
    assert dict(zip(found.rows.tolist(), told, strict=True)) == {0: 0.5, 1: 1, 2: 0}


def test_what_was_said_to_somebody_names_her() -> None:
    index = SearchIndex()
    texts = ["The club meets here.", "The club meets here, Bo!", "The club meets there, Bo!", "Bo leads the club."]
    index.add([Doc(row, text, "user", "Bo" if row == 2 else "Ana", str(row)) for row, text in enumerate(texts)])
    index.add([Doc(4, "The club meets here.", "user", "Cy", "4")])

    def signals(text: str, allowed: list[int]) -> dict[int, float | None]:
        flags = np.isin(np.arange(5), allowed)
        found = rank(index, prepare(text, names=index.names), allowed=flags, top_k=5, explain=True)
        assert found.signals is not None
        said = [next((each.value for each in of if each.name == "addressed"), None) for of in found.signals]
        return dict(zip(found.rows.tolist(), said, strict=True))

    told = "What did Ana tell Bo about the club?"
    assert signals(told, [0, 1, 2, 3, 4]) == {0: 0, 1: 1, 2: 0, 3: 1, 4: 0}
    # What may not be found is as if it were not there; nobody else was named; Cy names nobody.
    assert signals(told, [0, 2, 4]) == {0: None, 2: None, 4: None}
    assert set(signals("What did Ana say about the club?", [0, 1]).values()) == {None}
    assert set(signals("What did Cy tell Bo?", [0, 1, 4]).values()) == {None}


def test_what_the_assistant_said_is_wanted_of_the_assistant() -> None:
    index = SearchIndex()
    index.add(
        [Doc(0, "a glue for the roof", "user", session="a"), Doc(1, "a glue for the roof", "assistant", session="b")]
    )
    assert rank(index, prepare("Which glue for the roof?")).rows.tolist() == [0, 1]
    assert rank(index, prepare("Which glue did you recommend for the roof?")).rows.tolist() == [1, 0]


def test_the_words_around_a_message_find_it() -> None:
    index = SearchIndex()
    index.add(
        [
            Doc(0, "What did you paint?", "user", session="s"),
            Doc(1, "A sunrise over the lake", "user", session="s"),
            Doc(2, "The weather is nice", "user", session="other"),
            Doc(3, "Nothing much", "user", session="third"),
        ]
    )
    assert set(rank(index, prepare("painting"), top_k=2).rows.tolist()) == {0, 1}


def test_other_languages_and_scripts_are_found() -> None:
    index = SearchIndex()
    index.add(
        [
            Doc(row, text, session=str(row))
            for row, text in enumerate(
                [
                    "I am allergic to penicillin",
                    "Ich habe gestern mit meinen Schwestern Äpfel gekauft",
                    "Мы купили новые книги для детей",
                    "昨日、新しい自転車を買いました",
                    "J'ai acheté des chaussures pour ma fille",
                ]
            )
        ]
    )
    for query, row in [
        ("allergies", 0),
        ("Wann habe ich Apfel gekauft, und mit welcher Schwester?", 1),
        ("книга", 2),
        ("自転車", 3),
        ("chaussure", 4),
    ]:
        assert rank(index, prepare(query), top_k=1).rows.tolist() == [row]


@given(st.text(max_size=80), st.text(max_size=80), st.none() | st.text(max_size=9))
def test_any_text_can_be_added_and_searched(text: str, query: str, name: str | None) -> None:
    index = SearchIndex()
    index.add([Doc(0, text, name=name)])
    assert rank(index, prepare(query, None, "", 1_700_000_000_000_000, index.names)).rows.tolist() == [0]


def test_flags_must_fit() -> None:
    with pytest.raises(ValueError, match="2 flags for 0 rows"):
        rank(SearchIndex(), prepare("x"), allowed=np.ones(2, np.bool_))
