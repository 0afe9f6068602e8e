"""Format v1 is frozen: what the file says opens for ever, and what it says must fail fails for ever."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tacita import Tampered
from tacita.hazmat import SecretKey, committed_seal
from tacita.sealed import SealedPart, SealedRow
from tacita.vault.format import (
    VaultKeys,
    _event_context,
    _pad,
    _unpad,
    content_tag,
    digest,
    length_prefixed,
    next_chain,
    open_event,
    open_part,
    padme,
    seal_event,
    seal_part,
)

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


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\1x\0\0",
        b"\0\0\0\4body\0",
        b"\0\0\0\5body",
        b"\0\0\0\3body",
        b"\xff\xff\xff\xffbody",
    ],
)
def test_padding_has_one_form(padded: bytes) -> None:
    """Sealed with the right key and for the right place, and still refused: no two seals say the same."""
    context = _event_context(KEYS, 1, KEYS.genesis)
    sealed = KEYS.header + committed_seal(KEYS.seal, context, padded)
    with pytest.raises(Tampered, match="padding is not canonical"):
        open_event(KEYS, KEYS.genesis, SealedRow(1, bytes(16), sealed, digest(bytes(16), sealed)))


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 100, 1_000])
def test_padded_a_body_comes_back_as_it_was(length: int) -> None:
    body = bytes(range(256)) * 4
    assert _unpad(_pad(body[:length])) == body[:length]
    assert len(_pad(body[:length])) == padme(4 + length)


def test_a_purged_event_is_not_opened() -> None:
    with pytest.raises(Tampered, match=f"vault {KEYS.name} seq 3: no ciphertext"):
        open_event(KEYS, KEYS.genesis, SealedRow(3, bytes(16), None, bytes(32)))


def test_shorter_than_a_header_is_nothing() -> None:
    for sealed in (b"", KEYS.header[:-1]):
        with pytest.raises(Tampered, match="shorter than its header"):
            open_event(KEYS, KEYS.genesis, SealedRow(1, bytes(16), sealed, digest(bytes(16), sealed)))


@pytest.mark.parametrize("header", [b"XC\1\1", b"TC\2\1", b"TC\0\1", b"TC\1\2", b"TC\1\0"])
def test_unknown_and_retired_formats_are_refused_before_any_key_is_touched(header: bytes) -> None:
    event = seal_event(KEYS, 1, KEYS.genesis, bytes(16), b"body")
    changed = header + event.sealed[4:]
    with pytest.raises(Tampered, match="unknown or retired format"):
        open_event(KEYS, KEYS.genesis, SealedRow(1, bytes(16), changed, digest(bytes(16), changed)))
    part = seal_part(KEYS, bytes(16), 1, 0, b"body")
    with pytest.raises(Tampered, match="snapshot part 0: unknown or retired format"):
        open_part(KEYS, 1, SealedPart(0, header + part.sealed[4:]))


PART = bytes.fromhex(
    "5443010100000001737373737373737373737373737373733b8fc58ac356c14ae6abd2e5d3704a3313f73bbd97cfa2db8a3a"
    "8aa02fce40f3bc6a61ba6222257d08efc13fd5ea0373d665b316b98578a31f98a400b833b565b15dc2fc929eb15c09e193ff"
    "028f130a80f1875f3bfc1292"
)
"""Sealed by the first version that had snapshots: snapshot id `s` * 16, up to event 7, part 2."""


def test_a_part_of_long_ago_opens() -> None:
    assert open_part(KEYS, 7, SealedPart(2, PART)) == (b"s" * 16, b"body")


def test_a_part_opens_in_its_own_place_only() -> None:
    part = seal_part(KEYS, b"s" * 16, 7, 2, b"body")
    assert open_part(KEYS, 7, part) == (b"s" * 16, b"body")
    changed = part.sealed[:8] + b"t" * 16 + part.sealed[24:]
    for upto_seq, other in ((8, part), (7, SealedPart(3, part.sealed)), (7, SealedPart(2, changed))):
        with pytest.raises(Tampered, match=f"vault {KEYS.name} snapshot part {other.part}"):
            open_part(KEYS, upto_seq, other)


def test_sub_keys_names_and_tags_are_all_different() -> None:
    other = VaultKeys.derive(SecretKey(bytes(32)), tenant=KEYS.tenant, vault_id=KEYS.vault_id, version=KEYS.version)
    kinds = [(each.epoch, each.genesis[:16], each.content_key[:16], each.item_tag(b"")) for each in (KEYS, other)]
    assert len({value for kind in kinds for value in kind}) == 8
    assert KEYS.name == VECTORS["vault_id"][:12]
    tags = {content_tag(KEYS.content_key, *parts) for parts in ((b"a", b"bc"), (b"ab", b"c"), (b"", b"abc"))}
    assert len(tags) == 3
    assert {len(tag) for tag in tags} == {16}
    assert len({length_prefixed(*parts) for parts in ((b"a", b"bc"), (b"ab", b"c"), (b"abc",), (b"", b"abc"))}) == 4


def test_sealing_twice_differs() -> None:
    first, second = (seal_event(KEYS, 1, KEYS.genesis, bytes(16), b"body") for _ in range(2))
    assert first.sealed[8:40] != second.sealed[8:40]


def test_the_generator_gives_the_file() -> None:
    script = ROOT / "scripts" / "generate_vectors.py"
    subprocess.run([sys.executable, script, "--check"], check=True, capture_output=True, timeout=60)
