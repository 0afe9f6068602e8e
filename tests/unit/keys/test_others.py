"""Environment, passphrase and OS keyring: what each refuses, and that it shows nothing while it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backends.null
import keyring.errors
import pytest
from keyring.backend import KeyringBackend

from tacita.errors import ConfigError, KeyProviderError, KeyUnavailable, WrongKey
from tacita.keys import oskeyring
from tacita.keys.environment import open_environment
from tacita.keys.passphrase import COSTS, open_passphrase

WORDS = "synthetic words for a test"


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set(value: str | None) -> None:
    with pytest.raises(KeyUnavailable, match="TACITA_ROOT_KEY"):
        open_environment("TACITA_ROOT_KEY", lambda _: value)


@pytest.mark.parametrize("value", ["hunter2hunter2", "ab" * 31, "zz" * 32, "QUJD" * 20, "é" * 32])
def test_a_variable_that_holds_no_key_is_not_shown(value: str) -> None:
    with pytest.raises(WrongKey) as caught:
        open_environment("TACITA_ROOT_KEY", lambda _: value)
    assert value not in str(caught.value)
    assert "32 bytes" in str(caught.value)


def test_hex_and_base64_are_the_same_key() -> None:
    opened = [open_environment("X", lambda _, value=value: value).id for value in ("00" * 32, "A" * 43 + "=")]
    assert opened[0] == opened[1]


def test_a_passphrase_is_known_again(tmp_path: Path) -> None:
    record = tmp_path / "keys" / "passphrase.json"
    first = open_passphrase(WORDS, record, cost="insecure-test")
    assert record.stat().st_mode & 0o777 == 0o600
    assert open_passphrase(WORDS, record).id == first.id, "the cost is the record's"
    with pytest.raises(WrongKey, match="wrong passphrase"):
        open_passphrase(WORDS + ".", record)
    assert WORDS not in record.read_text()


def test_two_homes_with_one_passphrase_have_two_keys(tmp_path: Path) -> None:
    ids = {open_passphrase(WORDS, tmp_path / name, cost="insecure-test").id for name in ("a", "b")}
    assert len(ids) == 2


def test_the_default_cost_is_the_standards(tmp_path: Path) -> None:
    cost = COSTS["default"]
    assert (cost.memory_kib, cost.iterations, cost.lanes) == (65_536, 3, 4)
    open_passphrase(WORDS, tmp_path / "record")
    assert json.loads((tmp_path / "record").read_text())["cost"] == "default"


def test_passphrases_that_are_refused(tmp_path: Path) -> None:
    record = tmp_path / "record"
    with pytest.raises(ConfigError, match="12 characters"):
        open_passphrase("too short", record)
    with pytest.raises(ConfigError, match="unknown cost"):
        open_passphrase(WORDS, record, cost="cheap")
    assert not record.exists()


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\xfe", b'{"format": 1}'])
def test_a_damaged_record_is_not_made_anew(tmp_path: Path, damage: bytes) -> None:
    record = tmp_path / "record"
    record.write_bytes(damage)
    with pytest.raises(ConfigError):
        open_passphrase(WORDS, record)
    assert record.read_bytes() == damage


class Keyring(KeyringBackend):
    """A backend that behaves as told."""

    priority = 5  # type: ignore[assignment]

    def __init__(self, *, forgets: bool = False, changes: bool = False, locked: bool = False) -> None:
        super().__init__()
        self.forgets, self.changes, self.locked = forgets, changes, locked
        self.kept: dict[str, str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise keyring.errors.KeyringLocked("locked: the secret of the desktop")
        return self.kept.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        if not self.forgets:
            self.kept[username] = password[:-4] if self.changes else password


@pytest.fixture
def before() -> Iterator[None]:
    kept = keyring.get_keyring()
    yield
    keyring.set_keyring(kept)


@pytest.mark.usefixtures("before")
def test_a_keyring_that_drops_or_changes_secrets_is_found_out() -> None:
    for backend in (Keyring(forgets=True), Keyring(changes=True)):
        keyring.set_keyring(backend)
        with pytest.raises(KeyProviderError, match="did not give back"):
            oskeyring.create("tacita", "root")


@pytest.mark.usefixtures("before")
def test_the_null_keyring_is_none_at_all() -> None:
    keyring.set_keyring(keyring.backends.null.Keyring())
    assert not oskeyring.usable()
    with pytest.raises(KeyProviderError):
        oskeyring.create("tacita", "root")
    with pytest.raises(KeyUnavailable):
        oskeyring.open_keyring("tacita", "root")


@pytest.mark.usefixtures("before")
def test_a_locked_keyring_and_a_missing_entry() -> None:
    keyring.set_keyring(Keyring(locked=True))
    with pytest.raises(KeyUnavailable) as caught:
        oskeyring.open_keyring("tacita", "root")
    assert "secret of the desktop" not in str(caught.value)
    with pytest.raises(KeyProviderError):
        oskeyring.create("tacita", "root")
    keyring.set_keyring(Keyring())
    with pytest.raises(KeyUnavailable, match="no entry"):
        oskeyring.open_keyring("tacita", "root")


@pytest.mark.usefixtures("before")
def test_an_entry_is_never_overwritten() -> None:
    keyring.set_keyring(Keyring())
    oskeyring.create("tacita", "root")
    first = oskeyring.open_keyring("tacita", "root").id
    with pytest.raises(KeyProviderError, match="already"):
        oskeyring.create("tacita", "root")
    assert oskeyring.open_keyring("tacita", "root").id == first
