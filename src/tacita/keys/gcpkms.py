"""The Google Cloud KMS key provider: a symmetric key that never leaves KMS; tenant and vault are additional data.

KMS's REST interface over google-auth, Google's own library for credentials and sessions. The generated client brings gRPC with
threads of its own, or a session that takes proxies and authorities from the environment without a switch.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from tacita.keys._remote import Refusal, RemoteProvider, Secret
from tacita.patience import Transient
from tacita.ports.keys import KeyContext

_SCOPES: Final = ("https://www.googleapis.com/auth/cloudkms",)
_OAUTH: Final = "https://oauth2.googleapis.com/token"
_SYMMETRIC: Final = "GOOGLE_SYMMETRIC_ENCRYPTION"


class GcpKms(RemoteProvider):
    """`gcpkms:projects/P/locations/L/keyRings/R/cryptoKeys/K?credentials=file:PATH`, or `credentials=default`, or a token."""

    extra = "gcpkms"

    def _connect(self) -> None:
        import google_crc32c
        import requests
        from google.auth.transport.requests import AuthorizedSession, Request

        self._crc32c = google_crc32c.value
        verify = self._uri.ca or True
        # For tokens, and apart from it for KMS. Neither asks the environment for proxies or authorities.
        tokens = requests.Session()
        tokens.trust_env, tokens.verify = False, verify
        self._session: Any = AuthorizedSession(  # type: ignore[no-untyped-call]
            self._credentials(),
            auth_request=Request(tokens),
            refresh_timeout=self._timeout,
            max_refresh_attempts=1,
        )
        self._session.trust_env, self._session.verify = False, verify
        self._tokens = tokens

    def _credentials(self) -> Any:
        import google.auth
        from google.oauth2 import credentials, service_account

        if "token" in self._uri.options:
            return credentials.Credentials(token=self._secret("token").reveal())  # type: ignore[no-untyped-call]
        if self._uri.options.get("credentials") == "default":
            found, _ = google.auth.default(scopes=_SCOPES)
            return found
        if "credentials" not in self._uri.options:
            raise self._unfit("say whose key is used: credentials=file:PATH, credentials=default or token=env:NAME")
        try:
            described = json.loads(self._secret("credentials").reveal())
        except ValueError:
            described = None
        if not isinstance(described, dict) or described.get("type") != "service_account":
            raise self._unfit("credentials must be the JSON of a service account, or `default`")
        if described.get("token_uri") != _OAUTH:
            raise self._unfit("this service account gets its tokens from an unknown host")
        return service_account.Credentials.from_service_account_info(described, scopes=_SCOPES)  # type: ignore[no-untyped-call]

    def _identified(self) -> str:
        found = self._said("GET", "")
        if found["name"] != self._uri.name:
            raise self._other_key()
        algorithm = (found.get("versionTemplate") or {}).get("algorithm")
        if found.get("purpose") != "ENCRYPT_DECRYPT" or algorithm != _SYMMETRIC:
            raise self._unfit("the key's purpose must be symmetric encryption")
        if (found.get("primary") or {}).get("state") != "ENABLED":
            raise self._refused("the key's primary version is not enabled")
        # Google never gives a key's name to another one.
        return f"gcpkms:{self._uri.name}"

    def _wrap(self, material: bytes, context: KeyContext) -> bytes:
        data = context.encode()
        answer = self._said(
            "POST",
            ":encrypt",
            plaintext=_text(material),
            plaintextCrc32c=str(self._crc32c(material)),
            additionalAuthenticatedData=_text(data),
            additionalAuthenticatedDataCrc32c=str(self._crc32c(data)),
        )
        if not str(answer["name"]).startswith(f"{self._uri.name}/cryptoKeyVersions/"):
            raise self._other_key()
        verified = answer.get("verifiedPlaintextCrc32c") and answer.get("verifiedAdditionalAuthenticatedDataCrc32c")
        return self._checked(answer, "ciphertext", received=bool(verified))

    def _unwrap(self, blob: bytes, context: KeyContext) -> bytes:
        data = context.encode()
        answer = self._said(
            "POST",
            ":decrypt",
            ciphertext=_text(blob),
            ciphertextCrc32c=str(self._crc32c(blob)),
            additionalAuthenticatedData=_text(data),
            additionalAuthenticatedDataCrc32c=str(self._crc32c(data)),
        )
        return self._checked(answer, "plaintext", received=True)

    def _checked(self, answer: dict[str, Any], field: str, *, received: bool) -> bytes:
        """The bytes of a field, if KMS got what we sent and we got what it sent."""
        try:
            found = base64.b64decode(str(answer.get(field, "")), validate=True)
        except (ValueError, binascii.Error):
            found = b""
        if not received or str(answer.get(f"{field}Crc32c")) != str(self._crc32c(found)):
            raise Transient("a checksum does not match: bytes were changed on the way")
        return found

    def _said(self, method: str, verb: str, **fields: str) -> dict[str, Any]:
        answer = self._session.request(
            method,
            f"{self._uri.url}/v1/{self._uri.name}{verb}",
            json=fields or None,
            timeout=self._timeout,
            max_allowed_time=2 * self._timeout,
            allow_redirects=False,
        )
        try:
            body = answer.json()
        except ValueError:
            body = None
        if answer.status_code == 200 and isinstance(body, dict):
            return body
        error = body.get("error") if isinstance(body, dict) else None
        word = str(error.get("status", "")) if isinstance(error, dict) else ""
        raise Refusal(verb, answer.status_code, word, answer.headers.get("Retry-After"))

    def _judged(self, error: BaseException) -> Exception:
        from google.auth.exceptions import GoogleAuthError, TransportError

        if isinstance(error, Refusal):
            if error.words == "INVALID_ARGUMENT" and error.verb == ":decrypt":
                return self._wrong()
            if error.words == "FAILED_PRECONDITION":
                return self._refused("the key's version is disabled or destroyed")
            return self._by_status(error.status, error.after)
        if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
            return (
                Transient("no token was to be had")
                if error.retryable
                else self._refused("its credentials were refused")
            )
        return Transient(f"cannot be reached ({type(error).__name__[:64]})")

    def close(self) -> None:
        self._session.close()
        self._tokens.close()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def open_gcpkms(uri: str, secret: Secret) -> GcpKms:
    """The provider of a URI. Raises ConfigError, KeyUnavailable."""
    return GcpKms(uri, secret)
