"""A memory goes from files to a real PostgreSQL server and back, and nothing readable is ever in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tacita import Memory, Moved
from tacita.config import Settings
from tacita.errors import StoreError
from tacita.migrating import migrate
from tacita.ports.keys import KeyRing
from tacita.ports.log import LogStore
from tacita.stores.postgres_setup import DATA, RING
from tacita.stores.sqlite import SqliteLogStore
from tacita.stores.sqlite_ring import SqliteKeyRing
from tacita.testing.canary import found_in, found_under
from tacita.vault import moved

EXAMPLES = int(os.environ.get("TACITA_MIGRATE_EXAMPLES", "6"))
CANARY = "marmaladecanary"
PEOPLE = ("ana", "rui", "zoe")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moved, "GRACE", 0.3)
    monkeypatch.setattr(moved, "ASK_AFTER", 0.05)


def uris(server: Any, name: str) -> tuple[str, str]:
    return (
        server.uri(DATA, server.schema(DATA, f"mig_log_{name}")),
        server.uri(RING, server.schema(RING, f"mig_ring_{name}")),
    )


def at(home: Path, place: tuple[str, str] | None = None) -> Settings:
    return Settings.load(
        home=home, config={"embedder": "none", **({"store": place[0], "ring": place[1]} if place else {})}
    )


def rows(log: LogStore) -> dict[bytes, list[Any]]:
    return {each.vault_id: list(log.read(each.vault_id)) for each in log.vaults()}


def keys(ring: KeyRing) -> tuple[list[Any], list[bytes], list[tuple[str, bytes]]]:
    return list(ring.entries()), list(ring.tombstones()), [each for each in ring.settings() if each[0] != "moved"]


def test_there_and_back(server: Any, home: Path, tmp_path: Path) -> None:
    place = uris(server, "back")
    with Memory(settings=at(home)) as memory:
        for person in PEOPLE:
            memory.add([f"{CANARY} of {person} {number}" for number in range(40)], user_id=person)
        memory.erase(user_id="zoe")
        before = {person: [item.to_dict() for item in memory.get_all(user_id=person).items] for person in PEOPLE}
    source = SqliteLogStore(home / "data" / "log.db"), SqliteKeyRing(home / "keys" / "ring.db")
    was = rows(source[0]), keys(source[1])
    report = migrate(at(home), *place, shred_source=True)
    assert (report.vaults, report.opened, report.tombstones) == (3, 3, 1)
    assert report.shredded is not None
    assert report.shredded.keys == 3
    assert report.target.startswith("postgres 127.0.0.1:")
    assert not rows(source[0])
    for each in source:
        each.close()
    with Memory(settings=at(home, place)) as memory:
        assert {
            person: [item.to_dict() for item in memory.get_all(user_id=person).items] for person in PEOPLE
        } == before
        assert memory.verify(deep=True).ok
    tables = [
        str(server.execute(f"SELECT * FROM {schema}.{table}"))
        for schema, layout in (("mig_log_back", DATA), ("mig_ring_back", RING))
        for table in layout.tables
    ]
    # bytea comes as bytes, whose repr shows letters as letters.
    assert not list(found_in(" ".join(tables).encode(), [CANARY]))
    assert not found_under(home, [CANARY])
    back = (f"sqlite:{tmp_path / 'back' / 'log.db'}", f"sqlite:{tmp_path / 'back' / 'ring.db'}")
    (tmp_path / "back").mkdir(mode=0o700)
    migrate(at(home, place), *back)
    now = SqliteLogStore(tmp_path / "back" / "log.db"), SqliteKeyRing(tmp_path / "back" / "ring.db")
    # The audit log went on; everything else is what it was, byte by byte.
    grown = [vault for vault, each in rows(now[0]).items() if each != was[0][vault]]
    assert len(grown) == 1
    assert rows(now[0])[grown[0]][: len(was[0][grown[0]])] == was[0][grown[0]]
    entries, *others = keys(now[1])
    assert [each for each in entries if each.vault_id not in grown] == [
        each for each in was[1][0] if each.vault_id not in grown
    ]
    assert others == [*was[1][1:]]
    with Memory(settings=at(home, back)) as memory:
        assert {
            person: [item.to_dict() for item in memory.get_all(user_id=person).items] for person in PEOPLE
        } == before


def test_under_writers_nothing_is_lost_and_nobody_comes_back(server: Any, home: Path) -> None:
    place = uris(server, "live")
    memory = Memory(settings=at(home))
    memory.add([f"early {number}" for number in range(200)], user_id="ana")
    kept, erased, done = list[str](), set[int](), Event()

    def write() -> None:
        for number in range(100_000):
            try:
                kept.extend(memory.add(f"late {number}", user_id="ana").ids)
                memory.add("short", user_id=f"guest {number}")
                memory.erase(user_id=f"guest {number}")
                erased.add(number)
            except Moved:
                break
        done.set()

    thread = Thread(target=write)
    thread.start()
    time.sleep(0.3)
    migrate(at(home), *place)
    assert done.wait(10)
    thread.join()
    memory.close()
    with Memory(settings=at(home, place)) as there:
        assert there.verify().ok
        assert set(kept) <= {item.id for item in there.get_all(user_id="ana", limit=1_000).items}
        assert kept
        assert all(there.get_all(user_id=f"guest {number}").total == 0 for number in erased)


def test_a_server_that_is_not_there(server: Any, home: Path) -> None:
    with Memory(settings=at(home)) as memory:
        memory.add("one", user_id="ana")
    place = uris(server, "away")
    with pytest.raises(StoreError):
        migrate(at(home), place[0].replace(f":{server.port}/", ":1/"), place[1])
    with Memory(settings=at(home)) as memory:
        assert memory.verify().ok
        assert not [each for each in memory.audit() if each["operation"] == "migrate_store"]


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "migrate-store.md"
ENDS = {"--reopen": 5}
"""Exit codes that are not 0: on the page's way, what would be reopened was destroyed before."""


@pytest.mark.slow
def test_the_how_to_says_what_works(server: Any, home: Path, tmp_path: Path) -> None:
    """Every command of the page, in its order; only the addresses are this test's."""
    place = uris(server, "page")
    text = PAGE.read_text()
    for said, meant in zip(re.findall(r"postgres://[^'\"\n]+", text)[:2], place, strict=True):
        text = text.replace(said, meant)
    blocks = re.findall(r"^```(console|toml)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    with Memory(settings=at(home)) as memory:
        memory.add("kept", user_id="ana")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    config, ran = tmp_path / "config.toml", []
    for kind, block in blocks:
        if kind == "toml":
            config.write_text(block)
            continue
        for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
            if name := re.fullmatch(r"export (\w+)='(.*)'", command):
                environment[name[1]] = name[2]
                continue
            # "Change them": the settings from before are meant wherever the page moves something.
            new = config.exists() and "migrate-store" not in command
            more = {"TACITA_CONFIG": str(config)} if new else {}
            done = subprocess.run(["bash", "-c", command], env=environment | more, capture_output=True, check=False)
            assert done.returncode == next((code for word, code in ENDS.items() if word in command), 0), done.stderr
            ran.append(command.split()[1])
    assert ran == ["migrate-store", "migrate-store", "verify", "migrate-store", "migrate-store"]
    with Memory(settings=at(home, place)) as memory:
        assert [item.text for item in memory.get_all(user_id="ana").items] == ["kept"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(PEOPLE), st.text(min_size=1, max_size=40).filter(str.strip)),
        st.tuples(st.just("delete"), st.sampled_from(PEOPLE), st.just("")),
        st.tuples(st.just("update"), st.sampled_from(PEOPLE), st.text(min_size=1, max_size=40).filter(str.strip)),
        st.tuples(st.just("erase"), st.sampled_from(PEOPLE), st.just("")),
        st.tuples(st.just("read"), st.sampled_from(PEOPLE), st.just("")),
    ),
    max_size=14,
)


@pytest.mark.slow
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=STEPS, after=STEPS)
def test_any_history_arrives_and_goes_on(
    server: Any, before: list[tuple[str, str, str]], after: list[tuple[str, str, str]]
) -> None:
    """What is told after a history with a move in the middle is what is told without one."""
    with TemporaryDirectory() as folder:
        name = os.urandom(6).hex()
        home, place = Path(folder) / "home", uris(server, name)
        with Memory(settings=at(home)) as memory:
            run(memory, before)
            expected = told(memory)
        report = migrate(at(home), *place)
        assert report.opened == report.vaults
        with Memory(settings=at(home, place)) as memory:
            assert told(memory) == expected
            run(memory, after)
            assert memory.verify().ok
            expected = told(memory)
        back = (f"sqlite:{folder}/back/log.db", f"sqlite:{folder}/back/ring.db")
        migrate(at(home, place), *back)
        with Memory(settings=at(home, back)) as memory:
            assert told(memory) == expected
            assert memory.verify(deep=True).ok


def run(memory: Memory, steps: list[tuple[str, str, str]]) -> None:
    for what, person, text in steps:
        items = memory.get_all(user_id=person).items
        if what == "add":
            memory.add(text, user_id=person)
        elif what == "erase":
            memory.erase(user_id=person)
        elif items and what == "delete":
            memory.delete(items[0].id, user_id=person)
        elif items and what == "update":
            memory.update(items[0].id, text=text, user_id=person)


def told(memory: Memory) -> Any:
    read: Callable[[str], Any] = lambda person: memory.get_all(user_id=person, limit=1_000).items  # noqa: E731
    return {
        person: [
            (item.to_dict(), [change.to_dict() for change in memory.history(item.id, user_id=person)])
            for item in read(person)
        ]
        for person in PEOPLE
    }
