"""What events fold to: rows, versions, lineage, quarantine, holds; and that nothing of a deleted item is left in RAM."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from tests.unit.vault.places import added, item

from tacita.errors import Tampered
from tacita.packing import fitted, packed
from tacita.retrieval.index import SearchIndex
from tacita.vault import fold
from tacita.vault.events import (
    Audited,
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
)
from tacita.vault.fold import ALONE, NEVER, ROW, VaultState, session_key, vectors_of

BY: Any = {"actor": "ana"}


def number(value: int) -> bytes:
    return value.to_bytes(16)


def embedding(row: list[float] | float, model: str = "m", rows: int = 1) -> Embedding:
    return Embedding(model=model, dimensions=2, data=np.broadcast_to(np.array(row, "<f2"), (rows, 2)).tobytes())


def folded(*events: Event) -> VaultState[SearchIndex]:
    state = VaultState(SearchIndex())
    for seq, event in enumerate(events, 1):
        state.apply(seq, event)
    return state


def again(state: VaultState[SearchIndex]) -> VaultState[SearchIndex]:
    """As a snapshot brings it back."""
    columns = msgspec.msgpack.decode(msgspec.msgpack.encode(state.columns()), type=dict[str, Any])
    return VaultState.from_columns(
        columns, state.rows.copy(), list(state.texts), list(state.ids), SearchIndex.from_arrays(state.index.arrays())
    )


def updated(value: int, at: int, text: str = "newer", **fields: Any) -> ItemUpdated:
    return ItemUpdated(at=at, **BY, item=item(value, text, **fields))


def superseded(value: int, until: int, by: int = 9) -> ItemSuperseded:
    return ItemSuperseded(at=until, **BY, id=number(value), by=number(by), until=until, reason="supersedes")


def deleted(value: int, *purged: int) -> ItemDeleted:
    return ItemDeleted(at=9_000, **BY, id=number(value), purged=purged)


# ---------------------------------------------------------------------- items and versions


def test_a_row_says_what_its_event_said() -> None:
    state = folded(
        added(1, expires_at=50, name="Ana", user_id="u", agent_id="g", app_id="p", run_id="r", embedding=embedding(1)),
        added(2),
    )
    first, second = (dict(zip(ROW.names or (), values, strict=True)) for values in state.values_of([0, 1]))
    assert {name: first[name] for name in ("timestamp", "created_at", "updated_at", "expires_at", "valid_to")} == {
        "timestamp": 1_001, "created_at": 1_001, "updated_at": 1_001, "expires_at": 50, "valid_to": NEVER,
    }  # fmt: skip
    assert (first["seq"], first["older"], first["version"], first["trust"]) == (1, -1, 1, 3)
    assert (first["alive"], first["held"]) == (True, False)
    said = {name: state.name_of(first[name]) for name in fold.INTERNED}
    assert said == {
        "user_id": "u", "agent_id": "g", "app_id": "p", "run_id": "r", "name": "Ana", "role": "user",
        "channel": "user", "model": "m", "kind": "message",
    }  # fmt: skip
    assert {name: state.name_of(second[name]) for name in ("name", "model", "user_id")} == dict.fromkeys(
        ("name", "model", "user_id")
    )
    assert second["expires_at"] == NEVER
    assert (state.expiring, state.dead, state.replaced) == (1, 0, 0)
    assert state.number_of("nobody") is None
    assert state.name_of(state.number_of("Ana") or 0) == "Ana"
    assert state.current().tolist() == [True, True]


def test_a_new_version_ends_the_one_before() -> None:
    state = folded(added(1), updated(1, 2_000), updated(1, 3_000, "newest"))
    assert (state.by_id, state.replaced) == ({number(1): 2}, 2)
    assert state.versions(2) == [2, 1, 0]
    assert state.rows["valid_to"].tolist() == [2_000, 3_000, NEVER]
    assert state.rows["version"].tolist() == [1, 2, 3]
    assert state.rows["created_at"].tolist() == [1_001] * 3
    assert state.rows["updated_at"].tolist() == [1_001, 2_000, 3_000]
    assert state.current().tolist() == [False, False, True]


def test_an_item_that_gave_way_and_is_changed_is_current_again() -> None:
    state = folded(added(1), superseded(1, 1_500))
    assert (state.current().tolist(), state.replaced) == ([False], 1)
    assert state.rare.superseded == {number(1): (2, number(9), "supersedes")}
    state.apply(3, superseded(1, 1_700, by=8))
    assert (state.rows["valid_to"].tolist(), state.replaced) == ([1_500], 1), "it ended when it first ended"
    assert state.rare.superseded == {number(1): (3, number(8), "supersedes")}
    state.apply(4, updated(1, 2_000))
    assert (state.rows["valid_to"].tolist(), state.replaced) == ([1_500, NEVER], 1)
    assert state.rare.superseded == {}
    state.apply(5, deleted(1))
    assert (state.replaced, state.dead) == (0, 2)


@pytest.mark.parametrize(
    "event",
    [updated(5, 2_000), added(1), Audited(at=1, **BY, entries=())],
    ids=["change of nothing", "added twice", "of another log"],
)
def test_what_cannot_be_is_refused(event: Event) -> None:
    state = folded(added(1))
    with pytest.raises(Tampered, match="seq 2"):
        state.apply(2, event)


@pytest.mark.parametrize("event", [superseded(5, 2_000), ItemReleased(at=1, **BY, id=number(5), digest=b"")])
def test_a_change_of_what_was_purged_is_explained_by_its_deletion_or_refused(event: Event) -> None:
    state = folded(added(1))
    assert state.apply(2, event) == ()
    assert state.apply(3, event) == ()
    with pytest.raises(Tampered, match="seq 2: changes an item that does not exist"):
        state.check_explained()
    assert state.apply(4, deleted(5, 7)) == (7,)
    state.check_explained()
    assert (list(state.by_id), state.dead) == ([number(1)], 0)


def test_what_is_purged_or_given_up_is_told() -> None:
    state = folded(added(1))
    assert state.apply(2, deleted(1, 1)) == (1,)
    assert state.apply(3, Isolated(at=1, **BY, lost=(4, 5))) == (4, 5)
    assert state.apply(4, Rekeyed(at=1, **BY, version=2, seq=3, chain=b"", content_key=b"k")) == ()
    assert state.rare.content_key == b"k"


# ---------------------------------------------------------------------- deletion and lineage


def test_of_a_deleted_item_nothing_is_left_in_ram() -> None:
    rare = {
        "metadata": {"a": "words"}, "attachments": ({"x": 1},), "labels": ("iban",), "sources": (number(1),),
        "derivation": Derivation(), "idempotency": b"i" * 16, "fingerprint": b"f" * 16, "expires_at": 70,
        "embedding": embedding(1), "held": "odd", "review_by": 60,
    }  # fmt: skip
    state = folded(
        added(1, "stays"),
        added(2, "the words", **rare),
        updated(2, 2_000, "the words again", **rare),
        superseded(2, 2_500),
        ItemReembedded(at=1, **BY, id=number(2), seq=3, embedding=embedding(2)),
        ExtractionRequested(at=1, **BY, ids=(number(2),)),
    )
    assert state.metadata_column("a") == [msgspec.UNSET, "words", "words"]
    assert state.expiring == 2
    state.apply(7, deleted(2, 2, 3, 5))
    assert (state.texts, state.ids) == (["stays", "", ""], [number(1), b"", b""])
    assert state.metadata == [None, None, None]
    assert state.metadata_column("a") == [msgspec.UNSET] * 3
    assert state.by_id == {number(1): 0}
    assert (state.dead, state.replaced, state.expiring) == (2, 0, 0)
    assert state.current().tolist() == [True, False, False]
    assert state.rows["older"].tolist() == [-1, -1, -1]
    assert not state.rows["seq"][1:].any()
    left = msgspec.structs.asdict(state.rare)
    assert {name: value for name, value in left.items() if value} == {}
    assert "words" not in str(state.columns()), "and nothing in what a snapshot would hold"
    assert state.index.alive.tolist()[-3:] == [True, False, False]
    state.apply(8, deleted(2))
    assert state.dead == 2, "a second deletion has nothing to do"


def test_deleting_costs_a_column_of_metadata_only_what_it_holds_already() -> None:
    state = folded(added(1, metadata={"a": 1}))
    assert state.metadata_column("a") == [1]
    state.apply(2, added(2, metadata={"a": 2}))
    state.apply(3, deleted(2, 2))
    assert state.metadata_column("a") == [1, msgspec.UNSET]


def test_what_was_made_of_an_item_is_found_through_all_that_lies_between() -> None:
    state = folded(
        added(1), added(2),
        added(3, sources=(number(1),)), added(4, sources=(number(3), number(2))), added(5, sources=(number(4),)),
        added(6, sources=(number(2),)), added(7, sources=(number(7), number(9))),
    )  # fmt: skip
    assert state.with_descendants([number(1)]) == [number(each) for each in (1, 3, 4, 5)]
    assert set(state.with_descendants([number(2)])) == {number(each) for each in (2, 4, 5, 6)}
    assert state.with_descendants([number(3), number(4)]) == [number(each) for each in (3, 4, 5)], "each once"
    assert state.with_descendants([number(7)]) == [number(7)]
    assert state.with_descendants([]) == []
    state.apply(8, deleted(4, 4))
    assert state.with_descendants([number(1)]) == [number(1), number(3)], "what is gone leads nowhere"
    back = again(state)
    assert back.with_descendants([number(2)]) == [number(2), number(6)]


def test_lineage_of_an_older_version_counts_as_well() -> None:
    state = folded(added(1), added(2), added(3, sources=(number(1),)), updated(3, 2_000, sources=(number(2),)))
    assert state.with_descendants([number(1)]) == [number(1), number(3)]
    assert state.with_descendants([number(2)]) == [number(2), number(3)]


# ---------------------------------------------------------------------- quarantine, limits, consent, work


@pytest.mark.parametrize(
    ("expires_at", "review_by", "held", "ends"),
    [(None, None, None, NEVER), (50, None, None, 50), (50, 40, None, 50), (None, 40, "odd", 40), (50, 40, "odd", 40),
     (30, 40, "odd", 30), (50, None, "odd", 50)],
)  # fmt: skip
def test_an_item_ends_when_the_first_of_its_limits_is_over(
    expires_at: int | None, review_by: int | None, held: str | None, ends: int
) -> None:
    state = folded(added(1, expires_at=expires_at, review_by=review_by, held=held))
    assert state.rows["expires_at"].tolist() == [ends]
    assert state.expiring == (ends != NEVER)


def test_released_an_item_has_its_own_limit_again() -> None:
    release = [ItemReleased(at=1, **BY, id=number(each), digest=b"") for each in (1, 2, 3)]
    state = folded(
        added(1, held="odd", review_by=40),
        added(2, held="odd", review_by=40, expires_at=50),
        added(3, expires_at=60),
        updated(1, 2_000, held="odd", review_by=45),
    )
    assert (state.expiring, state.current().tolist()) == (4, [False, False, True, False])
    for seq, event in enumerate(release, 5):
        state.apply(seq, event)
    assert state.rows["expires_at"].tolist() == [40, 50, 60, NEVER]
    assert state.expiring == 3
    assert state.current().tolist() == [False, True, True, True]
    assert not state.rows["held"].any()
    assert (state.rare.held, state.rare.released_until) == ({}, {})
    state.apply(9, release[1])
    assert (state.rows["expires_at"][1], state.expiring) == (50, 3), "once is enough"


def test_a_hold_and_a_freeze_last_until_they_end() -> None:
    state = folded(
        Restricted(at=1, **BY, kind="hold", on=True, reason="case"), Restricted(at=1, **BY, kind="freeze", on=True)
    )
    assert state.rare.restricted == {"hold": "case", "freeze": ""}
    state.apply(3, Restricted(at=2, **BY, kind="hold", on=False))
    state.apply(4, Restricted(at=2, **BY, kind="hold", on=False))
    assert state.rare.restricted == {"freeze": ""}
    assert state.rare.consent is None
    state.apply(5, ConsentSet(at=2, **BY, models=False))
    assert state.rare.consent is False


def test_work_waits_until_it_is_done_for_good() -> None:
    state = folded(added(1), added(2))
    asked = ExtractionRequested(at=1, actor="ana", purpose="care", ids=(number(1), number(2), number(9)))
    state.apply(3, asked)
    assert state.rare.pending == {number(1): (0, "care"), number(2): (0, "care")}
    state.apply(4, ExtractionEnded(at=1, **BY, ids=(number(1), number(9)), final=False, attempts=3))
    assert state.rare.pending == {number(1): (3, "care"), number(2): (0, "care")}
    state.apply(5, ExtractionEnded(at=1, **BY, ids=(number(1),)))
    assert state.rare.pending == {number(2): (0, "care")}
    state.apply(6, deleted(2, 2))
    assert state.rare.pending == {}


# ---------------------------------------------------------------------- the derived index


def vector(state: VaultState[SearchIndex], row: int, model: str) -> list[float] | None:
    found = state.index.vector(row, model)
    return None if found is None else found.tolist()


def test_new_vectors_are_those_of_the_version_that_they_were_made_for() -> None:
    east, north = [1.0, 0.0], [0.0, 1.0]
    state = folded(added(1, embedding=embedding(east)), updated(1, 2_000, embedding=embedding(east)))
    state.apply(3, ItemReembedded(at=1, **BY, id=number(1), seq=1, embedding=embedding(north, "other")))
    assert [state.name_of(each) for each in state.rows["model"].tolist()] == ["other", "m"]
    assert state.rare.reembedded == {0: [3]}
    assert (vector(state, 0, "other"), vector(state, 1, "m"), vector(state, 1, "other")) == (north, east, None)
    state.apply(4, ItemReembedded(at=1, **BY, id=number(1), seq=2, embedding=embedding(east, "other")))
    state.apply(5, ItemReembedded(at=1, **BY, id=number(1), seq=2, embedding=embedding(north, "other")))
    assert state.rare.reembedded == {0: [3], 1: [4, 5]}
    assert (vector(state, 1, "other"), vector(state, 1, "m")) == (north, None)
    state.apply(6, ItemReembedded(at=1, **BY, id=number(1), seq=7, embedding=embedding(east, "third")))
    state.apply(7, ItemReembedded(at=1, **BY, id=number(8), seq=1, embedding=embedding(east, "third")))
    assert (vector(state, 1, "other"), state.number_of("third")) == (north, None), "of a version that is not there"
    assert again(state).rare == state.rare


def test_rows_reach_the_index_when_it_is_asked_for_or_when_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "PENDING", 3)
    state = VaultState(SearchIndex())
    waiting = []
    for seq in range(1, 9):
        state.apply(seq, added(seq, f"word{seq}"))
        waiting.append(len(state._pending))
    assert waiting == [1, 2, 3, 1, 2, 3, 1, 2]
    assert state.index is state._index
    assert state._pending == []
    state.settle()
    assert again(state).columns() == state.columns()


def test_a_new_version_stands_where_the_old_one_stood() -> None:
    """Between the same neighbours: what was said before and after is what a search looks at."""
    state = folded(added(1), added(2), added(3), updated(1, 2_000), updated(2, 2_001))
    index = state.index
    # The index counts from 1.
    assert [index.following[row + 1] - 1 for row in (3, 4)] == [4, 2]
    assert [index.previous[row + 1] - 1 for row in (4, 2)] == [3, 4]


def test_vectors_are_read_as_they_were_written() -> None:
    assert vectors_of(None) is None
    found = vectors_of(embedding(0.5, rows=3))
    assert found is not None
    assert (found.shape, found.dtype, found.tolist()) == ((3, 2), np.dtype("<f2"), [[0.5, 0.5]] * 3)


def test_items_of_one_session_are_each_others_context_and_derived_ones_nobodys() -> None:
    assert session_key(item(1, agent_id="g", run_id="r")) == session_key(item(2, agent_id="g", run_id="r", user_id="u"))
    others = [
        item(1),
        item(1, agent_id="g"),
        item(1, app_id="g"),
        item(1, run_id="g"),
        item(1, agent_id="g", run_id="g"),
    ]
    assert len({session_key(each) for each in others}) == 5
    assert {session_key(item(1, kind=kind)) for kind in ("fact", "summary", "procedure", "profile")} == {ALONE}
    assert session_key(item(1)) != ALONE


# ---------------------------------------------------------------------- columns and size


def test_a_path_into_metadata_is_a_column() -> None:
    state = folded(
        added(1, metadata={"a": {"b": 1}, "a.b": 9}),
        added(2),
        added(3, metadata={"a": 5}),
        added(4, metadata={"a": {}}),
    )
    assert state.metadata_column("a.b") == [1, msgspec.UNSET, msgspec.UNSET, msgspec.UNSET]
    assert state.metadata_column("a") == [{"b": 1}, msgspec.UNSET, 5, {}]
    state.apply(5, added(5, metadata={"a": {"b": 2}}))
    assert state.metadata_column("a.b")[4] == 2
    assert state.metadata_of(1) == {}
    for number_of in range(20):
        state.metadata_column(f"other.{number_of}")
    assert len(state._metadata_columns) == 8, "a caller's paths are not kept for ever"
    assert state.metadata_column("a.b")[0] == 1


def test_many_rows_are_as_right_as_few() -> None:
    state = VaultState(SearchIndex())
    for seq in range(1, 200):
        state.apply(seq, added(seq))
    assert len(state.rows) == len(state) == 199
    assert state.rows["timestamp"].tolist() == list(range(1_001, 1_200))
    assert state.rows["seq"].tolist() == list(range(1, 200))
    assert [values[0] for values in state.values_of([0, 17, 198])] == [1_001, 1_018, 1_199]
    assert [state.by_id[number(each)] for each in (1, 199)] == [0, 198]
    small = folded(added(1))
    assert small.nbytes() >= small.rows.nbytes + len("text 1") + 240
    assert state.nbytes() > small.nbytes() + 198 * (ROW.itemsize + 240)


def test_a_snapshots_columns_bring_the_state_back_as_it_was() -> None:
    state = folded(
        added(1, metadata={"a": 1}, labels=("iban",), attachments=({"x": 1},), idempotency=b"i", fingerprint=b"f"),
        added(2, held="odd", review_by=40, expires_at=50, sources=(number(1),), derivation=Derivation(subject="Ana")),
        updated(1, 2_000, name="Ana"),
        superseded(2, 2_100),
        ExtractionRequested(at=1, actor="ana", purpose="care", ids=(number(1),)),
        ConsentSet(at=1, **BY, models=True),
        Restricted(at=1, **BY, kind="hold", on=True, reason="case"),
        Rekeyed(at=1, **BY, version=2, seq=7, chain=b"c", content_key=b"k"),
        added(3),
        deleted(3, 9),
    )
    back = again(state)
    assert back.columns() == state.columns()
    assert back.rare == state.rare
    assert back.by_id == state.by_id == {number(1): 2, number(2): 1}
    assert (back.dead, back.replaced, back.expiring) == (state.dead, state.replaced, state.expiring) == (1, 2, 1)
    assert back.metadata_of(0) == {"a": 1}
    for each in (back, state):
        each.apply(11, added(4, name="Ana", agent_id="g"))
        each.apply(12, updated(2, 3_000))
    assert (back.rows == state.rows).all()
    assert back.columns() == state.columns()


# ---------------------------------------------------------------------- what is well-formed and still no state


@pytest.mark.parametrize(
    "record",
    [
        item(2, kind="rumour"),
        item(2, sources=(number(1),), derivation=Derivation(spans=((1, 0, 3),))),
        item(2, derivation=Derivation(spans=((0, 0, 3),))),
    ],
    ids=["kind", "source", "no source"],
)
def test_an_item_that_cannot_be_is_refused(record: ItemRecord) -> None:
    for event in (
        ItemAdded(at=1, **BY, item=record),
        ItemUpdated(at=1, **BY, item=msgspec.structs.replace(record, id=number(1))),
    ):
        state = folded(added(1))
        with pytest.raises(Tampered, match="seq 2: an item"):
            state.apply(2, event)
    good = item(2, sources=(number(1), number(3)), derivation=Derivation(spans=((0, 0, 3), (1, 0, 3))))
    assert len(folded(added(1), ItemAdded(at=1, **BY, item=good))) == 2


def test_vectors_of_another_size_than_their_models_are_refused() -> None:
    three = Embedding(model="m", dimensions=3, data=bytes(6))
    state = folded(added(1, embedding=embedding(1)), added(2, embedding=three))
    with pytest.raises(Tampered, match="cannot stand beside"):
        state.settle()
    state = folded(added(1, embedding=embedding(1)), added(2))
    with pytest.raises(Tampered, match="seq 3: vectors that cannot stand beside"):
        state.apply(3, ItemReembedded(at=1, **BY, id=number(2), seq=2, embedding=three))


@pytest.mark.parametrize(("dimensions", "data"), [(2, b""), (2, bytes(3)), (2, bytes(6)), (4, bytes(4))])
def test_bytes_that_are_not_as_many_vectors_as_they_say_are_refused(dimensions: int, data: bytes) -> None:
    with pytest.raises(Tampered, match="not of the size it says"):
        vectors_of(Embedding(model="m", dimensions=dimensions, data=data))


@pytest.mark.parametrize("data", [bytes([29, 0, 0, 0]), bytes([0, 0, 0, 0, 255, 1, 2, 3])])
def test_bytes_that_pack_no_vectors_are_refused(data: bytes) -> None:
    with pytest.raises(Tampered, match="holds no vectors"):
        vectors_of(Embedding(model="m", dimensions=2, data=data, bits=12))


@pytest.mark.parametrize("number", [np.nan, np.inf, 65_504])
def test_numbers_of_float16_that_are_no_vectors_are_refused(number: float) -> None:
    with pytest.raises(Tampered, match="holds no vectors"):
        vectors_of(embedding([1.0, number]))


def test_vectors_are_the_same_however_they_were_written() -> None:
    """In two ways, of two sizes, alone or in company, in the order of their items."""
    rows = fitted(np.random.default_rng(3).standard_normal((9, 2)))
    wide = fitted(np.random.default_rng(4).standard_normal((1, 3)))
    halves = [Embedding(model="m", dimensions=2, data=rows[at : at + 3].tobytes()) for at in (0, 3, 6)]
    twelves = [
        Embedding(model="m", dimensions=2, data=packed(rows[at : at + 3]).tobytes(), bits=12) for at in (0, 3, 6)
    ]
    other = Embedding(model="w", dimensions=3, data=packed(wide).tobytes(), bits=12)
    for half, twelve in zip(halves, twelves, strict=True):
        assert np.array_equal(vectors_of(half), vectors_of(twelve))
    state = folded(
        added(1, embedding=twelves[0]),
        added(2, embedding=halves[1]),
        added(3),
        added(4, embedding=other),
        added(5, embedding=twelves[2]),
    )
    state.settle()
    assert [state.index.vector(row, "m").tolist() for row in (0, 1, 4)] == rows[[0, 3, 6]].tolist()
    assert state.index.vector(2, "m") is None
    assert state.index.vector(3, "w").tolist() == wide[0].tolist()


@pytest.mark.parametrize("change", ["rows", "texts", "ids", "name", "names", "circle", "later", "trust"])
def test_columns_of_no_one_state_are_refused(change: str) -> None:
    state = folded(added(1, name="Ana"), updated(1, 2_000))
    columns, rows, texts, ids = state.columns(), state.rows.copy(), list(state.texts), list(state.ids)
    match change:
        case "rows":
            rows = rows[:1]
        case "texts":
            texts.append("more")
        case "ids":
            ids.pop()
        case "name":
            columns["names"] = [*state.names[:-1], 7]
        case "names":
            columns["names"] = state.names[:-1]
        case "circle":
            rows["older"][1] = 1
        case "later":
            rows["older"][0] = 1
        case _:
            rows["trust"][0] = 4
    with pytest.raises(Tampered, match="do not belong together"):
        VaultState.from_columns(columns, rows, texts, ids, SearchIndex())
    empty = VaultState(SearchIndex())
    assert len(VaultState.from_columns(empty.columns(), empty.rows, [], [], SearchIndex())) == 0
