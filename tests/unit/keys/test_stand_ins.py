"""The stand-ins for key services, held to clients and servers of other people: else they would only agree with us."""

from __future__ import annotations

import base64
from pathlib import Path

import boto3
import google_crc32c
import hvac
import hvac.exceptions
import pytest
from botocore.exceptions import ClientError
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud.kms_v1 import KeyManagementServiceClient
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceRestTransport
from google.oauth2.credentials import Credentials
from tests.unit.keys.services.aws import REGION, AwsKmsServer
from tests.unit.keys.services.gcp import RING, GcpKmsServer
from tests.unit.keys.services.transit import TransitServer


def test_googles_own_client_and_ours_ask_the_same_questions(tmp_path: Path) -> None:
    with GcpKmsServer(tmp_path) as server:
        key = server.make("one")
        transport = KeyManagementServiceRestTransport(
            host=server.host, url_scheme="http", credentials=Credentials(token=server.token)
        )
        client = KeyManagementServiceClient(transport=transport)
        found = client.get_crypto_key(name=f"{RING}/one")
        assert (found.purpose.name, found.primary.state.name) == ("ENCRYPT_DECRYPT", "ENABLED")
        assert found.version_template.algorithm.name == "GOOGLE_SYMMETRIC_ENCRYPTION"
        data = {"additional_authenticated_data": b"context"}
        sums = {
            "plaintext_crc32c": google_crc32c.value(b"words"),
            "additional_authenticated_data_crc32c": google_crc32c.value(b"context"),
        }
        sealed = client.encrypt(request={"name": f"{RING}/one", "plaintext": b"words", **data, **sums})
        assert sealed.name == f"{RING}/one/cryptoKeyVersions/1"
        assert sealed.verified_plaintext_crc32c
        assert sealed.verified_additional_authenticated_data_crc32c
        assert sealed.ciphertext_crc32c == google_crc32c.value(sealed.ciphertext)
        opened = client.decrypt(request={"name": f"{RING}/one", "ciphertext": sealed.ciphertext, **data})
        assert opened.plaintext == b"words"
        assert opened.plaintext_crc32c == google_crc32c.value(b"words")
        with pytest.raises(BadRequest):
            client.decrypt(request={"name": f"{RING}/one", "ciphertext": sealed.ciphertext})
        key.state = "disabled"
        with pytest.raises(BadRequest):
            client.decrypt(request={"name": f"{RING}/one", "ciphertext": sealed.ciphertext, **data})
        with pytest.raises(NotFound):
            client.get_crypto_key(name=f"{RING}/two")
        transport.close()


def test_the_client_that_others_use_for_vault_asks_the_same_questions(tmp_path: Path) -> None:
    with TransitServer(tmp_path) as server:
        key = server.make("one")
        client = hvac.Client(url=server.url, token=server.token)
        transit = client.secrets.transit
        assert transit.read_key("one")["data"]["derived"] is True
        context, words = base64.b64encode(b"context").decode(), base64.b64encode(b"words").decode()
        sealed = transit.encrypt_data("one", plaintext=words, context=context)["data"]["ciphertext"]
        assert transit.decrypt_data("one", ciphertext=sealed, context=context)["data"]["plaintext"] == words
        server.rotate(key)
        anew = transit.rewrap_data("one", ciphertext=sealed, context=context)["data"]["ciphertext"]
        assert anew.startswith("vault:v2:")
        with pytest.raises(hvac.exceptions.InvalidRequest, match="message authentication failed"):
            transit.decrypt_data("one", ciphertext=sealed, context=words)
        with pytest.raises(hvac.exceptions.InvalidPath):
            transit.read_key("two")
        server.sealed = True
        with pytest.raises(hvac.exceptions.VaultDown):
            transit.read_key("one")
        client.adapter.close()


def test_awss_stand_in_and_moto_give_the_same_errors(tmp_path: Path) -> None:
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    codes: list[list[str]] = []
    try:
        with AwsKmsServer(tmp_path) as server:
            for url in (f"http://{host}:{port}", server.url):
                client = boto3.client(
                    "kms", endpoint_url=url, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
                )
                if url == server.url:
                    key = server.make("alias/one").name
                else:
                    key = client.create_key()["KeyMetadata"]["Arn"]
                context = {"a": "b"}
                blob = client.encrypt(KeyId=key, Plaintext=b"words", EncryptionContext=context)["CiphertextBlob"]
                opened = client.decrypt(KeyId=key, CiphertextBlob=blob, EncryptionContext=context)
                assert (opened["Plaintext"], opened["KeyId"]) == (b"words", key)
                described = client.describe_key(KeyId=key)["KeyMetadata"]
                assert (described["KeyState"], described["KeySpec"]) == ("Enabled", "SYMMETRIC_DEFAULT")
                said = []
                for action in (
                    lambda client=client, key=key, blob=blob: client.decrypt(KeyId=key, CiphertextBlob=blob),
                    lambda client=client: client.describe_key(KeyId="alias/none"),
                    lambda client=client: client.encrypt(KeyId="alias/none", Plaintext=b"x"),
                ):
                    with pytest.raises(ClientError) as caught:
                        action()
                    said.append(caught.value.response["Error"]["Code"])
                codes.append(said)
                client.close()
    finally:
        moto.stop()
    assert codes[0] == codes[1] == ["InvalidCiphertextException", "NotFoundException", "NotFoundException"]
