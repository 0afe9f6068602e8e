"""A connection to one Redis or Valkey server or to a cluster of them: opened, asked, and its errors mapped.

What a script does is in `_redis_scripts`, whether what was acknowledged is on disk in `_redis_aof`. Every command that goes
through here may be sent twice, because an answer can get lost; so each of them must be harmless the second time.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import BoundedSemaphore
from typing import Any, Final

from tacita.errors import StoreError
from tacita.patterns import lazy_pattern
from tacita.stores import _address
from tacita.stores._redis_uri import RedisUri

_ATTEMPTS: Final = 4
_SCAN: Final = 1000
_WORD: Final = lazy_pattern(r"[A-Z][A-Z0-9]{1,19}")
_CONNECT_SECONDS: Final = 5.0
_TEMPORARY: Final = frozenset({"LOADING", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "BUSY", "READONLY", "NOREPLICAS"})
"""First words of refusals that pass: nothing was done, and later it will be."""

Client = Any
"""The library's own; its types say that every answer may be awaited."""


class Servers:
    """One server or a cluster. Thread-safe; every failure is a `StoreError` without anything of a command in it."""

    def __init__(self, uri: RedisUri, secret: _address.Secret) -> None:
        """Connects. Raises StoreError, ConfigError."""
        self.name = uri.name
        self._uri = uri
        self._redis = _address.library("redis", "redis")
        _address.hush("redis")
        # Who comes when all connections are in use waits; the library's pools would refuse.
        self._slots = BoundedSemaphore(uri.pool)
        self._pid = os.getpid()
        self._closed = False
        self._client = self.asked("connect", lambda: _open(self._redis, uri, secret), closed=False)

    def asked(self, what: str, ask: Callable[[], Any], *, closed: bool | None = None) -> Any:
        """What `ask` gives, tried again while the trouble may pass. Raises StoreError."""
        errors = self._redis.exceptions
        reason = ""
        for attempt in range(_ATTEMPTS):
            if closed is None:
                self.check_usable()
            if attempt:
                time.sleep(random.uniform(0.5, 1) * 0.05 * 2**attempt)
            try:
                with self._slots:
                    return ask()
            except errors.AuthenticationError:
                raise StoreError(f"{self.name}: {what} failed: user or password are not accepted") from None
            except (errors.ConnectionError, errors.TimeoutError, errors.ClusterError, OSError) as error:
                reason = type(error).__name__
            except errors.RedisClusterException as error:
                reason = type(error).__name__
            except errors.RedisError as error:
                # A server quotes what it was sent. Only the first word of its answer, which names the kind, is told.
                found = _WORD.match(str(error))
                reason = found[0] if found else type(error).__name__
                if reason not in _TEMPORARY and not isinstance(error, errors.ReadOnlyError):
                    raise StoreError(f"{self.name}: {what} was refused ({reason})") from None
        # Whether the last try took effect is not known: its answer may be what got lost.
        raise StoreError(f"{self.name}: {what} got no answer in {_ATTEMPTS} tries ({reason})", retryable=True)

    def call(self, what: str, *command: Any) -> Any:
        """One command."""
        return self.asked(what, lambda: self._client.execute_command(*command))

    def run(self, what: str, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        """One Lua script: it takes effect as a whole or not at all. All keys are in one slot."""
        # The script itself and not its digest: a server that was restarted has forgotten what it had loaded.
        return self.call(what, "EVAL", script, len(keys), *keys, *arguments)

    def many(self, what: str, commands: Sequence[Sequence[Any]], *, whole: bool = False) -> list[Any]:
        """Several commands in one round trip; with `whole` as one transaction, where one server has all keys."""

        def ask() -> list[Any]:
            with self._pipeline(whole=whole) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                answers: list[Any] = pipeline.execute()
                return answers

        found: list[Any] = self.asked(what, ask)
        return found

    def _pipeline(self, *, whole: bool) -> Any:
        return self._client.pipeline() if self._uri.cluster else self._client.pipeline(transaction=whole)

    def primaries(self) -> list[Client]:
        """A client of every server that takes writes."""
        if not self._uri.cluster:
            return [self._client]
        return [self._client.get_redis_connection(node) for node in self._client.get_primaries()]

    def primary_of(self, key: str) -> Client:
        """A client of the server that a key is on."""
        if not self._uri.cluster:
            return self._client
        return self._client.get_redis_connection(self._client.get_node_from_key(key))

    def keys(self, pattern: str) -> Iterator[bytes]:
        """Every key that fits and was there all the time; any of them may come twice."""
        for server in self.asked("list keys", self.primaries):
            cursor = 0
            while True:
                command = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN)
                cursor, page = self.asked("list keys", partial(server.execute_command, *command))
                yield from page
                if not int(cursor):
                    break

    def check_usable(self) -> None:
        """Raises StoreError when closed, or in a process that was forked off since."""
        if self._closed:
            raise StoreError(f"{self.name}: this store is closed")
        if self._pid != os.getpid():
            raise StoreError(f"{self.name}: opened before a fork; open it again in this process")

    def close_after(self, last: Callable[[], None]) -> None:
        """Close, and before that do what is left to do, if this process may."""
        try:
            if not self._closed and self._pid == os.getpid():
                last()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of all connections. In a forked child they are the parent's, and stay."""
        if not self._closed:
            self._closed = True
            if self._pid == os.getpid():
                self._client.close()


def _open(redis: Any, uri: RedisUri, secret: _address.Secret) -> Client:
    from redis.backoff import NoBackoff
    from redis.maint_notifications import MaintNotificationsConfig
    from redis.retry import Retry

    options: dict[str, Any] = {
        "username": uri.options.get("user"),
        "password": secret("password").reveal() if "password" in uri.options else None,
        "socket_timeout": uri.timeout,
        "socket_connect_timeout": min(uri.timeout, _CONNECT_SECONDS),
        "protocol": 2,
        # A server must not be able to send us elsewhere.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if uri.tls:
        # Certificate and name are verified: the library's defaults, said so that they stay.
        options |= {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
        options |= {
            f"ssl_{theirs}": uri.options[ours]
            for ours, theirs in (("ca", "ca_certs"), ("cert", "certfile"), ("certkey", "keyfile"))
            if ours in uri.options
        }
    if uri.cluster:
        from redis.cluster import ClusterNode, RedisCluster

        nodes = [ClusterNode(host, port) for host, port in uri.hosts]  # type: ignore[no-untyped-call]
        return RedisCluster(startup_nodes=nodes, max_connections=uri.pool, retry=Retry(NoBackoff(), 2), **options)
    # One try: trying again is `asked`'s business, which knows when to stop.
    options |= {"retry": Retry(NoBackoff(), 0), "db": uri.database}
    if uri.socket:
        options["unix_socket_path"] = uri.socket
    else:
        options["host"], options["port"] = uri.hosts[0]
    opened = redis.Redis(max_connections=uri.pool, **options)
    opened.ping()
    return opened
