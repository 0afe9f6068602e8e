"""What the URI of a root key elsewhere says: `awskms:alias/tacita@https://HOST?region=eu-central-1&key=env:NAME`.

Nothing else decides where keys go: the vendors' own environment variables are never read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from tacita import addresses
from tacita.errors import ConfigError
from tacita.patterns import lazy_pattern

_COMMON: Final = frozenset({"timeout", "attempts", "ca"})
_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "awskms": _COMMON | {"region", "key", "secret", "token", "credentials", "grant"},
    "gcpkms": _COMMON | {"token", "credentials"},
    "azurekv": _COMMON | {"tenant", "client", "secret", "credentials", "authority"},
    "vault": _COMMON | {"token", "namespace"},
}
_REFERENCES: Final = ("key", "secret", "token", "grant")
_GOOGLE: Final = "https://cloudkms.googleapis.com"
_REGION: Final = lazy_pattern(r"[a-z]{2}(-[a-z]+)+-\d{1,2}")
_ARN: Final = lazy_pattern(r"arn:(aws[a-z-]*):kms:([a-z0-9-]+):\d{12}:(?:key|alias)/[\w/-]+")
_NAMES: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "awskms": (
        re.compile(rf"alias/[\w/-]+|[0-9a-f]{{8}}-[0-9a-f-]{{27}}|mrk-[0-9a-f]{{32}}|{_ARN.pattern}"),
        "awskms:alias/NAME?region=REGION or awskms:ARN",
    ),
    "gcpkms": (
        re.compile(r"projects/[\w.:-]+/locations/[\w-]+/keyRings/[\w-]+/cryptoKeys/[\w-]+"),
        "gcpkms:projects/P/locations/L/keyRings/R/cryptoKeys/K",
    ),
    "azurekv": (
        re.compile(r"keys/[0-9A-Za-z-]+(?:/[0-9a-f]{32})?"),
        "azurekv:https://NAME.vault.azure.net/keys/KEY",
    ),
    "vault": (re.compile(r"[\w.-]+(?:/[\w.-]+)*/keys/[\w.-]+"), "vault:transit/keys/KEY@https://HOST:8200"),
}


class KeyUri(msgspec.Struct, frozen=True):
    """The address of a root key, parsed and checked. Holds references to credentials, never a credential."""

    scheme: str
    name: str
    """What the service calls the key."""
    url: str
    """Of the service, without a slash at the end."""
    options: Mapping[str, str]

    @property
    def shown(self) -> str:
        """For people."""
        return f"{self.scheme}:{self.name} at {self.host}"

    @property
    def host(self) -> str:
        """Host and, if it is not the usual one, port."""
        return urlsplit(self.url).netloc

    @property
    def hosts(self) -> tuple[str, ...]:
        """Its host, and those that its credentials need."""
        others: tuple[str, ...] = ()
        if self.scheme == "gcpkms" and self.options.get("credentials", "default") != "default":
            others = ("oauth2.googleapis.com",)
        elif self.scheme == "azurekv" and "authority" in self.options:
            others = (urlsplit(self.options["authority"]).netloc,)
        elif self.scheme == "azurekv" and "secret" in self.options:
            others = ("login.microsoftonline.com",)
        if self.options.get("credentials") == "default":
            others = (*others, "where the machine's own credentials come from")
        return (self.host, *others)

    def number(self, option: str, default: float, least: float, most: float) -> float:
        """A numeric option. Raises ConfigError."""
        return addresses.number(f"key provider {self.shown}", self.options, option, default, least, most)

    @property
    def ca(self) -> str | None:
        """The file whose certificates are good for this service, instead of the usual ones. Raises ConfigError."""
        path = self.options.get("ca")
        if path is not None and not Path(path).is_file():
            raise ConfigError(f"key provider {self.shown}: ca names a file of certificates, and there is none")
        return path


def parse(uri: str) -> KeyUri:
    """Take a URI apart. Raises ConfigError, never quoting an option's value."""
    scheme, _, rest = uri.partition(":")
    if scheme not in _OPTIONS:
        raise ConfigError(f"{scheme!r} is no root key elsewhere; known are {', '.join(sorted(_OPTIONS))}")
    rest, _, query = rest.partition("?")
    options = addresses.options_of(f"key provider {scheme}", query, _OPTIONS[scheme], _REFERENCES)
    if options.get("credentials", "default") != "default":
        addresses.check_reference(f"key provider {scheme}", "credentials", options["credentials"])
    if scheme == "azurekv":
        at = rest.find("/keys/")
        name, url = rest[at + 1 :], rest[: max(at, 0)]
    else:
        name, _, url = rest.partition("@")
    pattern, example = _NAMES[scheme]
    if not pattern.fullmatch(name):
        raise ConfigError(f"key provider {scheme}: a root key is named as in {example}")
    if scheme == "awskms":
        options["region"] = _region(name, options.get("region"))
    url = (url or _usual_url(scheme, options)).rstrip("/")
    _check_url(scheme, url)
    if "authority" in options:
        _check_url(scheme, options["authority"])
    return KeyUri(scheme, name, url, options)


def _region(name: str, given: str | None) -> str:
    arn = _ARN.fullmatch(name)
    region = given or (arn[2] if arn else "")
    if not _REGION.fullmatch(region) or (arn and arn[2] != region):
        raise ConfigError("key provider awskms: name the key's region, as in awskms:alias/NAME?region=eu-central-1")
    return region


def _usual_url(scheme: str, options: Mapping[str, str]) -> str:
    if scheme == "awskms":
        china = ".cn" if options["region"].startswith("cn-") else ""
        return f"https://kms.{options['region']}.amazonaws.com{china}"
    if scheme == "gcpkms":
        return _GOOGLE
    raise ConfigError(f"key provider {scheme}: name its address, as in {_NAMES[scheme][1]}")


def _check_url(scheme: str, url: str) -> None:
    parts = addresses.http_parts(f"key provider {scheme}", url)
    if parts.path or parts.query or parts.fragment:
        raise ConfigError(f"key provider {scheme}: its address is https://HOST[:PORT]")
