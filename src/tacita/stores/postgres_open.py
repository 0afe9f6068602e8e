"""Opens the halves of a memory that are in PostgreSQL. The extra `tacita[postgres]` is imported then and not before."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tacita.errors import ConfigError

if TYPE_CHECKING:
    from tacita.stores._postgres_pool import Secret
    from tacita.stores.postgres import PostgresLogStore
    from tacita.stores.postgres_ring import PostgresKeyRing


def open_log(uri: str, secrets: Callable[[str], Secret]) -> PostgresLogStore:
    """The log behind a URI. `secrets` reads what the URI refers to. Raises ConfigError, StoreError."""
    opened: PostgresLogStore = _module("postgres").PostgresLogStore(uri, secrets)
    return opened


def open_ring(uri: str, secrets: Callable[[str], Secret]) -> PostgresKeyRing:
    """The key ring behind a URI. `secrets` reads what the URI refers to. Raises ConfigError, StoreError."""
    opened: PostgresKeyRing = _module("postgres_ring").PostgresKeyRing(uri, secrets)
    return opened


def hosts(uri: str) -> tuple[str, ...]:
    """Whom a URI makes us contact; contacts nobody. Raises ConfigError."""
    found: tuple[str, ...] = _module("_postgres_uri").hosts(uri)
    return found


def _module(name: str) -> Any:
    try:
        return import_module(f"tacita.stores.{name}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"PostgreSQL needs the extra: pip install 'tacita[postgres]' (no module {error.name})"
        ) from None
    except ImportError:
        # What psycopg says when it is there and libpq is not.
        raise ConfigError("PostgreSQL needs libpq: pip install 'tacita[postgres]'") from None
