"""The seam to foreign code: what it throws becomes a value, which a provider then turns into one of our errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tacita.discreet import Discreet
from tacita.errors import TacitaError

T = TypeVar("T")


class Failed(Discreet, frozen=True):
    """What foreign code threw, as a value."""

    error: BaseException

    @property
    def kind(self) -> str:
        """Name of its type."""
        return type(self.error).__name__[:64]

    @property
    def retryable(self) -> bool:
        """Whether it is about time or the network."""
        return isinstance(self.error, (TimeoutError, ConnectionError))

    def __repr__(self) -> str:
        return f"<Failed {self.kind}>"


def tried(call: Callable[[], T]) -> T | Failed:
    """The result of foreign code, or what it threw; our own errors pass.

    As a value, so that the caller raises its own error outside the handler: a foreign exception may quote the text, and
    inside the handler it would ride along as `__context__` into error trackers.
    """
    try:
        return call()
    except TacitaError:
        raise
    except Exception as error:  # noqa: BLE001  a foreign model may throw anything, and ports map it
        return Failed(error)
