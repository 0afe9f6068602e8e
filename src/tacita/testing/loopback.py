"""A server on loopback that is told how the next requests go: what all stand-ins for services have in common."""

from __future__ import annotations

import ssl
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

Fault = TypeVar("Fault", bound=str)


class Quiet:
    """Mixed into a `BaseHTTPRequestHandler`: keeps connections open and logs nothing, for a log would hold what was sent."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class ScriptedServer(Generic[Fault]):
    """Listens from the start, answers as a context manager. `will(...)` scripts the next requests, one each."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> None:
        self._script: deque[Fault] = deque()
        self._lock = Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def port(self) -> int:
        """Chosen by the system."""
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`; `https` with TLS."""
        return f"{self._scheme}://{self.host}"

    def will(self, *faults: Fault) -> None:
        """What becomes of the next requests; those after them go well."""
        with self._lock:
            self._script.extend(faults)

    def will_do_well(self) -> None:
        """Forget what is left of the script."""
        with self._lock:
            self._script.clear()

    def next_fault(self) -> Fault | None:
        """What becomes of this request; None if it goes well."""
        with self._lock:
            return self._script.popleft() if self._script else self.unscripted()

    def unscripted(self) -> Fault | None:
        """What becomes of a request of which the script says nothing. Called by one thread at a time."""
        return None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
