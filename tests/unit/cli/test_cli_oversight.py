"""Holds, freezes, origins, receipts and the audit trail on the command line, as somebody types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("tacita")


class Terminal:
    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [COMMAND, "--home", str(self.home), "--embedder", "none", *words], capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr


@pytest.fixture
def tacita(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path / "home")


def test_a_day_of_somebody_who_answers_for_a_home(tacita: Terminal, tmp_path: Path) -> None:
    tacita("add", "I am allergic to penicillin", "-u", "ana")
    tacita("add", "page text", "-u", "ana", "--role", "tool", "--name", "web")
    assert "yes: case 4" in tacita("hold", "-u", "ana", "--reason", "case 4")
    assert "legal hold" in tacita("erase", "-u", "ana", "--yes", code=8)
    assert json.loads(tacita("hold", "-u", "ana", "--end", "--json")) == {"freeze": None, "hold": None}
    tacita("freeze", "-u", "ana")
    assert "frozen" in tacita("search", "penicillin", "-u", "ana", code=8)
    tacita("freeze", "-u", "ana", "--end")
    assert "--yes" in tacita("purge", "tool:web", "-u", "ana", code=2)
    receipt = tmp_path / "receipt.json"
    receipt.write_text(tacita("purge", "tool:web", "-u", "ana", "--yes", "--json"))
    assert tacita("search", "page", "-u", "ana").count("penicillin") == 1
    key = json.loads(tacita("receipt", "key", "--json"))["key"]
    for how in ((), ("--key", key)):
        checked = json.loads(tacita("receipt", "verify", str(receipt), "--json", *how))
        assert (checked["kind"], checked["after"]) == ("purge", {"events": 0, "items": 0, "snapshots": 0})
    changed = json.loads(receipt.read_text())
    changed["proof"]["payload"] = changed["proof"]["payload"].replace('"items":1', '"items":2')
    receipt.write_text(json.dumps(changed))
    assert "changed" in tacita("receipt", "verify", str(receipt), code=13)
    assert "hex" in tacita("receipt", "verify", str(receipt), "--key", "not a key", code=2)
    assert json.loads(tacita("sweep", "--json")) == {
        "deleted": 0,
        "held": 0,
        "leftovers": 0,
        "unavailable": 0,
        "vaults": 1,
    }
    tail = tacita("audit", "tail", "-n", "50")
    assert all(word in tail for word in ("added", "restricted", "read         denied", "purge"))
    lines = [json.loads(line) for line in tacita("audit", "export").splitlines()]
    assert {"added", "search", "purge"} <= {line["operation"] for line in lines}
    assert "penicillin" not in str(lines)
    assert json.loads(tacita("audit", "verify", "--json"))["ok"] is True
