"""Lesson 20: telemetry that is off sends nothing, and when it is on it sends exactly what its preview shows."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tacita import Memory
from tacita.config import Settings
from tacita.errors import ConfigError, NotFound
from tacita.telemetry import OPERATIONS, OpenTelemetry, Telemetry
from tacita.testing.servers import ModelServer

SWITCHES = [
    ({"telemetry": {"enabled": False}}, {}),
    ({}, {"TACITA_TELEMETRY": "0"}),
    ({}, {"TACITA_TELEMETRY": "off"}),
    ({}, {"DO_NOT_TRACK": "1"}),
]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


def settings(home: Path, server: ModelServer, **more: Any) -> Settings:
    described: dict[str, Any] = {
        "home": str(home),
        "embedder": "none",
        "telemetry": {"enabled": True, "endpoint": server.url},
    }
    described.update(more)
    if "telemetry" in more:
        described["telemetry"] = {"endpoint": server.url, **more["telemetry"]}
    return Settings.load(config=described)


def use(memory: Memory) -> None:
    memory.add("My sister Quillfeather has HIV.", user_id="quillfeather", metadata={"hiv_status": "x"})


def test_off_by_default(tmp_path: Path) -> None:
    assert Settings.load(home=tmp_path).telemetry.enabled is False


@pytest.mark.parametrize(("config", "environment"), SWITCHES, ids=str)
def test_each_switch_keeps_every_byte_here(
    tmp_path: Path, server: ModelServer, config: dict[str, Any], environment: dict[str, str], monkeypatch: Any
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    memory = Memory(settings=settings(tmp_path / "home", server, **config))
    use(memory)
    memory.close()
    assert server.received == []


def test_the_switch_works_at_any_time(tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(settings=settings(tmp_path / "home", server))
    use(memory)
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    memory.close()
    assert server.received == []


def test_when_on_exactly_the_previewed_bytes_leave(tmp_path: Path, server: ModelServer) -> None:
    memory = Memory(settings=settings(tmp_path / "home", server))
    shown = memory.telemetry_preview("add")
    use(memory)
    memory.close()
    (received,) = server.received
    assert received.body == shown
    assert received.path == "/batch/"
    everything = server.everything().lower()
    assert not [word for word in (b"quillfeather", b"hiv", b"sister", str(tmp_path).encode()) if word in everything]
    (event,) = json.loads(received.body)["batch"]
    assert event["properties"]["counts"] == {"add.ok": 1}
    assert set(event["properties"]) == {
        *("version", "python", "system", "store", "embedder", "model", "guard", "counts"),
        *("$process_person_profile", "$geoip_disable", "$ip"),
    }


def test_failures_are_counted_by_code_only(tmp_path: Path, server: ModelServer) -> None:
    memory = Memory(settings=settings(tmp_path / "home", server))
    with pytest.raises(NotFound):
        memory.get("01a1fd3e-52e2-73d2-ad69-20247a994d65", user_id="quillfeather")
    memory.close()
    assert json.loads(server.received[0].body)["batch"][0]["properties"]["counts"] == {"get.not_found": 1}


def test_a_defect_is_not_counted_as_ok(tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(settings=settings(tmp_path / "home", server))
    monkeypatch.setattr(memory._engine, "find", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        memory.search("x", user_id="ana")
    memory.close()
    assert json.loads(server.received[0].body)["batch"][0]["properties"]["counts"] == {"search.defect": 1}


def test_an_installation_is_a_keyed_pseudonym(tmp_path: Path, server: ModelServer) -> None:
    ids = []
    for home in ("one", "one", "two"):
        memory = Memory(settings=settings(tmp_path / home, server))
        ids.append(json.loads(memory.telemetry_preview())["batch"][0]["distinct_id"])
        memory.close()
    assert ids[0] == ids[1] != ids[2]


def test_an_endpoint_that_is_down_disturbs_nothing(tmp_path: Path, server: ModelServer) -> None:
    memory = Memory(settings=settings(tmp_path / "home", server))
    server.will("broken")
    use(memory)
    memory.close()
    assert len(server.received) == 1


def test_there_is_no_default_endpoint_and_no_plain_http(tmp_path: Path) -> None:
    for endpoint in (None, "http://telemetry.example.org", "nonsense", "file://localhost/x", "ftp://localhost/x"):
        described = {"home": str(tmp_path / "home"), "embedder": "none"}
        with pytest.raises(ConfigError, match="endpoint"):
            Memory(settings=Settings.load(config={**described, "telemetry": {"enabled": True, "endpoint": endpoint}}))


def test_the_list_is_closed() -> None:
    class Nowhere:
        def count(self, operation: str, outcome: str) -> None: ...
        def send(self, body: bytes) -> None: ...

    telemetry = Telemetry(Nowhere(), installation="i", key="", facts={}, is_off=lambda: False)
    with pytest.raises(ValueError, match="closed"):
        telemetry.count("hiv_status", "ok")
    for operation in OPERATIONS:
        assert callable(getattr(Memory, operation))


def test_open_telemetry_gets_two_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry import metrics

    seen: list[Any] = []

    class Counter:
        def add(self, amount: int, attributes: dict[str, str]) -> None:
            seen.append((amount, attributes))

    class Meter:
        def create_counter(self, name: str) -> Counter:
            seen.append(name)
            return Counter()

    monkeypatch.setattr(metrics, "get_meter", lambda _: Meter())
    OpenTelemetry().count("search", "ok")
    assert seen == ["tacita.operations", (1, {"operation": "search", "outcome": "ok"})]


def test_the_command_line_previews_what_it_sends(tmp_path: Path, server: ModelServer) -> None:
    config = tmp_path / "tacita.json"
    config.write_text(
        json.dumps(
            {
                "home": str(tmp_path / "home"),
                "embedder": "none",
                "telemetry": {"enabled": True, "endpoint": server.url, "key": "env:PROJECT"},
            }
        )
    )

    def run(*arguments: str) -> bytes:
        start = "from tacita.surfaces.cli import main; main()"
        command = [sys.executable, "-c", start, "--config", str(config), *arguments]
        environment = {**os.environ, "PROJECT": "phc-synthetic"}
        return subprocess.run(command, capture_output=True, check=True, env=environment).stdout

    shown = run("telemetry", "preview", "add")
    assert server.received == []
    run("add", "Quillfeather", "--user", "ana")
    assert [each.body for each in server.received] == [shown]
