"""What the URIs of everything that is elsewhere have in common: options, secrets by reference, and addresses that lead where
they seem to lead, over TLS.

No message quotes the value of an option. Nothing is looked up.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from tacita.errors import ConfigError

_REFERENCES: Final = ("env", "file", "keyring")


def options_of(kind: str, query: str, known: Collection[str], secrets: Collection[str] = ()) -> dict[str, str]:
    """The options of a URI. Raises ConfigError for an unknown or repeated one, and for a secret that is given literally."""
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if unknown := options.keys() - set(known):
        raise ConfigError(f"{kind}: unknown options ({len(unknown)}); known are {', '.join(sorted(known))}")
    if len(options) != len(pairs):
        raise ConfigError(f"{kind}: an option is given twice")
    for option in sorted(options.keys() & set(secrets)):
        check_reference(kind, option, options[option])
    return options


def check_reference(kind: str, option: str, value: str) -> None:
    """Raises ConfigError unless a secret is given as a reference to it."""
    scheme, _, rest = value.partition(":")
    if scheme not in _REFERENCES or not rest:
        raise ConfigError(
            f"{kind}: {option} is given by reference: {option}=env:NAME, file:PATH or keyring:SERVICE/NAME"
        )


def number(kind: str, options: Mapping[str, str], option: str, default: float, least: float, most: float) -> float:
    """A numeric option. Raises ConfigError."""
    given = options.get(option)
    if given is None:
        return default
    try:
        value = float(given)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise ConfigError(f"{kind}: {option} is a number from {least:g} to {most:g}")
    return value


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def http_parts(kind: str, url: str, *, insecure: bool = False) -> SplitResult:
    """The parts of an `https:` address; `http:` is for this machine, or with `insecure`.

    Raises ConfigError for everything else, for credentials in it, and for what is read in more than one way.
    """
    try:
        parts = urlsplit(url)
        # Read here, because a port that is none raises only when it is asked for.
        unusable = parts.port == 0
    except ValueError:
        raise ConfigError(f"{kind}: its address cannot be read") from None
    # `urlsplit` leaves out line breaks and tabs, so it would show another host than the one that is asked.
    odd = unusable or not url.isprintable() or " " in url or "\\" in parts.netloc
    if parts.scheme not in ("http", "https") or not parts.hostname or odd:
        raise ConfigError(f"{kind}: its address is https://HOST/...")
    # An "@" with nothing before it, too: where it leads is then read in more than one way.
    if "@" in parts.netloc:
        raise ConfigError(f"{kind}: no credentials in its address; write an option=env:NAME")
    if parts.scheme == "http" and not insecure and not is_loopback(parts.hostname):
        raise ConfigError(f"{kind}: over TLS only; use https for {parts.hostname}")
    return parts
