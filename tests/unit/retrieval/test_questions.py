"""Words in questions count for whoever answers."""

import numpy as np
import pytest

from tacita.retrieval.index import Doc, SearchIndex
from tacita.retrieval.profile import HYBRID
from tacita.retrieval.questions import parted
from tacita.retrieval.search import prepare, rank
from tacita.retrieval.text import words


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("I paint. Do you paint?", "do you paint"),
        ("Do you paint? I do.", "do you paint"),
        ("Really?! What did you see? Tell me", "really what did you see"),
        ('She said "do you swim?" and left', ""),
        ('Tell me. "Do you swim?"', "do you swim"),
        ("(Any news?)\nNone", "any news"),
        ("Is v2.1 out?", "is v2 1 out"),
        ("\u4f60\u597d\u5417\uff1f\u597d", "\u4f60\u597d\u5417"),
        ("see /path?key=1 there", ""),
        ("I paint.", ""),
        ("?", ""),
        ("", ""),
    ],
)
def test_questions_are_parted_from_the_rest(text: str, asked: str) -> None:
    told, found = parted(text)
    assert found == words(asked)
    assert sorted(told + found) == sorted(words(text))


def vault(*texts: str, session: str = "s") -> SearchIndex:
    index = SearchIndex()
    index.add([Doc(row, text, session=session or str(row)) for row, text in enumerate(texts)])
    return index


def test_the_answer_comes_before_the_question() -> None:
    index = vault("Any pets at home?", "A parrot", "Fine weather", "Quite so")
    assert rank(index, prepare("pets")).rows.tolist()[:2] == [1, 0]
    told = vault("My pets are at home.", "A parrot", "Fine weather", "Quite so")
    assert rank(told, prepare("pets")).rows.tolist()[:2] == [0, 1]


def test_who_tells_comes_before_who_asks() -> None:
    index = vault("Have you pets or a garden?", "I have pets and a garden", session="")
    assert rank(index, prepare("pets garden")).rows.tolist() == [1, 0]


def test_a_question_out_of_scope_lends_nothing() -> None:
    index = vault("Any pets at home?", "A parrot", "Fine weather")
    found = rank(index, prepare("pets"), allowed=np.array([False, True, True]), explain=True)
    assert found.signals is not None
    assert {signal.value for hit in found.signals for signal in hit if signal.name == "lexical"} <= {0.0}


def test_questions_survive_a_snapshot_and_an_added_tail() -> None:
    texts = ["Any pets at home? I have two pets.", "A parrot", "Do you like it?", "Yes, pets are fine"]
    whole = vault(*texts)
    again = SearchIndex.from_arrays(vault(*texts[:2]).arrays())
    again.add([Doc(row, text, session="s") for row, text in enumerate(texts) if row >= 2])
    query = prepare("which pets do you like?")
    assert rank(again, query).scores.tolist() == rank(whole, query).scores.tolist()
    assert HYBRID.bm25f.asked < 1 < HYBRID.bm25f.answered
