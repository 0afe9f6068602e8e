"""What all root keys elsewhere have in common: who may be asked how often, what a refusal means, and what never gets out.

A provider writes five short methods; the promises of the port are kept here.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import Final, TypeVar

from tacita.credentials import Credential
from tacita.errors import ConfigError, KeyUnavailable, WrongKey
from tacita.hazmat import KEY_BYTES, SecretKey
from tacita.keys._uri import KeyUri, parse
from tacita.patience import Patience, Transient
from tacita.ports.foreign import Failed, tried
from tacita.ports.keys import KeyContext, KeyProvider

T = TypeVar("T")
Secret = Callable[[str], Credential]
"""From an option's name to its credential. Raises ConfigError when it is not given."""

TIMEOUT: Final = 5.0
"""Seconds for one try: to connect, and to answer."""
ATTEMPTS: Final = 3
_AT_A_TIME: Final = 16
_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 2.0
_OPEN_SECONDS: Final = 10.0
_MOST_BYTES: Final = 16_384
"""A wrapped key is some hundred bytes."""
_BUSY: Final = frozenset({408, 425, 429})
_TALKATIVE: Final = ("boto3", "botocore", "google.auth", "google.oauth2", "requests", "urllib3", "azure", "msal")


class Refusal(Exception):
    """A service's answer that is none. Never leaves `tacita.keys`: its words are compared, and shown to nobody."""

    def __init__(self, verb: str, status: int, words: str, after: str | None) -> None:
        """`verb`: what was asked for. `after`: the header Retry-After."""
        super().__init__(str(status))
        self.verb, self.status, self.words = verb, status, words
        try:
            self.after: float | None = max(0.0, float(after or ""))
        except ValueError:
            self.after = None


class RemoteProvider(KeyProvider):
    """A root key that a service holds. What goes wrong there is KeyUnavailable or WrongKey, without a word of theirs."""

    elsewhere = True
    extra: str
    """The extra of this package that brings the libraries."""

    def __init__(self, uri: str, secret: Secret) -> None:
        """Ask the service whether the key is there and fit. Raises ConfigError, KeyUnavailable."""
        self._uri: KeyUri = parse(uri)
        self._secret = secret
        self._timeout = self._uri.number("timeout", TIMEOUT, 0.05, 60)
        self.where = self._uri.shown
        self.hosts = self._uri.hosts
        self._patience = Patience(
            f"key provider {self._uri.shown}",
            attempts=int(self._uri.number("attempts", ATTEMPTS, 1, 10)),
            concurrency=_AT_A_TIME,
            error=lambda what: KeyUnavailable(what, retryable=True),
            first_wait=_FIRST_WAIT,
            longest_wait=_LONGEST_WAIT,
            open_seconds=_OPEN_SECONDS,
        )
        for name in _TALKATIVE:
            # At DEBUG these libraries write whole requests, and warnings of some quote answers.
            logger = logging.getLogger(name)
            logger.setLevel(logging.CRITICAL)
        connected = tried(self._connect)
        if isinstance(connected, Failed):
            if isinstance(connected.error, ImportError):
                raise ConfigError(
                    f"key provider {self._uri.scheme} needs its libraries: pip install 'tacita[{self.extra}]' "
                    f"({connected.error.name} is missing)"
                )
            raise self._unfit(f"its options or credentials cannot be used ({connected.kind})")
        self.id = self._asked(self._identified)

    def wrap(self, key: SecretKey, context: KeyContext) -> bytes:
        blob = self._asked(lambda: self._wrap(key.reveal_for_storage(), context))
        # Before anything is sealed under it: who may encrypt and not decrypt would make noise of all that is added.
        if not self._opened(blob, context).equals(key):
            raise self._refused("does not give back what it wraps")
        return blob

    def unwrap(self, blob: bytes, context: KeyContext) -> SecretKey:
        if not 0 < len(blob) <= _MOST_BYTES:
            raise self._wrong()
        return self._opened(blob, context)

    def _opened(self, blob: bytes, context: KeyContext) -> SecretKey:
        material = self._asked(lambda: self._unwrap(blob, context))
        if type(material) is not bytes or len(material) != KEY_BYTES:
            raise self._wrong()
        return SecretKey(material)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._uri.shown}>"

    @abstractmethod
    def _connect(self) -> None:
        """Make the client. Contacts nothing; may raise ImportError."""

    @abstractmethod
    def _identified(self) -> str:
        """Ask for the key and see that it is fit. Its id, which is one key's for ever."""

    @abstractmethod
    def _wrap(self, material: bytes, context: KeyContext) -> bytes: ...

    @abstractmethod
    def _unwrap(self, blob: bytes, context: KeyContext) -> bytes: ...

    @abstractmethod
    def _judged(self, error: BaseException) -> Exception:
        """What a library's exception means: Transient, KeyUnavailable, WrongKey or ConfigError.

        An answer without what it must have is a KeyError, and Transient: some gateway's, or half of one.
        """

    # --- for providers ---

    def _asked(self, call: Callable[[], T]) -> T:
        return self._patience.run(lambda: self._once(call))

    def _once(self, call: Callable[[], T]) -> T:
        result = tried(call)
        # Outside a handler: what a library threw may quote the key, and would ride along as `__context__`.
        if isinstance(result, Failed):
            raise result.error if isinstance(result.error, Transient) else self._judged(result.error)
        return result

    def _refused(self, what: str) -> KeyUnavailable:
        return KeyUnavailable(f"key provider {self._uri.shown}: {what}")

    def _unfit(self, what: str) -> ConfigError:
        return ConfigError(f"key provider {self._uri.shown}: {what}")

    def _wrong(self) -> WrongKey:
        return WrongKey(
            f"key provider {self._uri.shown} cannot open a wrapped key: it is not of this root key and vault"
        )

    def _other_key(self) -> KeyUnavailable:
        return self._refused(
            "another key answered than before. If its alias was pointed elsewhere, point it back, then rotate to the other "
            "key under a name of its own: tacita rotate"
        )

    def _by_status(self, status: object, after: float | None = None) -> Exception:
        """What an HTTP status means when nothing more is known."""
        if not isinstance(status, int) or status < 400:  # a redirect is no answer
            return Transient("gave no usable answer")
        if status in _BUSY:
            return Transient(f"is busy (HTTP {status})", after)
        if status >= 500:
            return Transient(f"failed (HTTP {status})", after)
        if status in (401, 403):
            return self._refused(f"access was refused (HTTP {status})")
        if status == 404:
            return self._refused(f"there is no such key, or it was deleted (HTTP {status})")
        return self._refused(f"the request was refused (HTTP {status})")
