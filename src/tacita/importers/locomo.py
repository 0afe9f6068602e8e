"""LoCoMo: a JSON list of long conversations between two people, in dated sessions.

A sample is a vault (`user_id` is its `sample_id`), a session a run, and a turn a message of one of the two speakers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from tacita.importers.base import BadLine, Draft, Entries, Entry, Keys, Unreadable, records
from tacita.importers.parsing import elements, json_value, mapping, text_or_none, time_of
from tacita.importers.source import Source
from tacita.patterns import lazy_pattern

FORMAT: Final = "locomo"
TURN_SECONDS: Final = 10
"""A session has one time; its turns follow each other by this much, so that their order is kept."""

_SESSION: Final = lazy_pattern(r"session_(\d{1,6})", re.ASCII)


def read(source: Source) -> Entries:
    """Every turn of every session of every sample, in order."""
    for number, (line, data) in enumerate(elements(source.document()), start=1):
        try:
            sample = mapping(json_value(data), "the sample")
            conversation = mapping(sample.get("conversation"), "`conversation`")
            user_id = text_or_none(sample.get("sample_id"), "`sample_id`")
            if user_id is None:
                raise Unreadable("there is no `sample_id`")
        except Unreadable as bad:
            yield BadLine(line=line, reason=f"sample {number}: {bad}")
            continue
        keys = Keys(FORMAT)
        numbers = sorted(int(match[1]) for name in conversation if (match := _SESSION.fullmatch(name)))
        for session in numbers:
            yield from _session(line, f"sample {number}, session_{session}", user_id, session, conversation, keys)


def _session(
    line: int, where: str, user_id: str, session: int, conversation: dict[str, Any], keys: Keys
) -> Iterator[Entry]:
    turns = conversation.get(f"session_{session}")
    if not isinstance(turns, list):
        yield BadLine(line=line, reason=f"{where} is not a list of turns")
        return
    start: datetime | None = None
    try:
        start = time_of(conversation.get(f"session_{session}_date_time"))
    except Unreadable as bad:
        yield BadLine(line=line, reason=f"{where}: {bad}; its turns are kept without a time")
    for place, turn in enumerate(turns):
        try:
            draft = _turn(mapping(turn, "the turn"))
            yield from records(
                Draft(
                    line=line,
                    role="user",
                    text=draft.text,
                    name=draft.name,
                    timestamp=start + timedelta(seconds=TURN_SECONDS * place) if start else None,
                    metadata=draft.metadata,
                    ids={"user_id": user_id, "run_id": f"session_{session}"},
                    position=draft.position or f"{session}:{place}",
                ),
                keys,
            )
        except Unreadable as bad:
            yield BadLine(line=line, reason=f"{where}, turn {place + 1}: {bad}")


def _turn(turn: dict[str, Any]) -> Draft:
    """Text, speaker and name of a turn; the rest depends on its session."""
    text = text_or_none(turn.get("text"), "the text")
    caption = text_or_none(turn.get("blip_caption"), "the caption")
    shared = f"[shared photo: {caption}]" if caption else None
    dia_id = text_or_none(turn.get("dia_id"), "`dia_id`")
    return Draft(
        line=0,
        role="user",
        text=" ".join(piece for piece in (text, shared) if piece),
        name=text_or_none(turn.get("speaker"), "the speaker"),
        metadata={"dia_id": dia_id} if dia_id else {},
        position=dia_id,
    )
