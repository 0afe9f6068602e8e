"""Addresses lead where they seem to lead, over TLS; options are known, given once, and secrets are references."""

from __future__ import annotations

import pytest

from tacita.addresses import check_reference, http_parts, is_loopback, number, options_of
from tacita.errors import ConfigError

CANARY = "Zanzibar7391"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "http://10.0.0.7:8000/v1",
        "https://",
        "https:///path",
        "ftp://example.org",
        "example.org",
        "https://user:pass@example.org",
        "https://user@example.org",
        "https://@example.org",
        "http://@127.0.0.1",
        "https://exam\nple.org",
        "https://exam\tple.org",
        "https://exa mple.org",
        "https://good.example\\@evil.example",
        "https://good.example\\.evil.example",
        "https://example.org:0",
        "https://example.org:99999",
        "https://example.org:x",
        "https://[::1",
        "https://exam\u202eple.org",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
    ],
)
def test_what_leads_elsewhere_or_in_plain_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^model x: "):
        http_parts("model x", url)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.org/v1", "example.org"),
        ("https://[2001:db8::1]:8443", "2001:db8::1"),
        ("http://127.0.0.1:8000/v1", "127.0.0.1"),
        ("http://localhost", "localhost"),
        ("http://[::1]:9", "::1"),
    ],
)
def test_the_host_is_the_one_that_is_named(url: str, host: str) -> None:
    assert http_parts("model x", url).hostname == host


def test_plain_http_elsewhere_is_somebodys_decision() -> None:
    assert http_parts("model x", "http://10.0.0.7", insecure=True).hostname == "10.0.0.7"
    with pytest.raises(ConfigError, match="credentials"):
        http_parts("model x", "http://a:b@10.0.0.7", insecure=True)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (f"token={CANARY}", "by reference"),
        (f"token=env:&pool={CANARY}", "by reference"),
        (f"{CANARY}=1", "unknown options"),
        ("pool=1&pool=2", "twice"),
        ("token=env:A&token=env:B", "twice"),
    ],
)
def test_options_are_known_given_once_and_hold_no_secret(query: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        options_of("store x", query, {"token", "pool"}, {"token"})
    assert CANARY not in str(refused.value)


def test_options_that_are_fine() -> None:
    assert options_of("x", "", {"pool"}) == {}
    assert options_of("x", "pool=&token=file:/run/t", {"pool", "token"}, {"token"}) == {
        "pool": "",
        "token": "file:/run/t",
    }
    for reference in ("env:NAME", "file:/a", "keyring:a/b"):
        check_reference("x", "token", reference)


@pytest.mark.parametrize("given", ["", "x", "nan", "inf", "-1", "601", CANARY])
def test_a_number_is_one_and_within_its_limits(given: str) -> None:
    with pytest.raises(ConfigError, match=r"^x: timeout is a number from 1 to 600$"):
        number("x", {"timeout": given}, "timeout", 30, 1, 600)
    assert number("x", {}, "timeout", 30, 1, 600) == 30
    assert number("x", {"timeout": "1e2"}, "timeout", 30, 1, 600) == 100


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "localhost.example", "LOCALHOST.example", "", "127.1", "::"])
def test_not_this_machine(host: str) -> None:
    assert not is_loopback(host)
