"""Restore drills: a copy of the data comes back whole, erased people do not, and nothing goes back in time unasked."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from tacita import AccessDenied, Conflict, InvalidInput, KeyUnavailable, Memory, StoreError, Tampered
from tacita.config import Settings
from tacita.errors import ConfigError
from tacita.restoring import restore_data, restore_keys
from tacita.rotating import rotate
from tacita.stores.sqlite import SqliteLogStore
from tacita.testing.tampering import editable


def settings(home: Path) -> Settings:
    return Settings.load(home=home)


def opened(home: Path) -> Memory:
    return Memory(home, embedder="none")


def texts(memory: Memory, user: str) -> set[str]:
    return {item.text for item in memory.get_all(user_id=user, limit=1_000)}


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A home with ana and rui, and a copy of its data."""
    copy = tmp_path / "copy.db"
    with opened(home) as memory:
        memory.add(["ana one", "ana two"], user_id="ana")
        memory.add("rui one", user_id="rui")
        memory.search("one", user_id="ana")
        memory.backup(copy)
    return home, copy


def test_a_copy_is_private_whole_and_noise_without_keys(copied: tuple[Path, Path], tmp_path: Path) -> None:
    home, copy = copied
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not [path.name for path in copy.parent.iterdir() if path.name.startswith(".copy")]
    assert b"ana one" not in copy.read_bytes()
    with opened(home) as memory:
        with pytest.raises(InvalidInput, match="already"):
            memory.backup(copy)
        with pytest.raises(StoreError, match="cannot be written"):
            memory.backup(tmp_path / "nowhere" / "copy.db")
        with pytest.raises(AccessDenied):
            memory.bind(permissions=["read", "export"]).backup(tmp_path / "b.db")
    other = tmp_path / "other-home"
    Memory(other, embedder="none").close()
    # Another home's ring knows none of these vaults.
    restore_data(settings(other), copy, accept_rollback=True)
    with opened(other) as memory:
        assert texts(memory, "ana") == set()
        assert [problem.problem for problem in memory.verify().problems] == ["rows without a key in the ring"] * 3


def test_what_did_not_change_since_comes_back_without_asking(copied: tuple[Path, Path]) -> None:
    home, copy = copied
    (home / "data" / "log.db").unlink()
    report = restore_data(settings(home), copy)
    assert (report.vaults, report.rolled_back, report.erased) == (3, 0, 0)
    with opened(home) as memory:
        assert texts(memory, "ana") == {"ana one", "ana two"}
        assert memory.verify().ok


def test_an_erased_subject_stays_erased_with_the_old_data(copied: tuple[Path, Path]) -> None:
    home, copy = copied
    with opened(home) as memory:
        memory.erase(user_id="ana")
    report = restore_data(settings(home), copy, accept_rollback=True)
    assert report.erased == 1
    with opened(home) as memory:
        assert texts(memory, "ana") == set()
        assert texts(memory, "rui") == {"rui one"}
        assert memory.verify().ok, "and no row of hers is left"


def test_going_back_in_time_is_refused_then_accepted_and_audited(copied: tuple[Path, Path]) -> None:
    home, copy = copied
    with opened(home) as memory:
        memory.add("ana three", user_id="ana")
        memory.add("new", user_id="new")
        memory.search("new", user_id="new")
    before = (home / "data" / "log.db").read_bytes()
    with pytest.raises(Conflict, match="--accept-rollback"):
        restore_data(settings(home), copy)
    assert (home / "data" / "log.db").read_bytes() == before, "nothing was changed"
    assert sorted(path.name for path in (home / "data").iterdir()) == ["log.db"]
    report = restore_data(settings(home), copy, accept_rollback=True)
    assert report.rolled_back == 3, "ana, new and the audit log"
    with opened(home) as memory:
        assert texts(memory, "ana") == {"ana one", "ana two"}
        assert texts(memory, "new") == set()
        memory.add("ana four", user_id="ana")
        memory.add("again", user_id="new")
        assert texts(memory, "new") == {"again"}
        assert memory.verify().ok
        trail = [(each["operation"], each["outcome"], each["items"]) for each in memory.audit()]
        assert ("restore", "rolled back", 3) in trail
    with opened(home) as memory:
        assert texts(memory, "ana") == {"ana one", "ana two", "ana four"}


def test_copies_of_two_courses_of_events_can_be_put_back_in_turn(copied: tuple[Path, Path], tmp_path: Path) -> None:
    home, first = copied
    second = tmp_path / "second.db"
    with opened(home) as memory:
        memory.add("ana three", user_id="ana")
        memory.backup(second)
    restore_data(settings(home), first, accept_rollback=True)
    with opened(home) as memory:
        memory.add(["another three", "another four"], user_id="ana")
    # As long as its anchor, and yet another history.
    with pytest.raises(Conflict, match="--accept-rollback"):
        restore_data(settings(home), second)
    restore_data(settings(home), second, accept_rollback=True)
    with opened(home) as memory:
        assert texts(memory, "ana") == {"ana one", "ana two", "ana three"}
        assert memory.verify().ok


def test_an_attackers_copy_is_refused_whatever_is_accepted(copied: tuple[Path, Path]) -> None:
    home, copy = copied
    with editable(copy) as db:
        sealed, key = db.execute("SELECT sealed, key FROM log WHERE sealed NOT NULL LIMIT 1").fetchone()
        db.execute("UPDATE log SET sealed=? WHERE key=?", (sealed[:-1] + bytes([sealed[-1] ^ 1]), key))
    db.close()
    before = (home / "data" / "log.db").read_bytes()
    with pytest.raises(Tampered):
        restore_data(settings(home), copy, accept_rollback=True)
    assert (home / "data" / "log.db").read_bytes() == before
    with opened(home) as memory:
        assert memory.verify().ok


def test_a_copy_without_the_end_that_it_tells_of_is_refused_whatever_is_accepted(copied: tuple[Path, Path]) -> None:
    """Put back, no vault of it could be written to again: the next event would never be the one that the store expects."""
    home, copy = copied
    with editable(copy) as db:
        db.execute("DELETE FROM log WHERE key IN (SELECT max(key) FROM log GROUP BY key >> 31)")
    db.close()
    with pytest.raises(Tampered, match="the store says that it ends at"):
        restore_data(settings(home), copy, accept_rollback=True)
    with opened(home) as memory:
        assert memory.verify().ok


def test_the_keys_have_a_way_back_of_their_own(copied: tuple[Path, Path], tmp_path: Path) -> None:
    home, _ = copied
    keys, data = tmp_path / "keys-copy", tmp_path / "data-copy.db"
    with opened(home) as memory:
        memory.backup_keys(keys)
        memory.backup(data)
        with pytest.raises(InvalidInput, match="already"):
            memory.backup_keys(keys)
    assert sorted(path.name for path in keys.iterdir()) == ["home.json", "ring.db"], "no root key"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    with pytest.raises(Conflict, match="already"):
        restore_keys(settings(home), keys)
    new = tmp_path / "new-home"
    with pytest.raises(KeyUnavailable, match="keys first"):
        restore_data(settings(new), data)
    restore_keys(settings(new), keys)
    shutil.copy(home / "keys" / "root.key", new / "keys" / "root.key")
    report = restore_data(settings(new), data)
    assert (report.vaults, report.rolled_back) == (3, 0), "data that are ahead of their ring are harmless"
    with opened(new) as memory:
        assert texts(memory, "ana") == {"ana one", "ana two"}
        assert memory.verify().ok
    (keys / "home.json").unlink()
    with pytest.raises(InvalidInput, match=r"lacks home\.json"):
        restore_keys(settings(tmp_path / "third"), keys)


def test_a_copy_made_beside_writers_is_of_one_moment(home: Path, tmp_path: Path) -> None:
    stop = Event()
    with opened(home) as memory:
        memory.add("first", user_id="ana")

        def write() -> None:
            number = 0
            while not stop.is_set():
                memory.add([f"{number} a", f"{number} b"], user_id="ana")
                number += 1

        writer = Thread(target=write)
        writer.start()
        for number in range(5):
            memory.backup(tmp_path / f"{number}.db")
        stop.set()
        writer.join()
    report = restore_data(settings(home), tmp_path / "3.db", accept_rollback=True)
    assert report.vaults == 2
    with opened(home) as memory:
        found = texts(memory, "ana") - {"first"}
        assert {text[:-2] for text in found if text.endswith("a")} == {
            text[:-2] for text in found if text.endswith("b")
        }
        assert memory.verify().ok


def test_what_cannot_be_restored_says_so(home: Path, tmp_path: Path) -> None:
    opened(home).close()
    with pytest.raises(InvalidInput):
        restore_data(settings(home), tmp_path / "nothing.db")
    (tmp_path / "rubbish.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError):
        restore_data(settings(home), tmp_path / "rubbish.db")
    with pytest.raises(ConfigError, match="SQLite"):
        restore_data(Settings.load(config={"home": str(home), "store": "memory:"}), tmp_path / "rubbish.db")
    assert sorted(path.name for path in (home / "data").iterdir()) == ["log.db"]
    with Memory(store="memory:", embedder="none") as memory:
        for refused in (lambda: memory.backup(tmp_path / "a.db"), lambda: memory.backup_keys(tmp_path / "b")):
            _refused(refused)


def _refused(attempt: Callable[[], None]) -> None:
    with pytest.raises((StoreError, ConfigError)):
        attempt()


def test_a_copy_is_brought_up_to_date(copied: tuple[Path, Path], tmp_path: Path) -> None:
    """Only what changed is written; what was deleted, erased or sealed anew since goes from the copy, its bytes too."""
    home, copy = copied
    with opened(home) as memory:
        first = memory.get_all(user_id="ana").items[-1]
        memory.add("rui is erased", user_id="rui")
        memory.add(["eva one", "eva two"], user_id="eva")
        memory.add("untouched", user_id="leo")
        assert memory.backup(copy, update=True).to_dict() == {"unchanged": 1, "written": 4, "dropped": 0}
        db = editable(copy)
        old = {sealed for (sealed,) in db.execute("SELECT sealed FROM log WHERE sealed NOT NULL")}
        db.close()
        memory.delete(first.id, user_id="ana")
        memory.add("ana three", user_id="ana")
        memory.erase(user_id="rui")
        memory.erase(user_id="eva")
        memory.add("eva anew", user_id="eva")
        # leo stays as he is; ana's, eva's and the audit log change.
        assert memory.backup(copy, update=True).to_dict() == {"unchanged": 1, "written": 3, "dropped": 1}
        assert memory.backup(copy, update=True).to_dict() == {"unchanged": 3, "written": 1, "dropped": 0}
        wanted = {user: texts(memory, user) for user in ("ana", "rui", "eva", "leo")}
        db = editable(home / "data" / "log.db")
        live = {sealed for (sealed,) in db.execute("SELECT sealed FROM log WHERE sealed NOT NULL")}
        db.close()
    assert not [path.name for path in copy.parent.iterdir() if path.name.startswith(copy.name + "-")]
    raw = copy.read_bytes()
    assert not [blob for blob in old - live if blob in raw], "deleted ciphertext stays in the copy"
    assert restore_data(settings(home), copy, accept_rollback=True).erased == 0
    with opened(home) as memory:
        assert memory.verify().ok
        assert {user: texts(memory, user) for user in wanted} == wanted
    assert rotate(settings(home), None, deep=True).resealed == 4
    with opened(home) as memory:
        assert memory.backup(copy, update=True).written == 4, "sealed anew"
    restore_data(settings(home), copy, accept_rollback=True)
    with opened(home) as memory:
        assert {user: texts(memory, user) for user in wanted} == wanted


def test_only_what_is_new_is_appended(copied: tuple[Path, Path]) -> None:
    """A vault that only grew is not written again."""
    home, copy = copied
    with opened(home) as memory:
        memory.add(["x" * 3_000 + str(number) for number in range(400)], user_id="ana")
        memory.backup(copy, update=True)
        before = copy.stat().st_size
        number = editable(copy)
        places = dict(number.execute("SELECT vault_id, no FROM vaults").fetchall())
        number.close()
        memory.add("one more", user_id="ana")
        memory.backup(copy, update=True)
        number = editable(copy)
        assert dict(number.execute("SELECT vault_id, no FROM vaults").fetchall()) == places
        number.close()
        assert copy.stat().st_size - before < 200_000


def test_what_cannot_be_brought_up_to_date(copied: tuple[Path, Path], tmp_path: Path) -> None:
    home, copy = copied
    with opened(home) as memory:
        with pytest.raises(InvalidInput, match="no copy"):
            memory.backup(tmp_path / "none.db", update=True)
        (tmp_path / "foreign.db").write_bytes(b"not ours")
        (tmp_path / "foreign.db").chmod(0o600)
        with pytest.raises(StoreError):
            memory.backup(tmp_path / "foreign.db", update=True)
        copy.chmod(0o644)
        with pytest.raises(StoreError, match="open to others"):
            memory.backup(copy, update=True)
        with pytest.raises(AccessDenied):
            memory.bind(permissions=["read", "export"]).backup(copy, update=True)


def test_a_copy_is_brought_up_to_date_while_others_write(copied: tuple[Path, Path]) -> None:
    home, copy = copied
    stop, added, failures = Event(), [0], list[BaseException]()

    def write() -> None:
        try:
            with opened(home) as memory:
                while not stop.is_set():
                    memory.add(f"live {added[0]}", user_id="ana")
                    added[0] += 1
                    memory.add("short", user_id="gone")
                    memory.erase(user_id="gone")
        except BaseException as error:  # noqa: BLE001  shown below
            failures.append(error)

    thread = Thread(target=write)
    thread.start()
    with opened(home) as memory:
        while added[0] < 30 and not failures:
            acknowledged = added[0]
            memory.backup(copy, update=True)
    stop.set()
    thread.join()
    assert not failures
    restore_data(settings(home), copy, accept_rollback=True)
    with opened(home) as memory:
        assert memory.verify().ok
        assert {f"live {number}" for number in range(acknowledged)} <= texts(memory, "ana")


def killed_while_updating(home: Path, folder: Path) -> tuple[Path, list[str]]:
    """A copy whose update was killed while its write-ahead log was emptied into it, and what it holds."""
    copy, killed = folder / "copy.db", folder / "killed.db"
    with opened(home) as memory:
        memory.add([f"ana {number} " + "x" * 2_000 for number in range(40)], user_id="ana")
        memory.backup(copy)
        memory.add([f"ana {number} " + "y" * 2_000 for number in range(40)], user_id="ana")
        held = texts(memory, "ana")
        # Somebody who reads keeps the write-ahead log from being emptied, as a kill would.
        with closing(SqliteLogStore(copy, is_copy=True)) as reader:
            memory.backup(copy, update=True)
            for suffix in ("", "-wal"):
                shutil.copyfile(f"{copy}{suffix}", f"{killed}{suffix}")
            assert list(reader.vaults())
    # Every other page of the log is in the file already.
    log = Path(f"{killed}-wal").read_bytes()
    page = int.from_bytes(log[8:12])
    with killed.open("r+b") as file:
        for place in range(32, len(log), 2 * (24 + page)):
            file.seek((int.from_bytes(log[place : place + 4]) - 1) * page)
            file.write(log[place + 24 : place + 24 + page])
    return killed, held


def left_behind(home: Path) -> list[str]:
    return [path.name for path in (home / "data").iterdir() if path.name.startswith(".restore")]


def test_a_copy_whose_update_was_killed_while_it_was_written_comes_back_whole(home: Path, tmp_path: Path) -> None:
    killed, held = killed_while_updating(home, tmp_path)
    restore_data(settings(home), killed, accept_rollback=True)
    with opened(home) as memory:
        assert memory.verify().ok
        assert texts(memory, "ana") == held
    assert not left_behind(home)


def test_half_a_copy_is_refused_and_changes_nothing(home: Path, tmp_path: Path) -> None:
    killed, held = killed_while_updating(home, tmp_path)
    Path(f"{killed}-wal").unlink()
    with pytest.raises((Tampered, StoreError)):
        restore_data(settings(home), killed, accept_rollback=True)
    with opened(home) as memory:
        assert memory.verify().ok
        assert texts(memory, "ana") == held
    assert not left_behind(home)


def test_a_write_ahead_log_that_is_a_link_is_not_followed(copied: tuple[Path, Path], tmp_path: Path) -> None:
    home, copy = copied
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"not of this copy")
    Path(f"{copy}-wal").symlink_to(elsewhere)
    with pytest.raises(InvalidInput, match="is a link"):
        restore_data(settings(home), copy)
    assert elsewhere.read_bytes() == b"not of this copy"
    assert not left_behind(home)


def test_a_write_ahead_log_of_another_copy_changes_nothing(copied: tuple[Path, Path], tmp_path: Path) -> None:
    home, copy = copied
    (tmp_path / "other").mkdir()
    killed, _ = killed_while_updating(tmp_path / "other" / "home", tmp_path / "other")
    log = Path(f"{killed}-wal")
    assert log.stat().st_size > 0
    shutil.copyfile(log, f"{copy}-wal")
    with suppress(Tampered, StoreError):
        restore_data(settings(home), copy)
    with opened(home) as memory:
        assert memory.verify().ok
        assert texts(memory, "ana") == {"ana one", "ana two"}
        assert texts(memory, "rui") == {"rui one"}
    assert not left_behind(home)


def test_what_else_lies_beside_a_copy_is_left_there(copied: tuple[Path, Path]) -> None:
    """SQLite deletes the files that a rollback journal names."""
    home, copy = copied
    journal = Path(f"{copy}-journal")
    journal.write_bytes(b"a journal that somebody planted")
    restore_data(settings(home), copy)
    assert journal.read_bytes() == b"a journal that somebody planted"
    assert not left_behind(home)
