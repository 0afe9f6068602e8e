"""The state that a vault's events fold to: one row per version of an item, in plain columns.

Pure: events in, rows out. Small fields live in one structured array, texts in a list, rare fields in dicts, so that a
vault of a hundred thousand items costs little more than its vectors and its words. The arrays that search needs are
derived by a `DerivedIndex` that the vault is given and knows nothing about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from struct import Struct
from typing import Any, Generic, Protocol, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacita import packing
from tacita.errors import ModelError, Tampered
from tacita.items import Kind, Trust
from tacita.vault.events import (
    ConsentSet,
    Derivation,
    Embedding,
    Event,
    ExtractionEnded,
    ExtractionRequested,
    Isolated,
    ItemAdded,
    ItemDeleted,
    ItemRecord,
    ItemReembedded,
    ItemReleased,
    ItemSuperseded,
    ItemUpdated,
    Rekeyed,
    Restricted,
    SupersedeReason,
)

ALONE = "\x00"
"""The session of an item that has no neighbours."""
PENDING = 32_768
"""Most rows that wait for the derived index: they hold their vectors twice."""
NEVER = 0
"""In `expires_at` and `valid_to`: no such moment."""

ROW = np.dtype(
    [
        ("timestamp", "<i8"),
        ("created_at", "<i8"),
        ("updated_at", "<i8"),
        ("expires_at", "<i8"),
        ("valid_to", "<i8"),
        ("seq", "<u4"),
        ("older", "<i4"),  # row of the version that this one replaced, -1 for a first version
        ("user_id", "<u4"),  # this and the next seven index the table of names, 0 is None
        ("agent_id", "<u4"),
        ("app_id", "<u4"),
        ("run_id", "<u4"),
        ("name", "<u4"),
        ("role", "<u4"),
        ("channel", "<u4"),
        ("model", "<u4"),
        ("kind", "<u4"),
        ("version", "<u4"),
        ("trust", "u1"),
        ("alive", "?"),
        ("held", "?"),  # in quarantine
    ]
)
_CODES = {"<i8": "q", "<i4": "i", "<u4": "I", "|u1": "B", "|b1": "?"}
_ROW_VALUES = Struct("<" + "".join(_CODES[field[1]] for field in ROW.descr))
KINDS = frozenset(kind.value for kind in Kind)
INTERNED = ("user_id", "agent_id", "app_id", "run_id", "name", "role", "channel", "model", "kind")


class IndexDoc(msgspec.Struct, frozen=True):
    """What a derived index learns about a new row."""

    row: int
    text: str
    role: str
    name: str | None
    session: str
    timestamp: int
    vectors: NDArray[np.float16] | None
    model: str
    replaces: int | None
    trusted: bool
    """Whether the user said it to us, by a channel that vouches for that."""


class DerivedIndex(Protocol):
    """Arrays derived from the rows, for search. Rebuilt from the log whenever a snapshot does not hold them."""

    def add(self, docs: Sequence[IndexDoc]) -> None: ...
    def remove(self, rows: Sequence[int]) -> None: ...
    def set_vectors(self, row: int, vectors: NDArray[np.float16] | None, model: str) -> None: ...
    def arrays(self) -> dict[str, NDArray[Any]]: ...
    def sizes(self) -> dict[str, int]: ...
    def nbytes(self) -> int: ...


class Rare(msgspec.Struct):
    """Fields that few rows have, by row."""

    attachments: dict[int, tuple[dict[str, Any], ...]] = {}
    sources: dict[int, tuple[bytes, ...]] = {}
    labels: dict[int, tuple[str, ...]] = {}
    derivations: dict[int, Derivation] = {}
    superseded: dict[bytes, tuple[int, bytes, SupersedeReason]] = {}
    """Item id -> (seq of the event, id of the item that took its place, reason)."""
    held: dict[bytes, str] = {}
    """Item id -> why it is in quarantine."""
    released_until: dict[bytes, int] = {}
    """Item id -> when an item in quarantine expires once it is let go."""
    pending: dict[bytes, tuple[int, str | None]] = {}
    """Item id -> (attempts so far, purpose of who asked): facts are still to be drawn from it."""
    consent: bool | None = None
    """Whether models elsewhere may be told; None if nobody asked."""
    restricted: dict[str, str] = {}
    """"hold" and "freeze", each with why, while they last."""
    idempotency: dict[bytes, tuple[bytes, bytes]] = {}
    """Idempotency tag -> (item id, fingerprint)."""
    idempotency_of: dict[bytes, bytes] = {}
    """Item id -> idempotency tag."""
    content_key: bytes | None = None
    """Under which the tags of content are, if they are under other keys than the present ones."""
    reembedded: dict[int, list[int]] = {}
    """Sequence numbers of later events that hold vectors of the row."""


class _Numbers(dict[str | None, int]):
    """Name -> its place in the table of names; one that is looked up by `[]` and not there is put at its end."""

    def __init__(self, names: list[str | None]) -> None:
        super().__init__((name, number) for number, name in enumerate(names))
        self._names = names

    def __missing__(self, name: str | None) -> int:
        number = self[name] = len(self._names)
        self._names.append(name)
        return number


Index = TypeVar("Index", bound=DerivedIndex)


class VaultState(Generic[Index]):
    """Items of one vault as they stand after the last event."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._rows: NDArray[Any] = np.zeros(16, ROW)
        self._row_bytes: tuple[NDArray[Any] | None, memoryview] = None, memoryview(b"")
        self._count = 0
        self.texts: list[str] = []
        self.metadata: list[bytes | None] = []
        self.rare = Rare()
        self.by_id: dict[bytes, int] = {}
        self.ids: list[bytes] = []
        self._orphans: dict[bytes, int] = {}
        self.names: list[str | None] = [None]
        self._name_numbers = _Numbers(self.names)
        self.dead = 0
        self.replaced = 0
        self.expiring = 0
        self._pending: list[tuple[int, ItemRecord, int | None]] = []
        """(row, item, row of the version that it replaces) of which the index does not know yet."""
        self._metadata_columns: dict[str, list[Any]] = {}
        self.made: dict[int, Any] = {}
        """What readers have made of single rows, until a row changes."""
        self._sizes = index.sizes()
        """Model -> numbers in each of its vectors."""

    # ------------------------------------------------------------------ reading

    @property
    def index(self) -> Index:
        """The derived index, with every row in it."""
        if self._pending:
            self.settle()
        return self._index

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> NDArray[Any]:
        """The structured array of all rows, dead ones included (dtype `ROW`)."""
        return self._rows[: self._count]

    def name_of(self, number: int) -> str | None:
        return self.names[number]

    def number_of(self, name: str) -> int | None:
        """The number of a name in the table, None if no row has it."""
        return self._name_numbers.get(name)

    def with_descendants(self, item_ids: Iterable[bytes]) -> list[bytes]:
        """Items and everything that was derived from them, directly or through others."""
        children: dict[bytes, list[bytes]] = {}
        for row, sources in self.rare.sources.items():
            for source in sources:
                children.setdefault(source, []).append(self.ids[row])
        found = dict.fromkeys(item_ids)
        waiting = list(found)
        while waiting:
            for child in children.get(waiting.pop(), ()):
                if child not in found and child in self.by_id:
                    found[child] = None
                    waiting.append(child)
        return list(found)

    def versions(self, row: int) -> list[int]:
        """Rows of all versions of the item whose current row is given, newest first."""
        chain = []
        while row >= 0:
            chain.append(row)
            row = int(self._rows["older"][row])
        return chain

    def current(self) -> NDArray[np.bool_]:
        """Rows that are alive and not replaced."""
        rows = self.rows
        mask: NDArray[np.bool_] = rows["alive"] & (rows["valid_to"] == NEVER) & ~rows["held"]
        return mask

    def values_of(self, rows: Sequence[int]) -> list[tuple[Any, ...]]:
        """All fields of some rows, in the order of `ROW`."""
        data, size, unpack = self._bytes(), ROW.itemsize, _ROW_VALUES.unpack_from
        return [unpack(data, row * size) for row in rows]

    def _bytes(self) -> memoryview:
        # Rows as bytes, for `struct` is ten times as fast as numpy, which copies a structured row field by field.
        rows, data = self._row_bytes
        if rows is not self._rows:
            data = self._rows.view(np.uint8).data
            self._row_bytes = self._rows, data
        return data

    def metadata_of(self, row: int) -> dict[str, Any]:
        encoded = self.metadata[row]
        return {} if encoded is None else msgspec.msgpack.decode(encoded)

    def metadata_column(self, path: str) -> list[Any]:
        """The value at a dotted metadata path for every row, `msgspec.UNSET` where there is none. Kept for re-use."""
        column = self._metadata_columns.get(path)
        if column is None:
            if len(self._metadata_columns) >= 8:
                self._metadata_columns.pop(next(iter(self._metadata_columns)))
            column = self._metadata_columns[path] = []
        keys = path.split(".")
        for row in range(len(column), self._count):
            value: Any = self.metadata_of(row)
            for key in keys:
                value = value.get(key, msgspec.UNSET) if isinstance(value, dict) else msgspec.UNSET
            column.append(value)
        return column

    def nbytes(self) -> int:
        """Estimated bytes of RAM: arrays exactly, Python objects by their usual sizes."""
        texts = sum(map(len, self.texts)) + 57 * self._count
        return int(self._rows.nbytes) + texts + 240 * self._count + 400 * len(self.made) + self.index.nbytes()

    # ------------------------------------------------------------------ folding

    def apply(self, seq: int, event: Event) -> tuple[int, ...]:
        """Fold one event in; returns the sequence numbers of rows that the event says were purged.

        The derived index learns of it when it is next asked for.
        """
        if type(event) is not ItemAdded:
            self.made.clear()
        match event:
            case ItemAdded(item=item, at=at):
                if item.id in self.by_id:
                    raise Tampered(f"seq {seq}: adds an item that is already there")
                self._append(seq, item, created_at=at, updated_at=at, older=-1, version=1)
            case ItemUpdated(item=item, at=at):
                older = self._existing(seq, item.id)
                previous = self._rows[older]
                if self._rows["valid_to"][older] == NEVER:
                    self._rows["valid_to"][older] = at
                    self.replaced += 1
                self.rare.superseded.pop(item.id, None)
                self._append(
                    seq,
                    item,
                    created_at=int(previous["created_at"]),
                    updated_at=at,
                    older=older,
                    version=int(previous["version"]) + 1,
                )
            case ItemDeleted(id=item_id, purged=purged):
                self._orphans.pop(item_id, None)
                self._remove(self._existing(seq, item_id) if item_id in self.by_id else None, item_id)
                return purged
            case ItemReembedded(id=item_id, seq=of, embedding=embedding):
                self._reembed(seq, item_id, of, embedding)
            case ItemSuperseded(id=item_id, by=by, until=until, reason=reason):
                if (row := self._existing_or_purged(seq, item_id)) is None:
                    return ()
                if self._rows["valid_to"][row] == NEVER:
                    self._rows["valid_to"][row] = until
                    self.replaced += 1
                self.rare.superseded[item_id] = (seq, by, reason)
            case ItemReleased(id=item_id):
                if (row := self._existing_or_purged(seq, item_id)) is None:
                    return ()
                self._release(item_id, row)
            case ConsentSet(models=models):
                self.rare.consent = models
            case Restricted(kind=kind, on=on, reason=reason):
                if on:
                    self.rare.restricted[kind] = reason or ""
                else:
                    self.rare.restricted.pop(kind, None)
            case Isolated(lost=lost):
                return lost
            case Rekeyed(content_key=content_key):
                self.rare.content_key = content_key
            case ExtractionRequested(ids=ids, purpose=purpose):
                self.rare.pending.update({item_id: (0, purpose) for item_id in ids if item_id in self.by_id})
            case ExtractionEnded(ids=ids, final=final, attempts=attempts):
                for item_id in ids:
                    asked = self.rare.pending.pop(item_id, None)
                    if asked is not None and not final:
                        self.rare.pending[item_id] = (attempts, asked[1])
            case _:
                raise Tampered(f"seq {seq}: an event that does not belong into a vault of items")
        return ()

    def check_fits(self, event: Event) -> None:
        """Raises ModelError for vectors of another size than those that the vault has under the same name.

        Before they are written: a log with both folds to nothing.
        """
        match event:
            case ItemAdded(item=item) | ItemUpdated(item=item):
                embedding = item.embedding
            case ItemReembedded():
                embedding = event.embedding
            case _:
                return
        if embedding is not None:
            size = self._sizes.setdefault(embedding.model, embedding.dimensions)
            if size != embedding.dimensions:
                raise ModelError(
                    f"embedder {embedding.model}: its vectors have {embedding.dimensions} numbers, "
                    f"those that this vault has under the same name {size}; give the other embedder another name"
                )

    def settle(self) -> None:
        """Hand the new rows to the derived index, in one batch. Writers leave it to the next reader, up to a limit.

        Raises Tampered for vectors that are none.
        """
        if self._pending:
            pending, self._pending = self._pending, []
            vectors = _vectors_of([item.embedding for _, item, _ in pending])
            docs = [_doc(*each, found) for each, found in zip(pending, vectors, strict=True)]
            try:
                self._index.add(docs)
            except ValueError:
                raise Tampered("vectors that cannot stand beside those of their model") from None

    def _existing(self, seq: int, item_id: bytes) -> int:
        row = self.by_id.get(item_id)
        if row is None:
            raise Tampered(f"seq {seq}: changes an item that does not exist")
        return row

    def _existing_or_purged(self, seq: int, item_id: bytes) -> int | None:
        """The row of an item; None if it was purged, which a deletion further down the log must then explain."""
        row = self.by_id.get(item_id)
        if row is None:
            self._orphans.setdefault(item_id, seq)
        return row

    def check_explained(self) -> None:
        """Raises Tampered when an event changed an item that neither was there nor was deleted later."""
        if self._orphans:
            raise Tampered(f"seq {min(self._orphans.values())}: changes an item that does not exist")

    def _append(
        self, seq: int, item: ItemRecord, *, created_at: int, updated_at: int, older: int, version: int
    ) -> None:
        _check(seq, item)
        row = self._count
        if item.embedding is not None:
            self._sizes.setdefault(item.embedding.model, item.embedding.dimensions)
        if row == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros(max(16, row // 8), ROW)])
        number = self._name_numbers
        ends = _ends(item)
        _ROW_VALUES.pack_into(
            self._bytes(),
            row * ROW.itemsize,
            item.timestamp,
            created_at,
            updated_at,
            ends,
            NEVER,
            seq,
            older,
            number[item.user_id],
            number[item.agent_id],
            number[item.app_id],
            number[item.run_id],
            number[item.name],
            number[item.role],
            number[item.channel],
            number[item.embedding.model if item.embedding else None],
            number[item.kind],
            version,
            item.trust,
            True,
            item.held is not None,
        )
        self._count += 1
        self.texts.append(item.text)
        self.metadata.append(msgspec.msgpack.encode(item.metadata) if item.metadata else None)
        self.ids.append(item.id)
        self.by_id[item.id] = row
        self.expiring += ends != NEVER
        if item.attachments:
            self.rare.attachments[row] = item.attachments
        if item.sources:
            self.rare.sources[row] = item.sources
        if item.labels:
            self.rare.labels[row] = item.labels
        if item.held is not None:
            self.rare.held[item.id] = item.held
            self.rare.released_until[item.id] = item.expires_at or NEVER
        if item.derivation is not None:
            self.rare.derivations[row] = item.derivation
        if item.idempotency is not None:
            self.rare.idempotency[item.idempotency] = (item.id, item.fingerprint or b"")
            self.rare.idempotency_of[item.id] = item.idempotency
        if len(self._pending) >= PENDING:
            self.settle()
        self._pending.append((row, item, older if older >= 0 else None))

    def _remove(self, row: int | None, item_id: bytes) -> None:
        """Forget the item in RAM as well: text, metadata and vectors go, only an empty row stays."""
        if row is None:
            return
        self.settle()
        gone = self.versions(row)
        self.replaced -= int(np.count_nonzero(self._rows["valid_to"][gone] != NEVER))
        del self.by_id[item_id]
        self.rare.superseded.pop(item_id, None)
        self.rare.pending.pop(item_id, None)
        self.rare.held.pop(item_id, None)
        self.rare.released_until.pop(item_id, None)
        for each in gone:
            self.expiring -= bool(self._rows["expires_at"][each] != NEVER)
            self.texts[each] = ""
            self.metadata[each] = None
            self.ids[each] = b""
            self._rows[each] = np.zeros((), ROW)
            self._rows["older"][each] = -1
            self.rare.attachments.pop(each, None)
            self.rare.sources.pop(each, None)
            self.rare.labels.pop(each, None)
            self.rare.derivations.pop(each, None)
            self.rare.reembedded.pop(each, None)
            for column in self._metadata_columns.values():
                if each < len(column):
                    column[each] = msgspec.UNSET
        self.dead += len(gone)
        tag = self.rare.idempotency_of.pop(item_id, None)
        if tag is not None:
            del self.rare.idempotency[tag]
        self.index.remove(gone)

    def _release(self, item_id: bytes, row: int) -> None:
        """Out of quarantine: the limit that it had there ends, and its own begins."""
        self._rows["held"][self.versions(row)] = False
        if self.rare.held.pop(item_id, None) is not None:
            ends = self.rare.released_until.pop(item_id, NEVER)
            self.expiring += int(ends != NEVER) - int(self._rows["expires_at"][row] != NEVER)
            self._rows["expires_at"][row] = ends

    def _reembed(self, seq: int, item_id: bytes, of: int, embedding: Embedding) -> None:
        """Give one version new vectors. The item may have been deleted since; then there is nothing to do."""
        current = self.by_id.get(item_id)
        chain = [] if current is None else self.versions(current)
        row = next((each for each in chain if int(self._rows["seq"][each]) == of), None)
        if row is None:
            return
        self._rows["model"][row] = self._name_numbers[embedding.model]
        self._sizes.setdefault(embedding.model, embedding.dimensions)
        self.rare.reembedded.setdefault(row, []).append(seq)
        self.settle()
        try:
            self._index.set_vectors(row, vectors_of(embedding), embedding.model)
        except ValueError:
            raise Tampered(f"seq {seq}: vectors that cannot stand beside those of their model") from None

    # ------------------------------------------------------------------ snapshots

    def columns(self) -> dict[str, Any]:
        """Everything but the derived index, as plain values for a snapshot."""
        return {
            "names": self.names,
            "counts": (self.dead, self.replaced, self.expiring),
            "attachments": list(self.rare.attachments.items()),
            "sources": list(self.rare.sources.items()),
            "labels": list(self.rare.labels.items()),
            "derivations": list(self.rare.derivations.items()),
            "superseded": list(self.rare.superseded.items()),
            "held": list(self.rare.held.items()),
            "released_until": list(self.rare.released_until.items()),
            "pending": list(self.rare.pending.items()),
            "consent": self.rare.consent,
            "restricted": self.rare.restricted,
            "idempotency": list(self.rare.idempotency.items()),
            "content_key": self.rare.content_key,
            "reembedded": list(self.rare.reembedded.items()),
            "metadata": {row: value for row, value in enumerate(self.metadata) if value is not None},
        }

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, Any],
        rows: NDArray[Any],
        texts: list[str],
        ids: list[bytes],
        index: Index,
    ) -> Self:
        """The inverse of `columns`, with the big columns given apart. Raises Tampered for columns that are of no one state."""
        names = columns["names"]
        if (
            not len(rows) == len(texts) == len(ids)
            or not all(name is None or isinstance(name, str) for name in names)
            or any(int(rows[field].max(initial=0)) >= len(names) for field in INTERNED)
            # A version replaces an earlier one: a circle would never end.
            or bool((rows["older"] >= np.arange(len(rows))).any())
            or int(rows["trust"].max(initial=0)) > max(Trust)
        ):
            raise Tampered("columns that do not belong together")
        state = cls(index)
        state._rows = rows
        state._count = len(rows)
        state.texts = texts
        state.ids = ids
        state.metadata = [None] * len(rows)
        for row, value in columns["metadata"].items():
            state.metadata[row] = value
        state.names = list(columns["names"])
        state._name_numbers = _Numbers(state.names)
        state.dead, state.replaced, state.expiring = columns["counts"]
        state.rare = Rare(
            {row: tuple(value) for row, value in columns["attachments"]},
            {row: tuple(value) for row, value in columns["sources"]},
            {row: tuple(value) for row, value in columns["labels"]},
            {row: msgspec.convert(value, Derivation) for row, value in columns["derivations"]},
            {item_id: tuple(value) for item_id, value in columns["superseded"]},
            dict(columns["held"]),
            dict(columns["released_until"]),
            {item_id: tuple(value) for item_id, value in columns["pending"]},
            columns["consent"],
            dict(columns["restricted"]),
            {tag: tuple(value) for tag, value in columns["idempotency"]},
            {value[0]: tag for tag, value in columns["idempotency"]},
            columns["content_key"],
            dict(columns["reembedded"]),
        )
        # Ascending, so that the newest version of an item is what its id leads to.
        state.by_id = {ids[row]: row for row in np.flatnonzero(rows["alive"]).tolist()}
        return state


def _check(seq: int, item: ItemRecord) -> None:
    """Raises Tampered for what is no item although each of its fields is of the right type."""
    if item.kind not in KINDS:
        raise Tampered(f"seq {seq}: an item of an unknown kind")
    if item.derivation is not None and any(source >= len(item.sources) for source, _, _ in item.derivation.spans):
        raise Tampered(f"seq {seq}: an item that quotes a source it does not have")


def _ends(item: ItemRecord) -> int:
    """When an item goes by itself."""
    if item.held is None or item.review_by is None:
        return item.expires_at or NEVER
    return item.review_by if item.expires_at is None else min(item.expires_at, item.review_by)


def _doc(row: int, item: ItemRecord, replaces: int | None, vectors: NDArray[np.float16] | None) -> IndexDoc:
    return IndexDoc(
        row,
        item.text,
        item.role,
        item.name,
        session_key(item),
        item.timestamp,
        vectors,
        item.embedding.model if item.embedding else "",
        replaces,
        item.trust >= Trust.USER,
    )


def session_key(item: ItemRecord) -> str:
    """Items of one session are each other's context: same agent, app and run. Ids hold no control characters.

    What was derived stands for itself and is nobody's context.
    """
    if item.kind != "message":
        return ALONE
    return f"{item.agent_id or ''}\x1f{item.app_id or ''}\x1f{item.run_id or ''}"


def vectors_of(embedding: Embedding | None) -> NDArray[np.float16] | None:
    """Shape (1 + segments, dimensions), fitted. Raises Tampered for bytes that are not so many, or no vectors."""
    return _vectors_of([embedding])[0]


def _vectors_of(embeddings: Sequence[Embedding | None]) -> list[NDArray[np.float16] | None]:
    """The same of many at once: a tenth of the time for each."""
    found: list[NDArray[np.float16] | None] = [None] * len(embeddings)
    alike: dict[tuple[int, int], list[int]] = {}
    for at, embedding in enumerate(embeddings):
        if embedding is not None:
            alike.setdefault((embedding.bits, embedding.dimensions), []).append(at)
    for (bits, dimensions), places in alike.items():
        size = packing.packed_size(dimensions) if bits == 12 else 2 * dimensions
        data = [embedding.data for at in places if (embedding := embeddings[at]) is not None]
        if any(not each or len(each) % size for each in data):
            raise Tampered("an embedding that is not of the size it says")
        try:
            if bits == 12:
                rows = packing.unpacked(np.frombuffer(b"".join(data), np.uint8).reshape(-1, size))
            else:
                rows = packing.fitted(np.frombuffer(b"".join(data), "<f2").reshape(-1, dimensions))
        except ValueError:
            raise Tampered("an embedding that holds no vectors") from None
        ends = list(accumulate(len(each) // size for each in data))
        for at, start, end in zip(places, [0, *ends], ends, strict=False):
            found[at] = rows[start:end]
    return found
