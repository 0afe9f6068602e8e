"""Another root key under live reads and writes: everything opens at every moment, and in the end only under the new one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest

from tacita import KeyUnavailable, Memory, TacitaError
from tacita.config import Settings
from tacita.errors import ConfigError, WrongKey
from tacita.keys.file import open_file
from tacita.rotating import rotate
from tacita.sealed import RingEntry
from tacita.stores.sqlite_ring import SqliteKeyRing
from tacita.testing.tampering import editable
from tacita.vault.keyring import Keys


def opened(home: Path) -> Memory:
    return Memory(home, embedder="none")


def settings(home: Path) -> Settings:
    return Settings.load(home=home)


@pytest.fixture
def filled(home: Path) -> Path:
    with opened(home) as memory:
        for number in range(20):
            memory.add(f"text {number}", user_id=f"user-{number}")
    return home


def everything(home: Path) -> set[str]:
    with opened(home) as memory:
        assert memory.verify().ok
        return {memory.get_all(user_id=f"user-{number}").items[0].text for number in range(20)}


def test_all_vault_keys_move_and_the_old_root_key_opens_nothing_in_the_end(
    filled: Path,
) -> None:
    data = _digests(filled)
    wrapped = [entry.wrapped for entry in _entries(filled)]
    report = rotate(settings(filled), "file:root-2.key")
    assert (report.rewrapped, report.left, report.previous) == (21, 0, ("file:root.key",)), (
        "twenty users and the audit log"
    )
    assert everything(filled) == {f"text {number}" for number in range(20)}
    for blob in wrapped:
        files = [path for path in (filled / "keys").iterdir() if blob in path.read_bytes()]
        assert not files, "a wrapped key of before is still in the ring's files"
    end = rotate(settings(filled), None)
    assert (end.rewrapped, end.left, end.previous) == (0, 0, ())
    old = (filled / "keys" / "root.key").read_bytes()
    (filled / "keys" / "root.key").unlink()
    assert everything(filled) == {f"text {number}" for number in range(20)}
    # A machine whose home is empty and whose settings still name the root key of before must not find an empty memory.
    elsewhere = filled.parent / "elsewhere"
    (elsewhere / "keys").mkdir(mode=0o700, parents=True)
    elsewhere.chmod(0o700)
    (elsewhere / "keys" / "root.key").write_bytes(old)
    (elsewhere / "keys" / "root.key").chmod(0o600)
    with pytest.raises(WrongKey, match="rotated away"):
        Memory(
            elsewhere,
            store=f"sqlite:{filled / 'data' / 'log.db'}",
            ring=f"sqlite:{filled / 'keys' / 'ring.db'}",
            keys="file:root.key",
            embedder="none",
        )
    assert data <= _digests(filled), "the data stay as they are"
    with opened(filled) as memory:
        assert [each["outcome"] for each in memory.audit() if each["operation"] == "rotate"] == ["begun", "ok"]
    (filled / "keys" / "root-2.key").unlink()
    with pytest.raises(TacitaError):
        opened(filled)


def _digests(home: Path) -> set[bytes]:
    with editable(home / "data" / "log.db") as db:
        found = {digest for (digest,) in db.execute("SELECT digest FROM log")}
    db.close()
    return found


def _entries(home: Path) -> list[RingEntry]:
    with opened(home) as memory:
        return list(memory._engine.keys.ring.entries())


def test_a_memory_that_was_open_before_reads_and_writes_on(filled: Path) -> None:
    with opened(filled) as memory:
        memory.search("text", user_id="user-1")
        rotate(settings(filled), "file:root-2.key")
        assert memory.get_all(user_id="user-2").items[0].text == "text 2", "its key is under a root key that came later"
        memory.add("by the old one", user_id="late")
    assert rotate(settings(filled), None).rewrapped == 1, "what it made meanwhile moves when the rotation ends"
    (filled / "keys" / "root.key").unlink()
    with opened(filled) as memory:
        assert memory.get_all(user_id="late").total == 1


def test_under_live_reads_and_writes(filled: Path) -> None:
    stop, failures = Event(), list[Exception]()

    def work(number: int) -> None:
        try:
            with opened(filled) as memory:
                turn = 0
                while not stop.is_set():
                    memory.add(f"live {turn}", user_id=f"live-{number}-{turn % 7}")
                    assert memory.get_all(user_id=f"user-{turn % 20}").total == 1
                    turn += 1
        except (TacitaError, AssertionError) as error:
            failures.append(error)

    threads = [Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for number in range(2, 5):
        assert rotate(settings(filled), f"file:root-{number}.key").provider
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert rotate(settings(filled), None).previous == ()
    for old in ("root.key", "root-2.key", "root-3.key"):
        (filled / "keys" / old).unlink()
    assert everything(filled) == {f"text {number}" for number in range(20)}


@pytest.mark.slow
def test_kill_9_while_rotating(filled: Path, record_property: Callable[[str, object], None]) -> None:
    kills = 60
    code = "import sys; from tacita.config import Settings; from tacita.rotating import rotate; print('go', flush=True); " \
        "rotate(Settings.load(home=sys.argv[1]), sys.argv[2]); rotate(Settings.load(home=sys.argv[1]), None)"  # fmt: skip
    for number in range(kills):
        worker = subprocess.Popen(
            [sys.executable, "-c", code, str(filled), f"file:root-k{number}.key"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"go\n"
        time.sleep(0.002 * (number % 40))
        worker.kill()
        worker.communicate()
        assert everything(filled) == {f"text {number}" for number in range(20)}
    rotate(settings(filled), "file:last.key")
    assert rotate(settings(filled), None).left == 0
    for key in (filled / "keys").glob("root*.key"):
        key.unlink()
    assert everything(filled) == {f"text {number}" for number in range(20)}
    record_property("figure", f"{kills} kills, every vault opens after each")


def test_what_cannot_be_rotated_says_so(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyUnavailable):
        rotate(settings(filled), "env:TACITA_NO_SUCH_KEY")
    assert rotate(settings(filled), None).previous == (), "a key that is not there was not recorded"
    monkeypatch.setenv("TACITA_KEYS", "file:root.key")
    with pytest.raises(ConfigError, match="take that out"):
        rotate(settings(filled), "file:root-2.key")
    monkeypatch.delenv("TACITA_KEYS")
    same = rotate(settings(filled), "file:root.key")
    assert (same.rewrapped, same.previous) == (0, ())


def test_a_rotation_that_ends_while_the_catalog_is_looked_for_is_no_wrong_key(filled: Path) -> None:
    class Late(SqliteKeyRing):
        """Shows no catalog at the first look at both of its names."""

        looks = 0

        def setting(self, name: str) -> bytes | None:
            self.looks += name.startswith("catalog")
            return None if self.looks <= 2 else super().setting(name)

    path = filled / "keys" / "ring.db"
    provider = open_file(filled / "keys" / "root.key")
    with closing(Late(path)) as late, closing(SqliteKeyRing(path)) as ring:
        assert Keys(late, provider).installation() == Keys(ring, provider).installation()
