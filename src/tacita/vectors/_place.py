"""Where an engine is, as its URI says: `qdrant:COLLECTION@https://HOST:6333?api_key=env:NAME`.

Nothing else decides where vectors go: neither the vendors' environment variables nor a proxy that one names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from tacita.addresses import http_parts, options_of
from tacita.errors import ConfigError
from tacita.patterns import lazy_pattern

SECONDS: Final = 30.0
"""How long one request may take, unless `timeout` says otherwise."""
TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which trying again may help."""
_NAME: Final = lazy_pattern(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_REFERENCES: Final = frozenset({"api_key", "token", "password"})

Secrets = Callable[[str], Any]
"""From an option to the credential behind its reference."""


class Place(msgspec.Struct, frozen=True):
    """An address, parsed and checked. Holds references to credentials, never a credential."""

    scheme: str
    collection: str
    """What the vectors are kept in: a collection, an index, a table."""
    url: str
    """Without credentials, options and a final slash; empty if none is given."""
    host: str
    port: int | None
    tls: bool
    path: str
    user: str | None
    options: Mapping[str, str]

    @property
    def name(self) -> str:
        """For messages: scheme, collection and host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        where = f"@{host}:{self.port}" if self.port else f"@{host}" if host else ""
        return f"{self.scheme}:{self.collection}{where}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Host and port, as `egress` shows it."""
        return (f"{self.host}:{self.port}" if self.port else self.host,) if self.host else ()

    @property
    def seconds(self) -> float:
        """For one request."""
        given = self.options.get("timeout", "")
        if not given:
            return SECONDS
        if not given.isascii() or not given.isdigit() or not 0 < int(given) <= 600:
            raise ConfigError(f"vectors {self.scheme}: timeout is a number of seconds from 1 to 600")
        return float(given)


def parse(uri: str, known: frozenset[str], *, schemes: tuple[str, ...] = ("https", "http"), url: str = "") -> Place:
    """Take a URI apart. Raises ConfigError, never quoting an option's value.

    Args:
        known: options of this engine, beside `timeout` and `insecure`.
        schemes: of its address, the protected one first.
        url: the address when none is given.
    """
    scheme, _, rest = uri.partition(":")
    rest, _, query = rest.partition("?")
    options = options_of(f"vectors {scheme}", query, known | {"timeout", "insecure"}, _REFERENCES)
    collection, at, given = rest.partition("@")
    if not _NAME.fullmatch(collection):
        raise ConfigError(
            f"vectors {scheme}: name a collection of letters, digits and _, as in {scheme}:tacita@https://HOST"
        )
    given = (given if at else url).rstrip("/")
    if given and "https" in schemes:
        parts = http_parts(f"vectors {scheme}", given, insecure=options.get("insecure") == "yes")
    else:
        parts = _other_parts(scheme, given, schemes)
    if parts.query or parts.fragment:
        raise ConfigError(f"vectors {scheme}: its address is {schemes[0]}://HOST, and options stand behind it")
    host, port = parts.hostname or "", parts.port
    tls = parts.scheme == "https"
    return Place(scheme, collection, given, host, port, tls, parts.path, parts.username, options)


def _other_parts(scheme: str, given: str, schemes: tuple[str, ...]) -> SplitResult:
    """Of an address that is none of the web, whose user may be named; or of none at all."""
    try:
        parts = urlsplit(given)
        _ = parts.port
    except ValueError:
        raise ConfigError(f"vectors {scheme}: its address cannot be read") from None
    if given and (parts.scheme not in schemes or not parts.hostname or not given.isprintable()):
        raise ConfigError(f"vectors {scheme}: its address is {schemes[0]}://HOST")
    if parts.password is not None:
        raise ConfigError(f"vectors {scheme}: no credentials in its address; write an option=env:NAME")
    return parts


def unhex(text: object, size: int = 16) -> bytes:
    """A tag as it comes back from an engine. Raises ValueError for what is none: it is not ours."""
    if not isinstance(text, str) or len(text) != 2 * size or text.lower() != text:
        raise ValueError("no tag")
    return bytes.fromhex(text)
