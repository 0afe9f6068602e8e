"""What the URI of a Redis or Valkey server says: `rediss://host:6379/0?user=tacita&password=env:NAME`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from tacita import addresses
from tacita.errors import ConfigError
from tacita.patterns import lazy_pattern

_OPTIONS: Final = frozenset(
    {*("user", "password", "prefix", "timeout", "pool", "durability", "ca", "cert", "certkey", "rewrite")}
)
_SCHEMES: Final = {
    # scheme: (TLS, cluster)
    "redis": (False, False),
    "rediss": (True, False),
    "redis+cluster": (False, True),
    "rediss+cluster": (True, True),
    "redis+unix": (False, False),
}
_PREFIX: Final = lazy_pattern(r"[a-z0-9][a-z0-9._-]{0,63}")
_HOST: Final = lazy_pattern(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_PORT: Final = 6379
ACCEPTED_LOSS: Final = "accepted-loss"


class RedisUri(msgspec.Struct, frozen=True):
    """An address, parsed and checked. Holds references to credentials, never a credential."""

    tls: bool
    cluster: bool
    hosts: tuple[tuple[str, int], ...]
    socket: str
    """Path of a Unix socket; then there are no hosts."""
    database: int
    prefix: str
    timeout: float
    pool: int
    rewrite: float
    """Least seconds between two requests to rewrite the append-only file; negative: never ask."""
    loss_accepted: bool
    options: Mapping[str, str]

    @property
    def name(self) -> str:
        """For messages: where it is. No user, no option."""
        where = self.socket or ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"redis {where}"

    @property
    def place(self) -> str:
        """Which of the memories on that server: two of different places share nothing."""
        return f"{self.name}/{self.database} prefix {self.prefix}"


def parse(uri: str) -> RedisUri:
    """Take a URI apart. Raises ConfigError, never quoting an option's value."""
    scheme, _, rest = uri.partition("://")
    if scheme not in _SCHEMES:
        raise ConfigError("a Redis server is named as rediss://HOST:PORT/DATABASE?password=env:NAME")
    tls, cluster = _SCHEMES[scheme]
    rest, _, query = rest.partition("?")
    options = addresses.options_of("redis", query, _OPTIONS, {"password"})
    hosts: tuple[tuple[str, int], ...] = ()
    socket, database = "", "0"
    if scheme == "redis+unix":
        socket = rest
        if not socket.startswith("/") or not socket.isprintable():
            raise ConfigError("redis: a Unix socket is named as redis+unix:///PATH")
    else:
        authority, _, database = rest.partition("/")
        if "@" in authority:
            raise ConfigError("redis: no credentials in the address; write user=NAME&password=env:NAME")
        hosts = tuple(_host(each) for each in authority.split(","))
        if len(hosts) > 1 and not cluster:
            raise ConfigError("redis: one server has one address; several are given as redis+cluster://HOST,HOST")
        for host, _ in hosts:
            if not tls and not addresses.is_loopback(host):
                raise ConfigError(f"redis: {host} is not this machine, so it is rediss:// (TLS) and nothing else")
    if not re.fullmatch(r"[0-9]{0,4}", database) or (cluster and database not in ("", "0")):
        raise ConfigError("redis: the path is the number of a database; a cluster has only 0")
    prefix = options.get("prefix", "tacita")
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError("redis: a prefix has small letters, digits, and . _ - inside")
    if options.get("durability", ACCEPTED_LOSS) != ACCEPTED_LOSS:
        raise ConfigError(f"redis: durability is either checked or durability={ACCEPTED_LOSS}")
    return RedisUri(
        tls,
        cluster,
        hosts,
        socket,
        int(database or "0"),
        prefix,
        addresses.number("redis", options, "timeout", 10, 0.05, 600),
        int(addresses.number("redis", options, "pool", 16, 1, 1000)),
        addresses.number("redis", options, "rewrite", 30, -1, 86_400),
        "durability" in options,
        options,
    )


def hosts(uri: str) -> tuple[str, ...]:
    """Whom it contacts, as `egress` shows it: nobody over a Unix socket. Raises ConfigError."""
    return tuple(f"{host}:{port}" for host, port in parse(uri).hosts)


def _host(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found[3] or _PORT) if found else 0
    if found is None or not 0 < port < 1 << 16:
        raise ConfigError("redis: a server is named as HOST:PORT")
    return found[1] or found[2], port
