"""Holds, freezes, origins, receipts and the audit trail on the command line, as somebody types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tacita import Memory
from tacita.testing.tampering import editable

COMMAND = Path(sys.executable).with_name("tacita")


class Terminal:
    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *words: str, code: int = 0, said: bool = False) -> str:
        """What was printed; of a command that fails what it says of it, unless `said` asks for what it printed."""
        done = subprocess.run(
            [COMMAND, "--home", str(self.home), "--embedder", "none", *words], capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 or said else done.stderr


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
    checkpoint = tmp_path / "checkpoint.json"
    checkpoint.write_text(tacita("audit", "checkpoint"))
    assert json.loads(tacita("audit", "verify", "--checkpoint", str(checkpoint), "--json"))["checkpoint"] > 3
    checkpoint.write_text("[" * 200_000)
    assert "JSON" in tacita("audit", "verify", "--checkpoint", str(checkpoint), code=2)


def test_copies_keys_and_damage(tacita: Terminal, tmp_path: Path) -> None:
    for text in ("one", "two", "three"):
        tacita("add", text, "-u", "ana")
    tacita("add", "other", "-u", "rui")
    copy = tmp_path / "copy.db"
    assert "make one first" in tacita("backup", "data", str(copy), "--update", code=2)
    assert json.loads(tacita("backup", "data", str(copy), "--json"))["written"] == 3
    tacita("add", "four", "-u", "ana")
    updated = json.loads(tacita("backup", "data", str(copy), "--update", "--json"))
    assert (updated["written"], updated["unchanged"], updated["dropped"]) == (2, 1, 0)

    rotated = json.loads(tacita("rotate", "--deep", "--json"))
    assert (rotated["resealed"], rotated["rewrapped"], rotated["left"]) == (3, 0, 0)
    assert json.loads(tacita("verify", "--deep", "--json"))["ok"] is True

    with Memory(tacita.home, embedder="none") as memory:
        ana = memory._engine.keys.vault_id("default", "user", "ana")
    db = editable(tacita.home / "data" / "log.db")
    (number,) = db.execute("SELECT no FROM vaults WHERE vault_id = ?", (ana,)).fetchone()
    db.execute("UPDATE log SET sealed = zeroblob(length(sealed)) WHERE key = ?", (number << 32 | 2,))
    db.commit()
    db.close()
    assert "seq 2" in tacita("list", "-u", "ana", code=13)
    assert "other" in tacita("list", "-u", "rui")
    assert "seq 2" in tacita("verify", code=13, said=True)
    assert "seq 2" in tacita("repair", code=13, said=True)
    planned = json.loads(tacita("isolate", "-u", "ana", "--dry-run", "--json"))
    assert (planned["done"], planned["lost"]) == (False, [2])
    assert "--yes" in tacita("isolate", "-u", "ana", code=2)
    assert json.loads(tacita("isolate", "-u", "ana", "--yes", "--json"))["done"] is True
    assert json.loads(tacita("verify", "--deep", "--json"))["isolated"] == 1
    assert json.loads(tacita("repair", "--json"))["ok"] is True
    assert "nothing in this vault is damaged" in tacita("isolate", "-u", "ana", "--yes", code=2)
    left = {item["text"] for item in json.loads(tacita("list", "-u", "ana", "--json"))["items"]}
    assert left == {"one", "three", "four"}
