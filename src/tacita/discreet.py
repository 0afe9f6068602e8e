"""The base of values that no printer may take apart."""

from __future__ import annotations

from typing import Any

import msgspec


class Discreet(msgspec.Struct, frozen=True):
    """Shows its type and nothing else, unless it has a `__repr__` of its own.

    msgspec would hand every field to rich, whatever `__repr__` says, and rich prints locals in tracebacks.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []
