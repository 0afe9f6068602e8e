"""What the addresses of stores elsewhere have in common: options, secrets by reference, and what counts as this machine.

Nothing else decides where rows go or as whom: a library's own environment variables are never read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any

from tacita.errors import ConfigError

Secret = Callable[[str], Any]
"""From an option's name to its credential. Raises ConfigError when it is not given."""


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
