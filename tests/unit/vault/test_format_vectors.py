"""Format v1 is frozen: what the file says opens for ever, and what it says must fail fails for ever."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tacita import Tampered
from tacita.hazmat import SecretKey
from tacita.sealed import SealedRow
from tacita.vault.format import VaultKeys, content_tag, digest, next_chain, open_event, padme, seal_event

ROOT = Path(__file__).resolve().parents[3]
VECTORS: dict[str, Any] = json.loads((ROOT / "tests" / "vectors" / "format_v1.json").read_text())
KEYS = VaultKeys.derive(
    SecretKey(bytes.fromhex(VECTORS["vault_key"])),
    tenant=VECTORS["tenant"],
    vault_id=bytes.fromhex(VECTORS["vault_id"]),
    version=VECTORS["key_version"],
)


@pytest.mark.parametrize("use", ["seal", "tag", "chain", "snapshot"])
def test_sub_key(use: str) -> None:
    assert getattr(KEYS, use).equals(SecretKey(bytes.fromhex(VECTORS["sub_keys"][use])))


def test_tags_and_genesis() -> None:
    content = VECTORS["content_tag"]
    assert KEYS.header.hex() == VECTORS["header"]
    assert KEYS.genesis.hex() == VECTORS["genesis"]
    assert KEYS.item_tag(bytes.fromhex(VECTORS["item_id"])).hex() == VECTORS["item_tag"]
    assert KEYS.epoch.hex() == VECTORS["epoch"]
    assert KEYS.content_key.hex() == VECTORS["content_key"]
    found = content_tag(KEYS.content_key, bytes.fromhex(content["use"]), bytes.fromhex(content["content"]))
    assert found.hex() == content["tag"]


@pytest.mark.parametrize(("length", "padded"), VECTORS["padme"].items())
def test_padme(length: str, padded: int) -> None:
    assert padme(int(length)) == padded


@pytest.mark.parametrize("event", VECTORS["events"], ids=lambda event: f"seq {event['seq']}")
def test_event_opens(event: dict[str, Any]) -> None:
    tag, sealed, previous = (bytes.fromhex(one) for one in (VECTORS["item_tag"], event["sealed"], event["previous"]))
    assert digest(tag, sealed).hex() == event["digest"]
    row = SealedRow(event["seq"], tag, sealed, bytes.fromhex(event["digest"]))
    assert open_event(KEYS, previous, row).hex() == event["body"]
    assert next_chain(KEYS, previous, row.seq, row.digest).hex() == event["chain"]


def test_chain_is_unbroken() -> None:
    links = [VECTORS["genesis"], *(event["chain"] for event in VECTORS["events"])]
    assert [event["previous"] for event in VECTORS["events"]] == links[:-1]


@pytest.mark.parametrize("case", VECTORS["failing"], ids=lambda case: case["name"])
def test_failing(case: dict[str, Any]) -> None:
    key = SecretKey(bytes.fromhex(case["vault_key"]))
    keys = VaultKeys.derive(key, tenant=case["tenant"], vault_id=bytes.fromhex(case["vault_id"]), version=1)
    tag, sealed, fitting = (bytes.fromhex(case[field]) for field in ("item_tag", "sealed", "digest"))
    with pytest.raises(Tampered, match=f"vault {keys.name} seq {case['seq']}"):
        open_event(keys, bytes.fromhex(case["previous"]), SealedRow(case["seq"], tag, sealed, fitting))


def test_wrong_key_version() -> None:
    newer = VaultKeys.derive(
        SecretKey(bytes.fromhex(VECTORS["vault_key"])), tenant=KEYS.tenant, vault_id=KEYS.vault_id, version=2
    )
    event = seal_event(newer, 1, KEYS.genesis, bytes(16), b"body")
    with pytest.raises(Tampered, match="key version 2"):
        open_event(KEYS, KEYS.genesis, SealedRow(1, event.item_tag, event.sealed, event.digest))


def test_every_flipped_bit_fails() -> None:
    event = VECTORS["events"][1]
    tag, sealed = bytes.fromhex(VECTORS["item_tag"]), bytes.fromhex(event["sealed"])
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        row = SealedRow(event["seq"], tag, bytes(changed), digest(tag, bytes(changed)))
        with pytest.raises(Tampered):
            open_event(KEYS, bytes.fromhex(event["previous"]), row)


def test_sealing_twice_differs() -> None:
    first, second = (seal_event(KEYS, 1, KEYS.genesis, bytes(16), b"body") for _ in range(2))
    assert first.sealed[8:40] != second.sealed[8:40]


def test_the_generator_gives_the_file() -> None:
    script = ROOT / "scripts" / "generate_vectors.py"
    subprocess.run([sys.executable, script, "--check"], check=True, capture_output=True, timeout=60)
