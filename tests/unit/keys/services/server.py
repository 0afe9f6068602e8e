"""A stand-in for a key service on loopback: what all four have in common. Keys in RAM, told how to misbehave.

Each service speaks its vendor's real wire protocol and really encrypts, so that the official clients find nothing missing.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tacita.testing.loopback import Quiet, ScriptedServer

State = Literal["enabled", "disabled", "deleted", "denied"]
Fault = Literal["throttled", "broken", "slow", "cut", "no_json", "wrong_shape", "refused", "redirect"]
"""What becomes of one request: 429; 500; answered late; cut in the middle; no JSON; other JSON; 401; sent elsewhere."""

SLOW_SECONDS = 2.0


@dataclass
class Key:
    """One root key: material by version, newest last."""

    name: str
    material: dict[str, Any]
    state: State = "enabled"
    states: dict[str, State] = field(default_factory=dict)
    """Of single versions."""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def newest(self) -> str:
        return list(self.material)[-1]


class Refused(Exception):
    """What a service answers instead: an HTTP status, a body, headers."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self.status, self.body, self.headers = status, body, headers or {}


class KeyServer(ScriptedServer[Fault]):
    """`will(...)` scripts the next requests; `keys` may be changed at any time."""

    tls = False

    def __init__(self, folder: Path) -> None:
        self.keys: dict[str, Key] = {}
        self.paths: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.chance: Iterator[Fault | None] | None = None
        """Faults by chance: asked for each request."""
        self.answers_with: str | None = None
        """Name of another key that answers instead."""
        self.wrong_checksum = False
        self.down = False
        """Every connection ends without an answer."""
        owner = self

        class Handler(_Handler):
            server_of_ours = owner

        self.ca = folder / "ca.pem"
        super().__init__(Handler, _tls(folder) if self.tls else None)

    def everything(self) -> bytes:
        return b"\n".join([*[path.encode() for path in self.paths], *self.bodies])

    def unscripted(self) -> Fault | None:
        return next(self.chance, None) if self.chance is not None else None

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        """The JSON of an answer. Raises Refused."""
        raise NotImplementedError

    def fault_body(self, status: int) -> Any:
        """How the vendor words a fault."""
        return {"message": "fault", "status": status}


class _Handler(Quiet, BaseHTTPRequestHandler):
    server_of_ours: KeyServer

    def do_GET(self) -> None:
        self._do("GET")

    def do_POST(self) -> None:
        self._do("POST")

    def do_PUT(self) -> None:
        self._do("PUT")

    def do_HEAD(self) -> None:
        self._do("HEAD")

    def _do(self, method: str) -> None:
        ours = self.server_of_ours
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if ours.down:
            self.close_connection = True
            return
        ours.paths.append(self.path)
        ours.bodies.append(body)
        ours.headers.append(headers)
        fault = ours.next_fault()
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
        if fault in ("throttled", "broken", "refused"):
            status = {"throttled": 429, "broken": 500, "refused": 401}[fault]
            self._send(status, json.dumps(ours.fault_body(status)).encode(), {})
            return
        if fault == "redirect":
            self._send(307, b"{}", {"Location": "http://127.0.0.1:9/elsewhere"})
            return
        if fault == "no_json":
            self._send(200, b"<html>gateway</html>", {})
            return
        if fault == "wrong_shape":
            self._send(200, b'{"unexpected": ["shape"]}', {})
            return
        try:
            answered = json.dumps(ours.answer(method, self.path, headers, body)).encode()
        except Refused as refused:
            self._send(refused.status, json.dumps(refused.body).encode(), refused.headers)
            return
        if fault == "cut":
            with suppress(OSError):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answered)))
                self.end_headers()
                self.wfile.write(answered[: len(answered) // 2])
            self.close_connection = True
            return
        self._send(200, answered, {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        with suppress(OSError):  # a client that gave up waiting
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)


def certify(folder: Path) -> None:
    """Write a certificate of loopback that signs itself, for a day: `ca.pem` and `server.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _tls(folder: Path) -> ssl.SSLContext:
    certify(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "server.key")
    return context
