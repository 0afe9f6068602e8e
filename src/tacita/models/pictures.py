"""Fetching the pictures that messages name: from named hosts, over TLS, never from a private network.

The address is looked up once, checked, and connected to as it was checked: a name server that answers differently the
second time gains nothing. Redirects are not followed, proxies and cookies are not used.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Timer
from typing import Final
from urllib.parse import urlsplit

from tacita.errors import AccessDenied, ConfigError, ModelError
from tacita.limits import PICTURE_BYTES

SECONDS: Final = 10.0
_PORT: Final = 443
_CHUNK: Final = 65_536

Resolve = Callable[[str], Sequence[str]]
"""From a host's name to its addresses."""
Connect = Callable[[str, int, float], socket.socket]
"""A connection to (address, port) within so many seconds."""


def system_resolve(host: str) -> list[str]:
    """The addresses of a host, by the machine's resolver."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, _PORT, type=socket.SOCK_STREAM)]


def system_connect(address: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection."""
    return socket.create_connection((address, port), timeout)


class AllowedHosts:
    """Fetches from these hosts only. Thread-safe; nothing stays open."""

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        resolve: Resolve = system_resolve,
        connect: Connect = system_connect,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Raises ConfigError for a host that is no name.

        Args:
            hosts: names, such as `images.example.org`. No address, no port, no wildcard.
            resolve, connect, context: for tests; by default the machine's own.
        """
        for host in hosts:
            if (
                not host
                or host != host.lower()
                or not all(part.replace("-", "a").isalnum() for part in host.split("."))
            ):
                raise ConfigError("images.hosts are names of hosts in lower case, such as images.example.org")
            if host.rpartition(".")[2].isdigit():
                raise ConfigError("images.hosts are names, not addresses")
        self._hosts = tuple(hosts)
        self._resolve = resolve
        self._connect = connect
        self._context = context if context is not None else ssl.create_default_context()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that may be contacted."""
        return self._hosts

    def fetch(self, url: str, /) -> bytes:
        """The bytes at an address.

        Raises:
            AccessDenied: the host is not allowed, is in a private network, or sends something else or too much.
            ModelError: it cannot be reached now; retryable.
        """
        host, target = self._checked(url)
        try:
            return self._get(host, self._public_address(host), target)
        except (OSError, http.client.HTTPException) as error:
            kind = type(error).__name__
        raise ModelError(f"a picture cannot be fetched from {host}: {kind}", retryable=True)

    def _checked(self, url: str) -> tuple[str, str]:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise AccessDenied("a picture's address cannot be read") from None
        if parts.scheme != "https" or parts.username is not None or port not in (None, _PORT):
            raise AccessDenied("a picture is fetched over https from its usual port, without a login")
        if host not in self._hosts:
            raise AccessDenied("this host is not among images.hosts")
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        if not target.isascii() or not target.isprintable() or " " in target:
            raise AccessDenied("a picture's address must be encoded")
        return host, target

    def _public_address(self, host: str) -> str:
        addresses = list(self._resolve(host))
        # All of them: one private address among public ones is how a name is made to lead inside.
        if not addresses or not all(_is_public(each) for each in addresses):
            raise AccessDenied(f"{host} leads into a private network")
        return addresses[0]

    def _get(self, host: str, address: str, target: str) -> bytes:
        ends = time.monotonic() + SECONDS
        plain = self._connect(address, _PORT, SECONDS)
        # A time limit of the socket begins anew with every byte; this one ends all of it, the handshake included.
        handle = plain.dup()
        watch = Timer(SECONDS, _cut, [handle])
        watch.daemon = True
        watch.start()
        try:
            with self._context.wrap_socket(plain, server_hostname=host) as connection:
                request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: image/*\r\nConnection: close\r\n\r\n"
                connection.sendall(request.encode("ascii"))
                with http.client.HTTPResponse(connection, method="GET") as response:
                    response.begin()
                    body = _body(host, response)
        finally:
            watch.cancel()
            handle.close()
            plain.close()
        if time.monotonic() >= ends:
            # What was cut off may look complete.
            raise TimeoutError
        return body


def _cut(handle: socket.socket) -> None:
    with suppress(OSError):  # closed meanwhile
        handle.shutdown(socket.SHUT_RDWR)


def _body(host: str, response: http.client.HTTPResponse) -> bytes:
    if response.status in (408, 429) or response.status >= 500:
        raise ModelError(f"a picture cannot be fetched from {host}: HTTP {response.status}", retryable=True)
    if response.status != 200:
        raise AccessDenied(f"{host} gave HTTP {response.status} for a picture")
    body = bytearray()
    while chunk := response.read(_CHUNK):
        body += chunk
        if len(body) > PICTURE_BYTES:
            raise AccessDenied(f"a picture from {host} has more than {PICTURE_BYTES} bytes")
    return bytes(body)


def _is_public(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    return found.is_global and not found.is_multicast and (inner is None or inner.is_global)
