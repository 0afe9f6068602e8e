"""A man in the middle who cuts a PostgreSQL connection at a chosen moment: before a request, or before its answer."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Forwards to a server on loopback. `cut_at` is the number of the request that does not get through, once."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        self.cut_at = -1
        self.answered = False
        """Whether the server gets the request, so that only its answer is lost."""
        self.silent = False
        """Whether nothing is heard any more, instead of the connection being closed."""
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, request: int, *, answered: bool, silent: bool = False) -> None:
        """Cut the connection at its `request`-th request from now on."""
        self.cut_at, self.answered, self.silent = request, answered, silent
        if request > 0:
            self.cuts = 0

    def was_cut(self) -> bool:
        """Whether it came to that."""
        return self.cuts > 0

    def close(self) -> None:
        """End everything."""
        self._listening.close()
        for each in list(self._sockets):
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._server))
                self._sockets |= {client, server}
                link = _Link(self, client, server)
                for work in (link.requests, link.answers):
                    threading.Thread(target=work, daemon=True).start()


class _Link:
    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy, self.client, self.server = proxy, client, server
        self.deaf = False

    def requests(self) -> None:
        """Client to server. After the start-up every message has a type; Query and Sync end a request."""
        with contextlib.suppress(OSError, ConnectionError):
            while True:
                head = _exactly(self.client, 8)
                body = _exactly(self.client, int.from_bytes(head[:4]) - 8)
                self.server.sendall(head + body)
                if int.from_bytes(head[4:]) != 80877103:  # SSLRequest
                    break
            while True:
                head = _exactly(self.client, 5)
                message = head + _exactly(self.client, int.from_bytes(head[1:]) - 4)
                if head[:1] in b"QS" and self.proxy.cut_at > 0:
                    self.proxy.cut_at -= 1
                    if self.proxy.cut_at == 0:
                        self.proxy.cuts += 1
                        if not self.proxy.answered:
                            break
                        self.deaf = True
                self.server.sendall(message)
        if not self.deaf:
            self._end()

    def answers(self) -> None:
        """Server to client, until the answer that is to be lost is complete."""
        with contextlib.suppress(OSError, ConnectionError):
            while data := self.server.recv(65536):
                if not self.deaf:
                    self.client.sendall(data)
                    continue
                # ReadyForQuery ends an answer, CopyInResponse asks for more; whatever comes, it is lost.
                if data[-6:-1] == b"Z\0\0\0\x05" or data[:1] == b"G":
                    break
        if not (self.deaf and self.proxy.silent):
            self._end()

    def _end(self) -> None:
        for each in (self.client, self.server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _exactly(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data
