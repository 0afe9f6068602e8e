"""AWS KMS as its clients see it: AWS JSON 1.1, TrentService. Ciphertexts name their key, as KMS's do."""

from __future__ import annotations

import base64
import json
import os
import uuid
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.unit.keys.services.server import Key, KeyServer, Refused

REGION = "eu-central-1"


class AwsKmsServer(KeyServer):
    """Encrypt, Decrypt and DescribeKey, with aliases and key states."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.aliases: dict[str, str] = {}

    def make(self, alias: str) -> Key:
        """A key behind a new alias."""
        arn = f"arn:aws:kms:{REGION}:111122223333:key/{uuid.uuid4()}"
        self.keys[arn] = Key(arn, {"1": os.urandom(32)})
        self.aliases[alias] = arn
        return self.keys[arn]

    def fault_body(self, status: int) -> Any:
        words = {429: "ThrottlingException", 500: "KMSInternalException", 401: "UnrecognizedClientException"}
        return {"__type": words[status], "message": "fault"}

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if not headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 Credential="):
            raise _error(400, "MissingAuthenticationTokenException")
        given = json.loads(body)
        verb = headers["x-amz-target"].partition(".")[2]
        key = self._key(given.get("KeyId"))
        if verb == "DescribeKey":
            if key.state == "denied":
                raise _error(400, "AccessDeniedException")
            states = {"enabled": "Enabled", "disabled": "Disabled", "deleted": "PendingDeletion"}
            described = {"Arn": key.name, "KeyId": key.name.rpartition("/")[2], "KeyState": states[key.state]}
            spec = key.extra.get("spec", "SYMMETRIC_DEFAULT")
            return {"KeyMetadata": {**described, "KeySpec": spec, "KeyUsage": "ENCRYPT_DECRYPT"}}
        if key.state != "enabled":
            codes = {"disabled": "DisabledException", "deleted": "KMSInvalidStateException"}
            raise _error(400, codes.get(key.state, "AccessDeniedException"))
        answering = self.keys[self.answers_with] if self.answers_with else key
        context = json.dumps(given.get("EncryptionContext") or {}, sort_keys=True).encode()
        if verb == "Encrypt":
            nonce = os.urandom(12)
            sealed = AESGCM(answering.material["1"]).encrypt(nonce, base64.b64decode(given["Plaintext"]), context)
            blob = answering.name.rpartition("/")[2].encode() + nonce + sealed
            return {"KeyId": answering.name, "CiphertextBlob": base64.b64encode(blob).decode()}
        blob = base64.b64decode(given["CiphertextBlob"])
        if len(blob) < 64:
            raise _error(400, "InvalidCiphertextException")
        if blob[:36] != key.name.rpartition("/")[2].encode():
            raise _error(400, "IncorrectKeyException")
        try:
            opened = AESGCM(key.material["1"]).decrypt(blob[36:48], blob[48:], context)
        except InvalidTag:
            raise _error(400, "InvalidCiphertextException") from None
        return {"KeyId": answering.name, "Plaintext": base64.b64encode(opened).decode()}

    def _key(self, name: str | None) -> Key:
        arn = self.aliases.get(name or "", name or "")
        if arn not in self.keys:
            raise _error(400, "NotFoundException")
        return self.keys[arn]


def _error(status: int, code: str) -> Refused:
    return Refused(status, {"__type": code, "message": "no"})
