"""The passphrase key provider: a root key stretched from words that somebody knows (Argon2id, RFC 9106)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tacita.durable import create_file
from tacita.errors import ConfigError, WrongKey
from tacita.hazmat import SecretKey, random_bytes, stretch_passphrase
from tacita.keys._local import LocalProvider

MINIMUM_CHARS = 12


class Cost(msgspec.Struct, frozen=True):
    """What one guess costs."""

    memory_kib: int
    iterations: int
    lanes: int


COSTS = {
    "default": Cost(64 * 1024, 3, 4),  # RFC 9106, second recommended option
    "insecure-test": Cost(64, 1, 1),
}


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    cost: str
    salt: bytes
    check: str
    """The provider id of the right passphrase: a wrong one is noticed at once."""


def open_passphrase(passphrase: str, record: Path, *, cost: str = "default") -> LocalProvider:
    """The provider of a passphrase; salt and cost are kept in `record`, which is made at first use.

    Raises:
        ConfigError: a new passphrase is shorter than 12 characters, or the record is damaged.
        WrongKey: it is not the passphrase of this home.
    """
    if record.exists():
        return _reopened(passphrase, record)
    if len(passphrase) < MINIMUM_CHARS:
        raise ConfigError(f"a passphrase has at least {MINIMUM_CHARS} characters")
    if cost not in COSTS:
        raise ConfigError(f"unknown cost; known are {', '.join(COSTS)}")
    salt = random_bytes(16)
    provider = _stretch(passphrase, salt, cost)
    record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        create_file(record, msgspec.json.encode(_Record(1, cost, salt, provider.id)))
    except FileExistsError:
        # Another process was quicker, and its salt is the one under which vault keys are wrapped.
        return _reopened(passphrase, record)
    return provider


def _reopened(passphrase: str, record: Path) -> LocalProvider:
    try:
        kept = msgspec.json.decode(record.read_bytes(), type=_Record)
    except (OSError, ValueError, RecursionError):
        raise ConfigError(f"{record} is damaged; without its salt the passphrase opens nothing") from None
    if kept.format != 1 or kept.cost not in COSTS:
        raise ConfigError(f"{record} was written by a newer version")
    provider = _stretch(passphrase, kept.salt, kept.cost)
    if provider.id != kept.check:
        raise WrongKey("wrong passphrase")
    return provider


def _stretch(passphrase: str, salt: bytes, cost: str) -> LocalProvider:
    chosen = COSTS[cost]
    root: SecretKey = stretch_passphrase(
        passphrase.encode(), salt, memory_kib=chosen.memory_kib, iterations=chosen.iterations, lanes=chosen.lanes
    )
    return LocalProvider(root, scheme="passphrase", where="a passphrase; nothing that opens the vaults is stored")
