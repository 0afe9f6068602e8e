"""Addresses of everything that is elsewhere: stores, root keys, engines for vectors, places for anchors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from fuzzing.kit import MARKER, Refused, Target, attempt, require
from tacita.addresses import is_loopback
from tacita.credentials import Credential
from tacita.errors import ConfigError
from tacita.keys import _uri as keys
from tacita.stores import _dynamo_uri, _postgres_uri, _redis_uri
from tacita.stores.anchor_http import HttpPlace
from tacita.vectors import _place

_ENGINES: Final = {
    "qdrant": (frozenset({"api_key", "path", "shard_key"}), ("https", "http"), ""),
    "chroma": (frozenset({"token", "tenant", "database"}), ("https", "http"), "http://127.0.0.1:8000"),
    "pgvector": (frozenset({"password", "sslrootcert"}), ("postgresql", "postgres"), ""),
}
_SECRET: Final = ("password", "key", "secret", "token", "api_key")


def _parsed(text: str, parse: Callable[[], Any]) -> Any:
    """What an address says, or None where it was refused without quoting an option."""
    quotes = MARKER in text.partition("?")[0]
    found = attempt(parse, ConfigError, quotes_marker=quotes)
    return None if isinstance(found, Refused) else found


def _web(url: str, *, insecure: bool = False) -> None:
    """An address of the web leads to one host only, over TLS unless that is this machine."""
    parts = urlsplit(url)
    require(parts.scheme in ("https", "http") and bool(parts.hostname), "a host is named")
    require("@" not in parts.netloc and url.isprintable(), "it leads where it seems to")
    require(parts.scheme == "https" or insecure or is_loopback(parts.hostname or ""), "TLS")


def _by_reference(options: Any) -> None:
    for option in _SECRET:
        given = options.get(option, "env:NAME")
        require(given.partition(":")[0] in ("env", "file", "keyring"), "secrets by reference")


def store_uri(data: bytes) -> None:
    """A store's address: ConfigError that quotes no option, or one that protects what is sent."""
    text = data.decode("utf-8", "surrogateescape")
    scheme = text.partition(":")[0]
    if scheme.startswith("redis"):
        redis = _parsed(text, lambda: _redis_uri.parse(text))
        if redis is not None:
            _by_reference(redis.options)
            require(redis.tls or all(is_loopback(host) for host, _ in redis.hosts), "TLS")
            require(bool(redis.hosts) != bool(redis.socket), "one kind of place")
            require(MARKER not in redis.place or MARKER in text.partition("?")[0], "no option in a name")
    elif scheme == "dynamodb":
        dynamo = _parsed(text, lambda: _dynamo_uri.parse(text))
        if dynamo is not None:
            _by_reference(dynamo.options)
            _web(dynamo.url)
            require(dynamo.region in dynamo.url or "@" in dynamo.options["region"], "the vendor's host of the region")
    else:
        address = _parsed(text, lambda: _postgres_uri.parse(text, schema="tacita"))
        if address is not None:
            told = address.parameters
            near = all(host.startswith("/") or is_loopback(host) for host in told["host"].split(","))
            insecure = dict(parse_qsl(text.partition("?")[2])).get("insecure") in ("yes", "true")
            require(told["sslmode"] == "verify-full" or near or insecure, "verified TLS")
            require(told["passfile"] == "/dev/null/none" and not told.get("service"), "nothing from elsewhere")
            require(len(told["host"].split(",")) == len(told["port"].split(",")), "a port for each host")


def key_uri(data: bytes) -> None:
    """A root key's address: ConfigError that quotes no option, or one service of one vendor over TLS."""
    text = data.decode("utf-8", "surrogateescape")
    found = _parsed(text, lambda: keys.parse(text))
    if found is None:
        return
    _web(found.url)
    _by_reference(found.options)
    require(all(host for host in found.hosts), "whom it contacts can be told")
    for option in ("timeout", "attempts"):
        attempt(lambda option=option: found.number(option, 1, 1, 60), ConfigError)  # type: ignore[misc]


def vector_uri(data: bytes) -> None:
    """An engine's address: ConfigError that quotes no option, or one host over TLS and a plain name of a collection."""
    text = data.decode("utf-8", "surrogateescape")
    engine = text.partition(":")[0]
    known, schemes, url = _ENGINES.get(engine, _ENGINES["qdrant"])
    found = _parsed(text, lambda: _place.parse(text, known, schemes=schemes, url=url))
    if found is None:
        return
    _by_reference(found.options)
    require(found.collection.isascii() and found.collection.replace("_", "").isalnum(), "a plain name")
    if found.url and schemes[0] == "https":
        _web(found.url, insecure=found.options.get("insecure") == "yes")
    require(bool(found.name) and all(found.hosts), "whom it contacts can be told")
    attempt(lambda: found.seconds, ConfigError)


def anchor_uri(data: bytes) -> None:
    """Where anchors go: ConfigError that quotes no option, or one host over TLS."""
    text = data.decode("utf-8", "surrogateescape")
    place = _parsed(text, lambda: HttpPlace(text, lambda option: Credential(f"env:{option}", lambda _: MARKER)))
    if place is not None:
        _web(place._url)
        require(MARKER not in repr(place) or MARKER in text, "no credential in what is shown")


def _stores() -> Iterator[bytes]:
    yield b"postgres://role@db.example:5432/tacita?password=env:K&schema=x&sslrootcert=/ca.pem&pool=4&timeout=9"
    yield b"postgresql://role@127.0.0.1,%5B::1%5D:6/tacita?insecure=yes"
    yield b"postgres://role@/tacita?host=/run/postgresql"
    yield b"rediss://a.example:6380/3?user=Zanzibar7391&password=file:/x&prefix=p&rewrite=-1"
    yield b"redis+cluster://127.0.0.1:7000,localhost:7001?durability=accepted-loss&password=env:K"
    yield b"redis+unix:///run/redis.sock?timeout=0.5&pool=2"
    yield b"dynamodb:tacita?region=eu-central-1&credentials=default&create=yes&kms=Zanzibar7391"
    yield b"dynamodb:tt?region=us-east-1@http://127.0.0.1:8000&key=env:A&secret=env:B&token=keyring:a/b"
    # Refused, all of them: not over TLS.
    yield b"postgres://role@db.example/tacita?sslmode=disable"
    yield b"redis://a.example/0?password=env:K"
    yield b"dynamodb:tt?region=us-east-1@http://a.example&credentials=default"


def _keys() -> Iterator[bytes]:
    yield b"awskms:alias/tacita?region=eu-central-1&key=env:A&secret=env:B&timeout=3"
    yield b"awskms:arn:aws-cn:kms:cn-north-1:123456789012:key/12345678-1234-1234-1234-123456789012"
    yield b"gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k?credentials=file:/x"
    yield b"azurekv:https://n.vault.azure.net/keys/k/0123456789abcdef0123456789abcdef?tenant=t&client=c&secret=env:S"
    yield b"vault:transit/keys/k@https://[::1]:8200?token=env:Zanzibar7391&ca=/x"
    yield b"vault:transit/keys/k@http://v.example?token=env:T"


def _vectors() -> Iterator[bytes]:
    yield b"qdrant:tacita@https://h.example:6333?api_key=env:Zanzibar7391&shard_key=s&timeout=9"
    yield b"qdrant:tacita?path=/x"
    yield b"qdrant:tacita@http://h.example"
    yield b"chroma:tacita?token=env:T&tenant=t&insecure=yes"
    yield b"pgvector:tacita@postgresql://role@h.example/db?password=env:K"


def _anchors() -> Iterator[bytes]:
    yield b"https://h.example:8443/anchors/home?token=env:Zanzibar7391"
    yield b"http://127.0.0.1:9/a"
    yield b"http://h.example/a"
    yield b"http://[::1]:9/a?token=file:/x"


TARGETS: Final = (
    Target(
        "store-uri",
        "A store's address is a ConfigError that quotes no option, or leads over TLS to the hosts that it names",
        store_uri,
        _stores,
    ),
    Target(
        "key-uri",
        "A root key's address is a ConfigError that quotes no option, or leads over TLS to the host that it names",
        key_uri,
        _keys,
    ),
    Target(
        "vector-uri",
        "An engine's address is a ConfigError that quotes no option, or leads over TLS to the host that it names",
        vector_uri,
        _vectors,
    ),
    Target(
        "anchor-uri",
        "Where anchors go is a ConfigError that quotes no option, or leads over TLS to the host that it names",
        anchor_uri,
        _anchors,
    ),
)
