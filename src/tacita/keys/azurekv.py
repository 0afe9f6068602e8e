"""The Azure Key Vault key provider: an RSA key, or an AES key of a Managed HSM, that never leaves Azure.

Key Vault wraps without additional data, and anybody who may see an RSA key's public half can wrap. So a vault key is sealed
under a new data key together with its context, Key Vault wraps that data key, and signs the whole: what a stranger wrapped has
no signature. An AES key of a Managed HSM wraps for its users only and signs nothing.

    format 1 | key version 16 | length 2 | wrapped data key | length 2 | signature | committed_seal(vault key)

All goes through `send_request` of the official client: `CryptographyClient` would wrap here, with a public key that it keeps,
and not notice a key that was disabled.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from threading import local
from typing import Any, Final

from tacita.errors import ConfigError, WrongKey
from tacita.hazmat import KEY_BYTES, SecretKey, committed_open, committed_seal, sha256
from tacita.keys._remote import Refusal, RemoteProvider, Secret
from tacita.patience import Transient
from tacita.patterns import lazy_pattern
from tacita.ports.keys import KeyContext

_FORMAT: Final = b"\x01"
_SEAL: Final = b"tacita/v1/azure"
_VERSION: Final = lazy_pattern(r"[0-9a-f]{32}")
_AUTHORITY: Final = "https://login.microsoftonline.com"
_REFUSED: Final = frozenset({400, 401, 403, 404})
_OPERATIONS: Final = {
    "RSA": ("wrapKey", "unwrapKey", "sign", "verify"),
    "RSA-HSM": ("wrapKey", "unwrapKey", "sign", "verify"),
    "oct-HSM": ("wrapKey", "unwrapKey"),
}


class AzureKeyVault(RemoteProvider):
    """`azurekv:https://NAME.vault.azure.net/keys/KEY?tenant=T&client=C&secret=env:NAME`, or `credentials=default`.

    Without a version in the address, new keys go under the newest version and old ones stay under theirs.
    """

    extra = "azurekms"

    def _connect(self) -> None:
        from azure.core.pipeline.transport import RequestsTransport
        from azure.keyvault.keys import KeyClient

        uri = self._uri
        self._authority_said = said = local()
        authority = uri.options.get("authority", _AUTHORITY).rstrip("/")

        class Confined(RequestsTransport):  # type: ignore[misc]
            """Lets requests through to the vault and to its authority, whatever a library makes of the environment."""

            def send(self, request: Any, **more: Any) -> Any:
                if not request.url.startswith((f"{uri.url}/", f"{authority}/")):
                    raise ConfigError(f"key provider {uri.shown}: a request to another host was refused")
                response = super().send(request, **more)
                if request.url.startswith(f"{authority}/{uri.options.get('tenant')}/"):
                    said.status = response.status_code
                return response

        def transport() -> Any:
            return Confined(
                use_env_settings=False,
                connection_timeout=self._timeout,
                read_timeout=self._timeout,
                connection_verify=uri.ca or True,
            )

        # Tried again by us and by nobody else.
        once = {"retry_total": 0, "redirect_max": 0, "permit_redirects": False}
        self._credential = self._credentials(authority, transport, once)
        self._client: Any = KeyClient(
            uri.url,
            self._credential,
            transport=transport(),
            # Their check is for hosts of Azure. Which host gets a token is the URI's business, and it says this one.
            verify_challenge_resource=uri.host.endswith((".azure.net", ".azure.cn", ".usgovcloudapi.net")),
            **once,
        )
        self._path, _, self._pinned = self._uri.name.removeprefix("keys/").partition("/")

    def _credentials(self, authority: str, transport: Callable[[], Any], once: dict[str, Any]) -> Any:
        from azure.identity import ClientSecretCredential, DefaultAzureCredential

        options = self._uri.options
        if options.get("credentials") == "default":
            return DefaultAzureCredential(authority=authority, exclude_interactive_browser_credential=True)
        if not {"tenant", "client", "secret"} <= options.keys() or "credentials" in options:
            raise self._unfit("say who asks: tenant=ID&client=ID&secret=env:NAME, or credentials=default")
        found: Any = ClientSecretCredential(
            options["tenant"],
            options["client"],
            self._secret("secret").reveal(),
            authority=authority,
            disable_instance_discovery="authority" in options,
            transport=transport(),
            **once,
        )
        # Taken from a variable, and without an option of its own. Should it get another name, `Confined` stands.
        found._regional_authority = None
        return found

    def _identified(self) -> str:
        bundle = self._said("GET", self._pinned)
        key = bundle["key"]
        kind, allowed = str(key["kty"]), key.get("key_ops") or []
        if kind not in _OPERATIONS or not set(_OPERATIONS[kind]) <= set(allowed):
            needed = "; ".join(f"{kind}: {', '.join(verbs)}" for kind, verbs in _OPERATIONS.items())
            raise self._unfit(f"the key's type and permitted operations must be one of {needed}")
        if not (bundle.get("attributes") or {}).get("enabled"):
            raise self._refused("the key is disabled")
        self._signs = kind != "oct-HSM"
        self._algorithm = "RSA-OAEP-256" if self._signs else "A256KW"
        return f"azurekv:{self._uri.url}/{self._uri.name}"

    def _version_of(self, answer: dict[str, Any]) -> str:
        """The version that answered. Raises KeyUnavailable when it was another key."""
        before, _, version = str(answer["kid"]).rpartition("/")
        if before != f"{self._uri.url}/keys/{self._path}" or self._pinned not in ("", version):
            raise self._other_key()
        if not _VERSION.fullmatch(version):
            raise Transient("gave no usable answer")
        return version

    def _wrap(self, material: bytes, context: KeyContext) -> bytes:
        data_key = SecretKey.generate()
        wrapped, version = self._asked_of(
            self._pinned, "wrapkey", alg=self._algorithm, value=_text(data_key.reveal_for_storage())
        )
        sealed = committed_seal(data_key, _SEAL + context.encode(), material)
        signature = b""
        if self._signs:
            digest = self._digest(version, wrapped, sealed, context)
            signature, _ = self._asked_of(version, "sign", alg="PS256", value=_text(digest))
        return b"".join(
            (_FORMAT, bytes.fromhex(version), _with_length(wrapped), _with_length(signature), sealed)
        )  # fmt: skip

    def _unwrap(self, blob: bytes, context: KeyContext) -> bytes:
        try:
            return self._unwrap_by(blob, context)
        except Refusal as refusal:
            if refusal.status != 404:
                raise
        # Key Vault deletes a key with all its versions. Is there the key, then that version never was.
        self._said("GET", self._pinned)
        raise self._wrong()

    def _unwrap_by(self, blob: bytes, context: KeyContext) -> bytes:
        version, rest = blob[1:17].hex(), blob[17:]
        wrapped, rest = _taken(rest)
        signature, sealed = _taken(rest)
        if blob[:1] != _FORMAT or not wrapped or bool(signature) != self._signs or self._pinned not in ("", version):
            raise self._wrong()
        if self._signs:
            digest = self._digest(version, wrapped, sealed, context)
            verified = self._said("POST", version, "verify", alg="PS256", digest=_text(digest), value=_text(signature))
            if verified["value"] is not True:
                raise self._wrong()
        data_key, _ = self._asked_of(version, "unwrapkey", alg=self._algorithm, value=_text(wrapped))
        if len(data_key) != KEY_BYTES:
            raise self._wrong()
        try:
            return committed_open(SecretKey(data_key), _SEAL + context.encode(), sealed)
        except WrongKey:
            raise self._wrong() from None

    def _digest(self, version: str, wrapped: bytes, sealed: bytes, context: KeyContext) -> bytes:
        parts = (_SEAL, self.id.encode(), version.encode(), context.encode())
        return sha256(b"".join(_with_length(part) for part in (*parts, wrapped, sealed)))

    def _asked_of(self, version: str, verb: str, **fields: str) -> tuple[bytes, str]:
        """(what came back, the version that made it)."""
        answer = self._said("POST", version, verb, **fields)
        made_by = self._version_of(answer)
        if version not in ("", made_by):
            raise self._other_key()
        value = str(answer.get("value", ""))
        try:
            return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True), made_by
        except (ValueError, binascii.Error):
            raise Transient("gave no usable answer") from None

    def _said(self, method: str, version: str, verb: str = "", **fields: str) -> dict[str, Any]:
        from azure.core.rest import HttpRequest

        self._authority_said.status = None
        path = "/".join(part for part in (f"/keys/{self._path}", version, verb) if part or verb)
        request = HttpRequest(method, path, json=fields or None)
        answer = self._client.send_request(request)
        try:
            body = answer.json()
        except ValueError:
            body = None
        if answer.status_code == 200 and isinstance(body, dict):
            return body
        words = []
        error = body.get("error") if isinstance(body, dict) else None
        while isinstance(error, dict):
            words.append(str(error.get("code")))
            error = error.get("innererror")
        raise Refusal(verb, answer.status_code, " ".join(words), answer.headers.get("Retry-After"))

    def _judged(self, error: BaseException) -> Exception:
        from azure.core.exceptions import ClientAuthenticationError

        if isinstance(error, Refusal):
            if "KeyDisabled" in error.words:
                return self._refused("the key is disabled")
            if error.status == 409:
                return self._refused("the key is being deleted")
            if error.status == 400 and error.verb in ("unwrapkey", "verify"):
                return self._wrong()
            return self._by_status(error.status, error.after)
        # Their error mostly says neither what the authority answered nor whether it did.
        if (
            isinstance(error, ClientAuthenticationError)
            and (error.status_code or self._authority_said.status) in _REFUSED
        ):
            return self._refused("its credentials were refused")
        return Transient(f"cannot be reached ({type(error).__name__[:64]})")

    def close(self) -> None:
        self._client.close()
        self._credential.close()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _with_length(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def _taken(data: bytes) -> tuple[bytes, bytes]:
    """The first field of some and what follows; empty if it is cut."""
    end = 2 + int.from_bytes(data[:2])
    return (data[2:end], data[end:]) if end <= len(data) else (b"", b"")


def open_azurekv(uri: str, secret: Secret) -> AzureKeyVault:
    """The provider of a URI. Raises ConfigError, KeyUnavailable."""
    return AzureKeyVault(uri, secret)
