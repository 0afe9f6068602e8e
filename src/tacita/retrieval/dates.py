"""Time in a query: the window that "last spring" or "in May 2023" means, and the date words it holds.

Pure: a relative expression counts from the reference time that the caller gives, never from the clock.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, from `start` up to but not including `end`, in microseconds since 1970 UTC."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DateWords:
    """Numbers and month names of a query that may be parts of a date."""

    days: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    years: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.days or self.months or self.years)


_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}
_MONTHS |= {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name} | {"sept": 9}


def date_words(words: list[str]) -> DateWords:
    """Day numbers, months and years among the words of a query."""
    days: list[int] = []
    months: list[int] = []
    years: list[int] = []
    for word in dict.fromkeys(words):
        if word in _MONTHS:
            months.append(_MONTHS[word])
        elif word.isdecimal() and len(word) <= 4:
            value = int(word)
            if 1 <= value <= 31:
                days.append(value)
            elif 1900 <= value <= 2100:
                years.append(value)
    return DateWords(tuple(days), tuple(months), tuple(years))


def window(text: str, reference_time: int | None) -> Window | None:
    """The span of time that a query names, if it names one."""
    return None


def parts(stamps: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Day of the month, month and year of moments in microseconds since 1970 UTC."""
    days = stamps.view("datetime64[us]").astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    years = months.astype(np.int64) // 12 + 1970
    return (days - months).astype(np.int64) + 1, months.astype(np.int64) % 12 + 1, years
