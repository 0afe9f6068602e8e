"""Another key for every vault, under live reads and writes: the log is sealed anew, nothing of before opens any more."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tacita import KeyUnavailable, Memory, NotFound, Tampered
from tacita.config import Settings
from tacita.errors import StoreError
from tacita.items import RotateReport
from tacita.restoring import restore_data
from tacita.rotating import rotate
from tacita.sealed import Anchor
from tacita.stores.sqlite import SqliteLogStore
from tacita.stores.sqlite_ring import SqliteKeyRing
from tacita.testing.tampering import editable
from tacita.vault import rekey

KILLS = int(os.environ.get("TACITA_FORGET_KILLS", "60"))


def opened(home: Path) -> Memory:
    return Memory(home, embedder="none")


def rotated(home: Path) -> RotateReport:
    return rotate(Settings.load(home=home), None, deep=True)


@pytest.fixture
def filled(home: Path) -> Path:
    """Users with what a log can hold: versions, holes, metadata, an idempotency key."""
    with opened(home) as memory:
        for user in ("ana", "rui"):
            first = memory.add([f"{user} said {number}" for number in range(30)], user_id=user).ids
            memory.update(first[3], f"{user} corrected 3", user_id=user)
            memory.delete(first[4], user_id=user)
            memory.add("once", user_id=user, idempotency_key="k1")
            memory.add("with metadata", user_id=user, metadata={"ward": 7})
    return home


def told(home: Path) -> dict[str, list[dict[str, Any]]]:
    with opened(home) as memory:
        report = memory.verify()
        assert report.ok, report.problems
        return {user: list(memory.export(user_id=user))[1:] for user in ("ana", "rui")}


def ciphertexts(home: Path) -> set[bytes]:
    db = editable(home / "data" / "log.db")
    found = {sealed for (sealed,) in db.execute("SELECT sealed FROM log WHERE sealed NOT NULL")}
    db.close()
    return found


def test_everything_is_the_same_and_nothing_of_before_is_left(filled: Path) -> None:
    before, sealed = told(filled), ciphertexts(filled)
    with opened(filled) as memory:
        wrapped = {entry.wrapped for entry in memory._engine.keys.ring.entries()}
    assert rotated(filled).resealed == 3  # two users and the audit log
    assert told(filled) == before
    files = b"".join(path.read_bytes() for path in filled.rglob("*") if path.is_file())
    assert not [blob for blob in sealed | wrapped if blob in files]
    with opened(filled) as memory:
        entries = list(memory._engine.keys.ring.entries())
        assert {entry.key_version for entry in entries} == {2}
        again = memory.add("once", user_id="ana", idempotency_key="k1")
        assert again.ids[0] in {each["id"] for each in before["ana"]}, "an idempotency key is known for ever"
        assert memory.search("corrected", user_id="rui").hits[0].text == "rui corrected 3"
        with pytest.raises(NotFound):
            memory.get("0" * 26, user_id="rui")
        assert "rotate_deep" in {each["operation"] for each in memory.audit()}
    assert rotated(filled).resealed == 3
    assert {user: len(items) for user, items in told(filled).items()} == {"ana": 31, "rui": 31}
    with opened(filled) as memory:
        again = memory.add("once", user_id="ana", idempotency_key="k1")
        assert again.ids[0] in {each["id"] for each in before["ana"]}


def test_a_memory_that_was_open_before_goes_on(filled: Path) -> None:
    with opened(filled) as memory:
        ids = {item.text: item.id for item in memory.get_all(user_id="ana", limit=100).items}
        rotated(filled)
        assert memory.search("corrected", user_id="ana").hits[0].text == "ana corrected 3"
        assert [each.text for each in memory.history(ids["ana corrected 3"], user_id="ana")][-1] == "ana corrected 3"
        rotated(filled)
        assert [each.text for each in memory.history(ids["ana corrected 3"], user_id="ana")][-1] == "ana corrected 3"
        rotated(filled)
        memory.update(ids["ana said 5"], "ana corrected 5", user_id="ana")
        rotated(filled)
        memory.delete(ids["ana said 6"], user_id="ana")
        memory.add("and more", user_id="ana")
        assert memory.verify().ok
    assert {"ana corrected 5", "and more"} <= {each["text"] for each in told(filled)["ana"]}


def test_under_live_reads_writes_and_erasures(filled: Path) -> None:
    stop, failures, added = Event(), list[BaseException](), [0, 0, 0]

    def work(number: int) -> None:
        try:
            with opened(filled) as memory:
                while not stop.is_set():
                    memory.add(f"live {number} {added[number]}", user_id="ana")
                    added[number] += 1
                    assert memory.search("rui said 9", user_id="rui").hits
                    memory.add("short", user_id=f"gone-{number}")
                    memory.erase(user_id=f"gone-{number}")
                    assert not memory.get_all(user_id=f"gone-{number}").items
        except BaseException as error:  # noqa: BLE001  shown below
            failures.append(error)

    threads = [Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    turns = 0
    while not failures and (turns < 6 or min(added) < 10):
        assert rotated(filled).resealed >= 3
        turns += 1
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
    texts = [each["text"] for each in told(filled)["ana"]]
    for number, count in enumerate(added):
        assert {f"live {number} {turn}" for turn in range(count)} <= set(texts)
    assert len(texts) == len(set(texts))


@contextmanager
def before_its_next_read(memory: Memory, act: Callable[[], object]) -> Iterator[None]:
    """Once `memory` has asked which key a log is under, and before it reads that log, `act` is done."""
    store = memory._engine.store
    read, done = store.read, list[object]()

    def late(*given: Any, **named: Any) -> Any:
        if not done:
            done.append(None)
            act()
        return read(*given, **named)

    store.read = late  # type: ignore[method-assign]
    try:
        yield
    finally:
        store.read = read  # type: ignore[method-assign]
    assert done, "it did not read"


def test_sealed_anew_while_it_is_opened(filled: Path) -> None:
    with opened(filled) as memory, before_its_next_read(memory, lambda: rotated(filled)):
        assert memory.search("corrected", user_id="ana").hits[0].text == "ana corrected 3"


def test_sealed_anew_while_others_events_are_read(filled: Path) -> None:
    with opened(filled) as memory, opened(filled) as other:
        assert memory.get_all(user_id="ana", limit=100).total == 31
        other.add("a telescope", user_id="ana")
        with before_its_next_read(memory, lambda: rotated(filled)):
            assert memory.search("telescope", user_id="ana").hits[0].text == "a telescope"
        memory.add("a violin", user_id="ana")
        assert other.search("violin", user_id="ana").hits[0].text == "a violin"
    assert len(told(filled)["ana"]) == 33


def test_sealed_anew_twice_while_the_first_time_is_followed(filled: Path) -> None:
    with opened(filled) as memory:
        assert memory.get_all(user_id="ana", limit=100).total == 31
        rotated(filled)
        with before_its_next_read(memory, lambda: rotated(filled)):
            assert memory.search("corrected", user_id="ana").hits[0].text == "ana corrected 3"
        assert memory.verify().ok


def test_what_was_changed_after_it_was_sealed_anew_is_refused_under_an_open_vault(filled: Path) -> None:
    with opened(filled) as memory:
        assert memory.get_all(user_id="ana", limit=100).total == 31
        rotated(filled)
        with editable(filled / "data" / "log.db") as db:
            db.execute("UPDATE log SET digest = zeroblob(32) WHERE key & 0xffffffff = 7")
        db.close()
        for _ in range(2):
            with pytest.raises(Tampered, match="seq 7"):
                memory.search("corrected", user_id="ana")


def test_erased_while_it_is_opened(filled: Path) -> None:
    def erase() -> None:
        with opened(filled) as other:
            other.erase(user_id="ana")

    with opened(filled) as memory:
        with before_its_next_read(memory, erase), pytest.raises(KeyUnavailable, match="erased"):
            memory.search("corrected", user_id="ana")
        assert not memory.search("corrected", user_id="ana").hits


def test_erased_and_sealed_anew_while_it_is_opened(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealed anew when it looked whether its keys are the present ones, and gone when it looked for others."""
    with opened(filled) as memory:
        find, looks = rekey.find, itertools.count()

        def gone(*given: Any) -> Any:
            return find(*given) if next(looks) == 0 else None

        monkeypatch.setattr(rekey, "find", gone)
        late = before_its_next_read(memory, lambda: rotated_by_itself(filled))
        with late, pytest.raises(KeyUnavailable, match="erased"):
            memory.search("corrected", user_id="ana")


def rotated_by_itself(home: Path) -> None:
    program = (
        "import sys; from tacita.config import Settings; from tacita.rotating import rotate; "
        "rotate(Settings.load(home=sys.argv[1]), None, deep=True)"
    )
    subprocess.run([sys.executable, "-c", program, str(home)], check=True)


def test_what_is_erased_while_it_is_read_is_nothing(filled: Path) -> None:
    with opened(filled) as memory:
        engine = memory._engine
        vault_id = engine.keys.vault_id("default", "user", "ana")

        def read(_keys: object, _anchor: object) -> None:
            with opened(filled) as other:
                other.erase(user_id="ana")
            raise Tampered("half of it was gone")

        assert rekey.steadily(engine.store, engine.keys, "default", vault_id, read) is None


@pytest.mark.parametrize("reader", ["search", "add", "verify", "rotate", "erase", "audit"])
def test_whoever_comes_after_a_crash_between_store_and_ring_finishes_it(
    filled: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    before = told(filled)

    def broken(*_: object) -> bool:
        raise StoreError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr(SqliteKeyRing, "promote", broken)
        for _ in range(2):
            with pytest.raises(StoreError, match="the power went"):
                rotated(filled)
    with opened(filled) as memory:
        waiting = list(memory._engine.keys.ring.successors())
        assert len(waiting) == 1, "the first vault in order"
        match reader:
            case "search":
                assert memory.search("said", user_id="ana").hits
                assert memory.search("said", user_id="rui").hits
            case "add":
                memory.add("more", user_id="ana")
                memory.add("more", user_id="rui")
            case "verify":
                assert memory.verify().ok
            case "rotate":
                assert rotate(Settings.load(home=filled), "file:another.key").left == 0
                assert not rotate(Settings.load(home=filled), None).previous
                (filled / "keys" / "root.key").unlink()
            case "erase":
                memory.erase(user_id="ana")
                memory.erase(user_id="rui")
                assert not memory.get_all(user_id="ana").items
            case _:
                assert list(memory.audit())
        if reader not in ("search", "add"):  # it may have been the audit log, which is written later
            assert not list(memory._engine.keys.ring.successors())
    if reader not in ("add", "erase"):
        assert told(filled) == before


def test_an_older_copy_is_noise_and_says_so(filled: Path, tmp_path: Path) -> None:
    with opened(filled) as memory:
        memory.backup(tmp_path / "old.db")
    rotated(filled)
    now = told(filled)
    with pytest.raises(Tampered, match="old copy from before `rotate --deep`"):
        restore_data(Settings.load(home=filled), tmp_path / "old.db", accept_rollback=True)
    assert told(filled) == now


def test_a_log_that_was_cut_before_its_key_took_over_is_refused(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bool:
        raise StoreError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr(SqliteKeyRing, "promote", broken)
        with pytest.raises(StoreError):
            rotated(filled)
    with opened(filled) as memory:
        (waiting,) = memory._engine.keys.ring.successors()
    db = editable(filled / "data" / "log.db")
    (no, head) = db.execute("SELECT no, head_seq FROM vaults WHERE vault_id = ?", (waiting.vault_id,)).fetchone()
    db.execute("DELETE FROM log WHERE key = ?", (no << 32 | head,))
    db.execute("UPDATE vaults SET head_seq = head_seq - 1 WHERE no = ?", (no,))
    db.commit()
    db.close()
    with opened(filled) as memory:
        problems = memory.verify().problems
        assert [problem.vault for problem in problems] == [waiting.vault_id.hex()[:12]]
        assert "sealed anew, but not to the end" in problems[0].problem
        assert list(memory._engine.keys.ring.successors()) == [waiting], "the key that took over nothing stays"


def test_an_epoch_that_nobody_knows_is_refused(filled: Path) -> None:
    db = editable(filled / "data" / "log.db")
    db.execute("UPDATE vaults SET epoch = randomblob(16)")
    db.commit()
    db.close()
    with opened(filled) as memory:
        with pytest.raises(Tampered, match="key ring does not hold"):
            memory.search("said", user_id="ana")
        assert len(memory.verify().problems) >= 2


def test_a_home_from_before_there_were_epochs(filled: Path) -> None:
    """Its files are brought up to date when they are opened."""
    before = told(filled)
    db = editable(filled / "data" / "log.db")
    db.execute("ALTER TABLE vaults DROP COLUMN epoch")
    db.execute("PRAGMA user_version=1")
    db.commit()
    db.close()
    db = sqlite3.connect(filled / "keys" / "ring.db")
    db.execute("DROP TABLE successors")
    db.execute("PRAGMA user_version=1")
    db.commit()
    db.close()
    assert told(filled) == before
    with opened(filled) as memory:
        memory.add("more", user_id="ana")
        memory.erase(user_id="rui")
    assert rotated(filled).resealed == 2
    assert len(told(filled)["ana"]) == len(before["ana"]) + 1


def test_an_anchor_that_comes_late_changes_nothing(filled: Path) -> None:
    with opened(filled) as memory:
        late = [(entry.vault_id, entry.anchor) for entry in memory._engine.keys.ring.entries()]
        rotated(filled)
        for vault_id, anchor in late:
            memory._engine.keys.ring.advance(vault_id, Anchor(anchor.seq, anchor.chain))
        assert memory.verify().ok


CODE = (
    "import sys; from tacita.config import Settings; from tacita.rotating import rotate; print('go', flush=True)\n"
    "while True: rotate(Settings.load(home=sys.argv[1]), None, deep=True)"
)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_kill_9_while_sealing_anew(filled: Path, record_property: Callable[[str, object], None]) -> None:
    before = told(filled)
    versions = set[int]()
    for number in range(KILLS):
        worker = subprocess.Popen(
            [sys.executable, "-c", CODE, str(filled)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"go\n"
        time.sleep(0.012 * (number % 40))
        worker.kill()
        worker.communicate()
        assert told(filled) == before
        with opened(filled) as memory:
            versions |= {entry.key_version for entry in memory._engine.keys.ring.entries()}
    assert len(versions) > KILLS // 6, "the kills came before anything was done"
    record_property(
        "figure", f"{KILLS} kills, {max(versions)} keys one after the other, every vault opens and is equal"
    )


def test_erased_while_it_waits(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> int:
        raise StoreError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr(SqliteLogStore, "replace", broken)
        with pytest.raises(StoreError):
            rotated(filled)
    with opened(filled) as memory:
        assert list(memory._engine.keys.ring.successors())
        memory.erase(user_id="ana")
        memory.erase(user_id="rui")
        left = list(memory._engine.keys.ring.successors())
        for entry in left:
            assert memory._engine.keys.whose(entry)[1] == "audit"
    assert rotated(filled).resealed == 1
    with opened(filled) as memory:
        assert not list(memory._engine.keys.ring.successors())
