"""`tacita vectors`: shown, withdrawn, and named by doctor and egress."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tacita import Memory
from tacita.config import Settings, egress
from tacita.surfaces.cli import app
from tacita.testing.embedder import HashEmbedder


def test_status_and_withdraw(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    config = {"home": str(home), "profile": "exposed-vectors", "vectors": "faiss:"}
    path = tmp_path / "tacita.json"
    path.write_text(json.dumps(config))
    with Memory(settings=Settings.load(config=config), embedder=HashEmbedder(64)) as memory:
        memory.add("the blue bicycle", user_id="ana")
    run = CliRunner()
    status = run.invoke(app, ["--config", str(path), "vectors", "status", "--json"])
    assert status.exit_code == 0, status.output
    told = json.loads(status.stdout)
    assert (told["entries"], told["missing"], told["extra"]) == (1, 0, 0)
    assert list((home / "vectors").glob("*.vectors"))
    gone = run.invoke(app, ["--config", str(path), "vectors", "withdraw", "--yes", "--json"])
    assert gone.exit_code == 0, gone.output
    assert not list((home / "vectors").glob("*.vectors"))


def test_egress_names_the_engine_before_anything_is_opened(home: Path) -> None:
    pytest.importorskip("qdrant_client")
    settings = Settings.load(
        config={
            "home": str(home),
            "profile": "exposed-vectors",
            "vectors": "qdrant:tacita@https://vectors.example:6333?api_key=env:NOT_SET",
        }
    )
    (entry,) = egress(settings)
    assert (entry["role"], entry["host"]) == ("vectors", "vectors.example:6333")
    assert "in plain" in entry["policy"]
    assert not home.exists()
