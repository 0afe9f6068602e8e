"""Policies, and what they do to what is added."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.privacy.test_detect import SECRETS

from tacita import Blocked, ConfigError, Memory
from tacita.config import Settings
from tacita.privacy.policy import PROFILES, guard, profile

KEY = SECRETS["aws-access-key"]
SAID = f"use {KEY} and write to ana@example.org"


def test_profiles() -> None:
    assert guard(profile("default"), SAID).text == "use [aws-access-key] and write to ana@example.org"
    assert guard(profile("default"), SAID).labels == ("aws-access-key", "email")
    assert guard(profile("off"), SAID).text == SAID
    assert guard(profile("clinical"), "card 4111111111111111").text == "card [payment-card]"
    assert guard(profile("strict"), "write to ana@example.org").text == "write to [email]"
    with pytest.raises(Blocked) as caught:
        guard(profile("strict"), SAID)
    assert KEY not in str(caught.value)
    with pytest.raises(ConfigError, match="default"):
        profile("paranoid")


@pytest.mark.parametrize("name", PROFILES)
def test_what_passed_once_passes_unchanged(name: str) -> None:
    if name == "strict":
        return
    once = guard(profile(name), f"{SAID}; password = h7!kk2-Pq9; call +351 912 345 678").text
    assert guard(profile(name), once).text == once


def opened(home: Path, name: str) -> Memory:
    return Memory(settings=Settings.load(home=home, config={"embedder": "none", "guard": name}))


def test_a_secret_is_masked_before_it_is_kept(home: Path) -> None:
    with opened(home, "default") as memory:
        result = memory.add(
            {"content": SAID, "metadata": {"note": [f"again {KEY}"], "n": 3}}, user_id="ana", idempotency_key="k"
        )
        assert (
            memory.add(
                {"content": SAID, "metadata": {"note": [f"again {KEY}"], "n": 3}}, user_id="ana", idempotency_key="k"
            )
            .results[0]
            .event
            == "unchanged"
        )
        item = memory.get(result.ids[0], user_id="ana")
        assert item.text == "use [aws-access-key] and write to ana@example.org"
        assert item.metadata == {"note": ["again [aws-access-key]"], "n": 3}
        assert item.labels == ("aws-access-key", "email")
        changed = memory.update(result.ids[0], f"now {KEY}", user_id="ana")
        assert (changed.text, changed.labels) == ("now [aws-access-key]", ("aws-access-key",))
        assert KEY not in json.dumps(list(memory.export(user_id="ana")))
        assert memory.search(KEY, user_id="ana")[0].text == "now [aws-access-key]"


def test_labels_survive_a_snapshot(home: Path) -> None:
    with opened(home, "default") as memory:
        memory.add([f"mail a{n}@example.org" for n in range(700)], user_id="ana")
    for _ in range(2):
        with opened(home, "default") as memory:
            assert memory.get_all(user_id="ana", limit=1).items[0].labels == ("email",)


def test_a_blocked_message_keeps_nothing(home: Path, tmp_path: Path) -> None:
    with opened(home, "strict") as memory:
        with pytest.raises(Blocked, match="message 1"):
            memory.add(["hello", SAID], user_id="ana")
        assert memory.get_all(user_id="ana").total == 0
        file = tmp_path / "chat.jsonl"
        file.write_text("".join(json.dumps({"role": "user", "content": text}) + "\n" for text in ("one", SAID, "two")))
        report = memory.import_(file, user_id="ana")
        assert (report.added, [line for line, _ in report.bad_lines]) == (2, [2])


def test_an_unknown_profile_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError):
        opened(home, "paranoid")


def test_the_scan_shows_spans_and_never_what_stands_there(
    home: Path, tmp_path: Path, run_tacita: Callable[..., str]
) -> None:
    file = tmp_path / "lines.txt"
    file.write_text(json.dumps({"text": SAID}) + "\nhello\n{broken " + KEY + "\n")
    lines = [json.loads(line) for line in run_tacita("guard", "scan", str(file), "--json").splitlines()]
    start = SAID.index(KEY)
    assert lines[0]["findings"][0] == {
        "type": "aws-access-key",
        "class": "secret",
        "start": start,
        "end": start + len(KEY),
        "action": "mask",
    }
    assert lines[0]["findings"][1]["action"] == "keep"
    assert lines[1] == {"findings": []}
    assert len(lines[2]["findings"]) == 1
    shown = run_tacita("guard", "scan", str(file), "--profile", "strict")
    assert KEY not in shown
    assert "block" in shown
    assert not home.exists(), "a scan keeps nothing"
