"""The key providers that come with Tacita, under the public contract."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from tests.support import Support

from tacita.keys import file, oskeyring
from tacita.keys.environment import open_environment
from tacita.keys.passphrase import open_passphrase
from tacita.ports.keys import KeyProvider
from tacita.testing.key_contract import KeyProviderContract


class DesktopKeyring(KeyringBackend):
    """A backend as a desktop has one, in memory."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


class TestFile(KeyProviderContract):
    supports = Support("keys", ("file",), "a private file", "live")

    def make(self, folder: Path) -> KeyProvider:
        path = folder / "root.key"
        if not path.exists():
            file.create(path)
        return file.open_file(path)


class TestEnvironment(KeyProviderContract):
    supports = Support("keys", ("env",), "an environment variable", "live")

    def make(self, folder: Path) -> KeyProvider:
        root = hashlib.sha256(str(folder).encode()).digest()
        return open_environment("ROOT_KEY", {"ROOT_KEY": base64.b64encode(root).decode()}.get)


class TestPassphrase(KeyProviderContract):
    supports = Support("keys", ("passphrase",), "Argon2id", "live")

    def make(self, folder: Path) -> KeyProvider:
        return open_passphrase("synthetic words for a test", folder / "passphrase.json", cost="insecure-test")


class TestOsKeyring(KeyProviderContract):
    supports = Support("keys", ("keyring",), "a backend in RAM", "protocol", ("keyring",))

    @pytest.fixture(autouse=True)
    def desktop(self) -> Iterator[None]:
        before = keyring.get_keyring()
        keyring.set_keyring(DesktopKeyring())
        yield
        keyring.set_keyring(before)

    def make(self, folder: Path) -> KeyProvider:
        if keyring.get_password("tacita", folder.name) is None:
            oskeyring.create("tacita", folder.name)
        return oskeyring.open_keyring("tacita", folder.name)
