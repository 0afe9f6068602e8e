"""What a PostgreSQL URI may say, and what is refused before anything is sent."""

from __future__ import annotations

import pytest

from tacita.errors import ConfigError
from tacita.stores._postgres_uri import parse

PLAIN = "postgres://ana@db.example.org/memories?password=env:PW"


def test_everything_is_told_explicitly() -> None:
    address = parse(PLAIN, schema="tacita")
    told = address.parameters
    assert (told["host"], told["port"], told["dbname"], told["user"]) == ("db.example.org", "5432", "memories", "ana")
    assert (told["sslmode"], told["sslrootcert"], told["gssencmode"]) == ("verify-full", "system", "disable")
    assert (told["hostaddr"], told["options"], told["sslcertmode"]) == ("", "", "disable")
    assert told["target_session_attrs"] == "read-write"
    assert "password" not in told
    assert address.name == "postgres db.example.org:5432/memories schema tacita"


@pytest.mark.parametrize(
    ("uri", "mode"),
    [
        ("postgres://a@localhost/b", "prefer"),
        ("postgresql://a@127.0.0.1:6000/b", "prefer"),
        ("postgres://a@[::1]:6000/b", "prefer"),
        ("postgres://a@/b?host=/run/postgresql", "prefer"),
        ("postgres://a@10.0.0.9/b?insecure=yes", "prefer"),
        ("postgres://a@10.0.0.9/b?insecure=true", "prefer"),
        ("postgres://a@10.0.0.9/b", "verify-full"),
        ("postgres://a@localhost,db2.example.org/b", "verify-full"),
        ("postgres://a@localhost/b?sslrootcert=/etc/ssl/ca.pem", "verify-full"),
        ("postgres://a@localhost.example.org/b", "verify-full"),
        ("postgres://a@127.0.0.1.example.org/b", "verify-full"),
    ],
)
def test_only_this_machine_and_the_insecure_go_without_verified_tls(uri: str, mode: str) -> None:
    told = parse(uri, schema="tacita").parameters
    assert told["sslmode"] == mode
    # Whoever is not verified is not handed the password itself.
    assert (told["require_auth"] == "!password") == (mode == "prefer")


def test_hosts_sockets_and_numbers() -> None:
    told = parse("postgres://a@h1:6000,h2,[fd00::1]:7/b", schema="tacita").parameters
    assert (told["host"], told["port"]) == ("h1,h2,fd00::1", "6000,5432,7")
    told = parse("postgres://a@:6000/b?host=/run/postgresql", schema="tacita").parameters
    assert (told["host"], told["port"]) == ("/run/postgresql", "6000")
    told = parse("postgres://a%40b@h/x%2Fy", schema="tacita").parameters
    assert (told["user"], told["dbname"]) == ("a@b", "x/y")
    address = parse(PLAIN + "&pool=3&timeout=2.5&schema=other", schema="tacita")
    assert (address.most_connections, address.timeout, address.schema) == (3, 2.5, "other")


@pytest.mark.parametrize(
    "uri",
    [
        "postgres://ana:hunter2@db.example.org/memories",
        "postgres://ana@db.example.org/memories?password=hunter2",
        "postgres://ana@db.example.org/memories?password=env:",
        "postgres://ana@db.example.org/memories?passwort=hunter2",
        "postgres://ana@db.example.org/memories?options=-c%20fsync=hunter2",
        "postgres://ana@db.example.org/memories?sslmode=require&x=hunter2",
        "postgres://ana@db.example.org/memories?sslmode=disable",
        "postgres://ana@db.example.org/memories?sslmode=verify-full&insecure=yes",
        "postgres://ana@db.example.org/memories?insecure=hunter2",
        "postgres://ana@db.example.org/memories?schema=hunter2;drop",
        "postgres://ana@db.example.org/memories?pool=hunter2",
        "postgres://ana@db.example.org/memories?timeout=0",
        "postgres://ana@db.example.org:hunter2/memories",
        "postgres://ana@/memories",
        "postgres://ana@h/memories?host=/run/hunter2",
        "postgres://ana@/memories?host=hunter2",
        "postgres://db.example.org/memories",
        "postgres://ana@db.example.org/",
        "postgres:hunter2",
        "mysql://ana@db.example.org/memories",
    ],
)
def test_what_is_not_understood_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(uri, schema="tacita")
    assert "hunter2" not in str(refused.value)


def test_a_sockets_folder_names_no_other_host() -> None:
    """libpq would take what stands behind a comma for a host, and ask it without TLS."""
    for folder in ("/run/postgresql,db.example", "/run/%2Cdb.example", "/run/post%0Agresql"):
        with pytest.raises(ConfigError, match="socket"):
            parse(f"postgres://a@/b?host={folder}", schema="tacita")
