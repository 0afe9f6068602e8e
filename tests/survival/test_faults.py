"""A store or a ring that fails at any one call: a typed error, nothing lost that was acknowledged, nothing damaged."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tacita import Memory, StoreError, TacitaError
from tacita.ports.keys import KeyRing
from tacita.ports.log import LogStore
from tacita.stores.sqlite import SqliteLogStore
from tacita.stores.sqlite_ring import SqliteKeyRing

HIDDEN = {"close", "scheme", "path"}


class Failing:
    """Fails the n-th call that is made to what it wraps, before or after it took effect."""

    def __init__(self) -> None:
        self.countdown = -1
        self.after = False
        self.calls: list[str] = []

    def wrap(self, wrapped: Any, base: type) -> Any:
        failing = self

        class Wrapped(base):  # type: ignore[misc, valid-type]
            scheme = getattr(wrapped, "scheme", "")

            def __init__(self) -> None:
                pass

        def forwarded(name: str) -> Callable[..., Any]:
            method = getattr(wrapped, name)

            def call(_: Any, *args: Any, **named: Any) -> Any:
                failing.calls.append(name)
                failing.countdown -= 1
                if failing.countdown == 0 and not failing.after:
                    raise StoreError(f"injected into {name}")
                result = method(*args, **named)
                if failing.countdown == 0:
                    raise StoreError(f"injected after {name}")
                return result

            return call

        names = [name for name in dir(base) if not name.startswith("_") and name not in HIDDEN]
        names += [name for name in base.__abstractmethods__ if name not in names]  # type: ignore[attr-defined]
        body = {name: forwarded(name) for name in names if callable(getattr(base, name, None))}
        body |= {name: getattr(type(wrapped), name) for name in base.__abstractmethods__ if name not in body}  # type: ignore[attr-defined]
        body["close"] = lambda _: None
        made = type("Wrapped", (Wrapped,), body)
        return made()


@pytest.fixture
def parts(home: Path) -> Iterator[tuple[SqliteLogStore, SqliteKeyRing]]:
    Memory(home, embedder="none").close()
    store, ring = SqliteLogStore(home / "data" / "log.db"), SqliteKeyRing(home / "keys" / "ring.db")
    yield store, ring
    store.close()
    ring.close()


def script(memory: Memory, said: list[str], gone: list[str], erased: list[str]) -> None:
    """One of everything. What was acknowledged is noted at once."""
    ids = memory.add(["one", "two", "three"], user_id="ana").ids
    said += ["one", "two", "three"]
    memory.search("two", user_id="ana")
    memory.update(ids[0], "one again", user_id="ana")
    said.append("one again")
    memory.get_all(user_id="ana")
    memory.add("rui's", user_id="rui")
    memory.delete(ids[1], user_id="ana")
    gone.append("two")
    memory.history(ids[0], user_id="ana")
    list(memory.export(user_id="ana"))
    memory.stats()
    memory.erase(user_id="rui")
    erased.append("rui")
    memory.add("four", user_id="ana")
    said.append("four")
    memory.verify()
    memory.sweep()


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_every_call_site_may_fail(tmp_path: Path, after: bool, record_property: Callable[[str, object], None]) -> None:
    number, sites = 0, set()
    while True:
        number += 1
        home = tmp_path / f"home{number}"
        Memory(home, embedder="none").close()
        store, ring = SqliteLogStore(home / "data" / "log.db"), SqliteKeyRing(home / "keys" / "ring.db")
        failing = Failing()
        memory = Memory(home, store=failing.wrap(store, LogStore), ring=failing.wrap(ring, KeyRing), embedder="none")
        failing.calls.clear()
        failing.countdown, failing.after = number, after
        said: list[str] = []
        gone: list[str] = []
        erased: list[str] = []
        try:
            script(memory, said, gone, erased)
            failed = False
        except TacitaError:
            failed = True
            sites.add((failing.calls[number - 1], number))
        failing.countdown = -1
        memory.close()
        store.close()
        ring.close()
        note = failing.calls[number - 3 : number + 2]
        try:
            _check(home, said, gone, erased)
        except AssertionError as error:
            raise AssertionError(f"call {number} of {note}: {error}") from error
        if not failed and len(failing.calls) < number:
            break
        assert number < 400, failing.calls
    assert number > 30
    record_property("figure", f"{number - 1} call sites, each failed {'after' if after else 'before'} its effect")


def _check(home: Path, said: list[str], gone: list[str], erased: list[str]) -> None:
    with Memory(home, embedder="none") as memory:
        memory.sweep()
        report = memory.verify()
        assert report.ok, [problem.problem for problem in report.problems]
        kept = [item.text for item in memory.get_all(user_id="ana").items]
        missing = set(said) - set(kept) - {"one"}
        assert missing <= {"two"}, missing
        assert not set(gone) & set(kept)
        for user in erased:
            assert memory.get_all(user_id=user).total == 0


def test_a_full_disk_is_an_error_that_says_so_and_everything_before_it_stays(home: Path) -> None:
    with Memory(home, embedder="none") as memory:
        kept = memory.add("before", user_id="ana").ids[0]
        with _full(memory._engine.store), pytest.raises(StoreError, match="full"):
            _add_much(memory)
        assert memory.get(kept, user_id="ana").text == "before"
        memory.add("after", user_id="ana")
    with Memory(home, embedder="none") as memory:
        assert memory.verify().ok
        assert {"before", "after"} <= {item.text for item in memory.get_all(user_id="ana", limit=1000).items}


def _add_much(memory: Memory) -> None:
    for _ in range(200):
        memory.add("x" * 20_000, user_id="ana")


@contextlib.contextmanager
def _full(store: Any) -> Iterator[None]:
    """SQLite's own limit on pages: what it does then is what it does on a full disk."""
    database, pages = store._db, 200
    connect, made = database._connect, list(database._idle)

    def connected(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        made.append(connect(*args, **kwargs))
        return limited(made[-1], pages)

    def limited(db: sqlite3.Connection, most: int) -> sqlite3.Connection:
        db.execute(f"PRAGMA max_page_count = {most}")
        return db

    # It holds for a connection: for each that is there, and for those that come.
    database._connect = connected
    try:
        for db in list(made):
            limited(db, pages)
        yield
    finally:
        del database._connect
        for db in database._idle:
            limited(db, 1073741823)


def test_a_locked_store_says_that_trying_again_helps(home: Path) -> None:
    Memory(home, embedder="none").close()
    store = SqliteLogStore(home / "data" / "log.db", wait=0.1)
    other = sqlite3.connect(home / "data" / "log.db", isolation_level=None)
    with Memory(home, store=store, embedder="none") as memory:
        memory.add("before", user_id="ana")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as failed:
            memory.add("meanwhile", user_id="ana")
        assert failed.value.retryable
        other.execute("ROLLBACK")
        memory.add("after", user_id="ana")
        assert memory.get_all(user_id="ana").total == 2
    other.close()
    store.close()
