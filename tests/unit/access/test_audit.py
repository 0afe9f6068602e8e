"""The audit log under its own hands: durable in time, in order, refused when changed, and never passed over in silence."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from tests.unit.vault.places import Place, added

from tacita.access import audit
from tacita.access.audit import AuditLog
from tacita.errors import HeadMoved, StoreError, Tampered
from tacita.sealed import SealedEvent
from tacita.stores.memory import MemoryLogStore
from tacita.vault.events import AUDIT_TAG, Audited, AuditEntry, decode, encode
from tacita.vault.log import SealedLog
from tacita.vault.rekey import find, rekey


class Failing(MemoryLogStore):
    """A store that cannot be written to for a while, or that something happens to before it is."""

    down = False
    before: Callable[[], object] | None = None

    def _append(
        self, vault_id: bytes, expected_seq: int, events: Sequence[SealedEvent], epoch: bytes, purge: Sequence[int],
        format: int,
    ) -> None:  # fmt: skip
        if self.down:
            raise StoreError("the disk is full")
        if self.before is not None:
            before, self.before = self.before, None
            before()
        super()._append(vault_id, expected_seq, events, epoch, purge, format)


@pytest.fixture
def store() -> Failing:
    return Failing()


@pytest.fixture
def place(store: Failing) -> Place:
    return Place(store)


@pytest.fixture
def opened(place: Place) -> Iterator[Callable[..., AuditLog]]:
    made: list[AuditLog] = []

    def make(*, at_once: bool = False, tenant: str = "acme") -> AuditLog:
        clock = iter(range(1_000, 1_000_000))
        made.append(AuditLog(place.store, place.another_process().keys, tenant, lambda: next(clock), at_once=at_once))
        return made[-1]

    yield make
    for each in made:
        each.close()


def told(log: AuditLog) -> list[str]:
    return [entry.operation for entry in log.entries()]


def audit_id(place: Place) -> bytes:
    return place.keys.vault_id("acme", "audit", "log")


def until(what: Callable[[], bool]) -> bool:
    ends = time.monotonic() + 10
    while not what() and time.monotonic() < ends:
        time.sleep(0.005)
    return what()


def test_an_entry_says_who_what_when_and_why(opened: Callable[..., AuditLog], place: Place) -> None:
    log = opened()
    log.record("nurse", "get", "denied", vault_id=b"v" * 32, items=3, purpose="care")
    log.record("nurse", "search")
    first, second = log.entries()
    assert first == AuditEntry(
        at=1_000, actor="nurse", operation="get", outcome="denied", vault=b"v" * 32, items=3, purpose="care"
    )
    assert second == AuditEntry(at=1_001, actor="nurse", operation="search", outcome="ok")
    again = opened()
    again.record("rui", "erase")
    assert told(again) == told(log) == ["get", "search", "erase"]
    head = place.store.head(audit_id(place))
    assert head is not None
    assert head.seq == 2, "a batch is one event"


def test_nobody_who_reads_an_empty_log_makes_one(opened: Callable[..., AuditLog], place: Place) -> None:
    assert told(opened()) == []
    assert place.ring.get(audit_id(place)) is None
    assert told(opened(tenant="other")) == []


def test_tenants_have_logs_of_their_own(opened: Callable[..., AuditLog]) -> None:
    ours, theirs = opened(), opened(tenant="other")
    ours.record("ana", "get")
    theirs.record("eve", "search")
    assert (told(ours), told(theirs)) == (["get"], ["search"])


def test_entries_are_durable_soon_without_being_asked_for(opened: Callable[..., AuditLog], place: Place) -> None:
    log = opened()
    log.record("ana", "get")
    assert until(lambda: place.store.head(audit_id(place)) is not None)
    assert log._thread is not None
    assert log._thread.daemon, "an interpreter that ends must not hang on it"
    log.record("ana", "search")
    assert until(lambda: (place.store.head(audit_id(place)) or head_of(place)).seq == 2)
    thread = log._thread
    log.close()
    assert not thread.is_alive()


def head_of(place: Place):  # type: ignore[no-untyped-def]
    head = place.store.head(audit_id(place))
    assert head is not None
    return head


def test_at_once_is_before_the_call_returns(opened: Callable[..., AuditLog], place: Place) -> None:
    log = opened(at_once=True)
    for number in (1, 2, 3):
        log.record("ana", "get")
        assert head_of(place).seq == number
    assert log._thread is None


def test_large_queues_are_written_in_batches(
    opened: Callable[..., AuditLog], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "BATCH_ENTRIES", 4)
    monkeypatch.setattr(audit, "FLUSH_SECONDS", 60)
    log = opened()
    for number in range(10):
        log.record("ana", f"op {number}")
    assert told(log) == [f"op {number}" for number in range(10)]
    assert head_of(place).seq == 3
    assert not log._queue
    log.flush()
    assert head_of(place).seq == 3, "with nothing to write nothing is written"


def test_what_could_not_be_written_waits_and_is_written_later(
    opened: Callable[..., AuditLog], store: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    log = opened()
    store.down = True
    log.record("ana", "get")
    with pytest.raises(StoreError, match="disk is full"):
        log.flush()
    assert until(lambda: "entries wait in memory" in caplog.text)
    assert [(each.name, each.levelno) for each in caplog.records][:1] == [("tacita.audit", logging.ERROR)]
    assert "ana" not in caplog.text
    log.record("ana", "search")
    store.down = False
    assert told(log) == ["get", "search"], "each once and in order"
    log.record("ana", "delete")
    assert until(lambda: log._failure is None)
    assert told(log) == ["get", "search", "delete"]


def test_no_audit_no_read(opened: Callable[..., AuditLog], store: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "QUEUE_ENTRIES", 3)
    monkeypatch.setattr(audit, "FLUSH_SECONDS", 0.001)
    log = opened()
    store.down = True
    log.record("ana", "get")
    assert until(lambda: log._failure is not None)
    log.record("ana", "get")
    log.record("ana", "get")
    with pytest.raises(StoreError, match="disk is full"):
        log.record("ana", "one too many")
    assert len(log._queue) == 3
    store.down = False
    assert told(log) == ["get"] * 3


def test_without_a_failure_a_long_queue_is_only_long(
    opened: Callable[..., AuditLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "QUEUE_ENTRIES", 2)
    monkeypatch.setattr(audit, "FLUSH_SECONDS", 60)
    log = opened()
    for _ in range(5):
        log.record("ana", "get")
    assert told(log) == ["get"] * 5


def test_closing_raises_what_cannot_be_written(opened: Callable[..., AuditLog], store: Failing) -> None:
    log = opened()
    store.down = True
    log.record("ana", "get")
    with pytest.raises(StoreError, match="disk is full"):
        log.close()
    store.down = False
    log.close()
    assert told(log) == ["get"]


def test_after_closing_no_thread_is_begun(opened: Callable[..., AuditLog], place: Place) -> None:
    log = opened()
    log.close()
    log.record("ana", "late")
    assert log._thread is None
    assert told(log) == ["late"]


def test_two_writers_lose_nothing(opened: Callable[..., AuditLog], store: Failing, place: Place) -> None:
    first, second = opened(at_once=True), opened(at_once=True)
    first.record("ana", "one")
    second.record("rui", "two")
    store.before = lambda: second.record("rui", "in between")
    first.record("ana", "three")
    assert told(first) == told(second) == ["one", "two", "in between", "three"]


def test_a_writer_that_is_never_first_gives_up_and_keeps_what_waits(
    opened: Callable[..., AuditLog], store: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "CONTENTION_SECONDS", 0.05)
    monkeypatch.setattr(audit, "FLUSH_SECONDS", 60)
    attempts = []

    def another_was_first(*_: object) -> None:
        attempts.append(1)
        raise HeadMoved("the vault's head is elsewhere")

    log = opened()
    log.record("ana", "search")
    with monkeypatch.context() as patched:
        patched.setattr(store, "_append", another_was_first)
        with pytest.raises(StoreError, match="other writers kept being first") as raised:
            log.flush()
    assert raised.value.retryable
    assert len(attempts) > 1
    log.flush()
    assert told(log) == ["search"]


def test_many_threads_write_one_log(opened: Callable[..., AuditLog]) -> None:
    log = opened()
    threads = [
        threading.Thread(target=lambda: [log.record("ana", "get") for _ in range(200)] and log.flush())
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told(log)) == 800


def anew(place: Place) -> bool:
    return rekey(place.store, place.keys, "acme", audit_id(place), at=1, actor="x")


def test_the_log_goes_on_when_it_was_sealed_anew(opened: Callable[..., AuditLog], store: Failing, place: Place) -> None:
    log = opened(at_once=True)
    log.record("ana", "one")
    assert anew(place)
    log.record("ana", "two")
    store.before = lambda: anew(place)
    log.record("ana", "three")
    assert told(log) == told(opened()) == ["one", "two", "three"]
    keys, _ = find(place.store, place.keys, "acme", audit_id(place)) or (None, None)
    assert keys is not None
    assert keys.version == 3


class Late(Failing):
    """The log is sealed anew after it was looked where it ends, and before it is read."""

    reading: Callable[[], object] | None = None

    def _read(self, vault_id: bytes, after: int):  # type: ignore[no-untyped-def]
        if self.reading is not None:
            reading, self.reading = self.reading, None
            reading()
        return super()._read(vault_id, after)


def test_the_log_is_opened_again_when_it_was_sealed_anew_while_it_was_read() -> None:
    store = Late()
    place = Place(store)
    log = AuditLog(store, place.keys, "acme", lambda: 1, at_once=True)
    other = AuditLog(store, place.another_process().keys, "acme", lambda: 1, at_once=True)
    log.record("ana", "one")
    other.record("rui", "two")

    def meanwhile() -> None:
        assert anew(place)
        other.record("rui", "three")

    store.reading = meanwhile
    log.record("ana", "four")
    assert told(log) == ["one", "two", "three", "four"]


def test_a_changed_tail_is_not_written_over(opened: Callable[..., AuditLog], store: Failing, place: Place) -> None:
    log, other = opened(at_once=True), opened(at_once=True)
    log.record("ana", "one")
    other.record("ana", "two")
    rows = store._by_id[audit_id(place)].rows
    genuine, rows[1] = rows[1], type(rows[1])(2, rows[1].item_tag, rows[0].sealed, rows[1].digest)
    with pytest.raises(Tampered, match="seq 2"):
        log.record("ana", "three")
    with pytest.raises(Tampered):
        told(log)
    assert len(rows) == 2
    rows[1] = genuine
    assert told(log) == ["one", "two", "three"]


def test_a_log_that_went_back_in_time_is_refused(opened: Callable[..., AuditLog], store: Failing, place: Place) -> None:
    log = opened(at_once=True)
    log.record("ana", "one")
    log.record("ana", "two")
    gone = store._by_id[audit_id(place)].rows.pop()
    fresh = AuditLog(store, place.keys, "acme", lambda: 1)
    with pytest.raises(Tampered, match="rolled back"):
        told(fresh)
    fresh.record("ana", "three")
    with pytest.raises(Tampered, match=r"audit log .* seq 2: rolled back, the store ends before"):
        fresh.flush()
    kept = store._by_id.pop(audit_id(place))
    with pytest.raises(Tampered, match="rolled back"):
        fresh.flush()
    store._by_id[audit_id(place)] = kept
    kept.rows.append(gone)
    assert told(fresh) == ["one", "two", "three"]


def test_a_log_that_is_gone_is_not_begun_anew(opened: Callable[..., AuditLog], store: Failing, place: Place) -> None:
    opened(at_once=True).record("ana", "one")
    kept = store._by_id.pop(audit_id(place))
    fresh = AuditLog(store, place.keys, "acme", lambda: 1)
    fresh.record("ana", "two")
    with pytest.raises(Tampered, match="seq 1: rolled back"):
        fresh.flush()
    assert audit_id(place) not in store._by_id
    store._by_id[audit_id(place)] = kept
    assert told(fresh) == ["one", "two"]


def test_what_is_no_audit_entry_does_not_pass_for_one(opened: Callable[..., AuditLog], place: Place) -> None:
    log = opened(at_once=True)
    log.record("ana", "one")
    keys, _ = find(place.store, place.keys, "acme", audit_id(place)) or (None, None)
    assert keys is not None
    sealed = SealedLog(place.store, place.ring, keys)
    bodies = [body for _, body in sealed.tail()]
    assert isinstance(decode(bodies[0] or b""), Audited)
    assert next(iter(place.store.read(keys.vault_id))).item_tag == keys.item_tag(AUDIT_TAG)
    sealed.append([(bytes(16), encode(added(1)))])
    with pytest.raises(Tampered, match="seq 2: not an audit entry"):
        told(log)


def test_a_purged_audit_entry_is_no_audit_entry(opened: Callable[..., AuditLog], place: Place) -> None:
    log = opened(at_once=True)
    log.record("ana", "one")
    keys, _ = find(place.store, place.keys, "acme", audit_id(place)) or (None, None)
    assert keys is not None
    sealed = SealedLog(place.store, place.ring, keys)
    for _ in sealed.tail():
        pass
    sealed.append([(bytes(16), encode(Audited(at=1, actor="x", entries=())))], purge=[1])
    with pytest.raises(Tampered, match="seq 1: not an audit entry"):
        told(log)
