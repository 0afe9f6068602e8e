"""The environment key provider: a root key that whoever starts the process puts into a variable."""

from __future__ import annotations

from collections.abc import Callable

from tacita.errors import KeyUnavailable
from tacita.keys._local import LocalProvider, decode_root


def open_environment(name: str, read: Callable[[str], str | None]) -> LocalProvider:
    """The provider of the root key in variable `name`, 32 bytes in base64 or hex.

    Raises KeyUnavailable when it is not set, WrongKey when it is no key. Never shows the value.
    """
    value = read(name)
    if not value:
        raise KeyUnavailable(f"the environment variable {name} is not set; it must hold the root key")
    root = decode_root(value, f"the environment variable {name}")
    return LocalProvider(root, scheme="env", where=f"environment variable {name}")
