"""Nothing that a caller said or named can be read from the disk, the write-ahead log included."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tacita import Memory
from tacita.testing.canary import forms, found_in, found_under, written

CANARIES = {
    "text": "xylophonequartz",
    "update": "zirconiumflute",
    "user": "ursulaquibble",
    "agent": "agathonwhisk",
    "app": "appleturnover9",
    "run": "runrunwombat",
    "metadata key": "hiv_statuskumquat",
    "metadata value": "positivekumquat",
    "name": "namevelociraptor",
    "query": "queryrhododendron",
    "key": "idempotencyokapi",
    "actor": "actorarmadillo",
    "purpose": "purposepangolin",
    "attachment": "attachmentaxolotl",
}


def write_everything(memory: Memory) -> None:
    view = memory.bind(actor=CANARIES["actor"], purpose=CANARIES["purpose"])
    ids = {field: CANARIES[field.removesuffix("_id")] for field in ("user_id", "agent_id", "app_id", "run_id")}
    message = {
        "role": "user",
        "name": CANARIES["name"],
        "content": [CANARIES["text"], {"type": "image_url", "image_url": {"url": CANARIES["attachment"]}}],
        "metadata": {CANARIES["metadata key"]: CANARIES["metadata value"]},
    }
    item = view.add(message, idempotency_key=CANARIES["key"], **ids).results[0]
    view.update(item.id, CANARIES["update"], **ids)
    view.search(CANARIES["query"], **ids)
    view.context(CANARIES["query"], **ids)
    view.history(item.id, **ids)
    list(view.export(**ids))
    for number in range(3):
        view.add([f"{CANARIES['text']} {n} {number}" for n in range(200)], **ids)


def test_nothing_readable_while_open_and_after(
    opened: Callable[..., Memory],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr(tempfile, "tempdir", None)
    memory = opened()
    write_everything(memory)
    for state in ("open", "closed", "reopened"):
        if state == "closed":
            memory.close()
        if state == "reopened":
            reopened = opened()
            assert reopened.search(CANARIES["text"], user_id=CANARIES["user"]).hits
        assert found_under(tmp_path, CANARIES.values()) == [], f"memory {state}"
    assert list(scratch.iterdir()) == []
    assert (home / "data" / "log.db").stat().st_size > 100_000
    record_property("figure", f"{len(CANARIES)} planted words in {len(forms('xylophonequartz'))} encodings, 0 hits")


def test_the_look_would_find_it(tmp_path: Path) -> None:
    word, name = CANARIES["text"], CANARIES["user"]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "leak.bin").write_bytes(b"\0" * 5_000 + word.encode())
    (tmp_path / "deep" / name).touch()
    found = found_under(tmp_path, [word, name])
    assert ("deep/leak.bin", word, "utf-8") in found
    assert (f"deep/{name}", name, "utf-8") in found
    for encoder, data in written(word).items():
        assert list(found_in(b"before " + data + b" after", [word])), encoder
    assert len(forms(word)) >= 25
    assert list(found_in(b"nothing of it, quartz or xylophone alone", [word])) == []


def test_vectors_are_sealed_too(opened: Callable[..., Memory], home: Path, found_in: Callable[..., list[str]]) -> None:
    memory = opened()
    memory.add(CANARIES["text"], user_id="alice")
    vault = memory._engine.vaults.find(memory._principal.tenant, memory.search("x", user_id="alice").hits[0].subject)
    assert vault is not None
    event = vault.events([1])[1]
    assert event.item.embedding is not None  # type: ignore[union-attr]
    assert found_in(home, event.item.embedding.data[:32]) == []  # type: ignore[union-attr]


def test_only_the_owner_can_look(opened: Callable[..., Memory], home: Path) -> None:
    write_everything(opened())
    for path in [home, *home.rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path.name


def test_the_same_text_twice_is_two_ciphertexts(opened: Callable[..., Memory], database: Path) -> None:
    import sqlite3

    memory = opened()
    memory.add(["the very same words"] * 2, user_id="alice")
    memory.close()
    db = sqlite3.connect(database)
    sealed = [row[0] for row in db.execute("SELECT sealed FROM log WHERE key >> 32 = 1")]
    db.close()
    assert len(sealed) == 2
    pieces = [{one[start : start + 16] for start in range(8, len(one) - 16)} for one in sealed]
    assert not pieces[0] & pieces[1]
