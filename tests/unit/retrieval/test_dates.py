from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacita.retrieval.dates import EPOCH, DateWords, date_words, parts, windows
from tacita.retrieval.text import language, words

NOW = datetime(2023, 10, 12, 15, 0, tzinfo=UTC)
"""A Thursday."""


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def spans(text: str, now: datetime | None = NOW) -> list[str]:
    found = words(text)
    reference = None if now is None else microseconds(now)
    return [
        "..".join((EPOCH + timedelta(microseconds=each)).date().isoformat() for each in (window.start, window.end))
        for window in windows(text, found, language(found), reference)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What did she do in May 2023?", "2023-05-01..2023-06-01"),
        ("on 7 May 2023", "2023-05-07..2023-05-08"),
        ("on May 7th, 2023", "2023-05-07..2023-05-08"),
        ("on the 7th of May", "2023-05-07..2023-05-08"),
        ("Sept. 5, 2022", "2022-09-05..2022-09-06"),
        ("2023-05-07", "2023-05-07..2023-05-08"),
        ("since 2023-05", "2023-05-01..9999-12-31"),
        ("in 2022", "2022-01-01..2023-01-01"),
        ("in November", "2022-11-01..2022-12-01"),
        ("last October", "2022-10-01..2022-11-01"),
        ("yesterday", "2023-10-11..2023-10-12"),
        ("the day before yesterday", "2023-10-10..2023-10-11"),
        ("last night", "2023-10-11..2023-10-12"),
        ("two weeks ago", "2023-09-25..2023-10-03"),
        ("3 days ago", "2023-10-09..2023-10-10"),
        ("last week", "2023-10-02..2023-10-09"),
        ("last weekend", "2023-10-07..2023-10-09"),
        ("last month", "2023-09-01..2023-10-01"),
        ("last year", "2022-01-01..2023-01-01"),
        ("in the last 3 days", "2023-10-09..2023-10-12"),
        ("last spring", "2023-03-01..2023-06-01"),
        ("last autumn", "2022-09-01..2022-12-01"),
        ("this fall", "2023-09-01..2023-12-01"),
        ("in the summer of 2021", "2021-06-01..2021-09-01"),
        ("last Thursday", "2023-10-05..2023-10-06"),
        ("on Thursday", "2023-10-12..2023-10-13"),
        ("between March and June", "2023-03-01..2023-07-01"),
        ("between March and June 2022", "2022-03-01..2022-07-01"),
        ("from November to February", "2022-11-01..2023-03-01"),
        ("between 3 May 2023 and 9 May 2023", "2023-05-03..2023-05-10"),
        ("since June", "2023-06-01..9999-12-31"),
        ("after 3 June, 2023", "2023-06-04..9999-12-31"),
        ("before May 2022", "0001-01-01..2022-05-01"),
        ("the week before August 3, 2023", "2023-07-27..2023-08-03"),
        ("last weekend before April 10, 2023", "2023-04-08..2023-04-10"),
        ("the Sunday before October 25, 2022", "2022-10-23..2022-10-24"),
        ("¿Qué hizo Ana en mayo de 2023?", "2023-05-01..2023-06-01"),
        ("Was habe ich letzte Woche gemacht?", "2023-10-02..2023-10-09"),
        ("Qu'est-ce que j'ai fait la semaine dernière ?", "2023-10-02..2023-10-09"),
        ("Что я делал вчера?", "2023-10-11..2023-10-12"),
        ("2023年5月に何をした?", "2023-05-01..2023-06-01"),
    ],
)
def test_a_date_becomes_a_window(text: str, expected: str) -> None:
    assert spans(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "May I ask about the march?",
        "What plants spring up, and do leaves fall?",
        "31 February 2023",
        "Which of the 12 monkeys did Dec feed?",
        "What time is it?",
        "fine settimana a Roma",
        "",
    ],
)
def test_no_date_no_window(text: str) -> None:
    assert spans(text) == []


def test_without_a_reference_only_whole_dates_are_read() -> None:
    assert spans("in May 2023", None) == ["2023-05-01..2023-06-01"]
    for text in ("yesterday", "in May", "last week", "ayer", "two weeks ago", "this summer"):
        assert spans(text, None) == []


def test_several_dates() -> None:
    assert spans("Was it in May 2021 or in June 2022?") == ["2021-05-01..2021-06-01", "2022-06-01..2022-07-01"]


def test_date_words() -> None:
    assert date_words(words("on 7 May, 2023 or 99 times")) == DateWords((7,), (5,), (2023,))
    assert not date_words(words("nothing"))


def test_parts_of_moments() -> None:
    stamps = np.array([microseconds(datetime(2023, 2, 28, 23, 59, tzinfo=UTC)), -1], np.int64)
    day, month, year = parts(stamps)
    assert (day.tolist(), month.tolist(), year.tolist()) == ([28, 31], [2, 12], [2023, 1969])


_PIECES = st.sampled_from(
    [
        "between",
        "and",
        "from",
        "to",
        "since",
        "last",
        "next",
        "this",
        "the",
        "2",
        "31",
        "999",
        "may",
        "march",
        "june",
        "2023",
        "1999",
        "2023-02-30",
        "summer",
        "monday",
        "week",
        "weeks",
        "ago",
        "before",
        "after",
        "days",
        "few",
        "quarter",
        "yesterday",
        "year",
        ";",
        "-",
        ",",
        "0",
        "00",
        "13",
    ]
)


@given(st.lists(_PIECES, max_size=9), st.booleans())
def test_any_words_are_read_without_failing(pieces: list[str], known: bool) -> None:
    text = " ".join(pieces)
    for window in windows(text, words(text), "english", microseconds(NOW) if known else None):
        assert window.start < window.end


def _expressions() -> Iterator[str]:
    """Every word in every place that an English date has for it."""
    counts = ("0", "31", "999", "a", "few", "a couple of")
    units = ("day", "week", "weekend", "month", "quarter", "year")
    which = ("last", "past", "previous", "this", "current", "next", "coming")
    days = ("monday", "sunday")
    months = ("jan", "may", "december")
    seasons = ("spring", "fall", "winter")
    places = ("in", "on", "late", "by", "since", "before", "after", "until", "from", "between", "around")
    yield from map(" ".join, product(which, (*units, "night", *days, *months, *seasons)))
    yield from (f"{count} {unit}s ago" for count, unit in product(counts, units))
    yield from (f"last {count} {unit}s" for count, unit in product(counts, units))
    yield from (f"{count} {unit}s before may 3" for count, unit in product(counts, units))
    yield from (f"the {unit} before {year}-01-01" for unit, year in product((*units, *days), (1900, 2099)))
    yield from (
        f"{place} {named}"
        for place, named in product(places, (*months, *seasons, "1900", "2099", "2099-12-31", "tomorrow"))
    )
    yield from (f"{day} {month} {year}" for day, month, year in product((0, 1, 29, 31, 99), months, ("", 1900, 2099)))
    yield from (f"{year}-{month}-{day}" for year, month, day in product((1900, 2024), (0, 2, 13), (0, 29, 32)))
    ends = ("may", "next week", "2023", "0 days ago", "may 0", "tomorrow", "yesterday", "999 years ago")
    yield from (f"between {start} and {end}" for start, end in product(ends, ends))


@pytest.mark.parametrize(
    "now", [None, datetime.min, datetime(900, 5, 5), datetime(1970, 1, 1), NOW, datetime(9999, 12, 31)]
)
def test_every_expression_is_read_at_any_time(now: datetime | None) -> None:
    """Beyond the calendar, or where nothing lies between, there is no window."""
    reference = None if now is None else microseconds(now.replace(tzinfo=UTC))
    read = 0
    for text in _expressions():
        for window in windows(text, words(text), "english", reference):
            assert window.start < window.end, text
            read += 1
    assert read > 50


@pytest.mark.parametrize("text", ["What did he do the next day?", "the previous day", "on the last day of the trip"])
def test_a_day_that_counts_from_what_was_told_is_no_window(text: str) -> None:
    assert spans(text) == []
