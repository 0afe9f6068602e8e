"""Every number that decides a ranking, in one named and frozen place. Where they come from:
docs/adr/0040-retrieval.md."""

from __future__ import annotations

from typing import Final

import msgspec


class ContextBM25F(msgspec.Struct, frozen=True):
    """How much a word counts, in the message itself and in its neighbours."""

    saturation: float = 1.2
    """BM25's k1: how soon more of the same word stops to matter."""
    own_length: float = 0.5
    """BM25's b for the message itself."""
    context_length: float = 0.75
    """BM25's b for its neighbours: a long answer lends little to the question before it."""
    before: tuple[float, float] = (0.5, 0.25)
    """What the message one and two places before lends."""
    after: tuple[float, float] = (0.3, 0.15)
    """What the message one and two places after lends."""
    asked: float = 0.6
    """What a word in a question counts for the message that asks it."""
    answered: float = 1.2
    """What the message before lends of its questions' words, in place of the first of `before`: the next one answers."""


class Profile(msgspec.Struct, frozen=True):
    """Weights of the signals. A weight of 0 turns a signal off."""

    lexical: float = 0.45
    dense: float = 0.55
    role: float = 0.15
    """For what the user said, over what an assistant answered; the other way round for what the assistant said."""
    role_in_order: float = 0.45
    """The same when the question is in which order the asker brought things up."""
    speaker: float = 0.2
    """For what the one says whose words the query wants, against what others say."""
    asking: float = 0.5
    """How much of that counts when she asks: it tells less of her."""
    addressed: float = 0.1
    """For messages of hers that name another whom the query names: "what did Ana tell Bo?"."""
    guidance: float = 0.5
    """For the standing instructions and preferences that are nearest to a question for advice."""
    guiding: int = 3
    """How many of them: a vault may hold hundreds, and a search for advice must not be filled with them."""
    answer: float = 0.15
    """For messages that hold a number, or words of time, when the query wants to know how many, or when."""
    window: float = 0.2
    """For messages of the time that the query names."""
    dates: float = 0.7
    """Day, month and year words of the query that are those of the message's own date, beside the BM25F
    score."""
    lexical_floor: float = 0.3
    """The lexical score that counts in full is at least this share of the best possible one."""
    dense_floor: float = 0.4
    """The cosine that counts in full is at least this: when nothing is alike, meaning has little to say."""
    bm25f: ContextBM25F = msgspec.field(default_factory=ContextBM25F)
    short_message: float = 0.3
    """Weight of the whole message's cosine, beside its best segment's, up to `limits` of a short message."""
    long_message: float = 0.7
    """The same for a long message, whose many segments would win by number."""
    session_gap: int = 6 * 3600 * 1_000_000
    """Microseconds of silence that end a session."""


HYBRID: Final = Profile()
"""Words, meaning, names and time together: the one setting for everything."""
