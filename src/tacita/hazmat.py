"""The only module that touches cryptographic primitives and randomness.

Everything else handles secrets as `SecretKey` and sealed bytes as bytes. Nothing here knows what a vault is.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tacita.errors import WrongKey

KEY_BYTES = 32
SALT_BYTES = 32
COMMITMENT_BYTES = 32
TAG_BYTES = 16
OVERHEAD = SALT_BYTES + COMMITMENT_BYTES + TAG_BYTES
"""Bytes that `committed_seal` adds to a plaintext."""

# Every seal draws a fresh 256-bit salt and derives its own key from it, so each key encrypts exactly once
# and a constant nonce is safe. A random nonce under one key would bound the number of events instead.
_NONCE = bytes(12)
_SHA256 = SHA256()


class SecretKey:
    """256 secret bits as a handle: usable here, never printed, pickled or compared by accident."""

    __slots__ = ("_hmac", "_material")

    def __init__(self, material: bytes) -> None:
        if type(material) is not bytes or len(material) != KEY_BYTES:
            raise WrongKey(f"a key is exactly {KEY_BYTES} bytes")
        self._material = material
        self._hmac: HMAC | None = None

    @classmethod
    def generate(cls) -> SecretKey:
        return cls(os.urandom(KEY_BYTES))

    def derive(self, info: bytes) -> SecretKey:
        """A sub-key bound to `info` (HKDF-SHA256, RFC 5869, no salt: the input is already uniform)."""
        return SecretKey(HKDF(_SHA256, KEY_BYTES, None, info).derive(self._material))

    def mac(self, data: bytes) -> bytes:
        """HMAC-SHA256 of `data`, 32 bytes."""
        if self._hmac is None:
            self._hmac = HMAC(self._material, _SHA256)
        # A copy of a keyed state costs a third of keying anew, and every event needs two.
        state = self._hmac.copy()
        state.update(data)
        return state.finalize()

    def equals(self, other: SecretKey) -> bool:
        """Constant-time comparison; `==` is identity on purpose."""
        return hmac.compare_digest(self._material, other._material)

    def reveal_for_storage(self) -> bytes:
        """The cleartext key. Only key providers may call this; a test greps for other callers."""
        return self._material

    def __repr__(self) -> str:
        return "<SecretKey>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a SecretKey cannot be pickled or copied")


def random_bytes(count: int) -> bytes:
    """`count` bytes from the operating system's generator."""
    return os.urandom(count)


def sha256(data: bytes) -> bytes:
    """SHA-256 of `data`, 32 bytes."""
    return hashlib.sha256(data).digest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file as lower-case hex, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def equal(a: bytes, b: bytes) -> bool:
    """Constant-time equality of two byte strings."""
    return hmac.compare_digest(a, b)


def committed_seal(key: SecretKey, context: bytes, plaintext: bytes) -> bytes:
    """Authenticated encryption that no second key opens: `salt 32 | commitment 32 | ciphertext | tag 16`.

    HKDF-SHA256(key, salt, context) yields an AES-256-GCM key and a commitment to key and context (the
    "UtC"/HKDF construction of Bellare and Hoang, "Efficient Schemes for Committing Authenticated Encryption",
    2022). `context` is authenticated, not stored.
    """
    return _seal_with_salt(key, context, plaintext, os.urandom(SALT_BYTES))


def _seal_with_salt(key: SecretKey, context: bytes, plaintext: bytes, salt: bytes) -> bytes:
    """`committed_seal` with the salt chosen by the caller: for frozen test vectors, nothing else."""
    keys = HKDF(_SHA256, 64, salt, context).derive(key._material)
    return b"".join((salt, keys[32:], AESGCM(keys[:32]).encrypt(_NONCE, plaintext, context)))


def committed_open(key: SecretKey, context: bytes, sealed: bytes) -> bytes:
    """The inverse of `committed_seal`. Raises WrongKey if key, context or bytes are not what was sealed."""
    if len(sealed) < OVERHEAD:
        raise WrongKey("sealed bytes are shorter than their envelope")
    keys = HKDF(_SHA256, 64, sealed[:SALT_BYTES], context).derive(key._material)
    # The commitment goes first: AES-GCM alone would let a chosen ciphertext open under two keys.
    if not hmac.compare_digest(keys[32:], sealed[SALT_BYTES : SALT_BYTES + COMMITMENT_BYTES]):
        raise WrongKey("the key or the context does not match what was sealed")
    try:
        return AESGCM(keys[:32]).decrypt(_NONCE, sealed[SALT_BYTES + COMMITMENT_BYTES :], context)
    except InvalidTag:
        raise WrongKey("the sealed bytes were changed") from None


def stretch_passphrase(passphrase: bytes, salt: bytes, *, memory_kib: int, iterations: int, lanes: int) -> SecretKey:
    """Argon2id (RFC 9106) of a passphrase. `memory_kib` is the cost in KiB of RAM."""
    kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    return SecretKey(kdf.derive(passphrase))


class SigningKey:
    """An Ed25519 key (RFC 8032) made from a secret: the same secret gives the same key."""

    __slots__ = ("_key", "public")

    def __init__(self, secret: SecretKey) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(secret._material)
        self.public = self._key.public_key().public_bytes_raw()
        """32 bytes that anybody may have."""

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`, 64 bytes."""
        return self._key.sign(data)

    def __repr__(self) -> str:
        return "<SigningKey>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a SigningKey cannot be pickled or copied")


def signed_by(public: bytes, signature: bytes, data: bytes) -> bool:
    """Whether `signature` is that of `data` under a public key. False for anything that is no key or no signature."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True
