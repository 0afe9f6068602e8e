"""Wrapping with a root key that this process holds: shared by all providers that have one."""

from __future__ import annotations

import base64
import binascii

from tacita.errors import WrongKey
from tacita.hazmat import KEY_BYTES, SecretKey, committed_open, committed_seal
from tacita.ports.keys import KeyContext, KeyProvider

_WRAP = b"tacita/v1/wrap"


class LocalProvider(KeyProvider):
    """A root key in RAM. `scheme` says where it came from, `where` where it lives."""

    def __init__(self, root: SecretKey, *, scheme: str, where: str) -> None:
        self._wrapping = root.derive(b"tacita/v1/key-wrap")
        # Names the root key without revealing anything of it: a MAC under a key of its own.
        self.id = f"{scheme}:{root.derive(b'tacita/v1/key-id').mac(b'id').hex()[:16]}"
        self.where = where

    def wrap(self, key: SecretKey, context: KeyContext) -> bytes:
        return committed_seal(self._wrapping, _WRAP + context.encode(), key.reveal_for_storage())

    def unwrap(self, blob: bytes, context: KeyContext) -> SecretKey:
        try:
            return SecretKey(committed_open(self._wrapping, _WRAP + context.encode(), blob))
        except WrongKey:
            raise WrongKey(f"key provider {self.id} cannot open a wrapped key: another root key made it") from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


def ephemeral() -> LocalProvider:
    """A random root key that nobody keeps: what it wraps ends with this process."""
    return LocalProvider(SecretKey.generate(), scheme="ephemeral", where="this process only; nothing outlives it")


def encode_root(root: SecretKey) -> str:
    """The root key as text, for a place that keeps secrets."""
    return base64.b64encode(root.reveal_for_storage()).decode()


def decode_root(text: str, where: str) -> SecretKey:
    """A root key from base64 or hex. Raises WrongKey, naming only `where` it was read."""
    stripped = text.strip()
    material = b""
    try:
        material = (
            bytes.fromhex(stripped) if len(stripped) == 2 * KEY_BYTES else base64.b64decode(stripped, validate=True)
        )
    except (ValueError, binascii.Error):
        material = b""
    if len(material) != KEY_BYTES:
        raise WrongKey(f"{where} does not hold a root key: {KEY_BYTES} bytes in base64 or hex")
    return SecretKey(material)
