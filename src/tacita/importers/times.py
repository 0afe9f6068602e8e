"""Reading the many ways in which files and people write a moment down. Pure; a time without a zone is UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from tacita.patterns import lazy_pattern

_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_ISO: Final = lazy_pattern(
    r"(\d{4})(?:[-/.](\d{1,2})(?:[-/.](\d{1,2}))?)?"
    r"(?:[T ,]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?"
    r"\s*(Z|UTC|[+-]\d{2}:?\d{2})?",
    re.ASCII | re.IGNORECASE,
)
_CLOCK_ON_DAY: Final = lazy_pattern(
    r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([ap])\.?m\.?\s+on\s+(\d{1,2})\s+([a-z]+),?\s+(\d{4})", re.ASCII | re.IGNORECASE
)
_EPOCH: Final = lazy_pattern(r"-?\d{9,13}(\.\d+)?", re.ASCII)
_MILLISECONDS_FROM: Final = 100_000_000_000
"""Seconds would pass this in the year 5138; milliseconds did in 1973."""


def parse_time(text: str) -> datetime | None:
    """The moment that `text` names, in UTC, or None if it names none.

    Read are ISO 8601 and its looser relatives (`2023-05-08`, `2023/5/8 13:56`, `2023-05`, with or without a zone),
    `1:56 pm on 8 May, 2023`, and seconds or milliseconds since 1970. What a shorter form leaves out is its beginning.
    """
    text = text.strip()
    if _EPOCH.fullmatch(text):
        return from_epoch(float(text))
    if match := _ISO.fullmatch(text):
        return _from_iso(match)
    if match := _CLOCK_ON_DAY.fullmatch(text):
        return _from_clock_on_day(match)
    return None


def from_epoch(seconds: float) -> datetime | None:
    """The moment so many seconds (or milliseconds, told by their size) after 1970 began, or None if out of range."""
    try:
        if abs(seconds) >= _MILLISECONDS_FROM:
            seconds /= 1000
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _from_iso(match: re.Match[str]) -> datetime | None:
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        moment = datetime(
            *(int(year), int(month or 1), int(day or 1)),
            *(int(hour or 0), int(minute or 0), int(second or 0), micro),
            tzinfo=UTC,
        )
        if zone is None or zone.upper() in ("Z", "UTC"):
            return moment
        shift = datetime.strptime(zone.replace(":", ""), "%z").utcoffset()
        return moment if shift is None else moment - shift
    except (ValueError, OverflowError):
        return None


def _from_clock_on_day(match: re.Match[str]) -> datetime | None:
    hour, minute, second, half, day, month, year = match.groups()
    names = [name for name in _MONTHS if name.startswith(month.lower()) and len(month) >= 3]
    if len(names) != 1 or not 1 <= int(hour) <= 12:
        return None
    of_day = int(hour) % 12 + (12 if half.lower() == "p" else 0)
    try:
        return datetime(
            int(year), _MONTHS.index(names[0]) + 1, int(day), of_day, int(minute), int(second or 0), tzinfo=UTC
        )
    except ValueError:
        return None
