"""Kinds of answers: what a question wants, what a message holds, and what comes of it."""

import numpy as np
import pytest

from tacita.retrieval.answers import Answer, has_quantity, has_time, wanted
from tacita.retrieval.index import QUANTITY, TIME, Doc, SearchIndex
from tacita.retrieval.search import Ranked, prepare, rank
from tacita.retrieval.text import words


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("How many dogs does she have?", {Answer.QUANTITY}),
        ("how old is Bo", {Answer.QUANTITY}),
        ("How long did it take?", {Answer.QUANTITY, Answer.TIME}),
        ("And how many weeks are left?", {Answer.QUANTITY, Answer.TIME}),
        ("When did he move?", {Answer.TIME}),
        ("Do you know when will it start?", {Answer.TIME}),
        ("Which year was it?", {Answer.TIME}),
        ("How did it go when I was glad?", set()),
        ("What did he say?", set()),
        ("Where is it?", set()),
        ("", set()),
    ],
)
def test_what_a_question_wants(question: str, kinds: set[Answer]) -> None:
    assert set(wanted(words(question))) == kinds


@pytest.mark.parametrize(
    ("text", "quantity", "time"),
    [
        ("We have two dogs", True, False),
        ("It is 7 km", True, False),
        ("I moved last spring", False, True),
        ("We leave at a quarter to noon", False, True),
        ("Three weeks ago", True, True),
        ("One may hope", False, False),
        ("I came second " + "and so on " * 40, False, False),
        ("", False, False),
    ],
)
def test_what_a_message_holds(text: str, quantity: bool, time: bool) -> None:
    assert has_quantity(text, words(text)) is quantity
    assert has_time(None, words(text)) is time


def test_a_name_is_no_time() -> None:
    assert not has_time("June Day", words("June Day: I like tea"))
    assert has_time("June Day", words("June Day: I came today"))


DOCS = [
    ("The dogs ran around, the dogs barked", None),
    ("We adopted two dogs from the shelter and they are lovely", None),
    ("The dogs came last week from the shelter and they are lovely", "June"),
]


def vault() -> SearchIndex:
    index = SearchIndex()
    index.add([Doc(row, text, name=name, session=str(row)) for row, (text, name) in enumerate(DOCS)])
    return index


def told(found: Ranked, name: str) -> dict[int, float]:
    assert found.signals is not None
    return {
        row: signal.value
        for row, signals in zip(found.rows.tolist(), found.signals, strict=True)
        for signal in signals
        if signal.name == name
    }


def test_messages_are_marked_when_they_are_added() -> None:
    assert (vault().flags[1:] & (QUANTITY | TIME)).tolist() == [0, QUANTITY, TIME]


def test_an_answer_of_the_kind_that_is_wanted_comes_first() -> None:
    index = vault()
    assert rank(index, prepare("dogs")).rows.tolist()[0] == 0
    many = rank(index, prepare("How many dogs?"), explain=True)
    assert many.rows.tolist()[0] == 1
    assert told(many, "quantity") == {0: 0, 1: 1, 2: 0}
    assert told(many, "time") == {}
    when = rank(index, prepare("When did the dogs come?"), explain=True)
    assert when.rows.tolist()[0] == 2
    assert told(when, "time") == {0: 0, 1: 0, 2: 1}


def test_the_parts_of_a_score_sum_to_it() -> None:
    found = rank(vault(), prepare("How long ago did the dogs come?"), explain=True)
    assert found.signals is not None
    for score, signals in zip(found.scores.tolist(), found.signals, strict=True):
        assert {"quantity", "time"} <= {signal.name for signal in signals}
        assert sum(signal.contribution for signal in signals) == pytest.approx(score, abs=1e-5)


def test_a_text_that_asks_nothing_wants_nothing() -> None:
    assert prepare("How many dogs?", question=False).wanted == ()
    assert prepare("How many dogs?").wanted == (Answer.QUANTITY,)


def test_marks_survive_a_snapshot() -> None:
    index = vault()
    again = SearchIndex.from_arrays(index.arrays())
    query = prepare("How many dogs came last week?", np.ones(3, np.float16), "m")
    assert rank(again, query).scores.tolist() == rank(index, query).scores.tolist()
