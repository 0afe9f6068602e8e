"""Any question is read, whatever it is made of."""

from __future__ import annotations

from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from tacita.retrieval import dates, dates_abroad
from tacita.retrieval.index import Doc, SearchIndex
from tacita.retrieval.languages import STOP_WORDS
from tacita.retrieval.query import prepare
from tacita.retrieval.search import rank

_KNOWN = sorted({*dates.HINTS, *dates_abroad.HINTS, *(word for each in STOP_WORDS.values() for word in each)})
_ASKED = "how what when which who recommend suggest summary order timeline last next previous before every 2 31 999 2099-12-31"
_WORDS = st.sampled_from([*_ASKED.split(), "Ana", "Ana\u2019s", "Lima", "Bo", "?", ".", ",", "-"]) | st.sampled_from(
    _KNOWN
)
_INDEX = SearchIndex()
_INDEX.add(
    [
        Doc(0, "When did you plant it?", name="Ana Lima"),
        Doc(1, "Last May, Ana.", name="Bo"),
        Doc(2, "Good.", "assistant"),
    ]
)
_TIMES = st.none() | st.datetimes(timezones=st.just(UTC)).map(
    lambda each: (each - dates.EPOCH) // dates.EPOCH.resolution
)


@given(st.lists(_WORDS, max_size=12), _TIMES, st.booleans())
def test_any_question_is_read_and_asked(pieces: list[str], now: int | None, question: bool) -> None:
    query = prepare(" ".join(pieces), None, "", now, _INDEX.names, question=question)
    assert query.teller in (None, "Ana Lima", "Bo")
    assert query.teller is None or query.teller in query.speakers
    assert all(window.start < window.end for window in query.windows)
    assert sorted(rank(_INDEX, query).rows.tolist()) == [0, 1, 2]
