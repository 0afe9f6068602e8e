"""Events say nothing of what they hold, and a body of another form is refused."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from tests.unit.vault.places import added, item

from tacita.errors import Tampered
from tacita.vault.events import (
    AUDIT_TAG,
    Audited,
    AuditEntry,
    ConsentSet,
    Derivation,
    Embedding,
    Event,
    ExtractionEnded,
    ExtractionRequested,
    Isolated,
    ItemDeleted,
    ItemReembedded,
    ItemReleased,
    ItemSuperseded,
    ItemUpdated,
    Rekeyed,
    Restricted,
    about,
    decode,
    encode,
)

ID, OTHER = (7).to_bytes(16), (8).to_bytes(16)
AT = {"at": 5, "actor": "ana", "purpose": "care"}
EMBEDDING = Embedding(model="m", dimensions=2, data=bytes(4))
EVENTS: list[tuple[Event, bytes]] = [
    (added(7), ID),
    (added(7, expires_at=9, held="looks odd", review_by=8, sources=(OTHER,), derivation=Derivation(confidence=0.5)), ID),
    (ItemUpdated(item=item(7, name="Ana", metadata={"a": [1]}, labels=("iban",), embedding=EMBEDDING), **AT), ID),
    (ItemDeleted(id=ID, purged=(1, 2), reason="origin", **AT), ID),
    (ItemReembedded(id=ID, seq=3, embedding=EMBEDDING, **AT), ID),
    (ItemSuperseded(id=ID, by=OTHER, until=4, reason="refines", **AT), ID),
    (ItemReleased(id=ID, digest=bytes(32), **AT), ID),
    (ExtractionRequested(ids=(ID, OTHER), **AT), b""),
    (ExtractionEnded(ids=(ID,), facts=2, dropped={"echo": 1}, failure="down", attempts=2, final=False, **AT), b""),
    (ConsentSet(models=False, **AT), b""),
    (Restricted(kind="hold", on=True, reason="case", **AT), b""),
    (Rekeyed(version=2, seq=9, chain=bytes(32), content_key=bytes(32), **AT), b""),
    (Isolated(lost=(1, 4), **AT), b""),
    (Audited(entries=(AuditEntry(at=1, actor="ana", operation="get", outcome="ok", vault=ID, items=2),), **AT), AUDIT_TAG),
]  # fmt: skip


@pytest.mark.parametrize(("event", "what"), EVENTS, ids=lambda value: type(value).__name__)
def test_an_event_comes_back_equal_and_says_what_it_is_about(event: Event, what: bytes) -> None:
    assert decode(encode(event)) == event
    assert about(event) == what


@pytest.mark.parametrize("event", [event for event, _ in EVENTS], ids=lambda event: type(event).__name__)
def test_no_event_shows_what_it_holds(event: Event) -> None:
    assert repr(event) == f"<{type(event).__name__}>"
    assert list(event.__rich_repr__()) == []


@pytest.mark.parametrize("event", [event for event, _ in EVENTS], ids=lambda event: type(event).__name__)
def test_an_event_cannot_be_changed(event: Event) -> None:
    parts = [event, getattr(event, "item", event), getattr(event, "embedding", None) or event]
    for each in [*parts, getattr(parts[1], "derivation", None) or event, *getattr(event, "entries", ())]:
        with pytest.raises(AttributeError):
            setattr(each, each.__struct_fields__[0], None)


def test_a_field_or_a_kind_of_event_that_nobody_knows_is_refused() -> None:
    known = msgspec.msgpack.decode(encode(added(7, "the words")))
    for body in (
        msgspec.msgpack.encode({**known, "later": 1}),
        msgspec.msgpack.encode({**known, "item": {**known["item"], "later": 1}}),
        msgspec.msgpack.encode({**known, "e": "later"}),
        encode(added(7, "the words"))[:-1],
        b"the words",
        b"",
    ):
        with pytest.raises(Tampered, match="not of a known form") as caught:
            decode(body)
        assert "the words" not in str(caught.value)


def test_the_form_of_events_is_the_same_for_ever() -> None:
    """They lie in logs. A new field has a default and changes none of these bytes; whatever does needs another format."""
    assert [msgspec.msgpack.decode(encode(event))["e"] for event, _ in EVENTS] == [
        *("added", "added", "updated", "deleted", "reembedded", "superseded", "released", "extract", "extracted"),
        *("consent", "restricted", "rekeyed", "isolated", "audited"),
    ]
    whole = b"".join(encode(event) for event, _ in EVENTS)
    assert hashlib.sha256(whole).hexdigest() == "3109d31f834fcad8df1b4707a6f00530745dc36d59cc3ea7d80653550e5216ef"


FIRST, LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The first and the last microsecond that a datetime can say."""


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        ("item.id", [bytes(16)], [bytes(15), bytes(17), b""]),
        ("item.sources", [[bytes(16)], []], [[bytes(15)], [bytes(17)], [bytes(16), b""]]),
        ("item.trust", [0, 3], [-1, 4]),
        ("item.timestamp", [FIRST, LAST], [FIRST - 1, LAST + 1]),
        ("item.expires_at", [FIRST, LAST, None], [FIRST - 1, LAST + 1]),
        ("item.review_by", [FIRST, LAST, None], [FIRST - 1, LAST + 1]),
        ("at", [FIRST, LAST], [FIRST - 1, LAST + 1]),
        ("item.embedding.dimensions", [1], [0, -1]),
        ("item.derivation.spans", [[[0, 0, 0]]], [[[-1, 0, 0]], [[0, -1, 0]], [[0, 0, -1]]]),
    ],
)
def test_nothing_is_decoded_that_could_not_be_shown(path: str, good: list[object], bad: list[object]) -> None:
    described = msgspec.msgpack.decode(encode(added(7, derivation=Derivation(type="x"), embedding=EMBEDDING)))
    *parents, last = path.split(".")
    place = described
    for name in parents:
        place = place[name]
    for value in good:
        place[last] = value
        decode(msgspec.msgpack.encode(described))
    for value in bad:
        place[last] = value
        with pytest.raises(Tampered, match="not of a known form"):
            decode(msgspec.msgpack.encode(described))


def test_what_is_not_said_is_the_default() -> None:
    plain = decode(encode(added(7)))
    assert plain == added(7)
    record = plain.item  # type: ignore[union-attr]
    assert (record.kind, record.role, record.metadata, record.sources, record.held) == ("message", "user", {}, (), None)
    ended = decode(encode(ExtractionEnded(ids=(ID,), at=5, actor="ana")))
    assert isinstance(ended, ExtractionEnded)
    assert (ended.facts, ended.dropped, ended.attempts, ended.final) == (0, {}, 1, True)
    gone = decode(encode(ItemDeleted(id=ID, purged=(), at=5, actor="ana")))
    assert isinstance(gone, ItemDeleted)
    assert (gone.reason, gone.purpose) == ("deleted", None)
    assert Derivation().type == "fact"
