"""Anchors remembered elsewhere: what is compared, what is refused, and that a file is written whole or not at all."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from tests.support import Support
from tests.unit.vault.places import Place, added

from tacita.errors import Tampered
from tacita.sealed import Anchor
from tacita.stores.anchor_file import FilePlace
from tacita.stores.memory_ring import MemoryKeyRing
from tacita.vault.mirror import AnchorMirror

supports = Support("anchors", ("file",), "a private file", "live")


@pytest.fixture
def place() -> Place:
    place = Place()
    place.write(added(1), added(2))
    place.write(added(1), who="rui")
    return place


def mirror(place: Place, path: Path) -> AnchorMirror:
    return AnchorMirror(FilePlace(path), place.keys.anchors)


def test_what_is_remembered_is_compared(place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "there").mkdir()
    path = tmp_path / "there" / "anchors.json"
    assert mirror(place, path).check(place.ring) == 0
    assert [(record.name, record.levelno) for record in caplog.records] == [("tacita.anchors", logging.WARNING)]
    assert str(path) in caplog.text
    mirror(place, path).write(place.ring, 5)
    assert mirror(place, path).check(place.ring) == 2
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["anchors.json"]
    told = json.loads(path.read_text())
    assert (told["tacita_anchors"], told["at"]) == (1, 5)
    place.write(added(3))
    assert mirror(place, path).check(place.ring) == 2, "a ring that went on is no older one"
    mirror(place, path).write(place.ring, 6)
    assert mirror(place, path).check(place.ring) == 2


def test_a_ring_that_went_back_or_took_another_way_is_refused(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "anchors.json"
    mirror(place, path).write(place.ring, 5)
    ana = place.vault_id()
    name, entry = ana.hex()[:12], place.ring.get(ana)
    assert entry is not None
    place.ring.rewind(ana, Anchor(1, entry.anchor.chain))
    with pytest.raises(Tampered, match=f"vault {name} seq 2: data and key ring went back .*; they end at 1"):
        mirror(place, path).check(place.ring)
    place.ring.rewind(ana, Anchor(2, bytes(32)))
    with pytest.raises(Tampered, match=f"vault {name} seq 2: its history is not the one that .*anchors.json knows"):
        mirror(place, path).check(place.ring)
    place.ring.rewind(ana, Anchor(3, bytes(32)))
    assert mirror(place, path).check(place.ring) == 2


def test_an_erased_vault_may_be_missing_and_no_other(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "anchors.json"
    mirror(place, path).write(place.ring, 5)
    whole = path.read_bytes()
    younger = Place(ring=MemoryKeyRing(), provider=place.provider)
    with pytest.raises(Tampered, match="the ring never knew it"):
        mirror(place, path).check(younger.ring)
    assert path.read_bytes() == whole
    place.erase()
    assert mirror(place, path).check(place.ring) == 2
    assert list(json.loads(path.read_text())["vaults"]) == [place.vault_id("rui").hex()], "and it is forgotten there"
    assert json.loads(path.read_text())["at"] == 5
    place.write(added(9))
    assert mirror(place, path).check(place.ring) == 1, "its subject may come back"


def test_an_erased_vault_is_forgotten_at_once_and_no_other(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "anchors.json"
    mirror(place, path).forget(place.vault_id())
    assert not path.exists(), "where nothing is remembered there is nothing to forget"
    mirror(place, path).write(place.ring, 5)
    whole = path.read_bytes()
    mirror(place, path).forget(place.vault_id("nobody"))
    assert path.read_bytes() == whole
    mirror(place, path).forget(place.vault_id())
    assert list(json.loads(path.read_text())["vaults"]) == [place.vault_id("rui").hex()]
    assert mirror(place, path).check(place.ring) == 1
    path.write_bytes(whole[:-9])
    with pytest.raises(Tampered, match="damaged"):
        mirror(place, path).forget(place.vault_id())


def test_what_a_power_failure_could_take_from_the_ring_is_made_to_stay_before_it_is_remembered(
    place: Place, tmp_path: Path
) -> None:
    order: list[str] = []

    class Ring(MemoryKeyRing):
        def settle(self) -> None:
            order.append("ring")

    class Noting(FilePlace):
        def write(self, body: bytes) -> None:
            order.append("elsewhere")
            super().write(body)

    AnchorMirror(Noting(tmp_path / "anchors.json"), place.keys.anchors).write(Ring(), 5)
    assert order == ["ring", "elsewhere"]


@pytest.mark.parametrize("change", ["at", "seq", "chain", "vault", "mac", "key", "shape", "hex", "short", "unknown"])
def test_no_byte_of_the_file_can_be_changed(place: Place, tmp_path: Path, change: str) -> None:
    path = tmp_path / "anchors.json"
    mirror(place, path).write(place.ring, 5)
    told = json.loads(path.read_text())
    ana = place.vault_id().hex()
    reader = mirror(place, path)
    match change:
        case "at":
            told["at"] = 6
        case "seq":
            told["vaults"][ana][0] = 1
        case "chain":
            told["vaults"][ana][1] = "00" * 32
        case "vault":
            del told["vaults"][ana]
        case "mac":
            told["mac"] = "00" * 32
        case "key":
            reader = mirror(Place(), path)
        case "shape":
            told["vaults"] = []
        case "hex":
            told["vaults"]["no hex"] = [1, "00"]
        case "short":
            told["vaults"]["00" * 31] = [1, "00" * 32]
        case _:
            told["later"] = 1
    path.write_text(json.dumps(told))
    with pytest.raises(Tampered, match="damaged" if change in ("shape", "hex", "short", "unknown") else "changed"):
        reader.check(place.ring)
