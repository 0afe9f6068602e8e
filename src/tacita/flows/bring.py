"""How the messages of a file get in: in batches, of which the next is embedded while the last is sealed and written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import groupby
from typing import Any

import msgspec

from tacita import limits
from tacita.access.principal import Permission, Principal
from tacita.errors import Blocked, CallerError, InvalidInput, TacitaError
from tacita.flows import parse, remember
from tacita.flows.engine import Engine, whole
from tacita.importers.base import BadLine, ImportRecord
from tacita.items import ID_FIELDS, ImportReport, Message, Scope
from tacita.privacy.policy import guard
from tacita.vault.events import Embedding

BATCH = 256
"""Messages in one transaction."""

Progress = Callable[[int, int | None], None]
_Key = tuple[tuple[str, str], ...]
"""The ids of a record, sorted; none for a bad line."""


class _Batch(msgspec.Struct, eq=False):
    """Records of one scope, and what became of them so far."""

    size: int
    line: int
    bad: list[tuple[int, str]] = msgspec.field(default_factory=list)
    prepared: remember.Prepared | None = None
    embeddings: Future[dict[int, Embedding | None]] | None = None

    def __repr__(self) -> str:
        return f"<_Batch of {self.size}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class _Tally(msgspec.Struct, eq=False):
    """What was done. `subjects` are those to whom it was done."""

    events: dict[str, int] = msgspec.field(
        default_factory=lambda: dict.fromkeys(("added", "quarantined", "unchanged"), 0)
    )
    bad: list[tuple[int, str]] = msgspec.field(default_factory=list)
    subjects: dict[Scope, None] = msgspec.field(default_factory=dict)
    done: int = 0

    def report(self) -> ImportReport:
        added = self.events["added"] + self.events["quarantined"]
        return ImportReport(
            added=added,
            unchanged=self.events["unchanged"],
            quarantined=self.events["quarantined"],
            bad_lines=tuple(self.bad),
        )


def import_records(
    engine: Engine,
    principal: Principal,
    records: Iterable[ImportRecord | BadLine],
    ids: Mapping[str, str | None],
    progress: Progress,
    *,
    extract: bool = False,
) -> tuple[ImportReport, list[Scope]]:
    """Add a stream of records in batches, in order. `ids` go before the file's own. Returns what was done, and to whom.

    A batch is embedded in a thread while the one before is written, and one is read ahead. An error ends the import: what
    was read before it is kept, unless it comes from the writing or the embedding of just that.
    """
    given = {field: value for field, value in ids.items() if value is not None}
    tally = _Tally()
    waiting: _Batch | None = None
    subject: str | None = None

    def finish() -> None:
        nonlocal waiting
        batch, waiting = waiting, None
        if batch is not None:
            _write(engine, principal, batch, tally, extract=extract)
            progress(tally.done, None)

    with ThreadPoolExecutor(1, thread_name_prefix="tacita-import") as beside:
        try:
            for key, entries in _batches(records, given):
                if key is not None and _subject(key) != subject:
                    # Else one person's vault, in use until it is written, could keep the room that the next one's waits for.
                    finish()
                    subject = _subject(key)
                following = _begun(engine, principal, key, entries, beside)
                finish()
                waiting = following
            finish()
        except TacitaError:
            # Of the file, or of rights: what stands before it is kept.
            finish()
            raise
        finally:
            beside.shutdown(cancel_futures=True)
    return tally.report(), list(tally.subjects)


def _batches(
    records: Iterable[ImportRecord | BadLine], given: Mapping[str, str]
) -> Iterator[tuple[_Key | None, list[ImportRecord | BadLine]]]:
    """Stretches of records of the same ids, cut where a transaction would get too large."""

    def key_of(record: ImportRecord | BadLine) -> _Key | None:
        return None if isinstance(record, BadLine) else tuple(sorted({**record.ids, **given}.items()))

    for key, group in groupby(records, key=key_of):
        batch: list[ImportRecord | BadLine] = []
        size = 0
        for record in group:
            batch.append(record)
            size += len(record.message.text) if isinstance(record, ImportRecord) else 0
            if len(batch) == BATCH or size > limits.BATCH_BYTES // 8:
                yield key, batch
                batch, size = [], 0
        if batch:
            yield key, batch


def _subject(key: _Key) -> str:
    """Whose records they are, as far as their ids tell."""
    ids = dict(key)
    return next((f"{name}={ids[name]}" for _, name in ID_FIELDS if name in ids), "")


def _begun(
    engine: Engine,
    principal: Principal,
    key: _Key | None,
    entries: list[ImportRecord | BadLine],
    beside: Executor,
) -> _Batch:
    """Check a batch, and have it embedded."""
    batch = _Batch(len(entries), entries[0].line)
    kept: list[Message] = []
    for entry in entries:
        if isinstance(entry, BadLine):
            batch.bad.append((entry.line, entry.reason))
            continue
        try:
            message = parse.parse_messages([entry.message])
            # A text that is refused costs its own line only.
            guard(engine.policy, entry.message.text, channel=remember.IMPORT, find=engine.find_personal)
            kept += message
        except (InvalidInput, Blocked) as error:
            batch.bad.append((entry.line, str(error)))
    if key is None:
        return batch
    try:
        scope = engine.authorize(principal, Permission.WRITE, "import", dict(key))
    except InvalidInput as error:
        batch.bad.append((batch.line, f"{error} ({batch.size} messages)"))
        return batch
    if kept:
        try:
            batch.prepared = prepared = remember.prepare(engine, scope, kept, channel=remember.IMPORT)
            batch.embeddings = beside.submit(remember.vectors, engine, principal, prepared)
        except CallerError as error:
            batch.bad.append((batch.line, f"{error} ({len(kept)} messages not added)"))
    return batch


def _write(engine: Engine, principal: Principal, batch: _Batch, tally: _Tally, *, extract: bool) -> None:
    # Taken out of the batch: who still knows it does not keep a vault in use.
    prepared, batch.prepared = batch.prepared, None
    if prepared is not None and batch.embeddings is not None:
        tally.subjects[whole(prepared.scope)] = None
        try:
            written = remember.write(engine, principal, prepared, batch.embeddings.result(), extract=extract)
        except CallerError as error:
            batch.bad.append((batch.line, f"{error} ({len(prepared.guarded)} messages not added)"))
        else:
            for one in written:
                tally.events[one.event] += 1
    tally.bad += batch.bad
    tally.done += batch.size
