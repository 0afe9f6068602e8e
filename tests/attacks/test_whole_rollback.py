"""Data, key ring and root key of yesterday, all put back together: noticed by whoever remembers today elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tacita import AccessDenied, InvalidInput, Memory, StoreError, Tampered
from tacita.config import Settings
from tacita.restoring import restore_data


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "other-medium"
    folder.mkdir()
    return folder / "anchors.json"


def opened(home: Path, anchors: Path | None) -> Memory:
    described = {"home": str(home)} | ({} if anchors is None else {"anchors": str(anchors)})
    return Memory(settings=Settings.load(config=described), embedder="none")


def test_a_whole_home_of_yesterday_is_refused(home: Path, tmp_path: Path, elsewhere: Path) -> None:
    with opened(home, elsewhere) as memory:
        memory.add("yesterday", user_id="ana")
    shutil.copytree(home, tmp_path / "yesterday")
    with opened(home, elsewhere) as memory:
        memory.add("today", user_id="ana")
    shutil.rmtree(home)
    shutil.copytree(tmp_path / "yesterday", home)
    with opened(home, None) as memory:
        assert memory.verify().ok, "by itself it cannot be told from the past"
    with pytest.raises(Tampered, match="together"):
        opened(home, elsewhere)


def test_a_home_from_before_a_vault_was_made_is_refused_and_an_erased_one_is_not(
    home: Path, tmp_path: Path, elsewhere: Path
) -> None:
    with opened(home, elsewhere) as memory:
        memory.add("one", user_id="ana")
    shutil.copytree(home, tmp_path / "yesterday")
    with opened(home, elsewhere) as memory:
        memory.add("new", user_id="rui")
    shutil.rmtree(home)
    shutil.copytree(tmp_path / "yesterday", home)
    with pytest.raises(Tampered, match="never knew"):
        opened(home, elsewhere)
    elsewhere.unlink()
    with opened(home, elsewhere) as memory:
        memory.erase(user_id="ana")
    with opened(home, elsewhere) as memory:
        assert memory.get_all(user_id="ana").total == 0


def test_a_rollback_that_the_operator_accepts_is_accepted_there_too(
    home: Path, tmp_path: Path, elsewhere: Path
) -> None:
    with opened(home, elsewhere) as memory:
        memory.add("yesterday", user_id="ana")
        memory.backup(tmp_path / "copy.db")
        memory.add("today", user_id="ana")
    settings = Settings.load(config={"home": str(home), "anchors": str(elsewhere)})
    assert restore_data(settings, tmp_path / "copy.db", accept_rollback=True).rolled_back == 1
    with opened(home, elsewhere) as memory:
        assert [item.text for item in memory.get_all(user_id="ana")] == ["yesterday"]


def test_a_file_that_was_changed_or_is_another_homes_is_refused(home: Path, tmp_path: Path, elsewhere: Path) -> None:
    with opened(home, elsewhere) as memory:
        memory.add("one", user_id="ana")
    whole = elsewhere.read_text()
    assert "one" not in whole
    described = json.loads(whole)
    vault = next(iter(described["vaults"]))
    described["vaults"][vault][0] = 0
    for changed in (json.dumps(described), whole[:-10], "{}", ""):
        elsewhere.write_text(changed)
        with pytest.raises(Tampered):
            opened(home, elsewhere)
    elsewhere.write_text(whole)
    with pytest.raises(Tampered, match="another home"):
        opened(tmp_path / "other", elsewhere)


def test_it_is_written_when_asked_for_and_never_in_silence(home: Path, elsewhere: Path, tmp_path: Path) -> None:
    memory = opened(home, elsewhere)
    memory.add("one", user_id="ana")
    assert not elsewhere.exists()
    memory.remember_anchors()
    assert elsewhere.stat().st_mode & 0o777 == 0o600
    with pytest.raises(AccessDenied):
        memory.bind(permissions=["read"]).remember_anchors()
    memory.close()
    with opened(home, None) as plain, pytest.raises(InvalidInput, match="anchors"):
        plain.remember_anchors()
    gone = opened(home, tmp_path / "gone" / "anchors.json")
    gone.add("two", user_id="ana")
    with pytest.raises(StoreError, match="cannot be written"):
        gone.close()
