"""Data, key ring and root key of yesterday, all put back together: noticed by whoever remembers today elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from tests.support import Support

from tacita import AccessDenied, InvalidInput, Memory, StoreError, Tampered
from tacita.config import Settings
from tacita.errors import ConfigError
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
    with pytest.raises(Tampered, match="together"):
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


# ---------------------------------------------------------------------- an address instead of a file


class Keeper(BaseHTTPRequestHandler):
    """Keeps one body; answers with a code of the test's if that asks for one."""

    kept: bytes | None = None
    answers: int | None = None
    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self._note()
        body = type(self).kept
        code = type(self).answers or (404 if body is None else 200)
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/elsewhere")
        sent = body if code == 200 and body is not None else b""
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def do_PUT(self) -> None:
        self._note()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        code = type(self).answers or 204
        if code == 204:
            type(self).kept = body
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _note(self) -> None:
        type(self).seen.append((self.command + " " + self.path, self.headers.get("Authorization")))

    def log_message(self, *_: object) -> None:
        pass


def supports(request: pytest.FixtureRequest) -> Support | None:
    """Of the tests that ask an address."""
    asked = "keeper" in request.fixturenames
    return Support("anchors", ("http",), "a server on loopback", "live") if asked else None


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Keeper.kept, Keeper.answers = None, None
    Keeper.seen.clear()
    monkeypatch.setenv("ANCHORS_TOKEN", "tok-velociraptor")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Keeper)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/anchors?token=env:ANCHORS_TOKEN"
    server.shutdown()
    thread.join()
    server.server_close()


def with_address(home: Path, uri: str) -> Memory:
    return Memory(settings=Settings.load(config={"home": str(home), "anchors": uri}), embedder="none")


def test_an_address_remembers_as_a_file_does(home: Path, tmp_path: Path, keeper: str) -> None:
    with with_address(home, keeper) as memory:
        memory.add("yesterday", user_id="ana")
        assert {entry["host"] for entry in memory.describe()["egress"]} == {keeper.split("/")[2]}
    shutil.copytree(home, tmp_path / "yesterday")
    with with_address(home, keeper) as memory:
        memory.add("today", user_id="ana")
    assert set(Keeper.seen) == {(f"{verb} /anchors", "Bearer tok-velociraptor") for verb in ("GET", "PUT")}
    assert Keeper.kept is not None
    assert b"ana" not in Keeper.kept
    with with_address(home, keeper) as memory:
        assert memory.get_all(user_id="ana").total == 2
    shutil.rmtree(home)
    shutil.copytree(tmp_path / "yesterday", home)
    with pytest.raises(Tampered, match="together"):
        with_address(home, keeper)
    Keeper.kept = Keeper.kept.replace(b'"at"', b'"at" ') + b" "
    with pytest.raises(Tampered, match="together"):
        with_address(home, keeper)
    Keeper.kept = b"{}"
    with pytest.raises(Tampered, match="damaged"):
        with_address(home, keeper)


@pytest.mark.parametrize(("code", "retryable"), [(500, True), (503, True), (403, False), (302, False)])
def test_an_address_that_does_not_answer_as_it_should_opens_nothing(
    home: Path, keeper: str, code: int, retryable: bool
) -> None:
    with with_address(home, keeper) as memory:
        memory.add("text", user_id="ana")
    Keeper.answers = code
    with pytest.raises(StoreError) as failed:
        with_address(home, keeper)
    assert failed.value.retryable is retryable
    assert "velociraptor" not in str(failed.value)
    assert not [path for path, _ in Keeper.seen if "elsewhere" in path], "a redirect was followed"


def test_an_address_that_is_not_there_is_an_error_that_may_be_retried(home: Path) -> None:
    with pytest.raises(StoreError) as failed:
        with_address(home, "http://127.0.0.1:9/anchors")
    assert failed.value.retryable


@pytest.mark.parametrize(
    "uri",
    [
        "http://anchors.example.org/a",
        "https://user:pass@anchors.example.org/a",
        "https://anchors.example.org/a?other=1",
        "https:///a",
        "https://anchors.example.org/a?token=literal-token",
    ],
)
def test_an_address_that_is_not_protected_is_refused(home: Path, uri: str) -> None:
    with pytest.raises(ConfigError) as failed:
        with_address(home, uri)
    assert "literal-token" not in str(failed.value)
    assert "pass@" not in str(failed.value)
