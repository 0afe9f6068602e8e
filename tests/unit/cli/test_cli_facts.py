"""Several sessions of one person through the command line and the API, with a model on loopback behind its real client."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tacita import Memory
from tacita.config import Settings
from tacita.testing.servers import ModelServer

COMMAND = Path(sys.executable).with_name("tacita")

SESSIONS = [
    ("2026-01-10", "I live in Lisbon and work as a nurse. Write to ana.lima@example.org."),
    ("2026-02-11", "My badge key is AKIAQ3EGRT7ZLN2HWXJP, by the way. I am allergic to penicillin."),
    ("2026-03-12", "I moved! I live in Porto now."),
]


def model(_: str, data: str) -> str:
    """Reads what it was told with regular expressions, as a model would with more taste."""
    facts: list[dict[str, Any]] = []
    known, messages = data.split("FACTS\n")[1].split("MESSAGES\n")
    homes = re.findall(r"\[(f\d+)\] \([^)]*\) Ana lives in (\w+)\.", known)
    for label, said in re.findall(r"\[(m\d+)\] \([^)]*\) (.*)", messages):
        for pattern, sentence in (
            (r"live in (\w+)", "Ana lives in {}."),
            (r"work as a (\w+)", "Ana works as a {}."),
            (r"allergic to (\w+)", "Ana is allergic to {}."),
            (r"Write to (\S+?)\.?(?: |$)", "Write to {}."),
        ):
            found = re.search(pattern, said)
            if found is None:
                continue
            fact: dict[str, Any] = {"text": sentence.format(found[1]), "source": label, "quote": found[0].strip(" .")}
            if "lives" in sentence and homes and homes[0][1] != found[1]:
                fact |= {"relation": "supersedes", "of": homes[0][0]}
            facts.append(fact)
    return "<think>let me see</think>\n```json\n" + json.dumps({"facts": facts}) + "\n```"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(model) as running:
        yield running


class Command:
    def __init__(self, home: Path, server: ModelServer, guard: str) -> None:
        uri = f"openai:scripted@{server.url}/v1?key=env:SYNTHETIC_KEY&attempts=1"
        self.settings = {"home": str(home), "embedder": "none", "model": uri, "guard": guard}
        self._config = home.parent / "tacita.json"
        self._config.write_text(json.dumps(self.settings))

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [COMMAND, "--config", str(self._config), "--json", *arguments]
        environment = {**os.environ, "SYNTHETIC_KEY": "k"}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __call__(self, *arguments: str) -> Any:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return json.loads(out)


@pytest.mark.parametrize("guard", ["default", "clinical"])
def test_sessions_become_facts(tmp_path: Path, server: ModelServer, guard: str, monkeypatch: Any) -> None:
    tacita = Command(tmp_path / "home", server, guard)
    ids = []
    for day, text in SESSIONS:
        added = tacita("add", text, "--user", "ana", "--run", day, "--timestamp", day, "--infer")
        ids.append(added["results"][0]["id"])
        assert added["extraction"]["failure"] is None
    told = tacita("search", "where does Ana live?", "--user", "ana", "--filter", '{"kind": "fact"}', "-k", "1")
    (hit,) = told["hits"]
    assert hit["text"] == "Ana lives in Porto."
    assert hit["citations"] == [ids[2]]
    assert hit["timestamp"].startswith("2026-03-12")
    before = tacita("search", "where does Ana live?", "--user", "ana", "--filter", '{"kind": "fact"}',
                    "-k", "1", "--as-of", "2026-02-01")  # fmt: skip
    assert before["hits"][0]["text"] == "Ana lives in Lisbon."
    assert tacita("stats", "--user", "ana")["by_kind"] == {"message": 3, "fact": 4}
    assert tacita("verify")["ok"]

    monkeypatch.setenv("SYNTHETIC_KEY", "k")
    with Memory(settings=Settings.load(config=tacita.settings)) as memory:
        facts = {item.text: item for item in memory.get_all(user_id="ana", filters={"kind": "fact"})}
        assert set(facts) == {
            *("Ana lives in Porto.", "Ana works as a nurse.", "Ana is allergic to penicillin."),
            "Write to ana.lima@example.org.",
        }, "the stand-in that the model saw has turned back"
        lived = memory.get(before["hits"][0]["id"], user_id="ana")
        assert lived.derivation is not None
        assert lived.derivation.superseded_by == facts["Ana lives in Porto."].id

    sent = server.everything()
    assert b"allergic to penicillin" in sent
    assert b"AKIAQ3EGRT7ZLN2HWXJP" not in sent
    assert b"ana.lima@example.org" not in sent
    for path in (tmp_path / "home").rglob("*"):
        if path.is_file():
            content = path.read_bytes().lower()
            assert not [word for word in (b"penicillin", b"lisbon", b"nurse", b"akiaq3") if word in content]


def test_killed_while_the_model_thinks(tmp_path: Path, server: ModelServer) -> None:
    tacita = Command(tmp_path / "home", server, "default")
    server.will("slow")
    process = tacita.start("add", SESSIONS[0][1], "--user", "ana", "--infer")
    deadline = time.monotonic() + 30
    while not server.received and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(server.received) == 1
    assert tacita("stats", "--user", "ana")["pending"] == 1
    assert tacita("list", "--user", "ana")["total"] == 1
    drawn = tacita("extract", "--user", "ana")
    assert len(drawn["facts"]) == 3
    assert tacita("stats", "--user", "ana")["pending"] == 0
    assert tacita("verify")["ok"]
