"""Connections over TLS: a server is verified, or nothing is sent to it."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tacita.credentials import Credential
from tacita.errors import StoreError
from tacita.stores.postgres import PostgresLogStore
from tacita.stores.postgres_setup import DATA
from tacita.testing.log_contract import A, E, event


def issue(name: str, issuer: tuple[x509.Certificate, Any] | None, *, names: list[str] | None = None) -> Any:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=2))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def write(folder: Path, name: str, made: Any) -> None:
    certificate, key = made
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / f"{name}.key").chmod(0o600)


@pytest.fixture
def tls(server: Any, tmp_path: Path) -> Iterator[Path]:
    """The server with a certificate for `localhost`; the folder holds the authority's and a client's."""
    authority = issue("authority of tests", None)
    write(tmp_path, "ca", authority)
    write(tmp_path, "other-ca", issue("another authority", None))
    write(tmp_path, "client", issue("tacita_app", authority))
    write(server.folder, "server", issue("localhost", authority, names=["localhost"]))
    write(server.folder, "root", authority)
    if server.account:
        for path in [*server.folder.glob("*.key"), *server.folder.glob("*.crt")]:
            os.chown(path, server.account["user"], server.account["group"])
    folder = server.folder
    if "ssl" not in server.run("pg_config", "--configure"):
        pytest.fail("this server was built without TLS, and these tests need one with it: apt-get install postgresql")
    server.stop()
    server.start(
        *("-c", "ssl=on", "-c", f"ssl_cert_file={folder}/server.crt", "-c", f"ssl_key_file={folder}/server.key"),
        *("-c", f"ssl_ca_file={folder}/root.crt"),
    )
    yield tmp_path
    server.stop()
    server.start()


def opened(server: Any, host: str, **options: str) -> PostgresLogStore:
    uri = server.uri(DATA, server.schema(DATA, "tls"), **options).replace("127.0.0.1", host)
    return PostgresLogStore(uri, lambda option: Credential("env:x", lambda _: "a-password-of-tests-only"))


def test_the_server_is_verified(server: Any, tls: Path) -> None:
    store = opened(server, "localhost", sslrootcert=str(tls / "ca.crt"))
    store.append(A, 0, [event(1)], epoch=E)
    with store._db.connection("look") as db:
        query = "SELECT ssl, version, client_dn FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert db.execute(query).fetchone() == (True, "TLSv1.3", None)
    store.drop(A, epoch=E)
    store.close()
    with pytest.raises(StoreError, match="certificate verify failed") as wrong:
        opened(server, "localhost", sslrootcert=str(tls / "other-ca.crt"))
    assert not wrong.value.retryable
    # The certificate is for another name than the one that was asked for.
    with pytest.raises(StoreError, match="does not match host name"):
        opened(server, "127.0.0.1", sslrootcert=str(tls / "ca.crt"))
    with pytest.raises(StoreError, match="cannot connect"):
        opened(server, "localhost", sslrootcert=str(tls / "missing.crt"))
    with pytest.raises(StoreError, match="cannot connect"):
        opened(server, "localhost", sslmode="verify-full")  # the system does not know this authority


def test_a_client_shows_its_certificate(server: Any, tls: Path) -> None:
    files = {"sslcert": str(tls / "client.crt"), "sslkey": str(tls / "client.key")}
    store = opened(server, "localhost", sslrootcert=str(tls / "ca.crt"), **files)
    with store._db.connection("look") as db:
        query = "SELECT client_dn FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert db.execute(query).fetchone() == ("/CN=tacita_app",)
    store.close()


def test_a_server_without_tls_is_refused_where_tls_was_asked_for(server: Any, tmp_path: Path) -> None:
    write(tmp_path, "ca", issue("authority of tests", None))
    with pytest.raises(StoreError, match="does not support SSL"):
        opened(server, "localhost", sslrootcert=str(tmp_path / "ca.crt"))
