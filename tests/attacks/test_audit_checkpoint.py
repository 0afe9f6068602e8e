"""Whoever keeps a checkpoint of the audit log elsewhere notices when entries before it are changed or left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tacita import AccessDenied, InvalidInput, Memory, Tampered
from tacita.config import Settings
from tacita.rotating import rotate

OPEN = Callable[..., Memory]


@pytest.fixture
def kept(opened: OPEN) -> tuple[Memory, dict[str, Any]]:
    """A memory that was read from a few times, and its checkpoint."""
    memory = opened(embedder="none")
    memory.add("text", user_id="ana")
    for number in range(5):
        memory.search(f"text {number}", user_id="ana")
    return memory, memory.audit_checkpoint().to_dict()


def test_the_log_goes_on_from_its_checkpoint(kept: tuple[Memory, dict[str, Any]]) -> None:
    memory, checkpoint = kept
    facts = memory.verify_checkpoint(checkpoint)
    assert facts["entries"] >= 6
    memory.search("more", user_id="ana")
    assert memory.verify_checkpoint(checkpoint)["entries"] == facts["entries"]
    assert memory.audit_checkpoint().facts["entries"] == facts["entries"] + 1
    assert "text" not in json.dumps(checkpoint)


def test_it_outlives_another_key_for_the_log(home: Path, kept: tuple[Memory, dict[str, Any]]) -> None:
    memory, checkpoint = kept
    assert rotate(Settings.load(home=home), None, deep=True).resealed == 2
    assert memory.verify_checkpoint(checkpoint) == json.loads(checkpoint["payload"])


def test_what_was_changed_or_left_out_is_noticed(
    kept: tuple[Memory, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even by somebody who has every key: the entries are replaced in the log itself."""
    memory, checkpoint = kept
    audit = memory._engine.audit
    genuine = list(audit.entries())
    changed = [
        msgspec.structs.replace(genuine[2], actor="somebody else") if n == 2 else e for n, e in enumerate(genuine)
    ]
    for entries in (genuine[:-1], genuine[1:], changed, [genuine[1], genuine[0], *genuine[2:]]):
        with monkeypatch.context() as patched:
            patched.setattr(audit, "entries", lambda entries=entries: iter(entries))
            with pytest.raises(Tampered):
                memory.verify_checkpoint(checkpoint)
    assert memory.verify_checkpoint(checkpoint)


def test_a_checkpoint_that_is_none(kept: tuple[Memory, dict[str, Any]], opened: OPEN, tmp_path: Path) -> None:
    memory, checkpoint = kept
    receipt = memory.erase(user_id="ana").proof.to_dict()
    for wrong in ({}, {"payload": "x", "signature": "00"}, receipt, {"payload": "[" * 200_000, "signature": ""}):
        with pytest.raises(InvalidInput):
            memory.verify_checkpoint(wrong)
    with pytest.raises(InvalidInput):
        memory.verify_receipt(checkpoint)
    payload = json.loads(checkpoint["payload"])
    payload["entries"] -= 1
    forged = {**checkpoint, "payload": json.dumps(payload)}
    with pytest.raises(Tampered, match="changed"):
        memory.verify_checkpoint(forged)
    with pytest.raises(AccessDenied):
        memory.bind(permissions=["read"]).audit_checkpoint()
    with pytest.raises(AccessDenied):
        memory.bind(user_id="ana").verify_checkpoint(checkpoint)
    with Memory(tmp_path / "other", embedder="none") as other, pytest.raises(Tampered):
        other.verify_checkpoint(checkpoint)
