from tacita.retrieval.names import Names


def test_a_speaker_is_found_by_any_word_of_the_name() -> None:
    names = Names(["Ana Lima", "Bo", "Will May"])
    assert names.mentioned(["what", "did", "ana's", "dog"]) == {"Ana Lima"}
    assert names.mentioned(["bo", "and", "lima"]) == {"Ana Lima", "Bo"}
    assert names.mentioned(["will", "it"]) == frozenset()
    assert Names().mentioned(["ana"]) == frozenset()


def test_numbers() -> None:
    names = Names()
    assert [names.number(each) for each in (None, "", "Ana", "Bo", "Ana")] == [0, 0, 1, 2, 1]
    assert [names.known_number(each) for each in ("Bo", "Cy", None)] == [2, None, None]
