"""Dates in queries that are not English, through `dateparser`.

That library knows many languages but is slow (0.5 to 40 ms a phrase, a third of a second to import) and finds dates in
words that are none, so it is asked only about the few words around one that is certainly about time, in one language.
It is given the reference time, the time zone and the language, and so reads neither the clock nor the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from tacita.patterns import lazy_pattern

_WORDS: Final[Mapping[str, str]] = {
    "es": """enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre ayer anteayer hoy
        semana semanas mes meses año años días""",
    "fr": """janvier février mars avril mai juin juillet août septembre octobre novembre décembre hier avant-hier
        aujourd'hui semaine semaines mois année années ans jours""",
    "de": """januar februar märz april mai juni juli august september oktober november dezember gestern vorgestern heute
        woche wochen monat monate monaten jahr jahre jahren tagen""",
    "it": """gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre ieri oggi
        settimana settimane mese mesi anno anni giorni""",
    "pt": """janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro ontem anteontem
        hoje semana semanas mês meses ano anos dias""",
    "nl": """januari februari maart april mei juni juli augustus september oktober november december gisteren vandaag
        week weken maand maanden jaar dagen""",
    "sv": """januari februari mars april maj juni juli augusti september oktober november december igår idag veckan
        veckor månaden månader året dagar""",
    "da": """januar februar marts april maj juni juli august september oktober november december igår går dag uge uger
        måned måneder år dage""",
    "nb": """januar februar mars april mai juni juli august september oktober november desember igår går uke uken uker
        måned måneden måneder år året dager""",
    "tr": """ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık dün bugün hafta ay yıl gün""",
    "ru": """январь января январе февраль февраля феврале март марта марте апрель апреля апреле май мая мае июнь июня
        июне июль июля июле август августа августе сентябрь сентября сентябре октябрь октября октябре ноябрь ноября
        ноябре декабрь декабря декабре вчера позавчера сегодня неделе неделю недели недель месяц месяце месяца месяцев
        год году года лет дней""",
    "ja": "昨日 今日 先週 今週 先月 今月 去年 今年 年",
    "zh": "昨天 今天 上周 本周 上月 本月 去年 今年 年",
}
_CODES: Final[Mapping[str, str]] = {
    "spanish": "es",
    "french": "fr",
    "german": "de",
    "italian": "it",
    "portuguese": "pt",
    "dutch": "nl",
    "swedish": "sv",
    "danish": "da",
    "norwegian": "nb",
    "turkish": "tr",
}
HINTS: Final[dict[str, list[str]]] = {}
"""Word that is certainly about time -> codes of the languages that have it."""
for _code, _text in _WORDS.items():
    for _word in _text.split():
        HINTS.setdefault(_word, []).append(_code)

BEFORE: Final = 4
AFTER: Final = 2
LONGEST: Final = 5
"""Words around a hint, and words in one phrase, that are tried."""

TRIED: Final = 30
"""Phrases of one query that are tried: each costs milliseconds."""

_YEAR_MONTH_DAY = lazy_pattern(r"((?:19|20)\d\d)年(?:(\d{1,2})月(?:(\d{1,2})日)?)?")
_SPOKEN = lazy_pattern("|".join(sorted((*_WORDS["ja"].split()[:-1], *_WORDS["zh"].split()[:-1]))))
_YEAR = lazy_pattern(r"\b(?:19|20)\d\d\b")

_SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)

Moments = tuple[datetime, datetime]


def read(text: str, words: list[str], language: str, reference: datetime | None) -> list[Moments]:
    """Start and end of each span of time that a query names.

    Args:
        text: the query.
        words: its words.
        language: the guess of `text.language`.
        reference: what relative expressions count from; None reads only dates with a year.
    """
    written = _YEAR_MONTH_DAY.search(text)
    if written:
        return _written(*(int(each) if each else None for each in written.groups()))
    for phrase, code in islice(_phrases(text, words, _CODES.get(language)), TRIED):
        if reference is None and _YEAR.search(phrase) is None:
            continue
        span = _parse(phrase, code, reference)
        if span is not None:
            return [span]
    return []


def _written(year: int | None, month: int | None, day: int | None) -> list[Moments]:
    """2023年5月7日, the month or the day left out or not."""
    try:
        start = datetime(year or 1, month or 1, day or 1, tzinfo=UTC)
    except ValueError:
        return []
    if day:
        return [(start, start + timedelta(days=1))]
    return [(start, _next(start, "month" if month else "year"))]


def _next(start: datetime, period: str) -> datetime:
    """The first day of the next month or year."""
    long = timedelta(days=367 if period == "year" else 32)
    later = (start + long).replace(day=1)
    return later.replace(month=1) if period == "year" else later


def _phrases(text: str, words: list[str], guessed: str | None) -> Iterator[tuple[str, str]]:
    """Phrases that may be a date, with a language to read each in, the longest first."""
    for found in _SPOKEN.finditer(text):
        yield found.group(), HINTS[found.group()][0]
    for at, word in enumerate(words):
        codes = [code for code in HINTS.get(word, ()) if code not in ("ja", "zh")]
        if not codes:
            continue
        code = guessed if guessed in codes else codes[0]
        for length in range(LONGEST, 0, -1):
            for start in range(max(0, at - BEFORE, at - length + 1), at + 1):
                if start + length <= min(len(words), at + AFTER + 1):
                    yield " ".join(words[start : start + length]), code


def _parse(phrase: str, code: str, reference: datetime | None) -> Moments | None:
    # An import of a third of a second, for the few queries that need it.
    from dateparser.date import DateDataParser

    # A whole day: `dateparser` keeps every settings object that it has seen.
    base = (reference or _SOME_DAY).replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=None)
    settings: dict[str, Any] = {
        "RELATIVE_BASE": base,
        "TIMEZONE": "UTC",
        "RETURN_AS_TIMEZONE_AWARE": False,
        "PREFER_DATES_FROM": "past",
    }
    data = DateDataParser(languages=[code], settings=settings).get_date_data(phrase)
    if data.date_obj is None:
        return None
    day = data.date_obj.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)
    match data.period:
        case "year":
            start = day.replace(month=1, day=1)
            return start, _next(start, "year")
        case "month":
            start = day.replace(day=1)
            return start, _next(start, "month")
        case "week":
            monday = day - timedelta(days=day.weekday())
            return monday, monday + timedelta(days=7)
        case _:
            return day, day + timedelta(days=1)
