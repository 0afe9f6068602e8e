"""What every test runs under: no network but this machine, no real home, no real key ring, no flaky search.

The fences are set here and not by each test, so that a new test cannot forget them.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest


class NetworkUsed(AssertionError):
    """A test reached for an address that is not on this machine."""


def _local(host: object) -> bool:
    if host in ("localhost", "", None, b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def _socket_guard(event: str, args: tuple[object, ...]) -> None:
    # An audit hook sees every socket of this process, however it was made; it cannot be taken off again.
    if event in ("socket.connect", "socket.sendto", "socket.bind"):
        sock, address = args
        if getattr(sock, "family", None) == getattr(socket, "AF_UNIX", object()):
            return
        if isinstance(address, tuple) and not _local(address[0]):
            raise NetworkUsed(f"{event}: {address[0]}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and not _local(args[0]):
        raise NetworkUsed(f"{event}: {args[0]!r}")


def pytest_configure(config: pytest.Config) -> None:
    sys.addaudithook(_socket_guard)
    # Derandomised: a red run is red again. No deadline: a busy machine is not a bug.
    hypothesis.settings.register_profile("tacita", deadline=None, derandomize=True, database=None, print_blob=True)
    hypothesis.settings.load_profile("tacita")


@pytest.fixture(autouse=True)
def _fenced_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of the test's own, for this process and for what it starts."""
    home = tmp_path / "user-home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith("TACITA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TACITA_HOME", str(tmp_path / "tacita-home"))
    for name in ("HOME", "USERPROFILE", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(home))
    # The keys of whoever runs the tests are out of bounds.
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(autouse=True)
def _support_recorded(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[None]:
    """What a test says about the support of a system goes into the report: see tests/support.py."""
    yield
    # Afterwards: by then the test has found its server.
    said = getattr(request.cls, "supports", None) or getattr(request.module, "supports", None)
    if callable(said):
        said = said(request)
    if said is not None:
        record_property("supports", said.record(request))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder that a `Memory()` of this test opens by default; it does not exist yet."""
    return tmp_path / "tacita-home"
