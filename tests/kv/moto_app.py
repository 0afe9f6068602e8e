"""moto's server with one request at a time: its transactions are not isolated from each other, and DynamoDB's are."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from threading import Lock
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

_app = DomainDispatcherApplication(create_backend_app)
_lock = Lock()


def _one_at_a_time(environ: Any, start_response: Any) -> Iterable[bytes]:
    with _lock:
        return list(_app(environ, start_response))


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), _one_at_a_time, threaded=True)
