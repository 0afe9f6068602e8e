"""What the URI of a DynamoDB table says: `dynamodb:PREFIX?region=eu-central-1&key=env:NAME&secret=env:NAME`.

The region may name an address of its own: `region=eu-central-1@https://HOST`. Nothing else decides where rows go: the vendor's
environment variables and files are not read, but for credentials, and those only with `credentials=default`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from tacita import addresses
from tacita.errors import ConfigError
from tacita.patterns import lazy_pattern

_OPTIONS: Final = frozenset(
    {"region", "key", "secret", "token", "credentials", "create", "kms", "timeout", "pool", "attempts"}
)
_PREFIX: Final = lazy_pattern(r"[A-Za-z0-9_.-]{2,200}")
_REGION: Final = lazy_pattern(r"[a-z]{2}(-[a-z]+)+-[0-9]")


class DynamoUri(msgspec.Struct, frozen=True):
    """An address, parsed and checked. Holds references to credentials, never a credential."""

    prefix: str
    region: str
    url: str
    default_credentials: bool
    create: bool
    """Make the table when it is not there; needs rights that a running program should not have."""
    kms: str
    """Key that a table made by us is encrypted under at the vendor's; empty: the vendor's own."""
    timeout: float
    pool: int
    attempts: int
    options: Mapping[str, str]

    def place(self, table: str) -> str:
        """Which table, for people and for telling two apart: tables of one name are in many regions, and at many addresses."""
        return f"dynamodb {self.url.partition('://')[2]} {self.region} table {table}"


def parse(uri: str) -> DynamoUri:
    """Take a URI apart. Raises ConfigError, never quoting an option's value."""
    _, _, rest = uri.partition(":")
    prefix, _, query = rest.partition("?")
    options = addresses.options_of("dynamodb", query, _OPTIONS, {"key", "secret", "token"})
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError("dynamodb: tables are named as dynamodb:PREFIX, of 2 to 200 letters, digits, and _ . -")
    region, _, url = options.get("region", "").partition("@")
    if not _REGION.fullmatch(region):
        raise ConfigError("dynamodb: name the region, as in dynamodb:PREFIX?region=eu-central-1")
    _check_credentials(options)
    if options.get("create", "yes") != "yes":
        raise ConfigError("dynamodb: create is yes or not given")
    return DynamoUri(
        prefix,
        region,
        _checked_url(url) if url else f"https://dynamodb.{region}.amazonaws.com{'.cn' if region[:3] == 'cn-' else ''}",
        "credentials" in options,
        "create" in options,
        options.get("kms", ""),
        addresses.number("dynamodb", options, "timeout", 10, 0.05, 600),
        int(addresses.number("dynamodb", options, "pool", 16, 1, 1000)),
        int(addresses.number("dynamodb", options, "attempts", 6, 1, 20)),
        options,
    )


def hosts(uri: str) -> tuple[str, ...]:
    """Whom it contacts, as `egress` shows it. Raises ConfigError."""
    parsed = parse(uri)
    others = ("where the machine's own credentials come from",) if parsed.default_credentials else ()
    return (urlsplit(parsed.url).netloc, *others)


def _check_credentials(options: Mapping[str, str]) -> None:
    named = options.keys() & {"key", "secret", "token"}
    if options.get("credentials", "default") != "default":
        raise ConfigError("dynamodb: credentials are key=env:NAME&secret=env:NAME, or credentials=default")
    if ("credentials" in options) == bool(named) or (named and not named >= {"key", "secret"}):
        raise ConfigError(
            "dynamodb: write key=env:NAME&secret=env:NAME, or credentials=default for those of this machine"
        )


def _checked_url(url: str) -> str:
    parts = addresses.http_parts("dynamodb", url)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError("dynamodb: an address is https://HOST")
    return url.rstrip("/")
