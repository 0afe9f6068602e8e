"""The power goes at any moment: what was acknowledged is there, what was removed is not, and nothing looks like an attack.

A worker uses Tacita for real while every change that it makes to its files is recorded below SQLite (`power_shim.c`). Out
of the recording come the states in which a disk may be after a power failure (`power_disk.py` says which, and what is
not modelled), and each is opened and examined (`power_check.py`). The choice of states is the same in every run; keys,
salts and times in the recording are not.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.survival.power import Score, cut_power, ram_folder
from tests.survival.power_check import Needles, Said
from tests.survival.power_disk import Disk
from tests.survival.power_trace import Recording, compiled_shim, record

STATES = int(os.environ.get("TACITA_POWER_STATES", "1000"))
CONTROLS = 100
LIVES = 3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(36_000)]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def ram() -> Iterator[Path]:
    with ram_folder() as folder:
        yield folder


def recorded(shim: Path, ram: Path, *how: str) -> Recording:
    world = ram / "world"
    shutil.rmtree(world, ignore_errors=True)
    world.mkdir()
    trace = ram / "trace"
    trace.unlink(missing_ok=True)
    return record(shim, world, trace, LIVES, *how)


@pytest.fixture(scope="module")
def recording(shim: Path, ram: Path) -> Recording:
    return recorded(shim, ram)


def test_the_recording_is_the_whole_truth(recording: Recording, ram: Path) -> None:
    """Played back it gives the very files that were seen from outside; and it holds what is hard about SQLite's logs."""
    disk, pauses = Disk(str(ram / "world"), journal=True), iter(recording.paused)
    rewound = dict.fromkeys(("log.db-wal", "ring.db-wal"), 0)
    checkpointed = dict.fromkeys(("log.db", "ring.db"), 0)
    names: dict[int, str] = {}
    for each in recording.records:
        disk.play(each)
        if each.op == "O":
            names[each.fd] = Path(each.one.decode()).name
        elif each.op == "W":
            name = names[each.fd]
            rewound[name] = rewound.get(name, 0) + (each.a == 0)
            checkpointed[name] = checkpointed.get(name, 0) + 1
        elif each.op == "A" and each.one == b"pause\n":
            played = {name: hashlib.sha256(content).hexdigest() for name, content in disk.files().items()}
            assert played == next(pauses)
    assert next(pauses, None) is None
    assert len(recording.paused) == 5 * LIVES + 1
    assert all(rewound[name] > 10 for name in ("log.db-wal", "ring.db-wal")), rewound
    assert all(checkpointed[name] > 100 for name in ("log.db", "ring.db")), checkpointed


def test_what_is_removed_was_to_be_seen_before(recording: Recording, ram: Path) -> None:
    """The search for removed ciphertext finds it where it is: right before each deletion, in the files."""
    disk, said, files, deletions = Disk(str(ram / "world"), journal=True), Said(), {}, 0
    for each in recording.records:
        disk.play(each)
        if each.op != "A":
            continue
        said.hear(each.one)
        if said.doing is not None:
            files = disk.files()
        elif gone := json.loads(each.one).get("done", {}).get("gone") if each.one != b"pause\n" else None:
            wanted = {bytes.fromhex(piece) for piece in gone}
            found = set().union(*Needles(wanted).found(files).values())
            assert found == wanted, f"{len(wanted - found)} of {len(wanted)} pieces are nowhere before they are removed"
            assert not Needles(wanted).found(disk.files())
            deletions += 1
    assert deletions > 40


@pytest.mark.parametrize("names", ["journal", "posix"])
def test_power_failure(
    recording: Recording, ram: Path, tmp_path: Path, names: str, record_property: Callable[[str, object], None]
) -> None:
    score = cut_power(recording.records, ram / "world", ram, STATES // 2, journal=names == "journal")
    if score.broken:
        shutil.copytree(ram / "crash", tmp_path / "broken", symlinks=True)
        raise AssertionError(f"{score.broken[0]}; state {score.states}, its files are in {tmp_path / 'broken'}")
    assert score.states == STATES // 2
    assert min(score.lost, score.torn, score.names_lost) > 0
    record_property(
        "figure",
        f"{score.states:,} power failures ({names}): {score.lost:,} writes lost, {score.torn:,} torn, "
        f"{score.names_lost:,} names lost; 0 of {score.acknowledged:,} acknowledged operations undone",
    )


def assert_lost(score: Score) -> None:
    """Many homes are broken, and in some of them that open, acknowledged adds are seen to be missing."""
    missing = sum("acknowledged but not there: {'" in each or "rolled back" in each for each in score.broken)
    assert len(score.broken) > CONTROLS // 4, score.broken
    assert missing > CONTROLS // 50, score.broken


def test_control_without_syncs_acknowledged_data_is_lost(
    shim: Path, ram: Path, record_property: Callable[[str, object], None]
) -> None:
    """The worker tells SQLite to sync nothing. A test that saw no loss then would see none ever."""
    unsynced = recorded(shim, ram, "unsynced")
    score = cut_power(unsynced.records, ram / "world", ram, CONTROLS, journal=True, stop=False)
    assert_lost(score)
    record_property("figure", f"control without syncs: {len(score.broken)} of {CONTROLS} homes broken")


def test_control_a_disk_that_ignores_syncs(
    recording: Recording, ram: Path, record_property: Callable[[str, object], None]
) -> None:
    """The same recording, and a disk that only says that it has synced."""
    score = cut_power(recording.records, ram / "world", ram, CONTROLS, journal=True, deaf=True, stop=False)
    assert_lost(score)
    record_property("figure", f"control with a deaf disk: {len(score.broken)} of {CONTROLS} homes broken")
