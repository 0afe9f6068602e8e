"""A server that speaks as much of Pinecone's data plane as `tacita.vectors.pinecone` uses, for the official client.

As the real one, it shows what was written only after a while.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock, Thread
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

LAG = 0.05
KEY = "synthetic-pinecone-key"


class PineconeServer:
    """One index. Use as a context manager; `url` is its host."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.gone = False
        self.named: set[str] = set()
        self.shown: dict[str, dict[str, list[float]]] = {}
        self._coming: deque[tuple[float, Callable[[], None]]] = deque()
        self.lock = RLock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.answer({})

            def do_DELETE(self) -> None:
                self.answer({})

            def do_POST(self) -> None:
                self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def answer(self, body: dict[str, Any]) -> None:
                if owner.gone:
                    self.close_connection = True
                    self.connection.close()
                    return
                parts = urlsplit(self.path)
                if self.headers["Api-Key"] != KEY:
                    status, told = 401, {"code": 16, "message": "Invalid API Key"}
                else:
                    with owner.lock:
                        owner.settle()
                        query = parse_qs(parts.query)
                        status, told = owner.answer(self.command, unquote(parts.path), query, body)
                data = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gone = True
        self._server.shutdown()
        self._server.server_close()

    def settle(self) -> None:
        while self._coming and self._coming[0][0] <= time.monotonic():
            self._coming.popleft()[1]()

    def later(self, change: Callable[[], None]) -> None:
        self._coming.append((time.monotonic() + LAG, change))

    def answer(self, verb: str, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, Any]:
        missing = 404, {"code": 5, "message": "Namespace not found", "details": []}
        name = body.get("namespace") or query.get("namespace", [""])[0]
        held = self.shown.get(name)
        if (verb, path) == ("POST", "/describe_index_stats"):
            counts = {each: {"vectorCount": len(vectors)} for each, vectors in self.shown.items()}
            return 200, {"namespaces": counts, "dimension": self.dimensions, "metric": "dotproduct",
                         "indexFullness": 0, "totalVectorCount": sum(map(len, self.shown.values()))}  # fmt: skip
        if (verb, path) == ("POST", "/vectors/upsert"):
            given = {each["id"]: each["values"] for each in body["vectors"]}
            if any(len(values) != self.dimensions for values in given.values()):
                return 400, {"code": 3, "message": "Vector dimension does not match", "details": []}
            self.named.add(name)
            self.later(lambda: self.shown.setdefault(name, {}).update(given))
            return 200, {"upsertedCount": len(given)}
        if (verb, path) == ("POST", "/vectors/delete"):
            if name not in self.named:
                return missing
            self.later(lambda: [self.shown.get(name, {}).pop(each, None) for each in body["ids"]] and None)
            return 200, {}
        if (verb, path) == ("POST", "/query"):
            if held is None:
                return missing
            ids = list(held)
            scores = np.array([held[each] for each in ids], np.float32) @ np.array(body["vector"], np.float32)
            order = np.argsort(-scores)[: body["topK"]].tolist()
            return 200, {"matches": [{"id": ids[at], "score": float(scores[at])} for at in order], "namespace": name}
        if (verb, path) == ("GET", "/vectors/fetch"):
            if held is None:
                return missing
            found = {each: {"id": each, "values": held[each]} for each in query["ids"] if each in held}
            return 200, {"vectors": found, "namespace": name}
        if (verb, path) == ("GET", "/vectors/list"):
            ids = sorted(held or {})
            start, size = int(query.get("paginationToken", ["0"])[0]), int(query["limit"][0])
            told: dict[str, Any] = {"vectors": [{"id": each} for each in ids[start : start + size]], "namespace": name}
            if start + size < len(ids):
                told["pagination"] = {"next": str(start + size)}
            return 200, told
        if (verb, path) == ("GET", "/namespaces"):
            spaces = [{"name": each, "record_count": len(vectors)} for each, vectors in self.shown.items()]
            return 200, {"namespaces": spaces, "total_count": len(spaces)}
        if path.startswith("/namespaces/"):
            one = path.removeprefix("/namespaces/")
            if one not in self.shown:
                return missing
            if verb == "DELETE":
                self.later(lambda: self.shown.pop(one, None) and None)
                return 200, {}
            return 200, {"name": one, "record_count": len(self.shown[one])}
        return 404, {"code": 5, "message": "no such path", "details": []}
