"""The OS keyring key provider: a root key in the desktop's own secret store (Keychain, Secret Service, Credential Locker)."""

from __future__ import annotations

from typing import Any

from tacita.errors import KeyProviderError, KeyUnavailable
from tacita.hazmat import SecretKey
from tacita.keys._local import LocalProvider, decode_root, encode_root

_REFUSED_MODULES = ("keyring.backends.null", "keyring.backends.fail", "keyrings.alt")


def usable() -> bool:
    """True if there is an OS keyring that keeps secrets. keyring's null backend would drop them silently."""
    return _backend() is not None


def _backend() -> Any:
    import keyring

    backend = keyring.get_keyring()
    members = getattr(backend, "backends", [backend])  # the chainer holds several
    good = [one for one in members if not type(one).__module__.startswith(_REFUSED_MODULES) and one.priority > 0]
    return backend if good else None


def create(service: str, name: str) -> None:
    """Keep a new root key and read it back. Raises KeyProviderError when it does not come back as it went in."""
    import keyring.errors

    backend = _backend()
    if backend is None:
        raise KeyProviderError("there is no OS keyring here that keeps secrets")
    try:
        if backend.get_password(service, name) is not None:
            raise KeyProviderError(f"the OS keyring has an entry {service}/{name} already")
        encoded = encode_root(SecretKey.generate())
        backend.set_password(service, name, encoded)
        kept = backend.get_password(service, name)
    except keyring.errors.KeyringError as error:
        raise KeyProviderError(f"the OS keyring refused: {type(error).__name__}") from None
    if kept != encoded:
        raise KeyProviderError("the OS keyring did not give back what was put into it")


def open_keyring(service: str, name: str) -> LocalProvider:
    """The provider of the root key under (service, name). Raises KeyUnavailable when it is not there or locked."""
    import keyring.errors

    backend = _backend()
    if backend is None:
        raise KeyUnavailable("there is no OS keyring here; the root key of this home lives in one")
    try:
        kept = backend.get_password(service, name)
    except keyring.errors.KeyringError as error:
        raise KeyUnavailable(f"the OS keyring cannot be read: {type(error).__name__}") from None
    if kept is None:
        raise KeyUnavailable(f"the OS keyring has no entry {service}/{name}")
    root = decode_root(kept, f"the OS keyring entry {service}/{name}")
    return LocalProvider(root, scheme="keyring", where=f"OS keyring ({type(backend).__name__}), entry {service}/{name}")


def read_credential(service: str, name: str) -> str | None:
    """Somebody's entry in the OS keyring, such as a model's API key; None if there is none."""
    import keyring.errors

    backend = _backend()
    if backend is None:
        raise KeyUnavailable("there is no OS keyring here; name the credential by env: or file: instead")
    try:
        kept: str | None = backend.get_password(service, name)
    except keyring.errors.KeyringError as error:
        raise KeyUnavailable(f"the OS keyring cannot be read: {type(error).__name__}") from None
    return kept
