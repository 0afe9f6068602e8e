"""The detector port: names, health and other free text, found by a model of the operator's that runs here.

It must contact nobody: it sees every text before anything is masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, Protocol, runtime_checkable

from tacita.errors import ConfigError, ModelError
from tacita.ports.foreign import Failed, tried

SECONDS: Final = 5.0
"""How long one text may take. After that nothing is written: a text that was not looked at is not kept."""
_TYPE_CHARS: Final = 64


@runtime_checkable
class Detector(Protocol):
    """Finds personal data without a form. Must be safe to call from several threads."""

    @property
    def name(self) -> str:
        """Names the detector in errors."""

    def detect(self, text: str, /) -> Iterable[tuple[str, int, int]]:
        """(type, start, end) of each finding, in characters; types such as `person` or `health`."""


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, thread_name_prefix="tacita-detect")


def checked_detect(detector: Detector, text: str) -> list[tuple[str, int, int]]:
    """What a detector finds, checked. Raises ModelError when it fails, breaks its contract or takes too long."""
    found = tried(lambda: list(_pool().submit(lambda: list(detector.detect(text))).result(SECONDS)))
    if isinstance(found, Failed):
        slow = isinstance(found.error, TimeoutError)
        raise ModelError(f"detector {detector.name} {'took too long' if slow else 'failed: ' + found.kind}")
    if not all(_holds(each, len(text)) for each in found):
        raise ModelError(f"detector {detector.name} gave something that is no (type, start, end) in the text")
    return found


def _holds(each: object, size: int) -> bool:
    if not isinstance(each, tuple) or len(each) != 3:
        return False
    kind, start, end = each
    if not isinstance(kind, str) or not kind.isprintable() or not 0 < len(kind) <= _TYPE_CHARS:
        return False
    return type(start) is int and type(end) is int and 0 <= start < end <= size


def checked_detectors(detectors: Sequence[object]) -> tuple[Detector, ...]:
    """The detectors, each with a name and `detect`. Raises ConfigError."""
    found = tuple(each for each in detectors if isinstance(each, Detector))
    if len(found) != len(detectors):
        raise ConfigError("a detector has name and detect(text)")
    return found
