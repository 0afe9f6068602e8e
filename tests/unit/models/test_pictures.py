"""Pictures come from named hosts over TLS, and from no private network, whatever an address or a name server says."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support import Support

from tacita.errors import AccessDenied, ConfigError, ModelError
from tacita.limits import PICTURE_BYTES
from tacita.models.pictures import AllowedHosts, system_resolve

supports = Support("pictures", ("https",), "a TLS server on loopback", "live")

HOST = "images.example.org"
PUBLIC = "93.184.215.14"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body, status = PNG, 200
        if self.path == "/large":
            body = bytes(PICTURE_BYTES + 1)
        elif self.path == "/moved":
            status = 302
        elif self.path == "/busy":
            status = 503
        elif self.path == "/drip":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(PNG)
                while not self.wfile.closed:
                    self.wfile.write(b"x")
                    time.sleep(0.05)
            return
        elif self.path == "/host":
            body = str(self.headers).encode()
        self.send_response(status)
        self.send_header("Location", "https://169.254.169.254/latest")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, ssl.SSLContext]]:
    """A TLS server for HOST on loopback, and a context that trusts its certificate."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.server_port, ssl.create_default_context(cafile=str(folder / "cert.pem"))
    server.shutdown()
    thread.join()
    server.server_close()


def source(trusted: tuple[int, ssl.SSLContext], asked: list[tuple[str, int]] | None = None) -> AllowedHosts:
    port, context = trusted

    def connect(address: str, wanted: int, timeout: float) -> socket.socket:
        if asked is not None:
            asked.append((address, wanted))
        return socket.create_connection(("127.0.0.1", port), timeout)

    return AllowedHosts([HOST], resolve=lambda _: [PUBLIC], connect=connect, context=context)


def test_a_picture_comes_from_the_checked_address_over_tls(trusted: tuple[int, ssl.SSLContext]) -> None:
    asked: list[tuple[str, int]] = []
    assert source(trusted, asked).fetch(f"https://{HOST}/a.png?size=2") == PNG
    assert asked == [(PUBLIC, 443)], "connected to what was checked, not looked up again"
    headers = source(trusted).fetch(f"https://{HOST}/host").decode().lower()
    assert f"host: {HOST}" in headers
    assert not any(name in headers for name in ("user-agent", "cookie", "referer", "authorization"))


def test_the_certificate_must_be_the_hosts(trusted: tuple[int, ssl.SSLContext]) -> None:
    port, _ = trusted
    untrusting = AllowedHosts(
        [HOST], resolve=lambda _: [PUBLIC], connect=lambda *_: socket.create_connection(("127.0.0.1", port), 5)
    )
    with pytest.raises(ModelError, match="SSLCertVerificationError"):
        untrusting.fetch(f"https://{HOST}/a.png")


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("::1", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "2002:0a00:0001::1", "::", "not an address"),
    ],
)
def test_no_private_network_is_reached_even_behind_an_allowed_name(address: str) -> None:
    def never(*_: object) -> socket.socket:
        raise AssertionError("connected")

    for answers in ([address], [PUBLIC, address]):
        fetcher = AllowedHosts([HOST], resolve=lambda _, found=answers: found, connect=never)
        with pytest.raises(AccessDenied, match="private network"):
            fetcher.fetch(f"https://{HOST}/a.png")


@pytest.mark.parametrize(
    "url",
    [
        *(f"http://{HOST}/a", "https://other.example.org/a", f"https://{HOST}:8443/a", f"https://ana:pw@{HOST}/a"),
        *(f"https://{HOST}.evil.example/a", f"https://evil.example/?{HOST}", f"https://evil.example#@{HOST}/"),
        *(
            "file:///etc/passwd",
            "ftp://images.example.org/a",
            "//images.example.org/a",
            "https://[::1]/a",
            "https://[",
            "",
        ),
        *(f"https://{HOST}/a\r\nX-Evil: 1", f"https://{HOST}/a b", f"https://{HOST}/ä"),
    ],
)
def test_other_addresses_are_refused_before_anything_is_looked_up(url: str) -> None:
    def never(_: str) -> list[str]:
        raise AssertionError("looked up")

    with pytest.raises(AccessDenied):
        AllowedHosts([HOST], resolve=never).fetch(url)


def test_redirects_large_answers_and_refusals(trusted: tuple[int, ssl.SSLContext]) -> None:
    fetcher = source(trusted)
    with pytest.raises(AccessDenied, match="302"):
        fetcher.fetch(f"https://{HOST}/moved")
    with pytest.raises(AccessDenied, match="more than"):
        fetcher.fetch(f"https://{HOST}/large")
    with pytest.raises(ModelError, match="503") as failed:
        fetcher.fetch(f"https://{HOST}/busy")
    assert failed.value.retryable


def test_a_picture_that_comes_a_byte_at_a_time_ends_at_the_limit(
    trusted: tuple[int, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tacita.models.pictures.SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(ModelError) as failed:
        source(trusted).fetch(f"https://{HOST}/drip")
    assert failed.value.retryable
    assert time.monotonic() - start < 30, "each byte came within the socket's own limit"


def test_what_cannot_be_reached_may_be_tried_again() -> None:
    def down(*_: object) -> socket.socket:
        raise ConnectionRefusedError

    with pytest.raises(ModelError, match="ConnectionRefusedError") as failed:
        AllowedHosts([HOST], resolve=lambda _: [PUBLIC], connect=down).fetch(f"https://{HOST}/a.png")
    assert failed.value.retryable


@pytest.mark.parametrize(
    "host", ["", "*", "*.example.org", "10.0.0.1", "::1", "Images.example.org", "a b", "a:443", "a/"]
)
def test_only_names_of_hosts_can_be_allowed(host: str) -> None:
    with pytest.raises(ConfigError):
        AllowedHosts([host])


def test_the_machines_resolver_is_asked() -> None:
    assert all(ipaddress.ip_address(each).is_loopback for each in system_resolve("localhost"))
