import pytest

from tacita.retrieval.text import CACHED_WORDS, analyse, head, language, stems, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Caroline's paintings, don't!", ["caroline's", "paintings", "don't"]),
        ("I’m “here”", ["i'm", "here"]),
        ("Straße ﬁne CAFÉ", ["strasse", "fine", "café"]),
        ("мы любим Киев", ["мы", "любим", "киев"]),
        ("猫が好き", ["猫", "好", "猫が", "が好", "好き"]),
        ("東京", ["東", "京", "東京"]),
        ("abc東京x1", ["abc", "東", "京", "東京", "x1"]),
        ("สวัสดี", ["สว", "วั", "ัส", "สด", "ดี"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("", []),
        ("🙂 —", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_english_stems_drop_stop_words_and_possessives() -> None:
    assert analyse("What did Caroline's daughters paint at the lakes?") == (
        ["carolin", "daughter", "paint", "lake"],
        "english",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hey, what a lovely day!", "english"),
        ("We flew to Los Angeles and it was great", "english"),
        ("¿Dónde está la casa de mi abuela?", "spanish"),
        ("Ich habe gestern meine Schwester besucht", "german"),
        ("Je suis allé chez le médecin avec mon frère", "french"),
        ("Ik heb gisteren een brief geschreven", "dutch"),
        ("Jag tycker inte om fisk", "swedish"),
        ("Non mi piace il pesce, ma la carne sì", "italian"),
        ("Eu não gosto de peixe", "portuguese"),
    ],
)
def test_language(text: str, expected: str) -> None:
    assert language(words(text)) == expected


def test_stems_follow_the_script_within_one_text() -> None:
    assert stems(["книги", "running"], "english") == ["книг", "run"]


def test_the_head_has_no_code() -> None:
    assert head("look:\n```py\nsecret = 1\n```\nthere") == "look:\n \nthere"
    assert head("cut ```open") == "cut  "
    assert len(head("x" * 1000)) == 400


def test_the_stem_cache_is_bounded() -> None:
    from tacita.retrieval.text import _STEMS

    stems([f"z{number}" for number in range(CACHED_WORDS + 10)], "english")
    assert len(_STEMS["english"]) <= CACHED_WORDS
