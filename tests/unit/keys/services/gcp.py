"""Google Cloud KMS as its clients see it: REST with JSON, checksums in both directions."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import google_crc32c
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.unit.keys.services.server import Key, KeyServer, Refused

RING = "projects/p1/locations/europe-west3/keyRings/tacita/cryptoKeys"


class GcpKmsServer(KeyServer):
    """cryptoKeys: get, encrypt, decrypt; versions with states."""

    token = "synthetic-token"

    def make(self, name: str) -> Key:
        key = self.keys[f"{RING}/{name}"] = Key(f"{RING}/{name}", {"1": os.urandom(32)})
        return key

    def rotate(self, key: Key) -> None:
        key.material[str(len(key.material) + 1)] = os.urandom(32)

    def fault_body(self, status: int) -> Any:
        words = {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 401: "UNAUTHENTICATED"}
        return {"error": {"code": status, "message": "fault", "status": words[status]}}

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if headers.get("authorization") != f"Bearer {self.token}":
            raise _error(401, "UNAUTHENTICATED")
        name, _, verb = path.partition("?")[0].removeprefix("/v1/").partition(":")
        key = self.keys.get(name)
        if key is None:
            raise _error(404, "NOT_FOUND")
        if key.state == "denied":
            raise _error(403, "PERMISSION_DENIED")
        broken = {"disabled": "DISABLED", "deleted": "DESTROYED"}
        if not verb:
            state = broken.get(key.state, "ENABLED")
            version = {"name": f"{name}/cryptoKeyVersions/{key.newest}", "state": state}
            template = {"algorithm": key.extra.get("algorithm", "GOOGLE_SYMMETRIC_ENCRYPTION")}
            purpose = key.extra.get("purpose", "ENCRYPT_DECRYPT")
            return {"name": name, "purpose": purpose, "primary": version, "versionTemplate": template}
        if key.state in broken:
            raise _error(400, "FAILED_PRECONDITION")
        given = json.loads(body)
        answering = self.keys[self.answers_with] if self.answers_with else key
        data = _bytes(given, "additionalAuthenticatedData")
        if verb == "encrypt":
            nonce, version = os.urandom(12), answering.newest
            sealed = AESGCM(answering.material[version]).encrypt(nonce, _bytes(given, "plaintext"), data)
            blob = bytes([int(version)]) + nonce + sealed
            return {
                "name": f"{answering.name}/cryptoKeyVersions/{version}",
                "ciphertext": base64.b64encode(blob).decode(),
                "ciphertextCrc32c": self._sum(blob),
                "verifiedPlaintextCrc32c": "plaintextCrc32c" in given and not self.wrong_checksum,
                "verifiedAdditionalAuthenticatedDataCrc32c": "additionalAuthenticatedDataCrc32c" in given,
                "protectionLevel": "SOFTWARE",
            }
        blob = _bytes(given, "ciphertext")
        version = str(blob[0]) if blob else ""
        if key.states.get(version) in broken:
            raise _error(400, "FAILED_PRECONDITION")
        try:
            opened = AESGCM(answering.material[version]).decrypt(blob[1:13], blob[13:], data)
        except (InvalidTag, KeyError, ValueError):
            raise _error(400, "INVALID_ARGUMENT") from None
        return {
            "plaintext": base64.b64encode(opened).decode(),
            "plaintextCrc32c": self._sum(opened),
            "usedPrimary": version == key.newest,
            "protectionLevel": "SOFTWARE",
        }

    def _sum(self, data: bytes) -> str:
        return str(google_crc32c.value(data) ^ self.wrong_checksum)


def _bytes(given: dict[str, Any], field: str) -> bytes:
    found = base64.b64decode(given.get(field, ""))
    if f"{field}Crc32c" in given and int(given[f"{field}Crc32c"]) != google_crc32c.value(found):
        raise _error(400, "INVALID_ARGUMENT")
    return found


def _error(status: int, word: str) -> Refused:
    return Refused(status, {"error": {"code": status, "message": "no", "status": word}})
