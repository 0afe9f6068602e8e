"""A memory goes to another store: everything arrives, nothing comes back from the dead, nobody goes on in the old place."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tacita import Memory
from tacita._home import make_key_file
from tacita.config import Settings
from tacita.errors import ConfigError, Conflict, InvalidInput, KeyUnavailable, Moved, StoreError, TacitaError, Tampered
from tacita.flows import moving
from tacita.keys.file import open_file
from tacita.migrating import migrate, reopen
from tacita.ports.keys import KeyRing
from tacita.ports.log import LogStore
from tacita.rotating import rotate
from tacita.sealed import moved as moved_row
from tacita.stores.following import follow
from tacita.stores.memory_ring import MemoryKeyRing
from tacita.stores.sqlite import SqliteLogStore
from tacita.stores.sqlite_ring import SqliteKeyRing
from tacita.surfaces.cli import app
from tacita.testing.ring_load import A, entry
from tacita.vault import moved
from tacita.vault.keyring import Keys
from tacita.vault.moved import Fence, Mark


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moved, "GRACE", 0.3)
    monkeypatch.setattr(moved, "ASK_AFTER", 0.05)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """URIs of a store and a ring in a private folder that is empty."""
    folder = tmp_path / "new"
    folder.mkdir(mode=0o700)
    return f"sqlite:{folder / 'log.db'}", f"sqlite:{folder / 'ring.db'}"


def at(home: Path, place: tuple[str, str] | None = None) -> Settings:
    config = {"embedder": "none", **({} if place is None else {"store": place[0], "ring": place[1]})}
    return Settings.load(home=home, config=config)


def filled(home: Path) -> None:
    with Memory(settings=at(home)) as memory:
        memory.add(["ana one", "ana two", "ana three"], user_id="ana")
        gone = memory.add("to be deleted", user_id="ana").ids
        memory.delete(gone[0], user_id="ana")
        memory.consent(models=True, user_id="ana")
        memory.add("rui one", user_id="rui")
        memory.hold(on=True, reason="a case", user_id="rui")
        memory.add("zoe was here", user_id="zoe")
        memory.erase(user_id="zoe")
        memory.add("comes back", user_id="kim")
        memory.erase(user_id="kim")
        memory.add("came back", user_id="kim")


def told(memory: Memory) -> dict[str, object]:
    """All that a caller can learn of a memory."""
    people = ("ana", "rui", "zoe", "kim")
    return {
        "items": {who: [item.to_dict() for item in memory.get_all(user_id=who, limit=100).items] for who in people},
        "history": {
            item.id: [change.to_dict() for change in memory.history(item.id, user_id="ana")]
            for item in memory.get_all(user_id="ana").items
        },
        "consent": memory.consent(user_id="ana"),
        "held": memory.hold(user_id="rui").to_dict(),
        "receipt_key": memory.receipt_key(),
    }


def same(mine: tuple[LogStore, KeyRing], other: tuple[LogStore, KeyRing]) -> bool:
    """Whether two places hold the same, row by row and key by key; the audit log apart, which goes on."""

    def rows(log: LogStore, ring: KeyRing) -> dict[bytes, list[object]]:
        return {each.vault_id: list(log.read(each.vault_id)) for each in log.vaults()}

    mine_rows, other_rows = rows(*mine), rows(*other)
    grown = [vault for vault, each in mine_rows.items() if each != other_rows.get(vault)]
    assert mine_rows.keys() == other_rows.keys()
    assert len(grown) <= 1
    assert all(other_rows[vault][: len(mine_rows[vault])] == mine_rows[vault] for vault in grown)
    settings = [[each for each in ring.settings() if each[0] != "moved"] for _, ring in (mine, other)]
    keys = [[each for each in ring.entries() if each.vault_id not in grown] for _, ring in (mine, other)]
    tombstones = [list(ring.tombstones()) for _, ring in (mine, other)]
    return settings[0] == settings[1] and keys[0] == keys[1] and tombstones[0] == tombstones[1]


_LOOKED_INTO = list[LogStore | KeyRing]()


@pytest.fixture(autouse=True)
def _closed_after() -> Iterator[None]:
    yield
    while _LOOKED_INTO:
        _LOOKED_INTO.pop().close()


def sides(home: Path, place: tuple[str, str] | None) -> tuple[SqliteLogStore, SqliteKeyRing]:
    paths = (home / "data" / "log.db", home / "keys" / "ring.db")
    if place is not None:
        paths = (Path(place[0].removeprefix("sqlite:")), Path(place[1].removeprefix("sqlite:")))
    log, ring = SqliteLogStore(paths[0]), SqliteKeyRing(paths[1])
    _LOOKED_INTO.extend((log, ring))
    return log, ring


def test_everything_arrives_and_the_old_place_is_refused(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    with Memory(settings=at(home)) as memory:
        before = told(memory)
    report = migrate(at(home), *place)
    assert report.done
    assert report.opened == report.vaults == 4, "ana, rui, kim and the audit log"
    assert (report.keys, report.tombstones, report.rounds) == (4, 1, 2)
    assert report.source.endswith("log.db")
    assert same(sides(home, None), sides(home, place))
    with Memory(settings=at(home, place)) as memory:
        assert told(memory) == before
        assert memory.verify(deep=True).ok
        assert [each["operation"] for each in memory.audit()].count("migrate_store") == 1
        memory.add("rui two", user_id="rui")
    with pytest.raises(
        Moved, match=r"was moved to sqlite .*new/log.db, its keys to sqlite .*ring.db: change the settings"
    ):
        Memory(settings=at(home))
    with pytest.raises(Moved):
        rotate(at(home), "file:other.key")


def test_it_comes_back_as_it_was(home: Path, place: tuple[str, str], tmp_path: Path) -> None:
    filled(home)
    with Memory(settings=at(home)) as memory:
        before = told(memory)
    migrate(at(home), *place)
    back = (f"sqlite:{tmp_path / 'back' / 'log.db'}", f"sqlite:{tmp_path / 'back' / 'ring.db'}")
    (tmp_path / "back").mkdir(mode=0o700)
    migrate(at(home, place), *back)
    assert same(sides(home, place), sides(home, back))
    with Memory(settings=at(home, back)) as memory:
        assert told(memory) == before
        assert memory.verify().ok


def test_the_ring_may_stay(home: Path, place: tuple[str, str], tmp_path: Path) -> None:
    filled(home)
    with Memory(settings=at(home)) as memory:
        before = told(memory)
    here = Settings.load(home=home, config={"embedder": "none", "store": place[0]})
    report = migrate(at(home), place[0])
    assert report.ring == ""
    with pytest.raises(Moved, match=r"its log was moved to sqlite .*new/log.db: change the setting `store`"):
        Memory(settings=at(home))
    with Memory(settings=here) as memory:
        assert told(memory) == before
        assert memory.verify().ok
        memory.add("goes on", user_id="ana")
    with pytest.raises(Conflict, match="the key ring goes with"):
        reopen(at(home))
    # On to a third place; the first two stay closed whatever happens.
    third = f"sqlite:{tmp_path / 'new' / 'third.db'}"
    migrate(here, third)
    for old in (at(home), here):
        with pytest.raises(Moved):
            Memory(settings=old)
    with Memory(settings=Settings.load(home=home, config={"embedder": "none", "store": third})) as memory:
        assert memory.get_all(user_id="ana").total == 4
    with pytest.raises(Moved):
        migrate(at(home), place[0])
    report = migrate(here, third, shred_source=True)
    assert report.shredded is not None
    assert (report.shredded.keys, report.shredded.vaults) == (0, 4), "the keys are in use at the new place"
    assert not list(sides(home, place)[0].vaults())
    with Memory(settings=Settings.load(home=home, config={"embedder": "none", "store": third})) as memory:
        assert memory.verify().ok


def test_a_dry_run_counts_and_moves_nothing(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    report = migrate(at(home), *place, dry_run=True)
    assert (report.done, report.vaults, report.keys, report.tombstones) == (False, 4, 4, 1)
    assert report.bytes > 0
    log, ring = sides(home, place)
    assert not [*log.vaults(), *ring.settings(), *ring.entries(), *ring.tombstones()]
    with Memory(settings=at(home)) as memory:
        assert memory.verify().ok


def test_the_old_copy_is_destroyed(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    with Memory(settings=at(home)) as memory:
        before = told(memory)
    log, ring = sides(home, None)
    wrapped = [entry.wrapped for entry in ring.entries()]
    sealed = [row.sealed for head in log.vaults() for row in log.read(head.vault_id) if row.sealed]
    log.close()
    ring.close()
    report = migrate(at(home), *place, shred_source=True)
    assert report.shredded is not None
    assert (report.shredded.keys, report.shredded.vaults) == (4, 4)
    assert report.shredded.events == len(sealed) + 1, "one place was purged long ago; the last audit entry is elsewhere"
    files = b"".join(path.read_bytes() for folder in ("data", "keys") for path in (home / folder).iterdir())
    for gone in (*wrapped, *sealed):
        assert gone[-32:] not in files
    log, ring = sides(home, None)
    assert not [*log.vaults(), *ring.entries(), *ring.successors()]
    assert [name for name, _ in ring.settings()] == ["moved"]
    for use in (lambda: Memory(settings=at(home)), lambda: rotate(at(home), None)):
        with pytest.raises(Moved):
            use()
    with pytest.raises(Conflict, match="destroyed"):
        reopen(at(home))
    assert migrate(at(home), *place, shred_source=True).done, "once more finds nothing to do"
    with Memory(settings=at(home, place)) as memory:
        assert told(memory) == before
        assert memory.verify().ok
        assert [each["operation"] for each in memory.audit()].count("shred_source") == 1


def test_nothing_is_destroyed_that_the_new_place_lacks(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    migrate(at(home), *place)
    log, _ = sides(home, place)
    lost = next(log.vaults())
    log.drop(lost.vault_id, epoch=lost.epoch)
    with pytest.raises(Conflict, match="1 vaults of the old copy"):
        migrate(at(home), *place, shred_source=True)
    assert len(list(sides(home, None)[1].entries())) == 4


def test_what_was_erased_in_the_new_place_may_be_missing_there(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    migrate(at(home), *place)
    with Memory(settings=at(home, place)) as memory:
        memory.erase(user_id="ana")
        memory.erase(user_id="kim")
        memory.add("and came again", user_id="kim")
    report = migrate(at(home), *place, shred_source=True)
    assert report.shredded is not None
    with Memory(settings=at(home, place)) as memory:
        assert memory.get_all(user_id="ana").total == 0
        assert memory.get_all(user_id="kim").total == 1


# ---------------------------------------------------------------------- what is refused


def test_wrong_targets_are_refused_before_anything_is_written(
    home: Path, place: tuple[str, str], tmp_path: Path
) -> None:
    filled(home)
    other = tmp_path / "other-home"
    Memory(other, embedder="none").close()
    with Memory(settings=at(other)) as memory:
        memory.add("somebody else", user_id="x")
    open_to_others = tmp_path / "open"
    open_to_others.mkdir()
    open_to_others.chmod(0o755)
    theirs = (f"sqlite:{other / 'data' / 'log.db'}", f"sqlite:{other / 'keys' / 'ring.db'}")
    own = (f"sqlite:{home / 'data' / 'log.db'}", f"sqlite:{home / 'keys' / 'ring.db'}")
    for to, ring, error, says in (
        (theirs[0], place[1], Conflict, "is not empty: name a store"),
        (place[0], theirs[1], Conflict, "is not empty: name a key ring"),
        (theirs[0], None, Conflict, "is not empty"),
        (own[0], place[1], ConfigError, "are the same"),
        (place[0], own[1], ConfigError, "are the same"),
        (own[0], None, ConfigError, "are the same"),
        ("memory:", None, ConfigError, "ends with its process"),
        (place[0], "memory:", ConfigError, "ends with its process"),
        ("nonsense:", None, ConfigError, "unknown scheme"),
        (f"sqlite:{open_to_others / 'log.db'}", None, StoreError, "open to others|chmod"),
    ):
        with pytest.raises(error, match=says):
            migrate(at(home), to, ring)
    with Memory(settings=at(home)) as memory:
        assert memory.verify().ok
    assert sides(home, None)[1].setting("moved") is None
    with Memory(settings=at(other)) as memory:
        assert memory.get_all(user_id="x").total == 1


def test_a_link_to_the_same_file_is_not_empty(home: Path, place: tuple[str, str], tmp_path: Path) -> None:
    filled(home)
    (tmp_path / "linked").symlink_to(home / "data")
    with pytest.raises(TacitaError):
        migrate(at(home), f"sqlite:{tmp_path / 'linked' / 'log.db'}", place[1])
    with Memory(settings=at(home)) as memory:
        assert memory.verify().ok


def test_a_deep_rotation_goes_first(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    ring = sides(home, None)[1]
    ring.put_setting_once("rekeyed", b"x")
    with pytest.raises(Conflict, match="rotate --deep"):
        migrate(at(home), *place)
    ring.drop_setting("rekeyed")
    present = next(ring.entries())
    ring.prepare(type(present)(present.vault_id, 2, present.provider, b"next", present.label, present.anchor))
    with pytest.raises(Conflict, match="rotate --deep"):
        migrate(at(home), *place)


def test_rows_without_a_key_are_no_memory(home: Path, place: tuple[str, str], tmp_path: Path) -> None:
    filled(home)
    other = tmp_path / "other-home"
    Memory(other, embedder="none").close()
    with Memory(settings=at(other)) as memory:
        memory.add("somebody else", user_id="x")
    wrong = Settings.load(home=other, config={"embedder": "none", "store": f"sqlite:{home / 'data' / 'log.db'}"})
    with pytest.raises(KeyUnavailable, match=r"4 vaults of .* have no key in"):
        migrate(wrong, *place)


def test_one_migration_at_a_time_and_to_one_place(home: Path, place: tuple[str, str], tmp_path: Path) -> None:
    filled(home)
    ring = sides(home, None)[1]
    log = f"sqlite {place[0].removeprefix('sqlite:')}"
    assert Mark(id="begun", stage="copying", log=log, ring=f"sqlite {place[1].removeprefix('sqlite:')}").follows(
        ring, None
    )
    elsewhere = f"sqlite:{tmp_path / 'new' / 'elsewhere.db'}"
    for to, keys in ((elsewhere, place[1]), (place[0], None)):
        with pytest.raises(Conflict, match=r"a migration to .* was begun"):
            migrate(at(home), to, keys)
    with Memory(settings=at(home)) as memory:
        assert memory.verify().ok, "it is in use meanwhile"
    assert migrate(at(home), *place).done
    with pytest.raises(Moved, match="was moved to"):
        migrate(at(home), elsewhere, place[1])


def test_two_processes_do_not_migrate_at_a_time(home: Path, place: tuple[str, str]) -> None:
    from tacita import _home

    filled(home)
    with _home.alone(home, "another"), pytest.raises(Conflict, match="under way in another process"):
        migrate(at(home), *place)


def test_an_incomplete_target_is_not_used(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    damage(home)
    with pytest.raises(Tampered):
        migrate(at(home), *place)
    with pytest.raises(Moved, match="target of a migration that is not complete"):
        Memory(settings=at(home, place))
    with pytest.raises(InvalidInput, match="finish it where it was begun"):
        reopen(at(home, place))
    with pytest.raises(Moved, match="cannot be moved from here"):
        migrate(at(home, place), place[0].replace("log.db", "x.db"), place[1].replace("ring.db", "y.db"))


def damage(home: Path) -> None:
    """Let the ring remember another history of one vault."""
    ring = sides(home, None)[1]
    largest = max(ring.entries(), key=lambda each: each.anchor.seq)
    ring.rewind(largest.vault_id, type(largest.anchor)(largest.anchor.seq, bytes(32)))


def test_what_is_damaged_is_not_taken_into_use_and_people_go_on(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    ring = sides(home, None)[1]
    largest = max(ring.entries(), key=lambda each: each.anchor.seq)
    damage(home)
    with pytest.raises(Tampered, match="not the one the key ring knows"):
        migrate(at(home), *place)
    with Memory(settings=at(home)) as memory:
        assert memory.get_all(user_id="rui").total == 1, "the source is in use again"
    # Put right, it goes on.
    now = ring.get(largest.vault_id)
    assert now is not None
    ring.rewind(largest.vault_id, largest.anchor)
    assert migrate(at(home), *place).done
    with Memory(settings=at(home, place)) as memory:
        assert memory.verify().ok


def test_an_operator_may_use_the_old_place_again(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    with pytest.raises(InvalidInput, match="nothing to reopen"):
        reopen(at(home))
    migrate(at(home), *place)
    assert reopen(at(home)) == "moved"
    with Memory(settings=at(home)) as memory:
        memory.add("goes on here", user_id="ana")
        assert memory.verify().ok
        assert [each["operation"] for each in memory.audit()].count("reopen_store") == 1


def test_a_tenant_whose_root_key_is_out_of_reach_does_not_keep_the_others(home: Path, place: tuple[str, str]) -> None:
    def of(tenant: str, new: dict[str, str] | None = None) -> Settings:
        tenants = {"acme": {"keys": "file:acme.key"}}
        return Settings.load(
            home=home, config={"embedder": "none", "tenant": tenant, "tenants": tenants, **(new or {})}
        )

    filled(home)
    make_key_file(home / "keys" / "acme.key")
    with Memory(settings=of("acme")) as memory:
        memory.add("theirs", user_id="ana")
    (home / "keys" / "acme.key").rename(home / "keys" / "revoked.key")
    report = migrate(of("default"), *place)
    assert (report.opened, report.compared, report.vaults) == (5, 1, 6), "two audit logs are under the home's"
    (home / "keys" / "revoked.key").rename(home / "keys" / "acme.key")
    there = {"store": place[0], "ring": place[1]}
    with Memory(settings=of("acme", there)) as memory:
        assert [item.text for item in memory.get_all(user_id="ana").items] == ["theirs"]
    with Memory(settings=of("default", there)) as memory:
        assert memory.get_all(user_id="ana").total == 3


def test_what_cannot_be_opened_is_compared_byte_by_byte(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    log, ring = sides(home, None)
    other, _ = sides(home, place)
    target, source = moving.Side(other, ring), moving.Side(log, ring)
    follow(other, log)
    examination = moving.Examination(target, source, Keys(ring, open_file(home / "keys" / "root.key")))
    examination.compare(moving.no_progress)
    assert (examination.opened, examination.compared) == (4, 0)
    vault = next(log.vaults())
    examination._compare_rows(vault.vault_id)
    rows = [moved_row(row) for row in log.read(vault.vault_id)]
    other.replace(vault.vault_id, vault, [*rows, rows[-1]], epoch=vault.epoch)
    with pytest.raises(StoreError, match=f"seq {vault.seq + 1}: it is not the same"):
        examination._compare_rows(vault.vault_id)
    with pytest.raises(StoreError, match=r"is not in .* as it is in"):
        examination.compare(moving.no_progress)


def test_without_a_look_into_it(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    report = migrate(at(home), *place, verify=False)
    assert (report.done, report.opened, report.vaults) == (True, 0, 4)
    with Memory(settings=at(home, place)) as memory:
        assert memory.verify().ok


# ---------------------------------------------------------------------- beside others


def test_whoever_has_it_open_is_told_where_it_went(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    memory = Memory(settings=at(home))
    memory.add("before", user_id="ana")
    migrate(at(home), *place)
    for use in (
        lambda: memory.add("after", user_id="ana"),
        lambda: memory.add("a new one", user_id="new"),
        lambda: memory.get_all(user_id="ana"),
        lambda: memory.erase(user_id="rui"),
        lambda: memory.verify(),
    ):
        with pytest.raises(Moved, match="was moved to"):
            use()
    memory.close()
    with Memory(settings=at(home, place)) as there:
        assert there.get_all(user_id="ana").total == 4
        assert there.get_all(user_id="rui").total == 1
        assert there.get_all(user_id="new").total == 0


WRITER = """
import sys
from tacita import Memory, Moved
from tacita.config import Settings
from tacita.vault import moved
moved.GRACE, moved.ASK_AFTER = 2.0, 0.2
memory = Memory(settings=Settings.load(home=sys.argv[1], config={"embedder": "none"}))
number = 0
print("go", flush=True)
try:
    while True:
        memory.add(f"kept {number}", user_id="ana")
        print("kept", number, flush=True)
        memory.add("short", user_id=f"guest {number}")
        print("guest", number, flush=True)
        if number % 2:
            memory.erase(user_id=f"guest {number}")
            print("erased", number, flush=True)
        memory.search("kept", user_id="ana")
        print("read", number, flush=True)
        number += 1
except Moved:
    memory.close()
    print("moved", number, flush=True)
"""


def test_what_was_acknowledged_under_way_is_there_and_what_was_erased_is_not(
    home: Path, place: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moved, "GRACE", 2.0)
    filled(home)
    worker = subprocess.Popen([sys.executable, "-c", WRITER, str(home)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "go\n"
    time.sleep(0.3)
    report = migrate(at(home), *place)
    lines = [line.split() for line in worker.communicate()[0].splitlines()]
    assert lines[-1][0] == "moved"
    told = {
        what: {int(number) for word, number in lines if word == what} for what in ("kept", "guest", "erased", "read")
    }
    assert len(told["kept"]) > 3
    with Memory(settings=at(home, place)) as memory:
        assert memory.verify().ok
        texts = {item.text for item in memory.get_all(user_id="ana", limit=1_000).items}
        assert {f"kept {number}" for number in told["kept"]} <= texts
        for number in told["guest"]:
            total = memory.get_all(user_id=f"guest {number}").total
            assert total == (0 if number in told["erased"] else 1) or (number % 2 and number == max(told["guest"]))
        searches = sum(each["operation"] == "search" for each in memory.audit())
        assert searches >= len(told["read"]), "no read without its audit entry"
    assert report.rounds >= 2


def test_a_fence_lets_nothing_through_that_came_too_late() -> None:
    now = [0.0]
    ring = MemoryKeyRing()
    fence = Fence(ring, "here", lambda: now[0])
    fence.begin()
    Mark(id="x", stage="closed", log="there", ring="keys there").follows(ring, None)
    now[0] = moved.ASK_AFTER * 0.9
    fence.begin()
    now[0] = moved.ASK_AFTER
    with pytest.raises(Moved, match="just being moved to there, its keys to keys there"):
        fence.begin()
    now[0] = moved.GRACE * 0.99
    fence.finish()
    with pytest.raises(Moved):
        fence.begin()
    now[0] = moved.GRACE
    with pytest.raises(Moved):
        fence.finish()
    ring.drop_setting("moved")
    fence.begin()
    fence.finish()


def test_a_process_that_was_stopped_in_between_is_noticed() -> None:
    """It asked before the mark was made, and its write comes long after."""
    now = [0.0]
    ring = MemoryKeyRing()

    class Stopped(MemoryKeyRing):
        def setting(self, name: str) -> bytes | None:
            found = ring.setting(name)
            now[0] += 100
            return found

    fence = Fence(Stopped(), "here", lambda: now[0])
    fence.begin()
    Mark(id="x", stage="moved", log="there", ring="keys").follows(ring, None)
    with pytest.raises(Moved):
        fence.finish()


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b'{"id":"x","stage":"open","log":"y"}', b"\xff"])
def test_a_mark_that_cannot_be_read_closes_the_memory(home: Path, raw: bytes) -> None:
    filled(home)
    sides(home, None)[1].put_setting_once("moved", raw)
    with pytest.raises(Tampered):
        Memory(settings=at(home))


def test_writers_in_this_process_too(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    memory = Memory(settings=at(home))
    stop, kept = Event(), list[str]()

    def write() -> None:
        while not stop.is_set():
            try:
                kept.append(memory.add(f"thread {len(kept)}", user_id="rui").ids[0])
            except Moved:
                return

    thread = Thread(target=write)
    thread.start()
    time.sleep(0.1)
    migrate(at(home), *place)
    stop.set()
    thread.join()
    memory.close()
    with Memory(settings=at(home, place)) as there:
        assert kept
        ids = {item.id for item in there.get_all(user_id="rui", limit=1_000).items}
        assert set(kept) <= ids


def test_anchors_elsewhere_go_on_with_the_memory(home: Path, place: tuple[str, str], tmp_path: Path) -> None:
    def remembering(new: tuple[str, str] | None = None) -> Settings:
        there = {"store": new[0], "ring": new[1]} if new else {}
        config = {"embedder": "none", "anchors": str(tmp_path / "anchors.json"), **there}
        return Settings.load(home=home, config=config)

    filled(home)
    with Memory(settings=remembering()) as memory:
        memory.add("remembered", user_id="ana")
    old = Memory(settings=remembering())
    migrate(remembering(), *place)
    with Memory(settings=remembering(place)) as memory:
        memory.erase(user_id="ana")
        memory.add("anew", user_id="ana")
    before = (tmp_path / "anchors.json").read_bytes()
    with pytest.raises(Moved):
        old.remember_anchors()
    old.close()
    assert (tmp_path / "anchors.json").read_bytes() == before, "what is left behind does not speak for it any more"
    with Memory(settings=remembering(place)) as memory:
        assert memory.get_all(user_id="ana").total == 1


@pytest.mark.parametrize(
    ("mark", "refused", "open_"),
    [
        (Mark(id="x", stage="copying", log="B", ring="R"), "", "AB"),
        (Mark(id="x", stage="copying", log="B"), "B", "AC"),
        (Mark(id="x", stage="copying", log="C", at="B"), "AC", "B"),
        (Mark(id="x", stage="closed", log="B"), "AB", ""),
        (Mark(id="x", stage="moved", log="B", ring="R"), "AB", ""),
        (Mark(id="x", stage="moved", log="B"), "AB", ""),
        (Mark(id="x", stage="settled", log="B", at="B"), "AC", "B"),
        (Mark(id="x", stage="shredded", log="B", ring="R"), "AB", ""),
        (Mark(id="x", stage="arriving", log="B", ring="R"), "AB", ""),
    ],
)
def test_which_store_may_be_used(mark: Mark, refused: str, open_: str) -> None:
    assert Mark.decode(mark.encode()) == mark
    assert all(mark.refuses(store) for store in refused)
    assert not [store for store in open_ if mark.refuses(store)]


def test_a_target_of_another_migration_is_left_alone(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    log, keys = (f"sqlite {uri.removeprefix('sqlite:')}" for uri in place)
    mark = Mark(id="ours", stage="copying", log=log, ring=keys)
    assert mark.follows(sides(home, None)[1], None)
    theirs = Mark(id="theirs", stage="arriving", log=log, ring=keys)
    assert theirs.follows(sides(home, place)[1], None)
    with pytest.raises(Conflict, match="is the target of another migration"):
        migrate(at(home), *place)
    sides(home, place)[1].drop_setting("moved")
    sides(home, place)[1].put_setting_once("catalog", b"somebody's")
    with pytest.raises(Conflict, match="is not empty"):
        migrate(at(home), *place)


def test_vaults_of_another_memory_are_never_dropped(home: Path, place: tuple[str, str], tmp_path: Path) -> None:
    """The name of the target stayed, what is behind it did not."""
    filled(home)
    log = f"sqlite {place[0].removeprefix('sqlite:')}"
    assert Mark(id="ours", stage="copying", log=log).follows(sides(home, None)[1], None)
    other = tmp_path / "other-home"
    with Memory(settings=Settings.load(home=other, config={"embedder": "none", "store": place[0]})) as memory:
        memory.add("somebody else", user_id="x")
    with pytest.raises(Conflict, match="holds 2 vaults of another memory"):
        migrate(at(home), place[0])
    with Memory(settings=Settings.load(home=other, config={"embedder": "none", "store": place[0]})) as memory:
        assert memory.get_all(user_id="x").total == 1


def test_a_second_move_of_the_log_that_is_given_up_leaves_it_where_it_was(
    home: Path, place: tuple[str, str], tmp_path: Path
) -> None:
    filled(home)
    here = Settings.load(home=home, config={"embedder": "none", "store": place[0]})
    migrate(at(home), place[0])
    ring = sides(home, None)[1]
    settled = Mark.of(ring)
    assert settled is not None
    assert Mark(id="second", stage="closed", log="sqlite elsewhere", at=settled.at).follows(ring, settled)
    with pytest.raises(Moved, match="just being moved"):
        Memory(settings=here)
    assert reopen(here) == "closed"
    with pytest.raises(Moved):
        Memory(settings=at(home))
    with Memory(settings=here) as memory:
        assert memory.verify().ok


# ---------------------------------------------------------------------- the command line


def test_the_command(home: Path, place: tuple[str, str]) -> None:
    filled(home)

    def tacita(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["migrate-store", *arguments])

    plan = tacita(place[0], "--ring", place[1], "--dry-run", "--json")
    assert (plan.exit_code, json.loads(plan.stdout)["vaults"]) == (0, 4), plan.stderr
    for wrong in (
        (place[0], "--ring", place[1], "--shred-source"),
        (),
        (place[0], "--reopen", "--yes"),
        ("--reopen", "--yes"),
    ):
        assert isinstance(tacita(*wrong).exception, InvalidInput)
    done = tacita(place[0], "--ring", place[1], "--json")
    assert json.loads(done.stdout)["done"] is True, done.stderr
    assert f'store = "{place[0]}"' in done.stderr
    assert f'ring = "{place[1]}"' in done.stderr
    again = tacita(place[0], "--ring", place[1], "--shred-source", "--yes")
    assert "keys 4" in again.stdout
    # Its own process, for its exit code.
    command = [sys.executable, "-c", "from tacita.surfaces.cli import main; main()", "list", "--user", "ana", "--json"]
    after = subprocess.run(command, capture_output=True, text=True, check=False)
    assert after.returncode == 19
    assert json.loads(after.stderr)["error"]["code"] == "moved"


def test_the_command_takes_it_back(home: Path, place: tuple[str, str]) -> None:
    filled(home)
    migrate(at(home), *place)
    found = CliRunner().invoke(app, ["migrate-store", "--reopen", "--yes", "--json"])
    assert json.loads(found.stdout) == {"reopened": True, "was": "moved"}
    with Memory(settings=at(home)) as memory:
        assert memory.verify().ok


def test_an_entry_that_went_another_way_is_replaced() -> None:
    from msgspec.structs import replace

    from tacita.sealed import Anchor
    from tacita.stores.following import follow_ring

    source, copy = MemoryKeyRing(), MemoryKeyRing()
    source.create(entry(A))
    source.put_setting_once("catalog", b"wrapped")
    assert follow_ring(copy, source) == 1
    source.advance(A, Anchor(5, b"5" * 32))
    copy.advance(A, Anchor(9, b"9" * 32))
    copy.put_setting_once("stray", b"x")
    assert follow_ring(copy, source) == 1
    assert copy.get(A) == replace(entry(A), anchor=Anchor(5, b"5" * 32))
    assert list(copy.settings()) == [("catalog", b"wrapped")]
    source.shred(A)
    source.drop_setting("catalog")
    source.put_setting_once("catalog", b"under another root key")
    assert follow_ring(copy, source) == 0
    assert (copy.get(A), copy.shredded(A)) == (None, True)
    assert copy.setting("catalog") == b"under another root key"
    source.create(entry(A, b"made anew"))
    assert follow_ring(copy, source) == 1
    assert copy.get(A) == entry(A, b"made anew")
    moving.no_progress(1, None)
