"""Tacita: long-term memory for AI agents that may be trusted with secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tacita.errors import (
    AccessDenied,
    Blocked,
    CallerError,
    ConfigError,
    Conflict,
    CryptoError,
    Held,
    InvalidInput,
    KeyProviderError,
    KeyUnavailable,
    ModelError,
    Moved,
    NotFound,
    Overloaded,
    ProviderError,
    StoreError,
    TacitaError,
    Tampered,
    WrongKey,
)
from tacita.items import Hit, Item, Kind, Message, SearchResult, Trust

if TYPE_CHECKING:
    from tacita._async import AsyncMemory
    from tacita.memory import Memory

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AsyncMemory",
    "Blocked",
    "CallerError",
    "ConfigError",
    "Conflict",
    "CryptoError",
    "Held",
    "Hit",
    "InvalidInput",
    "Item",
    "KeyProviderError",
    "KeyUnavailable",
    "Kind",
    "Memory",
    "Message",
    "ModelError",
    "Moved",
    "NotFound",
    "Overloaded",
    "ProviderError",
    "SearchResult",
    "StoreError",
    "TacitaError",
    "Tampered",
    "Trust",
    "WrongKey",
]


def __getattr__(name: str) -> Any:
    # numpy and the engine load with the first Memory, not with the name of the package.
    if name == "Memory":
        from tacita.memory import Memory

        return Memory
    if name == "AsyncMemory":
        from tacita._async import AsyncMemory

        return AsyncMemory
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
