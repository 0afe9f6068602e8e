"""What a PostgreSQL URI says: `postgres://role@host:5432/database?password=env:NAME&sslrootcert=/etc/ssl/db.pem`.

Nothing else decides where the rows go: libpq's variables (`PGHOST`, `PGOPTIONS`, ...) and files (`~/.pgpass`) do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import msgspec
from psycopg import pq

from tacita.addresses import is_loopback, number, options_of
from tacita.errors import ConfigError
from tacita.patterns import lazy_pattern

_OPTIONS: Final = frozenset(
    {
        *("password", "host", "schema", "pool", "timeout", "sslmode", "sslrootcert", "sslcert", "sslkey"),
        *("insecure", "overprivileged"),
    }
)
_SCHEMA: Final = lazy_pattern(r"[a-z_][a-z0-9_]{0,62}")
_NO_FILE: Final = "/dev/null/none"
"""A path that can never exist: libpq takes an empty one for `~/.pgpass`."""
_CONNECT_SECONDS: Final = 10
_NOT_EMPTY: Final = {"min_protocol_version": "3.0", "max_protocol_version": "3.0"}
"""Built-in defaults that libpq does not tell, of parameters that it does not take empty."""


class Address(msgspec.Struct, frozen=True):
    """Where a database is and as whom to enter it, checked. Holds no secret."""

    parameters: Mapping[str, str]
    """Everything that libpq may be told, but the password."""
    schema: str
    has_password: bool
    most_connections: int
    timeout: float
    """Seconds that one statement, or the wait for a connection, may take."""
    overprivileged: bool
    """The operator accepts a role that may do more than it needs."""

    @property
    def name(self) -> str:
        """For messages and reprs: hosts, database and schema."""
        hosts = self.parameters["host"].split(",")
        ports = self.parameters["port"].split(",")
        where = ",".join(
            host if host.startswith("/") else f"{host}:{port}" for host, port in zip(hosts, ports, strict=True)
        )
        return f"postgres {where}/{self.parameters['dbname']} schema {self.schema}"


def hosts(uri: str) -> tuple[str, ...]:
    """Whom it contacts, as `egress` shows it: nobody over a Unix socket. Raises ConfigError."""
    found = parse(uri, schema="tacita").parameters
    pairs = zip(found["host"].split(","), found["port"].split(","), strict=True)
    return tuple(f"{host}:{port}" for host, port in pairs if not host.startswith("/"))


def parse(uri: str, *, schema: str) -> Address:
    """Take a URI apart; `schema` is where our tables are unless it says so. Raises ConfigError, never quoting a value."""
    scheme, _, rest = uri.partition("://")
    if scheme not in ("postgres", "postgresql"):
        raise ConfigError("a PostgreSQL database is named as postgres://ROLE@HOST/DATABASE?password=env:NAME")
    rest, _, query = rest.partition("?")
    options = options_of("postgres", query, _OPTIONS, {"password"})
    authority, _, database = rest.partition("/")
    role, _, hosts = authority.rpartition("@")
    if ":" in role:
        raise ConfigError("postgres: no password in the address; write password=env:NAME")
    if not role or not database or "/" in database:
        raise ConfigError("postgres: name the role and the database, as in postgres://ROLE@HOST/DATABASE")
    chosen = options.get("schema", schema)
    if not _SCHEMA.fullmatch(chosen):
        raise ConfigError("postgres: a schema is named with small letters, digits and _")
    names, ports = _hosts(hosts, options.get("host"))
    timeout = number("postgres", options, "timeout", 30, 1, 3600)
    parameters = {
        "host": ",".join(names),
        "port": ",".join(ports),
        "dbname": unquote(database),
        "user": unquote(role),
        **_transport(options, names),
        # A standby that lags would show a head that is not the last one.
        "target_session_attrs": "read-write",
        "connect_timeout": str(_CONNECT_SECONDS),
        "keepalives": "1",
        "keepalives_idle": "15",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": str(int(timeout * 1000)),
        "application_name": "tacita",
        "client_encoding": "UTF8",
        "passfile": _NO_FILE,
    }
    return Address(
        _told_explicitly(parameters),
        chosen,
        "password" in options,
        int(number("postgres", options, "pool", 8, 1, 1000)),
        timeout,
        _yes(options, "overprivileged"),
    )


def _hosts(authority: str, socket_folder: str | None) -> tuple[list[str], list[str]]:
    if socket_folder is not None:
        # As libpq writes it: postgres://role@/database?host=/run/postgresql
        # libpq takes what stands behind a comma for another host.
        odd = "," in socket_folder or not socket_folder.isprintable()
        if authority.strip(":0123456789") or not socket_folder.startswith("/") or odd:
            raise ConfigError("postgres: host=FOLDER names a socket's folder, and then the address names no host")
        return [socket_folder], [authority.removeprefix(":") or "5432"]
    names, ports = [], []
    for each in authority.split(","):
        name, colon, port = each.rpartition(":")
        if not colon or each.endswith("]"):
            name, port = each, "5432"
        names.append(unquote(name).removeprefix("[").removesuffix("]"))
        ports.append(port)
        if not names[-1] or "," in names[-1] or not (port.isascii() and port.isdigit()):
            raise ConfigError("postgres: name the host, as in postgres://ROLE@HOST:5432/DATABASE")
    return names, ports


def _transport(options: Mapping[str, str], hosts: list[str]) -> dict[str, str]:
    """How the connection is protected: verified TLS, unless it stays on this machine or is named insecure."""
    if options.get("sslmode", "verify-full") != "verify-full":
        raise ConfigError(
            "postgres: sslmode is verify-full; say insecure=yes if you mean a connection without verified TLS"
        )
    near = all(_is_near(host) for host in hosts)
    verified = "sslrootcert" in options or "sslmode" in options or not (near or _yes(options, "insecure"))
    if verified and _yes(options, "insecure"):
        raise ConfigError("postgres: insecure=yes and verified TLS exclude each other")
    return {
        "sslmode": "verify-full" if verified else "prefer",
        "sslrootcert": options.get("sslrootcert", "system") if verified else "",
        "sslcert": options.get("sslcert", ""),
        "sslkey": options.get("sslkey", ""),
        # Else libpq looks for a certificate in the home folder.
        "sslcertmode": "allow" if "sslcert" in options else "disable",
        "ssl_min_protocol_version": "TLSv1.2",
        # Encrypted by Kerberos, a connection would not be verified by TLS.
        "gssencmode": "disable",
        # Who is not verified is not handed the password itself.
        "require_auth": "password,md5,gss,sspi,scram-sha-256,none" if verified else "!password",
    }


def _is_near(host: str) -> bool:
    return host.startswith("/") or is_loopback(host)


def _told_explicitly(parameters: dict[str, str]) -> dict[str, str]:
    """Every parameter that libpq would else take from a variable of the environment has its built-in default instead."""
    known = pq.Conninfo.get_defaults()
    if missing := parameters.keys() - {option.keyword.decode() for option in known}:
        raise ConfigError(
            f"postgres: this libpq is older than 16 ({', '.join(sorted(missing))}): install psycopg[binary]"
        )
    told = {
        option.keyword.decode(): (option.compiled or b"").decode() or _NOT_EMPTY.get(option.keyword.decode(), "")
        for option in known
        if option.envvar and option.keyword not in (b"password", b"service", b"servicefile")
    }
    return told | parameters


def _yes(options: Mapping[str, str], option: str) -> bool:
    value = options.get(option, "no")
    if value not in ("yes", "true", "no", "false"):
        raise ConfigError(f"postgres: {option} is yes or no")
    return value in ("yes", "true")
