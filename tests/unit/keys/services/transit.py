"""Vault's transit engine as its clients see it: derived keys, versions, rewrap, and Vault's own words."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from tests.unit.keys.services.server import Key, KeyServer, Refused


class TransitServer(KeyServer):
    """keys, encrypt, decrypt, rewrap under the mount `transit`."""

    token = "synthetic-token"
    sealed = False

    def make(self, name: str) -> Key:
        key = self.keys[name] = Key(name, {"1": os.urandom(32)}, extra={"derived": True, "type": "aes256-gcm96"})
        return key

    def rotate(self, key: Key) -> None:
        key.material[str(len(key.material) + 1)] = os.urandom(32)

    def fault_body(self, status: int) -> Any:
        return {"errors": ["fault"]}

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if self.sealed:
            raise _error(503, "Vault is sealed")
        if headers.get("x-vault-token") != self.token:
            raise _error(403, "permission denied")
        mount, verb, name = path.removeprefix("/v1/").split("/")
        key = self.keys.get(name)
        if mount != "transit" or (key is not None and key.state == "denied"):
            raise _error(403, "1 error occurred:\n\t* permission denied\n\n")
        if key is None or key.state == "deleted":
            raise _error(404, "") if verb == "keys" else _error(400, "encryption key not found")
        if verb == "keys":
            oldest = key.extra.get("min_decryption_version", 1)
            described = {"name": name, "supports_decryption": True, "min_decryption_version": oldest, **key.extra}
            return {"data": {**described, "keys": dict.fromkeys(key.material, 1), "latest_version": len(key.material)}}
        given = json.loads(body)
        if not given.get("context"):
            raise _error(400, "missing 'context' for key derivation; the key was created using a derived key")
        context = base64.b64decode(given["context"])
        answering = self.keys[self.answers_with] if self.answers_with else key
        if verb == "encrypt":
            return {"data": _sealed(answering, base64.b64decode(given["plaintext"]), context)}
        opened = _opened(key, given["ciphertext"], context)
        if verb == "rewrap":
            return {"data": _sealed(key, opened, context)}
        return {"data": {"plaintext": base64.b64encode(opened).decode()}}


def _derived(key: Key, version: str, context: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, None, context).derive(key.material[version]))


def _sealed(key: Key, plaintext: bytes, context: bytes) -> dict[str, Any]:
    nonce = os.urandom(12)
    sealed = nonce + _derived(key, key.newest, context).encrypt(nonce, plaintext, None)
    text = f"vault:v{key.newest}:{base64.b64encode(sealed).decode()}"
    return {"ciphertext": text, "key_version": int(key.newest)}


def _opened(key: Key, ciphertext: str, context: bytes) -> bytes:
    prefix, version, rest = (*ciphertext.split(":"), "", "")[:3]
    if prefix != "vault" or version[1:] not in key.material:
        raise _error(400, "invalid ciphertext: version is too new")
    if int(version[1:]) < key.extra.get("min_decryption_version", 1):
        raise _error(400, "ciphertext or signature version is disallowed by policy (too old)")
    try:
        sealed = base64.b64decode(rest, validate=True)
        return _derived(key, version[1:], context).decrypt(sealed[:12], sealed[12:], None)
    except (ValueError, InvalidTag):
        raise _error(400, "cipher: message authentication failed") from None


def _error(status: int, words: str) -> Refused:
    return Refused(status, {"errors": [words] if words else []})
