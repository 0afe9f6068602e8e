"""A whole memory whose data and keys are in PostgreSQL, set up as its user would."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tacita import Conflict, Memory, Tampered
from tacita.config import Settings
from tacita.hazmat import sha256
from tacita.restoring import restore_data
from tacita.rotating import rotate
from tacita.stores.postgres_setup import DATA, RING
from tacita.stores.sqlite import SqliteLogStore
from tacita.testing.log_contract import E, event

SECRET = "QUOKKA the code of the safe is four eight fifteen"


@pytest.fixture
def config(server: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A settings file that names both databases."""
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:9]
    path = tmp_path / "tacita.toml"
    path.write_text(
        f'home = "{tmp_path / "home"}"\nembedder = "none"\n'
        f'store = "{server.uri(DATA, server.schema(DATA, "data_" + name))}"\n'
        f'ring = "{server.uri(RING, server.schema(RING, "ring_" + name))}"\n'
    )
    return path


def test_everything_a_user_does(server: Any, config: Path, tmp_path: Path) -> None:
    with Memory.from_config(config) as memory:
        ids = memory.add([SECRET, "Lisbon in spring", "a third"], user_id="ana").ids
        memory.add("rui lives in Porto", user_id="rui")
        assert memory.search("safe", user_id="ana").hits[0].text == SECRET
        memory.update(ids[2], "changed", user_id="ana")
        memory.delete(ids[1], user_id="ana")
        memory.erase(user_id="rui")
        assert memory.describe()["store"] == "postgres"
        assert memory.verify(deep=True).ok
    rotated = rotate(Settings.load(config=config), None, deep=True)
    assert rotated.resealed >= 1
    with Memory.from_config(config) as memory:
        assert {item.text for item in memory.get_all(user_id="ana").items} == {SECRET, "changed"}
        assert memory.get_all(user_id="rui").total == 0
        assert memory.search("safe", user_id="ana").hits[0].text == SECRET
        memory.sweep()
        assert memory.verify(deep=True).ok
        memory.backup(tmp_path / "copy.db")
        memory.add("since the copy", user_id="ana")
        memory.delete(ids[0], user_id="ana")
        report = memory.backup(tmp_path / "copy.db", update=True)
        assert report.written >= 1
        kept = {head.vault_id: head for head in memory._parts.store.vaults()}
    copy = SqliteLogStore(tmp_path / "copy.db", is_copy=True)
    assert {head.vault_id for head in copy.vaults()} == kept.keys()
    copy.close()
    dumped = subprocess.run(
        [server.programs / "pg_dump", "-h", server.folder, "-p", str(server.port), "-U", "postgres", "tacita"],
        capture_output=True,
        check=True,
        **server.account,
        cwd=server.folder,
    ).stdout
    logged = (server.folder / "log").read_bytes()
    for form in (b"QUOKKA", b"QUOKKA".hex().encode(), b"Lisbon", b"Lisbon".hex().encode(), b"ana"):
        assert form not in dumped
        assert form not in logged


def test_a_copy_comes_back_and_nothing_goes_back_in_time_unasked(server: Any, config: Path, tmp_path: Path) -> None:
    settings = Settings.load(config=config)
    with Memory.from_config(config) as memory:
        memory.add(["one", "two"], user_id="ana")
        memory.add("rui is erased later", user_id="rui")
        memory.backup(tmp_path / "copy.db")
        memory.add("since", user_id="ana")
        memory.erase(user_id="rui")
        memory.add("made since", user_id="eva")
    with pytest.raises(Conflict, match="back in time"):
        restore_data(settings, tmp_path / "copy.db")
    with Memory.from_config(config) as memory:
        assert memory.get_all(user_id="ana").total == 3
    report = restore_data(settings, tmp_path / "copy.db", accept_rollback=True)
    assert (report.erased, report.rolled_back >= 2) == (1, True)
    with Memory.from_config(config) as memory:
        assert {item.text for item in memory.get_all(user_id="ana").items} == {"one", "two"}
        assert memory.get_all(user_id="rui").total == 0
        assert memory.get_all(user_id="eva").total == 0
        assert memory.verify(deep=True).ok
        memory.add("and on", user_id="ana")
        assert "restore" in {entry["operation"] for entry in memory.audit()}


def test_edits_behind_its_back_are_noticed(server: Any, config: Path) -> None:
    with Memory.from_config(config) as memory:
        memory.add(["one", "two", "three"], user_id="ana")
        schema = memory._parts.store._schema
    vault = f"(SELECT vault_id FROM {schema}.vaults ORDER BY head_seq DESC, vault_id LIMIT 1)"
    server.execute(f"CREATE TABLE public.kept AS SELECT * FROM {schema}.log WHERE vault_id = {vault}")
    try:
        for tamper in (
            f"UPDATE {schema}.log SET sealed = sealed || '\\x00' WHERE vault_id = {vault} AND seq = 2",
            f"DELETE FROM {schema}.log WHERE vault_id = {vault} AND seq = 2",
            f"UPDATE {schema}.log SET sealed = NULL WHERE vault_id = {vault} AND seq = 2",
            f"DELETE FROM {schema}.log WHERE vault_id = {vault} AND seq = 3",
        ):
            server.execute(tamper)
            with Memory.from_config(config) as memory, pytest.raises(Tampered):
                memory.get_all(user_id="ana")
            server.execute(f"DELETE FROM {schema}.log WHERE vault_id = {vault}")
            server.execute(f"INSERT INTO {schema}.log SELECT * FROM public.kept")
        with Memory.from_config(config) as memory:
            assert memory.get_all(user_id="ana").total == 3
    finally:
        server.execute("DROP TABLE public.kept")


def test_threads_and_memories_share_a_vault(server: Any, config: Path) -> None:
    with Memory.from_config(config) as one, Memory.from_config(config) as other:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: (one, other)[n % 2].add(f"said {n}", user_id="ana"), range(40)))
        for memory in (one, other):
            texts = {item.text for item in memory.get_all(user_id="ana", limit=100).items}
            assert texts == {f"said {n}" for n in range(40)}


FORKING = """
import os, sys
from tacita import Memory, StoreError
memory = Memory.from_config(sys.argv[1])
memory.add([f"before the fork {n}" for n in range(100)], user_id="ana")
store, ring = memory._parts.store, memory._parts.ring
longest = max(store.vaults(), key=lambda head: head.seq)
reader = store.read(longest.vault_id)
next(reader)
child = os.fork()
if child == 0:
    refused = 0
    for use in (lambda: next(store.vaults()), lambda: ring.setting("x"), store.size):
        try:
            use()
        except StoreError as error:
            refused += "after fork" in str(error)
    del reader
    store.close()
    ring.close()
    own = Memory.from_config(sys.argv[1])
    own.add("from the child", user_id="ana")
    own.close()
    sys.stderr.flush()
    sys.exit(0 if refused == 3 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
memory.add("after the fork", user_id="ana")
assert memory.get_all(user_id="ana").total == 102
assert len(list(reader)) == longest.seq - 1, "the child left the view that was being read alone"
memory.close()
print("fine")
"""


def test_a_forked_child_is_refused_and_the_parent_goes_on(server: Any, config: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", FORKING, str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "fine\n"), ran.stderr
    # Only that the root key lies on the same disk.
    assert ran.stderr.count("\n") == 1, ran.stderr


@pytest.mark.slow
def test_fifty_thousand_vaults(server: Any, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    store = server.log("fifty thousand", pool="16")
    ids = sorted(sha256(number.to_bytes(4)) for number in range(50_000))

    def fill(begin: int) -> None:
        for vault_id in ids[begin::16]:
            store.append(vault_id, 0, [event(1, 400)], epoch=E)

    with ThreadPoolExecutor(16) as pool:
        begun = time.monotonic()
        list(pool.map(fill, range(16)))
        filled = time.monotonic() - begun
    begun = time.monotonic()
    assert [head.vault_id for head in store.vaults()] == ids
    listed = time.monotonic() - begun
    times = []
    for vault_id in ids[::500]:
        begun = time.perf_counter()
        store.append(vault_id, 1, [event(2, 400)], epoch=E)
        assert len(list(store.read(vault_id))) == 2
        times.append(time.perf_counter() - begun)
    begun = time.monotonic()
    store.backup(tmp_path / "copy.db")
    copied = time.monotonic() - begun
    copy = SqliteLogStore(tmp_path / "copy.db", is_copy=True)
    assert sum(1 for _ in copy.vaults()) == 50_000
    copy.close()
    store.close()
    figure = {"filled": f"{50_000 / filled:.0f}/s", "listed": f"{listed:.2f} s", "copied": f"{copied:.0f} s"}
    figure["add and read"] = f"{sorted(times)[50] * 1000:.2f} ms"
    record_property("figure", json.dumps(figure))
