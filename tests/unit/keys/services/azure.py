"""Azure Key Vault as its clients see it: keys over REST, the challenge that says where tokens come from, and that place."""

from __future__ import annotations

import base64
import json
import os
import uuid
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from tests.unit.keys.services.server import Key, KeyServer, Refused

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
SECRET = "synthetic-client-secret"
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
_DIGEST = utils.Prehashed(hashes.SHA256())
_RSA = [rsa.generate_private_key(65537, 2048) for _ in range(3)]
"""Made once: they take a while."""


class AzureKeyVaultServer(KeyServer):
    """get, wrapkey, unwrapkey, sign, verify; and an authority that hands out tokens for a client secret."""

    tls = True
    token = "synthetic-token"

    def make(self, name: str, kind: str = "RSA") -> Key:
        key = self.keys[name] = Key(name, {}, extra={"kty": kind})
        self.rotate(key)
        return key

    def rotate(self, key: Key) -> str:
        """A new version; its name."""
        version = uuid.uuid4().hex
        used = sum(len(each.material) for each in self.keys.values())
        key.material[version] = os.urandom(32) if key.extra["kty"] == "oct-HSM" else _RSA[used % len(_RSA)]
        return version

    def fault_body(self, status: int) -> Any:
        return {"error": {"code": "Fault", "message": "fault"}}

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        path, _, query = path.partition("?")
        if "openid-configuration" in path:
            base = f"{self.url}/{TENANT}/oauth2/v2.0"
            return {"token_endpoint": f"{base}/token", "authorization_endpoint": f"{base}/authorize", "issuer": base}
        if path.endswith("/oauth2/v2.0/token"):
            if f"client_secret={SECRET}" not in body.decode():
                raise Refused(401, {"error": "invalid_client", "error_description": "no"})
            return {"token_type": "Bearer", "expires_in": 3600, "access_token": self.token}
        if headers.get("authorization") != f"Bearer {self.token}":
            challenge = f'Bearer authorization="{self.url}/{TENANT}", resource="https://vault.azure.net"'
            raise Refused(401, {"error": {"code": "Unauthorized"}}, {"WWW-Authenticate": challenge})
        if "api-version=" not in query:
            raise _error(400, "BadParameter")
        _, _, name, *rest = path.split("/")
        key = self.keys.get(name)
        if key is None or key.state == "deleted":
            raise _error(404, "KeyNotFound")
        if key.state == "denied":
            raise _error(403, "Forbidden", "ForbiddenByRbac")
        version = (rest[0] if rest else "") or key.newest
        if version not in key.material:
            raise _error(404, "KeyNotFound")
        if self.answers_with:
            key = self.keys[self.answers_with]
            version = key.newest
        kid = f"{self.url}/keys/{key.name}/{version}"
        disabled = "disabled" in (key.state, key.states.get(version))
        if len(rest) < 2:
            operations = key.extra.get("key_ops", ["wrapKey", "unwrapKey", "sign", "verify"])
            described = {"kid": kid, "kty": key.extra["kty"], "key_ops": operations}
            return {"key": described, "attributes": {"enabled": not disabled}}
        if disabled:
            raise _error(403, "Forbidden", "KeyDisabled")
        try:
            return {"kid": kid, "value": _operation(rest[1], key.material[version], json.loads(body))}
        except (ValueError, InvalidUnwrap):
            raise _error(400, "BadParameter") from None


def _operation(verb: str, key: Any, given: dict[str, str]) -> Any:
    value = _bytes(given["value"])
    if isinstance(key, bytes):
        assert given["alg"] == "A256KW"
        return _text(aes_key_wrap(key, value) if verb == "wrapkey" else aes_key_unwrap(key, value))
    assert given["alg"] == ("PS256" if verb in ("sign", "verify") else "RSA-OAEP-256")
    if verb == "wrapkey":
        return _text(key.public_key().encrypt(value, _OAEP))
    if verb == "unwrapkey":
        return _text(key.decrypt(value, _OAEP))
    if verb == "sign":
        return _text(key.sign(value, _PSS, _DIGEST))
    try:
        key.public_key().verify(value, _bytes(given["digest"]), _PSS, _DIGEST)
    except InvalidSignature:
        return False
    return True


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _error(status: int, code: str, inner: str | None = None) -> Refused:
    error: dict[str, Any] = {"code": code, "message": "no"}
    if inner:
        error["innererror"] = {"code": inner}
    return Refused(status, {"error": error})
