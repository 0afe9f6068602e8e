"""The plaintext values that callers give and get: scopes, messages, items, hits, results.

They live inside the engine and in the caller's hands only. Their reprs are free of content, so that a log line, a
traceback or a debugger's frame shows ids and sizes; `to_dict()` is the deliberate way to the words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, Literal, NoReturn

import msgspec

SubjectKind = Literal["user", "agent", "app", "run"]
Metadata = dict[str, Any]

ID_FIELDS: tuple[tuple[SubjectKind, str], ...] = (
    ("user", "user_id"),
    ("agent", "agent_id"),
    ("app", "app_id"),
    ("run", "run_id"),
)
"""Subject kinds and their argument names, in order of precedence: the first one given is the subject."""


class Kind(StrEnum):
    """What an item is."""

    MESSAGE = "message"
    FACT = "fact"
    SUMMARY = "summary"
    PROCEDURE = "procedure"
    PROFILE = "profile"


class Trust(IntEnum):
    """How far an item may be believed, set by the engine from the channel it came through, never by the caller.

    A derived item takes the minimum of its sources.
    """

    UNTRUSTED = 0
    IMPORTED = 1
    ASSISTANT = 2
    USER = 3


# gc=False: values are trees and never part of a cycle; the collector need not walk thousands of them.
class Value(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all plaintext values: frozen, content-free repr, no pickling."""

    def to_dict(self) -> dict[str, Any]:
        """A plain dict with JSON types; datetimes become ISO 8601 strings in UTC."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    def __repr__(self) -> str:
        identity = getattr(self, "id", None)
        return f"<{type(self).__name__}{f' {identity}' if isinstance(identity, str) else ''}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # msgspec would hand every field to rich, and rich prints locals in tracebacks.
        return []

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds private text and cannot be pickled; use to_dict() on purpose")


class Subject(Value, frozen=True, kw_only=True):
    """Whose memory it is."""

    kind: SubjectKind
    id: str

    def __repr__(self) -> str:
        return f"<Subject {self.kind}>"


class Scope(Value, frozen=True, kw_only=True):
    """A subject and the labels that narrow it, as the caller gave them. Ids are opaque; `*` is just a character."""

    tenant: str
    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None

    @property
    def subject(self) -> Subject | None:
        """The first id given, in the order user, agent, app, run."""
        for kind, field in ID_FIELDS:
            value = getattr(self, field)
            if value is not None:
                return Subject(kind=kind, id=value)
        return None

    @property
    def ids(self) -> dict[str, str]:
        """The ids that are set, by argument name."""
        return {field: value for _, field in ID_FIELDS if (value := getattr(self, field)) is not None}

    def __repr__(self) -> str:
        return f"<Scope {'+'.join(self.ids) or 'nobody'}>"


class Message(Value, frozen=True, kw_only=True):
    """One thing somebody said, validated."""

    role: str
    text: str
    name: str | None = None
    timestamp: datetime | None = None
    metadata: Metadata = {}
    attachments: tuple[Metadata, ...] = ()
    """References to non-text parts (image URLs, files), kept as given and never fetched."""
    idempotency_key: str | None = None


class Derivation(Value, frozen=True, kw_only=True):
    """What a derived item says about itself. As a model put it, and checked against its source."""

    type: str
    """fact, preference, event, relation, plan, ..."""
    subject: str | None
    """Whom or what it is about."""
    categories: tuple[str, ...]
    confidence: float | None
    spans: tuple[tuple[str, int, int], ...]
    """(id of a source, start, end): the characters of it that say so."""
    superseded_by: str | None = None


# Not kw_only: every search makes ten, and so many keyword arguments cost ten times as much as the item.
class Item(Value, frozen=True):
    """One memory as it stands now."""

    id: str
    text: str
    kind: Kind
    role: str
    name: str | None
    user_id: str | None
    agent_id: str | None
    app_id: str | None
    run_id: str | None
    metadata: Metadata
    attachments: tuple[Metadata, ...]
    timestamp: datetime
    """When it was said."""
    created_at: datetime
    """When Tacita first kept it."""
    updated_at: datetime
    expires_at: datetime | None
    valid_to: datetime | None
    """Set on a version that was replaced; None on the current one."""
    version: int
    channel: str
    """Where it came from: user, assistant, tool, import, ... Set by the engine."""
    trust: Trust
    citations: tuple[str, ...]
    """Ids of the items it was derived from."""
    derivation: Derivation | None = None
    """For what was derived: facts and so on."""
    labels: tuple[str, ...] = ()
    """Types of personal data and secrets that the guard found in it, kept or not."""

    def __str__(self) -> str:
        speaker = self.name or self.role
        return f"{self.timestamp:%Y-%m-%d %H:%M}  {speaker}: {self.text}"


class Signal(Value, frozen=True, kw_only=True):
    """One reason for a hit's place: raw value, rank among the vault's rows (1 is best), weight and contribution."""

    name: str
    value: float
    rank: int
    weight: float
    contribution: float


class Hit(Value, frozen=True, kw_only=True):
    """An item that a search found. `str(hit)` shows its text; `repr(hit)` does not."""

    item: Item
    score: float
    """Between 0 and 1, comparable within one result only."""
    subject: Subject
    signals: tuple[Signal, ...] = ()

    @property
    def id(self) -> str:
        return self.item.id

    @property
    def text(self) -> str:
        return self.item.text

    @property
    def trust(self) -> Trust:
        return self.item.trust

    @property
    def metadata(self) -> Metadata:
        return self.item.metadata

    @property
    def user_id(self) -> str | None:
        return self.item.user_id

    @property
    def agent_id(self) -> str | None:
        return self.item.agent_id

    @property
    def app_id(self) -> str | None:
        return self.item.app_id

    @property
    def run_id(self) -> str | None:
        return self.item.run_id

    @property
    def role(self) -> str:
        return self.item.role

    @property
    def name(self) -> str | None:
        return self.item.name

    @property
    def timestamp(self) -> datetime:
        return self.item.timestamp

    @property
    def citations(self) -> tuple[str, ...]:
        """The item itself and what it was derived from."""
        return (self.item.id, *self.item.citations)

    def __str__(self) -> str:
        return f"{self.score:.3f}  {self.item}"

    def to_dict(self) -> dict[str, Any]:
        """The item's fields with `score`, `subject` and, if explained, `signals` beside them."""
        plain = self.item.to_dict()
        plain.update(score=self.score, subject=self.subject.to_dict())
        if self.signals:
            plain["signals"] = [signal.to_dict() for signal in self.signals]
        return plain


class Change(Value, frozen=True, kw_only=True):
    """One entry of an item's history."""

    event: Literal["added", "updated", "superseded", "deleted", "expired"]
    at: datetime
    actor: str
    text: str | None
    metadata: Metadata | None
    version: int
    seq: int


class Added(Value, frozen=True, kw_only=True):
    """What became of one message of an `add`."""

    id: str
    event: Literal["added", "unchanged", "quarantined"]
    """`unchanged` when its idempotency key was already there; `quarantined` when somebody has to look at it first."""


DerivedEvent = Literal["added", "duplicate", "refines", "supersedes", "contradicts", "outdated"]


class Derived(Value, frozen=True, kw_only=True):
    """What became of one fact that a model drew from messages."""

    id: str | None
    """None for a duplicate, of which nothing was kept."""
    text: str
    event: DerivedEvent
    """`outdated`: something newer is known, so it is kept for the past only."""
    replaced: str | None = None
    """Id of the fact whose place it took."""
    citations: tuple[str, ...] = ()


class Extraction(Value, frozen=True, kw_only=True):
    """What drawing facts from messages came to."""

    facts: tuple[Derived, ...] = ()
    dropped: dict[str, int] = {}
    """How many facts were not kept, by reason."""
    pending: int = 0
    """Messages from which facts are still to be drawn, later."""
    failure: str | None = None
    """Why not: a code such as `model`, `blocked` or `no_json`. The messages themselves are kept."""
    reason: str | None = None
    """The same in words, without content."""


class AddResult(Value, frozen=True, kw_only=True):
    """What an `add` did, one entry per message in order."""

    results: tuple[Added, ...]
    extraction: Extraction | None = None
    """With `infer=True`: the facts."""

    @property
    def ids(self) -> list[str]:
        return [result.id for result in self.results]

    def __iter__(self) -> Iterator[Added]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)


class Quarantined(Value, frozen=True, kw_only=True):
    """An item that waits for somebody to look at it."""

    item: Item
    reason: str
    digest: str
    """Of exactly what is shown here: an approval names it, so that nothing else is approved."""

    @property
    def id(self) -> str:
        return self.item.id


class SearchResult(Value, frozen=True, kw_only=True):
    """Hits, best first."""

    hits: tuple[Hit, ...]
    taint: Trust | None
    """The lowest trust among the hits, so that a host can gate its tools. None without hits."""
    warnings: tuple[str, ...] = ()
    """What the caller should know: missing vectors, lexical search only."""

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, index: int) -> Hit:
        return self.hits[index]

    def to_dict(self) -> dict[str, Any]:
        return {
            "hits": [hit.to_dict() for hit in self.hits],
            "taint": None if self.taint is None else self.taint.name.lower(),
            "warnings": list(self.warnings),
        }


class ContextBlock(Value, frozen=True, kw_only=True):
    """A block to paste into a prompt. `str(block)` is the text."""

    text: str
    tokens: int
    """Estimated tokens of `text`, never above the budget."""
    hits: tuple[Hit, ...]
    taint: Trust | None
    boundary: str
    """The random marker around the data; fresh for each block."""
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


class Page(Value, frozen=True, kw_only=True):
    """One page of items; pass `next_cursor` to get the next, None means there is none."""

    items: tuple[Item, ...]
    next_cursor: str | None
    total: int
    """Items in the scope that pass the filters."""

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class Proof(Value, frozen=True, kw_only=True):
    """A signed statement of what a deletion found and left. It holds pseudonyms and counts, nothing personal."""

    payload: str
    """JSON: kind, vault, ids, counts per place before and after, time, public key."""
    signature: str
    """Ed25519 over the payload, hex."""

    @property
    def facts(self) -> dict[str, Any]:
        """The payload's fields."""
        return msgspec.json.decode(self.payload, type=dict[str, Any])


class DeleteReceipt(Value, frozen=True, kw_only=True):
    """Counts of what a deletion removed. Raised as an error instead when they do not match."""

    ids: tuple[str, ...]
    events_purged: int
    snapshot_parts_dropped: int
    at: datetime
    proof: Proof


class EraseReceipt(Value, frozen=True, kw_only=True):
    """Counts of what an erasure removed. Nothing of the vault can be opened again."""

    keys_destroyed: int
    events_dropped: int
    snapshot_parts_dropped: int
    items: int | None
    """Items that the vault held; None if it could not be opened any more."""
    at: datetime
    proof: Proof


class Proposal(Value, frozen=True, kw_only=True):
    """An item that a request to forget seems to mean."""

    item: Item
    reason: Literal["named", "model"]
    """It names what the request names, or a model takes it to be about that."""
    derived: int
    """How many items that were made of it would go with it."""

    @property
    def id(self) -> str:
        return self.item.id


class Forgetting(Value, frozen=True, kw_only=True):
    """What a request to forget seems to mean, and what was done about it."""

    terms: int
    """How many addresses, numbers and names the request holds."""
    proposed: tuple[Proposal, ...]
    receipt: DeleteReceipt | None = None
    """None for a dry run, or when nothing was meant."""
    warnings: tuple[str, ...] = ()


class Mention(Value, frozen=True, kw_only=True):
    """An item that names somebody, in whoever's vault."""

    subject: Subject
    id: str
    count: int
    """How often."""


class SweepReport(Value, frozen=True, kw_only=True):
    """What a sweep over all vaults came to."""

    vaults: int
    deleted: int
    """Items whose time was over."""
    held: int
    """Vaults that keep such items because of a legal hold."""
    leftovers: int
    """Erased vaults whose rows an interrupted erasure, or an old backup, had left."""
    unavailable: int = 0
    """Vaults that were passed over, because their root key is out of reach."""


class ArchiveReport(Value, frozen=True, kw_only=True):
    """What was written to an archive, or replayed from one."""

    subject: Subject
    events: int
    at: datetime
    """When the archive was made."""


class BackupReport(Value, frozen=True, kw_only=True):
    """What a copy of the data came to, in vaults."""

    unchanged: int
    """The copy had these as they are."""
    written: int
    dropped: int
    """Of people who were erased since."""


class RotateReport(Value, frozen=True, kw_only=True):
    """What a rotation of the root key came to."""

    provider: str
    """Id of the present root key."""
    rewrapped: int
    """Vault keys that were put under it now."""
    left: int
    """Vault keys that are still under another: run it again."""
    previous: tuple[str, ...]
    """Root keys that the home still accepts; they are let go of by `tacita rotate` without `--to`."""
    resealed: int = 0
    """Vaults that got another key and whose logs were sealed anew under it."""


class MigrateReport(Value, frozen=True, kw_only=True):
    """What moving a memory to another store came to, or would come to."""

    done: bool
    """Whether the memory is at the new place now. False for a dry run."""
    source: str
    target: str
    ring: str
    """Where the keys went; empty: they stayed."""
    vaults: int
    """Logs at the new place when it was taken into use, the audit logs among them."""
    events: int
    keys: int
    tombstones: int
    settings: int
    bytes: int
    """What the source's log takes on its medium."""
    rounds: int = 0
    """How often the target was brought to what the source held."""
    written: int = 0
    """Logs that were written in these rounds; one that changed meanwhile counts each time."""
    opened: int = 0
    """Vaults that were opened at the new place, every event of them."""
    compared: int = 0
    """Vaults whose tenants' root keys are out of reach: compared byte by byte instead."""
    stopped_seconds: float = 0.0
    """For how long nobody could use the memory."""
    shredded: Shredded | None = None
    """What was destroyed of the old copy, if it was."""


class Shredded(Value, frozen=True, kw_only=True):
    """What was destroyed of a copy that a memory left behind. Read back: nothing of it is left."""

    keys: int
    vaults: int
    events: int
    snapshot_parts: int


class RestoreReport(Value, frozen=True, kw_only=True):
    """What putting an older copy of the data back came to."""

    vaults: int
    """Vaults of the copy for which there is a key."""
    rolled_back: int
    """Vaults that went back in time, the audit log among them, because the operator accepted it."""
    erased: int
    """Vaults of the copy whose subjects were erased since: they stay erased, their rows were dropped."""
    unchecked: int = 0
    """Vaults that were not compared with the ring, because their tenants' root keys were out of reach and the operator
    accepted it."""


class Restrictions(Value, frozen=True, kw_only=True):
    """Whether a subject is under a legal hold or frozen, and why."""

    hold: str | None
    freeze: str | None


class ImportReport(Value, frozen=True, kw_only=True):
    """What an import did, and the lines it could not read."""

    added: int
    unchanged: int
    quarantined: int = 0
    """How many of the added ones wait for somebody to look at them."""
    bad_lines: tuple[tuple[int, str], ...]
    """(line number from 1, reason without content)."""
    extraction: Extraction | None = None
    """With `infer=True`: the facts."""


class VaultProblem(Value, frozen=True, kw_only=True):
    """One thing that `verify` found wrong."""

    vault: str
    """Pseudonym of the vault: the first hex digits of its id."""
    seq: int | None
    problem: str


class VerifyReport(Value, frozen=True, kw_only=True):
    """What `verify` walked."""

    vaults: int
    events: int
    purged: int
    snapshots: int
    problems: tuple[VaultProblem, ...]
    isolated: int = 0
    """Events that the operator gave up (`isolate`)."""

    @property
    def ok(self) -> bool:
        return not self.problems


class RepairReport(Value, frozen=True, kw_only=True):
    """What `repair` did."""

    vaults: int
    rebuilt: int
    """Snapshots that were not what the log says."""
    problems: tuple[VaultProblem, ...]
    """What it cannot mend: the logs of these are damaged."""

    @property
    def ok(self) -> bool:
        return not self.problems


class IsolateReport(Value, frozen=True, kw_only=True):
    """What giving up the damaged events of a vault comes to."""

    subject: Subject
    lost: tuple[int, ...]
    """Sequence numbers of events that cannot be read, or make no sense without those."""
    kept: int
    outdated: tuple[str, ...]
    """Items of which a newer version may be among the lost events, if their tags can be believed."""
    done: bool
    """False after a dry run."""


class Stats(Value, frozen=True, kw_only=True):
    """Counts for one scope, or for the whole home."""

    vaults: int
    items: int
    events: int
    by_kind: dict[str, int]
    stored_bytes: int
    open_vaults: int
    open_bytes: int
    embedder: str
    without_vectors: int
    pending: int = 0
    """Messages from which facts are still to be drawn."""
    most_sealed: int = 0
    """Most events that were sealed under one vault key."""
    root_key_uses: dict[str, int] = {}
    """How often a root key wrapped and unwrapped a vault key since this memory was opened."""
    key_providers: dict[str, dict[str, int]] = {}
    """The same by root key: `wrap`, `unwrap`, `failures`, and `cache_hits`, uses for which one elsewhere was not asked."""
    unavailable: int = 0
    """Vaults that are not counted, because their root key is out of reach."""
    open_waits: int = 0
    """Openings of a vault that had to wait for room, since this memory was opened."""
    open_refusals: int = 0
    """Those that waited in vain and were refused as `Overloaded`."""


def lowest_trust(hits: Sequence[Hit]) -> Trust | None:
    """The lowest trust among hits, None if there are none."""
    return min([hit.item.trust for hit in hits], default=None)
