"""Time in a query: the windows that "last spring" or "in May 2023" mean, and the date words it holds.

Pure: relative expressions count from the reference time that the caller gives, never from the clock. English is read
here, in microseconds; other languages are `dates_abroad`'s. Months, seasons and days are those of UTC and of the
northern hemisphere.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacita.patterns import lazy_pattern
from tacita.retrieval import dates_abroad as abroad

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
LAST: Final = datetime(9999, 12, 31, tzinfo=UTC)
DAY: Final = timedelta(days=1)

READ_CHARS: Final = 1_000
"""Characters of a query that are read for dates."""


class Window(msgspec.Struct, frozen=True):
    """A span of time, from `start` up to but not including `end`, in microseconds since 1970 UTC."""

    start: int
    end: int


class Span(msgspec.Struct, frozen=True):
    """The same with moments."""

    start: datetime
    end: datetime

    def window(self) -> Window:
        return Window(*((each - EPOCH) // timedelta(microseconds=1) for each in (self.start, self.end)))


class DateWords(msgspec.Struct, frozen=True):
    """Numbers and month names of a query that may be parts of a date."""

    days: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    years: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.days or self.months or self.years)


MONTHS: Final = {
    **{name.lower(): number for number, name in enumerate(calendar.month_abbr) if name},
    **{name.lower(): number for number, name in enumerate(calendar.month_name) if name},
    "sept": 9,
}
_WEEKDAYS = {name.lower(): number for number, name in enumerate(calendar.day_name)}
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_NUMBERS = {
    **{"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8},
    **{"nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "a couple of": 2, "couple of": 2, "a few": 3, "few": 3},
}
_YEARS = {str(year) for year in range(1900, 2100)}
HINTS: Final = frozenset(
    {
        *MONTHS,
        *_WEEKDAYS,
        *_SEASONS,
        *_YEARS,
        *("today", "tonight", "yesterday", "tomorrow", "night", "morning", "afternoon", "evening", "ago", "since"),
        *(name + end for name in ("day", "week", "weekend", "month", "quarter", "year") for end in ("", "s")),
    }
)
"""English words without one of which no query is read for dates."""


_NO_DATES = DateWords((), (), ())
_DATE_WORDS = frozenset({*MONTHS, *_YEARS, *(f"{day:02}" for day in range(1, 32)), *map(str, range(1, 32))})
"""One of these has to be there. Digits of other scripts are no day numbers: nobody writes dates so in a query."""


def date_words(words: list[str]) -> DateWords:
    """Day numbers, months and years among the words of a query."""
    if _DATE_WORDS.isdisjoint(words):
        return _NO_DATES
    days: list[int] = []
    months: list[int] = []
    years: list[int] = []
    for word in dict.fromkeys(words):
        if word in MONTHS:
            months.append(MONTHS[word])
        elif word in _YEARS:
            years.append(int(word))
        elif word.isdecimal() and len(word) <= 2 and 1 <= int(word) <= 31:
            days.append(int(word))
    return DateWords(tuple(days), tuple(months), tuple(years))


# ------------------------------------------------------------------ English expressions

_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
# "The next day" counts from what was told, not from now.
_PERIOD = "week|weekend|month|quarter|year"
_UNIT = f"day|{_PERIOD}"
_COUNT = r"\d{1,3}|" + "|".join(sorted(_NUMBERS, key=len, reverse=True))
_YEAR = r"(?:19|20)\d\d"
_WHICH = "last|past|previous|this|current|next|coming"
# "May" and "march" are verbs too, and "spring" and "fall" are other things: without a year they need a preposition.
_IN = "in|of|on|during|early|mid|late|by|since|before|after|until|till|through|between|from|and|to|around"


class Date(msgspec.Struct, frozen=True):
    """A date with parts missing. Without a year it is the latest such date that has begun."""

    year: int | None = None
    month: int | None = None
    day: int | None = None
    months: int = 1
    """How many months it lasts, when it has a month and no day."""

    def span(self, reference: datetime | None) -> Span | None:
        if self.year is None:
            if reference is None:
                return None
            found = Date(reference.year, self.month, self.day, self.months).span(None)
            if found is None or found.start > reference:
                return Date(reference.year - 1, self.month, self.day, self.months).span(None)
            return found
        if self.month is None:
            return Span(datetime(self.year, 1, 1, tzinfo=UTC), datetime(self.year + 1, 1, 1, tzinfo=UTC))
        if self.day is None:
            start = datetime(self.year, self.month, 1, tzinfo=UTC)
            return Span(start, _add_months(start, self.months))
        if not 1 <= self.month <= 12 or not 1 <= self.day <= calendar.monthrange(self.year, self.month)[1]:
            return None
        start = datetime(self.year, self.month, self.day, tzinfo=UTC)
        return Span(start, start + DAY)


Reader = Callable[[re.Match[str], datetime | None], Date | Span | None]


def _iso(found: re.Match[str], _: datetime | None) -> Date | None:
    year, month, day = (int(each) if each else None for each in found.groups())
    return Date(year, month, day) if month is None or 1 <= month <= 12 else None


def _named(found: re.Match[str], _: datetime | None) -> Date:
    part = found.groupdict()
    year, day = part.get("year"), part.get("day")
    return Date(int(year) if year else None, MONTHS[part["month"]], int(day) if day else None)


def _season(found: re.Match[str], reference: datetime | None) -> Date | Span | None:
    which, season, year = found.groups()
    date = Date(int(year) if year else None, _SEASONS[season], None, 3)
    if year or not which:
        return date
    if reference is None:
        return None
    span = date.span(reference)
    if span is None:
        return None
    running = span.end > reference
    if which in ("last", "past", "previous"):
        return _years(span, -1) if running else span
    if which in ("this", "current"):
        return span if running else _years(span, 1)
    return _years(span, 1)


def _ago(found: re.Match[str], reference: datetime | None) -> Span | None:
    if reference is None:
        return None
    count, unit = _count(found["count"]), found["unit"]
    middle = _minus(reference, count, unit)
    # People say "two weeks ago" of anything between ten and eighteen days.
    slack = {"day": 0.0, "week": 3.5, "weekend": 3.5, "month": 15.0, "quarter": 45.0, "year": 183.0}[unit]
    if found["count"].endswith("few"):
        slack += 1
    start = _midnight(middle - timedelta(days=slack))
    return Span(start, start + timedelta(days=round(2 * slack) + 1))


def _stretch(found: re.Match[str], reference: datetime | None) -> Span | None:
    if reference is None:
        return None
    return Span(_minus(reference, _count(found["count"]), found["unit"]), reference + timedelta(seconds=1))


def _which(found: re.Match[str], reference: datetime | None) -> Span | None:
    """Calendar weeks, months, quarters, years and named days, last, this and next."""
    if reference is None:
        return None
    step = {"last": -1, "past": -1, "previous": -1, "next": 1, "coming": 1}.get(found["which"], 0)
    what, today = found["what"], _midnight(reference)
    if what == "year":
        return Date(reference.year + step).span(None)
    if what == "month":
        start = _add_months(today.replace(day=1), step)
        return Span(start, _add_months(start, 1))
    if what == "quarter":
        start = _add_months(today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1), 3 * step)
        return Span(start, _add_months(start, 3))
    if what == "night":
        return Span(today + step * DAY, today + (step + 1) * DAY)
    if what in MONTHS:
        span = Date(None, MONTHS[what]).span(reference)
        if span is None or step == 0:
            return span
        return _years(span, 1) if step > 0 else _years(span, -1) if span.end > reference else span
    monday = today - today.weekday() * DAY
    if what == "week":
        return Span(monday + 7 * step * DAY, monday + 7 * (step + 1) * DAY)
    if what == "weekend":
        # On a Saturday or Sunday "last weekend" is still the one before.
        return Span(monday + (7 * step + 5) * DAY, monday + 7 * (step + 1) * DAY)
    return _weekday(_WEEKDAYS[what], today, step)


def _weekday(number: int, today: datetime, step: int) -> Span:
    back = (today.weekday() - number) % 7
    day = today - back * DAY
    if step > 0:
        day += 7 * DAY
    elif step < 0 and back == 0:
        day -= 7 * DAY
    return Span(day, day + DAY)


def _on_weekday(found: re.Match[str], reference: datetime | None) -> Span | None:
    return None if reference is None else _weekday(_WEEKDAYS[found[1]], _midnight(reference), 0)


def _plain_day(found: re.Match[str], reference: datetime | None) -> Span | None:
    if reference is None:
        return None
    shift = {"day before yesterday": -2, "yesterday": -1, "tomorrow": 1}.get(found[1], 0)
    start = _midnight(reference) + shift * DAY
    return Span(start, start + DAY)


def _year(found: re.Match[str], _: datetime | None) -> Date:
    return Date(int(found[1]))


_READERS: tuple[tuple[re.Pattern[str], Reader], ...] = tuple(
    (lazy_pattern(text), reader)
    for text, reader in (
        (rf"\b({_YEAR})-(\d\d?)(?:-(\d\d?))?(?![\d-])", _iso),
        (rf"\b(?P<day>\d\d?)(?:st|nd|rd|th)?(?: of)? (?P<month>{_MONTH})\b\.?(?:,? (?P<year>{_YEAR})\b)?", _named),
        (
            rf"\b(?P<month>{_MONTH})\b\.? (?P<day>\d\d?)(?:st|nd|rd|th)?\b(?:,? (?P<year>{_YEAR})\b)?",
            _named,
        ),
        (rf"\b(?P<month>{_MONTH})\b\.?(?:,| of)? (?P<year>{_YEAR})\b", _named),
        (
            rf"\b(?:(?:({_WHICH})|(?:{_IN})(?: the)?) )?(spring|summer|autumn|fall|winter)(?: of)? ({_YEAR})\b",
            _season,
        ),
        (rf"\b(?:({_WHICH})|(?:{_IN})(?: the)?) (spring|summer|autumn|fall|winter)\b()", _season),
        (rf"\b(?P<count>{_COUNT}) (?P<unit>{_UNIT})s? (?:ago|earlier)\b", _ago),
        (rf"\b(?:last|past|previous) (?P<count>{_COUNT}) (?P<unit>{_UNIT})s\b", _stretch),
        (rf"\b(?P<which>{_WHICH}) (?P<what>{_PERIOD}|night|{'|'.join(_WEEKDAYS)}|{_MONTH})\b", _which),
        (r"\b(day before yesterday|yesterday|today|tonight|tomorrow|this (?:morning|afternoon|evening))\b", _plain_day),
        (rf"\bon ({'|'.join(_WEEKDAYS)})\b", _on_weekday),
        (rf"\b(?:{_IN}) (?P<month>{_MONTH})\b", _named),
        (rf"\b(?!may\b|march\b|mar\b|dec\b|jan\b|sep\b)(?P<month>{_MONTH})\b", _named),
        (rf"\b(?:{_IN}|year|the) ({_YEAR})\b", _year),
    )
)
_BETWEEN = lazy_pattern(r"\b(between|from) (?:the )?$")
_JOINED = lazy_pattern(r"^(?: the)?,? (?:and|to|until|till|through|-|–) (?:the )?$|^ ?[-–] ?$")
_LIMIT = lazy_pattern(r"\b(since|after|before|until|till|by) (?:the )?(?:end of |start of |beginning of )?$")
_OFFSET = lazy_pattern(
    rf"\b(?:the|last|previous|(?P<count>{_COUNT})) (?P<what>{_UNIT}|{'|'.join(_WEEKDAYS)})s? before (?:the )?$"
)


class _Found(msgspec.Struct, frozen=True):
    start: int
    end: int
    what: Date | Span


def english(text: str, reference: datetime | None) -> list[Span]:
    """The spans of time that an English query names, in the order of the text, which is lower-case."""
    found = sorted(_expressions(text, reference), key=lambda each: each.start)
    spans: list[Span] = []
    at = 0
    while at < len(found):
        first = found[at]
        second = found[at + 1] if at + 1 < len(found) else None
        if second is not None and _is_range(text, first, second):
            begin, finish = _same_year(first.what, second.what, reference)
            if begin is not None and finish is not None and begin.start < finish.end:
                spans.append(Span(begin.start, finish.end))
            at += 2
            continue
        # "Last weekend before April 10" is read with the second expression.
        leads = second is not None and text[first.end : second.start].strip() == "before"
        span = None if leads and isinstance(first.what, Span) else _span(first.what, reference)
        if span is not None:
            spans.append(_limited(text[: first.start], text[first.start : first.end], span))
        at += 1
    return spans


def _expressions(text: str, reference: datetime | None) -> Iterator[_Found]:
    """Expressions that do not overlap; more telling forms are tried first."""
    taken: list[tuple[int, int]] = []
    for pattern, reader in _READERS:
        for match in pattern.finditer(text):
            start, end = match.span()
            if any(start < b and a < end for a, b in taken):
                continue
            what = reader(match, reference)
            if what is not None:
                taken.append((start, end))
                yield _Found(start, end, what)


def _is_range(text: str, first: _Found, second: _Found) -> bool:
    # Some forms hold the preposition themselves: "between march", "and june".
    head = text[: first.start] + text[first.start : first.end].split(" ")[0] + " "
    if not (_BETWEEN.search(text[: first.start]) or _BETWEEN.search(head)):
        return False
    gap = text[first.end : second.start]
    word = text[second.start : second.end].split(" ")[0]
    return bool(_JOINED.search(gap)) or (gap.strip() == "" and word in ("and", "to", "until", "till", "through"))


def _same_year(first: Date | Span, second: Date | Span, reference: datetime | None) -> tuple[Span | None, Span | None]:
    """Both ends of a range; a month without a year lies before the other end."""
    finish = _span(second, reference)
    if isinstance(first, Date) and first.year is None and finish is not None and first.month is not None:
        start_of_end = finish.start
        year = start_of_end.year - (1 if first.month > start_of_end.month else 0)
        return Date(year, first.month, first.day, first.months).span(None), finish
    return _span(first, reference), finish


def _limited(before: str, own: str, span: Span) -> Span:
    """Open a span where a word such as "since" says so."""
    # Some forms hold the preposition themselves: "since june".
    fuller = before + own.split(" ")[0] + " "
    offset = _OFFSET.search(before) or _OFFSET.search(fuller)
    if offset:
        return _offset(offset, span.start)
    word = _LIMIT.search(before) or _LIMIT.search(fuller)
    limit = word[1] if word else ""
    # No `match`: semgrep reads no file that has it beside an f-string of a regular expression.
    if limit in ("since", "after"):
        return Span(span.start if limit == "since" else span.end, LAST)
    if limit in ("before", "until", "till", "by"):
        return Span(FIRST, span.start if limit == "before" else span.end)
    return span


def _offset(found: re.Match[str], moment: datetime) -> Span:
    """ "The week before", "two days before", "the Sunday before" a moment."""
    count, what = found["count"], found["what"]
    if what in _WEEKDAYS:
        return _weekday(_WEEKDAYS[what], moment, -1)
    if what == "weekend":
        back = (moment.weekday() - 5) % 7 or 7
        return Span(moment - back * DAY, moment - (back - 2) * DAY)
    start = _minus(moment, _count(count) if count else 1, what)
    return Span(start, moment if count is None or what != "day" else start + DAY)


def _span(what: Date | Span, reference: datetime | None) -> Span | None:
    return what if isinstance(what, Span) else what.span(reference)


def _count(text: str) -> int:
    return int(text) if text.isdecimal() else _NUMBERS[text]


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _add_months(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, calendar.monthrange(year, month + 1)[1]))


def _minus(moment: datetime, count: int, unit: str) -> datetime:
    months = {"month": 1, "quarter": 3, "year": 12}.get(unit)
    if months is not None:
        return _add_months(moment, -months * count)
    return moment - timedelta(days=count * (1 if unit == "day" else 7))


def _years(span: Span, years: int) -> Span:
    return Span(_add_months(span.start, 12 * years), _add_months(span.end, 12 * years))


# ------------------------------------------------------------------ any language


def windows(text: str, words: list[str], language: str, reference_time: int | None) -> tuple[Window, ...]:
    """The spans of time that a query names, most often none or one.

    Args:
        text: the query.
        words: its words, from `text.words`.
        language: the guess of `text.language`.
        reference_time: what "yesterday" counts from, microseconds since 1970 UTC; None reads only what needs none.
    """
    in_english, elsewhere = not HINTS.isdisjoint(words), not abroad.HINTS.keys().isdisjoint(words)
    if not in_english and not elsewhere:
        return ()
    reference = None if reference_time is None else EPOCH + timedelta(microseconds=reference_time)
    spans: list[Span] = []
    try:
        if in_english:
            spans = english(" ".join(text[:READ_CHARS].lower().split()), reference)
        if not spans and elsewhere:
            spans = [Span(*each) for each in abroad.read(text, words, language, reference)]
    except (OverflowError, ValueError):
        # "999 years before 1900", or "tomorrow" on the last day of 9999: the calendar has no such time, and so no message.
        return ()
    return tuple(span.window() for span in spans if span.start < span.end)


def parts(stamps: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Day of the month, month and year of moments in microseconds since 1970 UTC."""
    days = stamps.view("datetime64[us]").astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    years = months.astype(np.int64) // 12 + 1970
    return (days - months).astype(np.int64) + 1, months.astype(np.int64) % 12 + 1, years
