import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacita.retrieval.lexical import Neighbours, Table, idf, score
from tacita.retrieval.postings import ASKED, MOST, Postings
from tacita.retrieval.profile import ContextBM25F

SETTING = ContextBM25F()
TEXT = st.lists(st.sampled_from("abcdefg"), max_size=6)
TEXTS = st.lists(TEXT, min_size=1, max_size=14)
PARTED = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=14)
"""Words outside a message's questions, and inside."""


def naive(
    parts: list[tuple[list[str], list[str]]], query: list[str], chains: list[list[int]], usable: list[bool]
) -> list[float]:
    """The definition, word by word."""
    texts = [told + asked for told, asked in parts]
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
            told, asked = (part.count(word) for part in parts[row])
            count = (told + 0.6 * asked) / (0.5 + 0.5 * lengths[row] / average)
            chain, at = place[row]
            for offset, share in lends.items():
                if 0 <= at + offset < len(chain) and usable[chain[at + offset]]:
                    other = chain[at + offset]
                    told, asked = (part.count(word) for part in parts[other])
                    lent = share * told + (1.2 if offset == -1 else share) * asked
                    count += lent / (0.25 + 0.75 * lengths[other] / average)
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
@given(texts=PARTED, query=st.lists(st.sampled_from("abcdefgz"), max_size=5), data=st.data())
def test_the_kernel_is_the_definition(
    batch: int, texts: list[tuple[list[str], list[str]]], query: list[str], data: st.DataObject
) -> None:
    session = data.draw(st.lists(st.integers(0, 1), min_size=len(texts), max_size=len(texts)))
    usable = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    chains = [[row for row, each in enumerate(session) if each == which] for which in (0, 1)]
    postings = Postings()
    lengths = np.concatenate([[0], postings.add([told for told, _ in texts], 1, [asked for _, asked in texts])])
    selection = postings.select(postings.known(query))
    previous, following = links_of(chains, len(texts))
    around = Neighbours.of(previous, following, lengths, max(1.0, float(lengths.sum()) / len(texts)), SETTING)
    flags = np.array([False, *usable])
    found = score(selection, idf(selection.frequency, len(texts)), around, flags, batch)[1:]
    wanted = naive(texts, query, chains, usable)
    assert np.allclose(np.where(usable, found, 0), wanted, atol=1e-5)


@given(texts=PARTED, query=st.lists(st.sampled_from("abcdefgz"), min_size=1, max_size=5), cut=st.integers(0, 14))
def test_a_table_gives_the_same_to_the_last_bit(
    texts: list[tuple[list[str], list[str]]], query: list[str], cut: int
) -> None:
    told, asked = [told for told, _ in texts], [asked for _, asked in texts]
    postings = Postings()
    lengths = [np.zeros(1, np.uint16)]
    if told[:cut]:
        lengths.append(postings.add(told[:cut], 1, asked[:cut]))
    lengths += [
        postings.add([first], link, [second])
        for link, (first, second) in enumerate(texts[cut:], min(cut, len(texts)) + 1)
    ]
    previous, following = links_of([list(range(len(texts)))], len(texts))
    around = Neighbours.of(previous, following, np.concatenate(lengths), 3.0, SETTING)
    table = Table.of(postings.everything(), len(postings.terms), len(texts), around)
    terms = postings.known(query)
    if terms:
        selection = postings.select(terms)
        weights, scores = table.score(terms)
        assert np.array_equal(weights, idf(selection.frequency, len(texts)))
        assert np.array_equal(scores[1:], score(selection, weights, around, None)[1:])
    assert table.nbytes() >= 4 * len(postings.terms) * around.width


@given(texts=PARTED, cuts=st.lists(st.integers(1, 5), max_size=8))
def test_postings_are_the_same_however_they_were_added(
    texts: list[tuple[list[str], list[str]]], cuts: list[int]
) -> None:
    told, asked = [told for told, _ in texts], [asked for _, asked in texts]
    whole, pieces = Postings(), Postings()
    lengths = whole.add(told, 1, asked).tolist()
    assert lengths == [len(first) + len(second) for first, second in texts]
    at = 0
    for cut in [*cuts, len(texts)]:
        if told[at : at + cut]:
            assert pieces.add(told[at : at + cut], at + 1, asked[at : at + cut]).tolist() == lengths[at : at + cut]
        at += cut
    wanted = {
        (link, word): part[0].count(word) + ASKED * part[1].count(word)
        for link, part in enumerate(texts, 1)
        for word in {*part[0], *part[1]}
    }
    assert occurrences(whole) == wanted
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
        selection = postings.select(postings.known([word]))
        for piece in selection.pieces:
            for link, count in zip(piece[1].tolist(), piece[2].tolist(), strict=True):
                found[link, word] = count
        assert selection.frequency == [sum(1 for _, each in found if each == word)]
    return found


@pytest.mark.parametrize("messages", [1, 2])
def test_counts_end_somewhere(messages: int) -> None:
    """Both counts share a byte: neither may run into the other, or over."""
    postings = Postings()
    told, asked = [["a"] * 40] * messages, [["a"] * 300 + ["b"] * 17] * messages
    assert postings.add(told, 1, asked).tolist() == [357] * messages
    assert occurrences(postings)[1, "a"] == MOST + ASKED * MOST == 255
    assert occurrences(postings)[1, "b"] == ASKED * MOST


def test_a_long_query_keeps_its_rarest_terms() -> None:
    postings = Postings()
    postings.add([["a", "b"], ["a", "b"], ["a", "c"]], 1)
    selection = postings.select(postings.known(["a", "b", "c"])).rarest(2)
    assert selection.frequency == [2, 1]
    assert [(slot, links.tolist()) for slot, links, _ in selection.pieces] == [(0, [1, 2]), (1, [3])]


def test_runs_stay_few() -> None:
    postings = Postings()
    for link in range(1, 3000):
        postings.add([["a", "b", str(link)]], link)
    assert len(postings.runs) <= 6
    assert postings.select(postings.known(["a"])).frequency == [2999]
    assert postings.size == 3 * 2999
    assert postings.nbytes() > 0


def test_idf_is_never_negative() -> None:
    assert idf([10, 1], 9)[0] >= 0
