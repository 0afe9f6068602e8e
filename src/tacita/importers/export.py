"""Tacita's own export: a header record, then one item a line with its history. Importing it gives the current items
again as messages, under their ids' keys; for an equal vault there are archives."""

from __future__ import annotations

from typing import Any, Final

from tacita.importers.base import BadLine, Draft, Entries, Keys, Unreadable, records
from tacita.importers.parsing import content_of, ids_of, json_value, mapping, role_of, text_or_none, time_of
from tacita.importers.source import LINE_BYTES, Source

FORMAT: Final = "export"


def read(source: Source) -> Entries:
    """Every item of the export in order."""
    keys = Keys(FORMAT)
    for line, data in source.lines():
        try:
            if data is None:
                raise Unreadable(f"the line is longer than {LINE_BYTES} bytes")
            if not data.strip():
                continue
            fields = mapping(json_value(data), "the line")
            # What no longer holds, or waits for a review, does not come back as news.
            if "tacita_export" not in fields and not fields.get("valid_to") and not fields.get("quarantined"):
                yield from records(_draft(line, fields), keys)
        except Unreadable as bad:
            yield BadLine(line=line, reason=str(bad))


def _draft(line: int, fields: dict[str, Any]) -> Draft:
    text, _ = content_of(fields.get("text"))
    attachments = fields.get("attachments") or []
    if not isinstance(attachments, list):
        raise Unreadable("`attachments` is not a list")
    return Draft(
        line=line,
        role=role_of(fields.get("role")),
        text=text,
        name=text_or_none(fields.get("name"), "`name`"),
        timestamp=time_of(fields.get("timestamp")),
        metadata=mapping(fields.get("metadata") or {}, "`metadata`"),
        attachments=tuple(mapping(one, "an attachment") for one in attachments),
        ids=ids_of(fields),
        position=text_or_none(fields.get("id"), "`id`"),
    )
