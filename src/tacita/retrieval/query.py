"""A query, taken apart once and searched in one vault or several."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tacita.retrieval.answers import Answer, wanted
from tacita.retrieval.asking import Asking, asking, teller, topic
from tacita.retrieval.dates import DateWords, Window, date_words, windows
from tacita.retrieval.names import Names
from tacita.retrieval.text import language, words

QUERY_WORDS: Final = 512
"""Words of a query that are read; the rest of a longer one is searched by its vector alone."""


class Query(NamedTuple):
    """A query, taken apart."""

    words: tuple[str, ...]
    language: str
    vector: NDArray[np.float16] | None
    model: str
    speakers: frozenset[str]
    """Known names that it mentions."""
    teller: str | None
    """The one of them whose own messages count for more."""
    others: tuple[str, ...]
    """Words that name somebody else, beside a teller."""
    dates: DateWords
    windows: tuple[Window, ...]
    asking: Asking
    wanted: tuple[Answer, ...]
    """What kinds of answers it wants."""
    topic: str
    """What is to be embedded for it."""

    def near(self, vector: NDArray[np.float16] | NDArray[np.float32] | None, model: str) -> Query:
        """The same with a vector: that of its `topic`, shape (d,), unit length; None searches by words only."""
        half = None if vector is None else np.ascontiguousarray(vector, np.float16)
        return self._replace(vector=half, model=model)


def prepare(
    text: str,
    vector: NDArray[np.float16] | NDArray[np.float32] | None = None,
    model: str = "",
    reference_time: int | None = None,
    names: Names | None = None,
    *,
    question: bool = True,
) -> Query:
    """Take a query apart.

    Args:
        text: the question.
        vector: an embedding, shape (d,), unit length; None searches by words only, until `near` adds one.
        model: name of the embedder that made it.
        reference_time: what "yesterday" counts from, microseconds since 1970 UTC; None leaves such words
        alone.
        names: the speakers that the vault knows (`SearchIndex.names`).
        question: whether somebody asks; a text that only looks for texts like it is of no kind.
    """
    found = words(text)[:QUERY_WORDS]
    guessed = language(found)
    speakers = names.mentioned(found) if names is not None else frozenset()
    kind = asking(text, found) if question else Asking.FACT
    said_by = None if names is None else teller(found, guessed, speakers, names)
    others: tuple[str, ...] = ()
    if names is not None and said_by is not None and len(speakers) > 1:
        others = tuple(word.removesuffix("'s") for word in found if not names.mentioned((word,)) <= {said_by})
    return Query(
        words=tuple(found),
        language=guessed,
        vector=None if vector is None else np.ascontiguousarray(vector, np.float16),
        model=model,
        speakers=speakers,
        teller=said_by,
        others=others,
        dates=date_words(found),
        windows=windows(text, found, guessed, reference_time),
        asking=kind,
        wanted=wanted(found) if question else (),
        topic=topic(text, kind, speakers, names) if question else text,
    )
