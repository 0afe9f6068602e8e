"""Telemetry, off unless the operator turns it on: how often each operation was used and how it ended. Nothing else.

One message for each process, when its memory is closed: a keyed pseudonym of the installation, versions, kinds of
parts, and counts from closed lists. No text, no ids, no names of metadata, no times, no durations.
"""

from __future__ import annotations

import json
import logging
import platform
from collections import Counter
from collections.abc import Callable, Mapping
from functools import wraps
from threading import Lock
from types import FunctionType
from typing import Any, Final, Protocol, TypeVar

from tacita.errors import ConfigError, TacitaError

C = TypeVar("C", bound=type)

OPERATIONS: Final = frozenset(
    "add update delete erase search context get get_all history export import_ verify stats".split()
    + "extract consent quarantine review profile summary purge hold freeze sweep audit".split()
    + "forget find_mentions redact salvage backup backup_keys export_archive import_archive".split()
)
"""All that is counted."""
EVENT: Final = "tacita session"
_SECONDS: Final = 3.0

log = logging.getLogger("tacita.telemetry")


class Sink(Protocol):
    """Where a finished body goes, or single counts go."""

    def count(self, operation: str, outcome: str) -> None: ...
    def send(self, body: bytes) -> None: ...


class PostHog:
    """Sends to a PostHog-compatible endpoint: `POST ENDPOINT/batch/`."""

    def __init__(self, endpoint: str) -> None:
        self._url = endpoint.rstrip("/") + "/batch/"

    def count(self, operation: str, outcome: str) -> None:
        """Counts are sent together at the end."""

    def send(self, body: bytes) -> None:
        """Send, once. A failure is logged by its type: telemetry never disturbs what it counts."""
        from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

        class Stay(HTTPRedirectHandler):
            def redirect_request(self, *_: Any, **__: Any) -> None:
                return None

        # No proxies of the environment, and no redirects: the operator named this endpoint and no other.
        opener = build_opener(ProxyHandler({}), Stay())
        headers = {"Content-Type": "application/json", "User-Agent": "tacita"}
        request = Request(self._url, body, headers)  # noqa: S310  `config` lets https and loopback through only
        try:
            opener.open(request, timeout=_SECONDS).close()
        except (OSError, ValueError) as error:
            log.info("telemetry was not sent (%s)", type(error).__name__)


class OpenTelemetry:
    """Adds to the counter `tacita.operations` of the host's own meter provider, with these two attributes only."""

    def __init__(self) -> None:
        try:
            from opentelemetry import metrics
        except ImportError:
            raise ConfigError("telemetry.kind = otel needs the package opentelemetry-api") from None
        self._counter = metrics.get_meter("tacita").create_counter("tacita.operations")

    def count(self, operation: str, outcome: str) -> None:
        self._counter.add(1, {"operation": operation, "outcome": outcome})

    def send(self, body: bytes) -> None:
        """Nothing: the host exports what was counted."""


class Telemetry:
    """Counts operations of one process. Thread-safe."""

    def __init__(
        self,
        sink: Sink,
        *,
        installation: str,
        key: str,
        facts: Mapping[str, str],
        is_off: Callable[[], bool],
    ) -> None:
        """`is_off` is asked before anything is counted and before anything is sent."""
        self._sink = sink
        self._installation = installation
        self._key = key
        self._facts = dict(facts)
        self._is_off = is_off
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def count(self, operation: str, outcome: str) -> None:
        """One more operation. An unknown one is a defect: the list is closed."""
        if operation not in OPERATIONS:
            raise ValueError("this operation is not in the closed list of telemetry")
        if self._is_off():
            return
        with self._lock:
            self._counts[operation, outcome] += 1
        self._sink.count(operation, outcome)

    def body(self) -> bytes | None:
        """Exactly what would be sent now; None if that is nothing."""
        with self._lock:
            counts = dict(self._counts)
        if not counts or self._is_off():
            return None
        return body(self._installation, self._key, self._facts, counts)

    def preview(self, operation: str, outcome: str) -> bytes:
        """Exactly what a process would send in which this happened once."""
        return body(self._installation, self._key, self._facts, {(operation, outcome): 1})

    def close(self) -> None:
        """Send what was counted, unless it has been switched off meanwhile."""
        ready = self.body()
        with self._lock:
            self._counts.clear()
        if ready is not None:
            self._sink.send(ready)


def body(installation: str, key: str, facts: Mapping[str, str], counts: Mapping[tuple[str, str], int]) -> bytes:
    """The bytes of one message. Deterministic, so that a preview is what is sent."""
    properties = {
        **facts,
        "counts": {f"{operation}.{outcome}": number for (operation, outcome), number in sorted(counts.items())},
        "$process_person_profile": False,
        "$geoip_disable": True,
        "$ip": "0.0.0.0",  # noqa: S104  no address to bind to: it keeps the receiver from noting the sender's
    }
    event = {"event": EVENT, "distinct_id": installation, "properties": properties}
    return json.dumps({"api_key": key, "batch": [event]}, sort_keys=True, separators=(",", ":")).encode()


def facts(version: str, *, store: str, embedder: str, model: str, guard: str) -> dict[str, str]:
    """What is told beside the counts: versions and kinds of parts, never their addresses."""
    return {
        "version": version,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "system": platform.system(),
        "store": store,
        "embedder": embedder.partition(":")[0],
        "model": model.partition(":")[0],
        "guard": guard,
    }


def counted(cls: C) -> C:
    """Class decorator: each operation of the closed list is counted, with how it ended, if there is telemetry."""
    for name, value in list(vars(cls).items()):
        if isinstance(value, FunctionType) and name in OPERATIONS:
            setattr(cls, name, _counting(name, value))
    return cls


def _counting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def verb(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if self._telemetry is None:
            return method(self, *args, **kwargs)
        outcome = "defect"
        try:
            result = method(self, *args, **kwargs)
            outcome = "ok"
            return result
        except TacitaError as error:
            outcome = error.code
            raise
        finally:
            self._telemetry.count(name, outcome)

    return verb
