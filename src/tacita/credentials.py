"""A credential as a reference to where it lies. It is read when it is needed and kept nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, final


@final
class Credential:
    """Prints as its reference; cannot be pickled, copied or compared by value. `reveal` is the deliberate way in."""

    __slots__ = ("_read", "reference")

    def __init__(self, reference: str, read: Callable[[str], str]) -> None:
        self.reference = reference
        """`env:NAME`, `file:PATH` or `keyring:SERVICE/NAME`."""
        self._read = read

    def reveal(self) -> str:
        """The secret, read now. Raises ConfigError, naming only the reference."""
        return self._read(self.reference)

    def __repr__(self) -> str:
        return f"<Credential {self.reference}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Credential cannot be pickled or copied")
