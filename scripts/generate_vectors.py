"""Write tests/vectors/format_v1.json: frozen examples of format v1, failing ones too.

Fixed keys and salts, so that every run gives the same bytes. Once released the file never changes; a new format gets
a new file. Use `--check` to compare instead of writing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tacita import hazmat
from tacita.hazmat import SecretKey
from tacita.sealed import SealedEvent
from tacita.vault import format as v1
from tacita.vault.format import VaultKeys

TARGET = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "format_v1.json"
TENANT, KEY_VERSION = "default", 1
VAULT_KEY, VAULT_ID, OTHER_ID = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
ITEM_ID = bytes(range(16))
BODIES = [b"", b"first", "zweite Nachricht \u2713".encode(), b"x" * 1_000]


def seal(keys: VaultKeys, seq: int, previous: bytes, tag: bytes, body: bytes, salt: bytes) -> SealedEvent:
    """`format.seal_event` with a fixed salt."""
    context = v1._event_context(keys, seq, previous)
    sealed = keys.header + hazmat._seal_with_salt(keys.seal, context, v1._pad(body), salt)
    return SealedEvent(tag, sealed, v1.digest(tag, sealed))


def vectors() -> dict[str, Any]:
    """Everything that the file holds."""
    keys = VaultKeys.derive(SecretKey(VAULT_KEY), tenant=TENANT, vault_id=VAULT_ID, version=KEY_VERSION)
    tag = keys.item_tag(ITEM_ID)
    events, previous = [], keys.genesis
    for seq, body in enumerate(BODIES, 1):
        salt = hazmat.sha256(b"salt %d" % seq)
        event = seal(keys, seq, previous, tag, body, salt)
        after = v1.next_chain(keys, previous, seq, event.digest)
        events.append({"seq": seq, "previous": previous.hex(), "salt": salt.hex(), "body": body.hex(),
                       "sealed": event.sealed.hex(), "digest": event.digest.hex(), "chain": after.hex()})  # fmt: skip
        previous = after
    return {
        "format": v1.FORMAT,
        "tenant": TENANT,
        "vault_key": VAULT_KEY.hex(),
        "vault_id": VAULT_ID.hex(),
        "key_version": KEY_VERSION,
        "sub_keys": {use: getattr(keys, use)._material.hex() for use in ("seal", "tag", "chain", "snapshot")},
        "header": keys.header.hex(),
        "genesis": keys.genesis.hex(),
        "epoch": keys.epoch.hex(),
        "content_key": keys.content_key.hex(),
        "item_id": ITEM_ID.hex(),
        "item_tag": tag.hex(),
        "content_tag": {"use": "6964", "content": "6162", "tag": v1.content_tag(keys.content_key, b"id", b"ab").hex()},
        "padme": {str(n): v1.padme(n) for n in (0, 1, 2, 7, 8, 9, 15, 16, 17, 100, 129, 1_000, 1_025, 65_537)},
        "events": events,
        "failing": failing(events[1], tag),
    }


def failing(good: dict[str, Any], tag: bytes) -> list[dict[str, Any]]:
    """Changes to event 2, each of which must raise Tampered. Digests fit, as a careful attacker's would."""
    sealed = bytes.fromhex(good["sealed"])
    cases: list[dict[str, Any]] = []

    def case(name: str, **changed: Any) -> None:
        one: dict[str, Any] = {
            "name": name, "seq": good["seq"], "previous": good["previous"], "item_tag": tag.hex(),
            "sealed": sealed.hex(), "tenant": TENANT, "vault_id": VAULT_ID.hex(), "vault_key": VAULT_KEY.hex(),
        } | changed  # fmt: skip
        fitting = v1.digest(bytes.fromhex(one["item_tag"]), bytes.fromhex(one["sealed"]))
        cases.append({"digest": fitting.hex()} | one)

    places = {
        "magic": 0,
        "version": 2,
        "suite": 3,
        "key version": 7,
        "salt": 8,
        "commitment": 40,
        "ciphertext": 72,
    }
    for name, place in {**places, "tag": len(sealed) - 1}.items():
        case(name, sealed=(sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]).hex())
    case("truncated by one byte", sealed=sealed[:-1].hex())
    case("truncated to the envelope", sealed=sealed[: 8 + 64 + 15].hex())
    case("truncated to the header", sealed=sealed[:8].hex())
    case("truncated inside the header", sealed=sealed[:5].hex())
    case("empty", sealed="")
    case("one byte more", sealed=(sealed + b"\0").hex())
    case("wrong seq", seq=good["seq"] + 1)
    case("wrong previous chain", previous=bytes(32).hex())
    case("wrong tenant", tenant="other")
    case("wrong vault", vault_id=OTHER_ID.hex())
    case("wrong key", vault_key=bytes(32).hex())
    case("swapped item tag", item_tag=bytes(16).hex(), digest=good["digest"])
    case("wrong digest", digest=bytes(32).hex())
    return cases


def text() -> str:
    """The file's content."""
    return json.dumps(vectors(), indent=1, sort_keys=True) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if not parser.parse_args().check:
        TARGET.parent.mkdir(exist_ok=True)
        TARGET.write_text(text(), encoding="utf-8")
    elif TARGET.read_text(encoding="utf-8") != text():
        raise SystemExit(f"{TARGET.name} is not what the code gives: format v1 has changed")


if __name__ == "__main__":
    main()
