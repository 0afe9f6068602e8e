"""What a question is taken for, and what of it is embedded."""

import pytest

from tacita.retrieval.asking import Asking, asking, topic
from tacita.retrieval.names import Names
from tacita.retrieval.query import prepare
from tacita.retrieval.text import words

KINDS = [
    ("Can you summarize what we said about the garden?", Asking.SUMMARY),
    ("Give me an overview of my training", Asking.SUMMARY),
    ("a summary of the order in which things happened", Asking.SUMMARY),
    ("In what order did I visit the towns?", Asking.ORDER),
    ("List the order in which I brought up parts of the plan.", Asking.ORDER),
    ("timeline of my job search", Asking.ORDER),
    ("How should I store the seeds?", Asking.ADVICE),
    ("Could you explain compost to me?", Asking.ADVICE),
    ("I'm planning a trip. What do you suggest?", Asking.ADVICE),
    ("What are some good books on bees?", Asking.ADVICE),
    ("How many days do I have until the exam?", Asking.FACT),
    ("What did you recommend for the roof?", Asking.REPLY),
    ("Which of the glues you suggested holds in the rain?", Asking.REPLY),
    ("What was your advice about the roof?", Asking.REPLY),
    ("Which roof would you suggest?", Asking.ADVICE),
    ("Summarize what you told me about roofs", Asking.SUMMARY),
    ("Can you tell me what I told you about roofs?", Asking.FACT),
    ("How do I pay, and have I paid before?", Asking.FACT),
    ("Can you tell me where I live?", Asking.FACT),
    ("Can you remind me of my dentist's name?", Asking.FACT),
    ("What did I order at the restaurant?", Asking.FACT),
    ("Who called in order to cancel?", Asking.FACT),
    ("Wo wohnt Ana?", Asking.FACT),
    ("", Asking.FACT),
]


@pytest.mark.parametrize(("text", "kind"), KINDS)
def test_kinds_of_questions(text: str, kind: Asking) -> None:
    assert asking(text, words(text)) is kind


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Can you give me a clear summary of how my garden has grown?", "my garden has grown?"),
        ("Can you list the order in which I brought up different aspects of my trip, in order?", "my trip?"),
        (
            "Can you walk me through the order in which I mentioned my plants across our conversations, in order? "
            "Mention ONLY and ONLY five items.",
            "my plants?",
        ),
        ("Please summarize everything about bees so far", "everything about bees"),
        ("Can you summarize?", "Can you summarize?"),
    ],
)
def test_the_frame_of_a_broad_question_is_not_its_topic(text: str, left: str) -> None:
    assert topic(text, asking(text, words(text)), frozenset(), None) == left


def test_other_questions_keep_their_words() -> None:
    text = "Can you list the main parts of a beehive, please?"
    assert topic(text, Asking.ADVICE, frozenset(), Names(["Ana"])) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("What cities has Ana visited?", "What cities has visited?"),
        ("What is Ana Lima's job?", "What is job?"),
        ("What did Bo say about Ana\u2019s garden?", "What did say about garden?"),
        ("what did ana paint?", "what did ana paint?"),
        ("Did Anabel call?", "Did Anabel call?"),
        ("Ana?", "Ana?"),
        ("Ana", "Ana"),
        ("Welche St\u00e4dte hat Ana besucht?", "Welche St\u00e4dte hat besucht?"),
    ],
)
def test_names_of_speakers_are_left_out(text: str, left: str) -> None:
    names = Names(["Ana Lima", "Bo"])
    assert topic(text, Asking.FACT, names.mentioned(words(text)), names) == left


def test_a_name_of_nobody_here_stays() -> None:
    assert prepare("What did Eve say?", names=Names(["Ana"])).topic == "What did Eve say?"
    assert prepare("What did Eve say?").topic == "What did Eve say?"


def test_a_long_question_is_embedded_as_it_stands() -> None:
    text = "Summary of Ana: " + "word " * 300
    assert prepare(text, names=Names(["Ana"])).topic == text


def test_a_text_that_is_no_question_is_of_no_kind() -> None:
    text = "How should I make a summary for Ana?"
    found = prepare(text, names=Names(["Ana"]), question=False)
    assert (found.asking, found.topic, found.speakers) == (Asking.FACT, text, {"Ana"})


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("What does Bo do?", "Bo"),
        ("What did Bo say about Ana’s garden?", "Bo"),
        ("What did Ana's letter tell Bo?", "Bo"),
        ("How does Ana Lima like the cake that Bo made?", "Ana Lima"),
        ("Which book has Bo got from Ana?", "Ana Lima"),
        ("According to Ana, what does Bo want?", "Ana Lima"),
        ("What was Bo told by Lima?", "Ana Lima"),
        ("What are Ana's plans for Bo's roof?", "Ana Lima"),
        ("Where do Ana and Bo live?", None),
        ("Did Bo or Ana Lima call?", None),
        ("What do Ana, Bo and Cy like?", None),
        ("What did Cy tell Bo?", None),
        ("\u00bfQu\u00e9 le dijo Bo a Ana sobre la casa?", None),
        ("Was hat Bo gesagt?", "Bo"),
        ("Who called?", None),
    ],
)
def test_whose_words_a_question_wants(text: str, who: str | None) -> None:
    names = Names(["Ana Lima", "Bo", "Cy One", "Cy Two"])
    assert prepare(text, names=names).teller == who


def test_words_are_searched_as_they_were_written() -> None:
    text = "Can you give me a summary of what Ana grows?"
    assert prepare(text, names=Names(["Ana"])).words == tuple(words(text))
