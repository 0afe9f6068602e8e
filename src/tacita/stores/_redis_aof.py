"""Whether a Redis server keeps what it acknowledges, and how deleted bytes leave its append-only file.

An append-only file holds every command since it was last rewritten: what was purged, too. So each deletion asks for a rewrite.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tacita.errors import StoreError
from tacita.stores import _redis_uri
from tacita.stores._address import Secret
from tacita.stores._redis import Client, Servers
from tacita.stores._redis_uri import ACCEPTED_LOSS, RedisUri

_WANTED: Final = {"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}
"""Then an answer comes after the disk has what it acknowledges."""


def reliable(uri: str, secret: Secret) -> tuple[RedisUri, Servers]:
    """The servers of an address. Raises ConfigError for one that is not protected, StoreError for some that lose writes."""
    parsed = _redis_uri.parse(uri)
    servers = Servers(parsed, secret)
    try:
        _check(servers, parsed)
    except BaseException:
        servers.close()
        raise
    return parsed, servers


def _check(servers: Servers, uri: RedisUri) -> None:
    """Refuse servers that would lose acknowledged writes, or forget keys to make room. Raises StoreError."""
    for server in servers.asked("look at the servers", servers.primaries):
        _check_eviction(servers, server)
        if not uri.loss_accepted:
            _check_durability(servers, server)


def _check_eviction(servers: Servers, server: Client) -> None:
    memory = servers.asked("INFO memory", lambda: server.info("memory"))
    policy = memory.get("maxmemory_policy", "unknown")
    if int(memory.get("maxmemory", 0)) and not policy.startswith(("noeviction", "volatile-")):
        # Nobody may accept this: it is no loss of the last second, it is holes in any log at any time.
        raise StoreError(f"{servers.name}: it deletes keys when its memory is full; set maxmemory-policy noeviction")


def _check_durability(servers: Servers, server: Client) -> None:
    found = servers.asked("CONFIG GET", lambda: _settings(server))
    if found is None:
        raise StoreError(
            f"{servers.name}: it does not tell whether it writes to disk before it answers; allow this user +config|get, "
            f"or write durability={ACCEPTED_LOSS} if losing acknowledged memories is fine"
        )
    for setting, wanted in _WANTED.items():
        if found.get(setting) != wanted:
            raise StoreError(
                f"{servers.name}: acknowledged memories could be lost: set {setting} {wanted}, "
                f"or write durability={ACCEPTED_LOSS} if that is fine"
            )


def _settings(server: Client) -> dict[str, str] | None:
    """The server's settings, None if it does not tell them to us."""
    from redis.exceptions import ConnectionError as NotConnected
    from redis.exceptions import ReadOnlyError, ResponseError

    try:
        found: dict[str, str] = {}
        for setting in _WANTED:
            found |= server.config_get(setting)
        return found
    except (NotConnected, ReadOnlyError):
        raise
    except ResponseError as error:
        if str(error).startswith(("LOADING", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "BUSY")):
            raise
        return None


class Rewrites:
    """Has the servers write their append-only files anew after deletions, not more often than every so many seconds."""

    def __init__(self, servers: Servers, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._servers = servers
        self._every = every
        self._clock = clock
        self._owed = set[str]()
        self._asked_at = -float("inf")
        self._lock = threading.Lock()

    def deleted(self, key: str) -> None:
        """Bytes of this key were deleted. Asks now, or when the next deletion or `settle` comes after the pause."""
        with self._lock:
            self._owed.add(key)
            if self._every < 0 or self._clock() - self._asked_at < self._every:
                return
        self.settle()

    def settle(self) -> None:
        """Ask for every rewrite that is owed. One that is under way began before the deletion: then it stays owed."""
        with self._lock:
            if self._every < 0 or not self._owed:
                return
            owed, self._owed = self._owed, set()
            self._asked_at = self._clock()
        done: dict[int, bool] = {}
        for key in owed:
            server: Any = self._servers.asked("find a server", partial(self._servers.primary_of, key))
            place = id(server)
            if place not in done:
                done[place] = self._servers.asked("BGREWRITEAOF", partial(_rewrite, server))
            if not done[place]:
                with self._lock:
                    self._owed.add(key)


def _rewrite(server: Client) -> bool:
    """False if one was under way already."""
    from redis.exceptions import ConnectionError as NotConnected
    from redis.exceptions import ResponseError

    try:
        server.bgrewriteaof()
    except NotConnected:
        raise
    except ResponseError as error:
        # Not allowed, or not known to a hosted server: docs/how-to/redis.md says what that means.
        return "in progress" not in str(error)
    return True
