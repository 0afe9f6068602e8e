"""Anchors remembered a second time at an address that takes GET and PUT. What goes there is `vault.mirror`'s business:
keyed pseudonyms, numbers and a MAC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from tacita.addresses import http_parts, options_of
from tacita.errors import StoreError
from tacita.ports.keys import AnchorPlace

_SECONDS: Final = 10.0
_MOST: Final = 1 << 30
_NOT_THERE: Final = 404
_RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class HttpPlace(AnchorPlace):
    """An address that gives back what was last put there: over TLS unless it is this machine, with a bearer token or none.

    `https://HOST/PATH?token=env:NAME`. No redirects are followed, and no proxies of the environment used.
    """

    def __init__(self, uri: str, secret: Callable[[str], Any]) -> None:
        """Raises ConfigError for an address that is not protected."""
        self._url, _, query = uri.partition("?")
        self.name = self._url
        options = options_of("anchors", query, {"token"}, {"token"})
        self.host = http_parts("anchors", self._url).netloc
        self._token = secret("token") if "token" in options else None
        self._opener = build_opener(ProxyHandler({}), _Stay())

    def read(self) -> bytes | None:
        return self._ask("GET", None)

    def write(self, body: bytes) -> None:
        if self._ask("PUT", body) is None:
            raise StoreError(f"{self.name}: PUT was answered with {_NOT_THERE}")

    def _ask(self, method: str, body: bytes | None) -> bytes | None:
        headers = {"User-Agent": "tacita", "Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        request = Request(self._url, body, headers, method=method)  # noqa: S310  checked above
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                found: bytes = answer.read(_MOST)
                return found
        except HTTPError as error:
            error.close()
            if error.code == _NOT_THERE:
                return None
            raise StoreError(
                f"{self.name}: {method} was answered with {error.code}", retryable=error.code in _RETRYABLE
            ) from None
        except (URLError, OSError, ValueError) as error:
            reason = type(getattr(error, "reason", error)).__name__
            raise StoreError(f"{self.name}: {method} failed ({reason})", retryable=True) from None
