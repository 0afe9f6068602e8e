"""Published test vectors for the primitives of the wire format and of receipts, through the objects that `hazmat` uses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag

from tacita import hazmat

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "wycheproof.json").read_text())


def unhex(*values: str) -> list[bytes]:
    return [bytes.fromhex(value) for value in values]


def test_wycheproof(record_property: Callable[[str, object], None]) -> None:
    checked = {
        "AES-GCM": _aes_gcm(),
        "HKDF-SHA256": _hkdf(),
        "HMAC-SHA256": _hmac(),
        "Ed25519": _ed25519(),
    }
    assert all(count > 50 for count in checked.values())
    record_property("figure", ", ".join(f"{name} {count}" for name, count in checked.items()) + ": all as published")


def _aes_gcm() -> int:
    checked = 0
    for key, nonce, aad, message, cipher, tag, verdict in VECTORS["aes_gcm"]:
        k, n, a, m, c, t = unhex(key, nonce, aad, message, cipher, tag)
        # The sizes that format v1 has; a nonce of another length than 96 bits never occurs in it.
        if len(k) != 32 or len(n) != 12 or len(t) != 16:
            continue
        checked += 1
        try:
            opened: bytes | None = hazmat.AESGCM(k).decrypt(n, c + t, a)
        except InvalidTag:
            opened = None
        assert (opened == m) == (verdict == "valid")
        if verdict == "valid":
            assert hazmat.AESGCM(k).encrypt(n, m, a) == c + t
    return checked


def _hkdf() -> int:
    for ikm, salt, info, size, okm, verdict in VECTORS["hkdf_sha256"]:
        i, s, f, wanted = unhex(ikm, salt, info, okm)
        try:
            made: bytes | None = hazmat.HKDF(hazmat.SHA256(), size, s, f).derive(i)
        except ValueError:
            made = None
        assert (made == wanted) == (verdict == "valid")
    return len(VECTORS["hkdf_sha256"])


def _hmac() -> int:
    for key, message, tag, verdict, bits in VECTORS["hmac_sha256"]:
        k, m, wanted = unhex(key, message, tag)
        state = hazmat.HMAC(k, hazmat.SHA256())
        state.update(m)
        assert hazmat.equal(state.finalize()[: bits // 8], wanted) == (verdict == "valid")
    return len(VECTORS["hmac_sha256"])


def _ed25519() -> int:
    for public, message, signature, verdict in VECTORS["ed25519"]:
        p, m, s = unhex(public, message, signature)
        assert hazmat.signed_by(p, s, m) == (verdict == "valid")
    return len(VECTORS["ed25519"])
