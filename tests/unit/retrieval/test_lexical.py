import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacita.retrieval.lexical import Neighbours, idf, score
from tacita.retrieval.postings import Postings
from tacita.retrieval.profile import ContextBM25F

SETTING = ContextBM25F()
TEXTS = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=6), min_size=1, max_size=14)


def naive(texts: list[list[str]], query: list[str], chains: list[list[int]], usable: list[bool]) -> list[float]:
    """The definition, word by word."""
    lengths = [len(text) for text in texts]
    average = max(1.0, sum(lengths) / len(texts))
    place = {row: (chain, at) for chain in chains for at, row in enumerate(chain)}
    lends = {-1: 0.5, -2: 0.25, 1: 0.3, 2: 0.15}
    scores = []
    for row in range(len(texts)):
        total = 0.0
        for word in dict.fromkeys(query):
            df = sum(word in text for text in texts)
            if not df or not usable[row]:
                continue
            count = Counter(texts[row])[word] / (0.5 + 0.5 * lengths[row] / average)
            chain, at = place[row]
            for offset, share in lends.items():
                if 0 <= at + offset < len(chain) and usable[chain[at + offset]]:
                    other = chain[at + offset]
                    count += share * Counter(texts[other])[word] / (0.25 + 0.75 * lengths[other] / average)
            weight = math.log1p((len(texts) - df + 0.5) / (df + 0.5))
            total += weight * count * 2.2 / (count + 1.2)
        scores.append(total)
    return scores


def links_of(chains: list[list[int]], count: int) -> tuple[np.ndarray, np.ndarray]:
    previous, following = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    for chain in chains:
        for before, after in pairwise(chain):
            previous[after + 1], following[before + 1] = before + 1, after + 1
    return previous, following


@pytest.mark.parametrize("batch", [1 << 16, 1])
@given(texts=TEXTS, query=st.lists(st.sampled_from("abcdefgz"), max_size=5), data=st.data())
def test_the_kernel_is_the_definition(
    batch: int, texts: list[list[str]], query: list[str], data: st.DataObject
) -> None:
    session = data.draw(st.lists(st.integers(0, 1), min_size=len(texts), max_size=len(texts)))
    usable = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    chains = [[row for row, each in enumerate(session) if each == which] for which in (0, 1)]
    postings = Postings()
    lengths = np.concatenate([[0], postings.add(texts, 1)])
    selection = postings.select(query)
    previous, following = links_of(chains, len(texts))
    around = Neighbours.of(previous, following, lengths, max(1.0, float(lengths.sum()) / len(texts)), SETTING)
    flags = np.array([False, *usable])
    found = score(selection, idf(selection.frequency, len(texts)), around, flags, batch)[1:]
    wanted = naive(texts, query, chains, usable)
    assert np.allclose(np.where(usable, found, 0), wanted, atol=1e-5)


@given(texts=TEXTS, cuts=st.lists(st.integers(1, 5), max_size=8))
def test_postings_are_the_same_however_they_were_added(texts: list[list[str]], cuts: list[int]) -> None:
    whole, pieces = Postings(), Postings()
    whole.add(texts, 1)
    at = 0
    for cut in [*cuts, len(texts)]:
        if texts[at : at + cut]:
            pieces.add(texts[at : at + cut], at + 1)
        at += cut
    assert occurrences(whole) == occurrences(pieces)
    vocabulary, run = pieces.compacted()
    assert occurrences(Postings(vocabulary, [run])) == occurrences(whole)


@given(texts=TEXTS, gone=st.sets(st.integers(0, 13)))
def test_removed_messages_leave_no_word(texts: list[list[str]], gone: set[int]) -> None:
    postings = Postings()
    postings.add(texts, 1)
    flags = np.array([False, *(row in gone for row in range(len(texts)))])
    postings.remove(flags)
    left = {word for row, text in enumerate(texts) if row not in gone for word in text}
    assert set(postings.number) == left == {term for term in postings.terms if term}
    assert {word for (_, word) in occurrences(postings)} == left
    assert postings.compacted()[0] == [term for term in postings.terms if term]


def occurrences(postings: Postings) -> dict[tuple[int, str], int]:
    found = {}
    for word in postings.number:
        selection = postings.select([word])
        for piece in selection.pieces:
            for link, count in zip(piece[1].tolist(), piece[2].tolist(), strict=True):
                found[link, word] = count
        assert selection.frequency == [sum(1 for _, each in found if each == word)]
    return found


def test_a_long_query_keeps_its_rarest_terms() -> None:
    postings = Postings()
    postings.add([["a", "b"], ["a", "b"], ["a", "c"]], 1)
    selection = postings.select(["a", "b", "c"]).rarest(2)
    assert selection.frequency == [2, 1]
    assert [(slot, links.tolist()) for slot, links, _ in selection.pieces] == [(0, [1, 2]), (1, [3])]


def test_runs_stay_few() -> None:
    postings = Postings()
    for link in range(1, 3000):
        postings.add([["a", "b", str(link)]], link)
    assert len(postings.runs) <= 6
    assert postings.select(["a"]).frequency == [2999]
    assert postings.size == 3 * 2999
    assert postings.nbytes() > 0


def test_idf_is_never_negative() -> None:
    assert idf([10, 1], 9)[0] >= 0
