from hypothesis import given
from hypothesis import strategies as st

from tacita import limits
from tacita.retrieval.segment import message_text, segments


def test_one_short_message_is_one_segment_equal_to_itself() -> None:
    assert segments("I went to Rome. It rained.", "Ana") == [message_text("I went to Rome. It rained.", "Ana")]
    assert segments("Hi", None) == ["Hi"]


def test_sentences_are_grouped_and_keep_the_speaker() -> None:
    first, second = "a" * 60 + ".", "b" * 60 + "."
    assert segments(f"{first} {second} {first} {second}", "Bo") == [f"Bo: {first} {second}"] * 2


def test_a_short_tail_joins_the_group_before() -> None:
    long = "word " * 30 + "end."
    assert len(segments(f"{long} Bye!", None)) == 1
    assert segments(f"{long} Bye!", None)[0].endswith("Bye!")


def test_a_long_sentence_is_cut_at_spaces_or_hard() -> None:
    assert all(len(each) <= 600 for each in segments("word " * 400, None))
    pieces = segments("x" * 1300, None)
    assert [len(each) for each in pieces] == [500, 500, 300]


def test_a_note_at_the_end_is_a_group_by_itself() -> None:
    note = "[shared photo: a dog on a beach]"
    assert segments(f"Look! {note} ", "Bo") == ["Bo: Look!", f"Bo: {note}"]
    assert segments(note, "Bo") == [f"Bo: {note}"]
    long = "a" * 120 + ". " + "b" * 120 + "."
    assert segments(f"{long} {note}", None) == [*segments(long, None), note]
    for none in (f"{note} Look!", "As in [1]", "Look ]: here]", "[a] b]"):
        assert segments(none, None) == [none]


def test_lines_end_sentences() -> None:
    assert len(segments("\n".join("- item " + "y" * 100 for _ in range(3)), None)) == 3


def test_nothing_to_embed() -> None:
    assert segments(" \n ", "Ana") == []


@given(st.text(max_size=3000))
def test_segments_hold_every_character_in_order_and_are_few(text: str) -> None:
    found = segments(text, None)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert len(found) <= limits.SEGMENTS


def test_there_is_a_limit() -> None:
    assert len(segments("s" * 120 + ".\n" + ("t" * 120 + ".\n") * 1000, None)) == limits.SEGMENTS
