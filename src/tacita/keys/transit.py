"""The transit key provider of HashiCorp Vault and OpenBao: a key that never leaves Vault, derived for each tenant and vault.

Plain HTTP, for four requests. The community's client (hvac) reads VAULT_* variables and ~/.vault-token and follows redirects
with the token; Vault's own interface is this one.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

import msgspec

from tacita.keys._remote import Refusal, RemoteProvider, Secret
from tacita.patience import Transient
from tacita.ports.keys import KeyContext

_TYPES: Final = frozenset({"aes128-gcm96", "aes256-gcm96", "chacha20-poly1305"})
_MOST: Final = 1 << 20
_GONE: Final = ("encryption key not found", "no existing key named")
_TOO_OLD: Final = "disallowed by policy"
_STANDBY: Final = frozenset({412, 472, 473})


class _Body(msgspec.Struct):
    data: dict[str, Any] = {}
    errors: list[str] = []


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Transit(RemoteProvider):
    """`vault:MOUNT/keys/KEY@https://HOST:8200?token=env:NAME[&namespace=NS]`. The key must be made with `derived=true`."""

    extra = "vault"

    def _connect(self) -> None:
        if "token" not in self._uri.options:
            raise self._unfit("say who asks: token=env:NAME or token=file:PATH")
        tls = ssl.create_default_context(cafile=self._uri.ca)
        self._opener = build_opener(ProxyHandler({}), _Stay(), HTTPSHandler(context=tls))
        self._mount, _, self._key = self._uri.name.rpartition("/keys/")
        self._namespace = self._uri.options.get("namespace", "")

    def _identified(self) -> str:
        found = self._said("GET", "keys")
        if found["type"] not in _TYPES or found.get("supports_decryption") is False:
            raise self._unfit(f"the key's type must be one of {', '.join(sorted(_TYPES))}")
        if found.get("derived") is not True:
            raise self._unfit(
                "the key must be made with derived=true: else any tenant's vault key opens as any other's"
            )
        if found.get("convergent_encryption"):
            raise self._unfit("the key must not be for convergent encryption")
        if found.get("name") not in (None, self._key):
            raise self._other_key()
        # Vault gives a key no other name than its place. Made anew there, it opens nothing of before.
        return f"vault:{self._uri.host}/{self._namespace.strip('/')}/{self._uri.name}"

    def _wrap(self, material: bytes, context: KeyContext) -> bytes:
        return self._ciphertext(self._said("POST", "encrypt", plaintext=_text(material), context=_of(context)))

    def _unwrap(self, blob: bytes, context: KeyContext) -> bytes:
        answer = self._said("POST", "decrypt", ciphertext=self._sent(blob), context=_of(context))
        try:
            return base64.b64decode(str(answer["plaintext"]), validate=True)
        except (KeyError, ValueError, binascii.Error):
            raise Transient("gave no usable answer") from None

    def renewed(self, blob: bytes, context: KeyContext) -> bytes:
        """Under the newest version of the key, without the vault key leaving Vault."""
        anew = self._asked(
            lambda: self._ciphertext(
                self._said("POST", "rewrap", ciphertext=self._sent(blob), context=_of(context))
            )
        )  # fmt: skip
        if not self._opened(anew, context).equals(self._opened(blob, context)):
            raise self._refused("does not give back what it wraps")
        return anew

    def _sent(self, blob: bytes) -> str:
        if not blob.startswith(b"vault:v") or not blob.isascii():
            raise self._wrong()
        return blob.decode()

    def _ciphertext(self, answer: dict[str, Any]) -> bytes:
        found = answer.get("ciphertext")
        if not isinstance(found, str) or not found.startswith("vault:v") or not found.isascii():
            raise Transient("gave no usable answer")
        return found.encode()

    def _said(self, method: str, verb: str, **fields: str) -> dict[str, Any]:
        # Read each time: an agent that renews the token writes it to a file.
        headers = {"X-Vault-Token": self._secret("token").reveal(), "X-Vault-Request": "true", "User-Agent": "tacita"}
        if self._namespace:
            headers["X-Vault-Namespace"] = self._namespace
        url = f"{self._uri.url}/v1/{self._mount}/{verb}/{self._key}"
        body = msgspec.json.encode(fields) if fields else None
        request = Request(url, body, {**headers, "Content-Type": "application/json"}, method=method)  # noqa: S310  checked by parse
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return msgspec.json.decode(answer.read(_MOST), type=_Body).data
        except HTTPError as error:
            with error:
                said = _words(error.read(_MOST))
            refusal = Refusal(verb, error.code, said, error.headers.get("Retry-After"))
        raise refusal

    def _judged(self, error: BaseException) -> Exception:
        if isinstance(error, Refusal):
            if error.status in _STANDBY:
                return Transient(f"is not the active node (HTTP {error.status})", error.after)
            if error.status == 400 and any(word in error.words for word in _GONE):
                return self._refused("there is no such key, or it was deleted")
            if error.status == 400 and _TOO_OLD in error.words:
                return self._refused("this version of the key is not allowed any more (min_decryption_version)")
            if error.status == 400 and error.verb in ("decrypt", "rewrap"):
                return self._wrong()
            return self._by_status(error.status, error.after)
        if isinstance(error, URLError | OSError | HTTPException):
            reason = getattr(error, "reason", error)
            return Transient(f"cannot be reached ({type(reason).__name__[:64]})")
        return Transient(f"gave no usable answer ({type(error).__name__[:64]})")


def _words(raw: bytes) -> str:
    """What Vault says is wrong: to be compared, never shown."""
    try:
        return " ".join(msgspec.json.decode(raw, type=_Body).errors)
    except (ValueError, RecursionError):
        return ""


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _of(context: KeyContext) -> str:
    return _text(context.encode())


def open_transit(uri: str, secret: Secret) -> Transit:
    """The provider of a URI. Raises ConfigError, KeyUnavailable."""
    return Transit(uri, secret)
