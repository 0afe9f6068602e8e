"""What the addresses of stores elsewhere have in common: options, secrets by reference, and what counts as this machine.

Nothing else decides where rows go or as whom: a library's own environment variables are never read.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl

from tacita.errors import ConfigError

Secret = Callable[[str], Any]
"""From an option's name to its credential. Raises ConfigError when it is not given."""

_REFERENCES = ("env", "file", "keyring")


def options_of(kind: str, query: str, known: Collection[str], secrets: Collection[str]) -> Mapping[str, str]:
    """The options of a URI. Raises ConfigError for an unknown or repeated one, or a literal secret; quotes no value."""
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if options.keys() - set(known) or len(options) != len(pairs):
        raise ConfigError(f"{kind}: unknown or repeated options; known are {', '.join(sorted(known))}")
    for option in options.keys() & set(secrets):
        scheme, _, rest = options[option].partition(":")
        if scheme not in _REFERENCES or not rest:
            raise ConfigError(f"{kind}: {option} is given by reference: {option}=env:NAME, file:PATH or keyring:S/NAME")
    return options


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
    """Whether a host is this machine by its name alone; nothing is looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def hush(*names: str) -> None:
    """Keep libraries from logging: at DEBUG they write whole requests."""
    for name in names:
        logger = logging.getLogger(name)
        if logger.level < logging.WARNING:
            logger.setLevel(logging.WARNING)


def library(name: str, extra: str) -> Any:
    """An optional library. Raises ConfigError that says what to install."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise ConfigError(f"this store needs the library {name}: pip install 'tacita[{extra}]'") from None
