"""Root keys elsewhere under the public contract: over loopback, with the vendors' own clients where there are any.

Against stand-ins that speak the vendors' protocols, and AWS KMS against moto's server as well. None of this is a live service.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import boto3
import pytest
from tests.support import Support
from tests.unit.keys.services.opened import SERVERS, VARIABLES, make, opened
from tests.unit.keys.services.server import KeyServer

from tacita.config.reading import secrets_of
from tacita.errors import KeyUnavailable, WrongKey
from tacita.hazmat import SecretKey
from tacita.keys.awskms import open_awskms
from tacita.ports.keys import KeyProvider
from tacita.testing.key_contract import CONTEXT, KeyProviderContract


class Remote(KeyProviderContract):
    scheme: ClassVar[str]

    @pytest.fixture(autouse=True)
    def service(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyServer]:
        for name, value in VARIABLES.items():
            monkeypatch.setenv(name, value)
        with SERVERS[self.scheme](tmp_path) as self.server:
            yield self.server

    def make(self, folder: Path) -> KeyProvider:
        make(self.server, folder.name)
        return opened(self.server, folder.name, "&timeout=10")


class TestAwsKms(Remote):
    scheme = "awskms"
    supports = Support("keys", ("awskms",), "our AWS KMS stand-in", "protocol", ("boto3",))


class TestGcpKms(Remote):
    scheme = "gcpkms"
    supports = Support("keys", ("gcpkms",), "our Google Cloud KMS stand-in", "protocol", ("google-cloud-kms",))


class TestAzureKeyVault(Remote):
    scheme = "azurekv"
    supports = Support("keys", ("azurekv",), "our Azure Key Vault stand-in", "protocol", ("azure-keyvault-keys",))


class TestTransit(Remote):
    scheme = "vault"
    supports = Support("keys", ("vault",), "our Vault transit stand-in", "protocol")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class TestAwsKmsAgainstMoto(KeyProviderContract):
    """Somebody else's idea of KMS."""

    supports = Support("keys", ("awskms",), "moto's AWS KMS", "protocol", ("boto3", "moto"))

    @pytest.fixture(autouse=True)
    def at(self, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url = moto
        for name, value in VARIABLES.items():
            monkeypatch.setenv(name, value)

    def make(self, folder: Path) -> KeyProvider:
        alias = f"alias/{folder.parent.name}-{folder.name}".replace(".", "-")
        client = boto3.client(
            "kms",
            endpoint_url=self.url,
            region_name="eu-central-1",
            aws_access_key_id="synthetic",
            aws_secret_access_key="synthetic",
        )
        if alias not in [each["AliasName"] for each in client.list_aliases()["Aliases"]]:
            key = client.create_key(Description=os.path.basename(folder))["KeyMetadata"]["KeyId"]
            client.create_alias(AliasName=alias, TargetKeyId=key)
        client.close()
        uri = f"awskms:{alias}@{self.url}?region=eu-central-1&key=env:TEST_AWS_KEY&secret=env:TEST_AWS_SECRET"
        return open_awskms(uri, secrets_of(uri))

    def test_changed_and_cut_blobs_are_refused(self, provider: KeyProvider) -> None:
        # Where the change hits the name of the key, moto says that access is denied; KMS, which was told the key, that
        # the ciphertext is wrong.
        blob = provider.wrap(SecretKey.generate(), CONTEXT)
        for bad in [*(blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :] for at in range(0, len(blob), 7)), blob[:-1]]:
            with pytest.raises((WrongKey, KeyUnavailable)):
                provider.unwrap(bad, CONTEXT)
