"""Root keys elsewhere, over loopback with the vendors' own clients: what each refusal means, and what never gets out."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.keys.services.aws import REGION, AwsKmsServer
from tests.unit.keys.services.azure import AzureKeyVaultServer
from tests.unit.keys.services.gcp import RING, GcpKmsServer
from tests.unit.keys.services.opened import SERVERS, VARIABLES, make, opened, scheme_of
from tests.unit.keys.services.server import Fault, KeyServer, State, certify
from tests.unit.keys.services.transit import TransitServer

from tacita.config.reading import secrets_of
from tacita.errors import ConfigError, KeyUnavailable, WrongKey
from tacita.hazmat import SecretKey
from tacita.keys.awskms import open_awskms
from tacita.keys.gcpkms import open_gcpkms
from tacita.ports.keys import KeyContext, KeyProvider

CONTEXT = KeyContext("acme", b"v" * 32, 1)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyServer]:
    with SERVERS[request.param](tmp_path) as started:
        make(started, "one")
        yield started


@pytest.fixture
def provider(server: KeyServer) -> Iterator[KeyProvider]:
    found = opened(server, "one")
    yield found
    found.close()


@pytest.mark.parametrize("state", ["disabled", "deleted", "denied"])
def test_a_key_that_was_taken_away_opens_nothing_and_is_not_asked_for_twice(
    server: KeyServer, provider: KeyProvider, state: State
) -> None:
    key = make(server, "one")
    if isinstance(server, TransitServer) and state == "disabled":
        pytest.skip("Vault has no disabled keys")
    blob = provider.wrap(SecretKey.generate(), CONTEXT)
    key.state = state
    before = len(server.paths)
    with pytest.raises(KeyUnavailable) as caught:
        provider.unwrap(blob, CONTEXT)
    assert not caught.value.retryable
    assert len(server.paths) == before + 1 + (scheme_of(server) == "azurekv" and state == "deleted"), "one question"
    with pytest.raises(KeyUnavailable) as caught:
        provider.wrap(SecretKey.generate(), CONTEXT)
    assert not caught.value.retryable
    with pytest.raises(KeyUnavailable) as caught:
        opened(server, "one")
    assert not caught.value.retryable
    key.state = "enabled"
    assert provider.unwrap(blob, CONTEXT)


@pytest.mark.parametrize("fault", ["throttled", "broken", "slow", "cut", "no_json", "wrong_shape"])
def test_what_passes_is_tried_again(server: KeyServer, provider: KeyProvider, fault: Fault) -> None:
    key = SecretKey.generate()
    blob = provider.wrap(key, CONTEXT)
    server.will(fault)
    assert provider.unwrap(blob, CONTEXT).equals(key)
    server.will(fault, fault)
    with pytest.raises(KeyUnavailable, match="after 2 tries") as caught:
        provider.unwrap(blob, CONTEXT)
    assert caught.value.retryable


@pytest.mark.parametrize("fault", ["refused", "redirect"])
def test_refused_credentials_and_redirects(server: KeyServer, provider: KeyProvider, fault: Fault) -> None:
    blob = provider.wrap(SecretKey.generate(), CONTEXT)
    server.will(fault, fault)
    with pytest.raises(KeyUnavailable) as caught:
        provider.unwrap(blob, CONTEXT)
    assert caught.value.retryable == (fault == "redirect")


def test_a_service_that_is_gone(server: KeyServer, provider: KeyProvider) -> None:
    blob = provider.wrap(SecretKey.generate(), CONTEXT)
    server.down = True
    for _ in range(6):
        with pytest.raises(KeyUnavailable) as caught:
            provider.unwrap(blob, CONTEXT)
        assert caught.value.retryable
    assert "not asked again" in str(caught.value), "the breaker is open"
    with pytest.raises(KeyUnavailable) as caught:
        opened(server, "one")
    assert caught.value.retryable


@pytest.mark.parametrize("scheme", list(SERVERS))
def test_nobody_listens(scheme: str, tmp_path: Path) -> None:
    with SERVERS[scheme](tmp_path) as server:
        make(server, "one")
    with pytest.raises(KeyUnavailable) as caught:
        opened(server, "one")
    assert caught.value.retryable


def test_another_key_that_answers_is_noticed(server: KeyServer, provider: KeyProvider) -> None:
    other = make(server, "two")
    server.answers_with = other.name
    with pytest.raises((KeyUnavailable, WrongKey)):
        provider.wrap(SecretKey.generate(), CONTEXT)


def test_a_key_that_opens_nothing_again_is_noticed_before_it_is_used(
    server: KeyServer, provider: KeyProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SecretKey.generate()
    monkeypatch.setattr(provider, "_unwrap", lambda blob, context: other.reveal_for_storage())
    with pytest.raises(KeyUnavailable, match="give back"):
        provider.wrap(SecretKey.generate(), CONTEXT)


def test_nothing_of_a_key_gets_out(
    server: KeyServer, provider: KeyProvider, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    key = SecretKey.generate()
    blob = provider.wrap(key, CONTEXT)
    seen = [repr(provider), provider.id, provider.where]
    faults: tuple[Fault, ...] = ("throttled", "broken", "slow", "cut", "no_json", "wrong_shape", "refused", "redirect")
    for fault in faults:
        server.will(fault, fault)
        provider._patience._failures = 0  # type: ignore[attr-defined]
        with pytest.raises(KeyUnavailable) as unavailable:
            provider.unwrap(blob, CONTEXT)
        assert unavailable.value.__context__ is None
        server.will_do_well()
        with pytest.raises(WrongKey) as wrong:
            provider.unwrap(blob, KeyContext("other", b"v" * 32, 1))
        seen += ["".join(traceback.format_exception(error.value)) for error in (unavailable, wrong)]
    out, err = capfd.readouterr()
    everywhere = "\n".join([*seen, caplog.text, out, err])
    material = key.reveal_for_storage()
    for form in (material.hex(), base64.b64encode(material).decode(), repr(material)[2:-1]):
        assert form not in everywhere
    for secret in VARIABLES.values():
        assert secret not in everywhere


VENDORS_VARIABLES = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:9", "AWS_PROFILE": "nobody",
    "AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "other", "AWS_REGION": "us-east-1", "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_CA_BUNDLE": "/nowhere", "AWS_CONFIG_FILE": "/nowhere",
    "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere", "GOOGLE_CLOUD_UNIVERSE_DOMAIN": "elsewhere.example",
    "GOOGLE_API_USE_MTLS_ENDPOINT": "always", "GOOGLE_API_USE_CLIENT_CERTIFICATE": "true",
    "AZURE_AUTHORITY_HOST": "https://127.0.0.1:9", "AZURE_CLIENT_ID": "other", "AZURE_TENANT_ID": "other",
    "AZURE_REGIONAL_AUTHORITY_NAME": "elsewhere",
    "VAULT_ADDR": "http://127.0.0.1:9", "VAULT_TOKEN": "other", "VAULT_NAMESPACE": "other", "VAULT_CACERT": "/nowhere",
    "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9",
    "REQUESTS_CA_BUNDLE": "/nowhere", "CURL_CA_BUNDLE": "/nowhere",
}  # fmt: skip


def test_vendors_variables_change_nothing(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VENDORS_VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    found = opened(server, "one")
    key = SecretKey.generate()
    assert found.unwrap(found.wrap(key, CONTEXT), CONTEXT).equals(key)
    found.close()


def test_aws_own_chain_finds_credentials_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "synthetic")
    with AwsKmsServer(tmp_path) as started:
        make(started, "one")
        uri = f"awskms:alias/one@{started.url}?region={REGION}"
        open_awskms(f"{uri}&credentials=default", secrets_of(f"{uri}&credentials=default")).close()
        assert "Credential=from-the-environment/" in started.headers[-1]["authorization"]
        with pytest.raises(ConfigError, match="credentials=default"):
            open_awskms(uri, secrets_of(uri))


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        "{}",
        '{"type": "service_account", "token_uri": "https://elsewhere.example/token", "private_key": "PEM"}',
        '{"type": "service_account", "token_uri": "https://oauth2.googleapis.com/token", "private_key": "PEM"}',
        '{"type": "service_account", "token_uri": "https://oauth2.googleapis.com/token", "client_email": "a", '
        '"private_key": "PEM"}',
    ],
)
def test_gcp_credentials_that_are_none_are_refused_and_not_repeated(tmp_path: Path, content: str) -> None:
    path = tmp_path / "account.json"
    path.write_text(content)
    path.chmod(0o600)
    uri = f"gcpkms:{RING}/one?credentials=file:{path}"
    with pytest.raises(ConfigError) as caught:
        open_gcpkms(uri, secrets_of(uri))
    assert caught.value.__context__ is None
    assert "PEM" not in str(caught.value)


def test_azure_a_wrong_client_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with AzureKeyVaultServer(tmp_path) as started:
        make(started, "one")
        monkeypatch.setenv("TEST_AZURE_SECRET", "another")
        with pytest.raises(KeyUnavailable, match="credentials were refused") as caught:
            opened(started, "one")
        assert not caught.value.retryable


def test_tls_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with AzureKeyVaultServer(tmp_path) as started:
        make(started, "one")
        other = tmp_path / "other"
        other.mkdir()
        certify(other)
        good, started.ca = started.ca, other / "ca.pem"
        with pytest.raises(KeyUnavailable) as caught:
            opened(started, "one")
        assert caught.value.retryable
        assert not started.bodies, "nothing was sent to a server that cannot say who it is"
        started.ca = good
        opened(started, "one").close()


# --- what only one of them does ---


def test_aws_an_alias_that_was_pointed_elsewhere_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with AwsKmsServer(tmp_path) as started:
        make(started, "one")
        provider = opened(started, "one")
        blob = provider.wrap(SecretKey.generate(), CONTEXT)
        started.aliases["alias/one"] = make(started, "two").name
        with pytest.raises(KeyUnavailable, match="rotate") as caught:
            provider.wrap(SecretKey.generate(), CONTEXT)
        assert not caught.value.retryable
        assert provider.unwrap(blob, CONTEXT), "what is under the old key is asked of the old key"
        assert opened(started, "one").id != provider.id


def test_aws_context_and_grants_go_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_GRANT", "synthetic-grant")
    with AwsKmsServer(tmp_path) as started:
        make(started, "one")
        opened(started, "one", "&grant=env:TEST_GRANT").wrap(SecretKey.generate(), CONTEXT)
        body = started.everything().decode()
        assert '"GrantTokens": ["synthetic-grant"]' in body
        assert '"tacita-tenant": "acme"' in body
        assert base64.b64encode(CONTEXT.encode()).decode() in body


def test_aws_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    with AwsKmsServer(tmp_path) as started:
        make(started, "one").extra["spec"] = "RSA_2048"
        with pytest.raises(ConfigError, match="symmetric"):
            opened(started, "one")


def test_gcp_wrong_checksums_are_noticed(tmp_path: Path) -> None:
    with GcpKmsServer(tmp_path) as started:
        make(started, "one")
        provider = opened(started, "one")
        blob = provider.wrap(SecretKey.generate(), CONTEXT)
        started.wrong_checksum = True
        for action in (lambda: provider.wrap(SecretKey.generate(), CONTEXT), lambda: provider.unwrap(blob, CONTEXT)):
            with pytest.raises(KeyUnavailable, match="checksum") as caught:
                action()
            assert caught.value.retryable


def test_gcp_versions(tmp_path: Path) -> None:
    with GcpKmsServer(tmp_path) as started:
        key = make(started, "one")
        provider = opened(started, "one")
        old = provider.wrap(SecretKey.generate(), CONTEXT)
        started.rotate(key)
        new = provider.renewed(old, CONTEXT)
        key.states["1"] = "disabled"
        assert provider.unwrap(new, CONTEXT)
        with pytest.raises(KeyUnavailable, match="disabled"):
            provider.unwrap(old, CONTEXT)


@pytest.mark.parametrize("extra", [{"purpose": "ASYMMETRIC_SIGN"}, {"algorithm": "EXTERNAL_SYMMETRIC_ENCRYPTION"}])
def test_gcp_another_kind_of_key_is_refused(tmp_path: Path, extra: dict[str, str]) -> None:
    with GcpKmsServer(tmp_path) as started:
        make(started, "one").extra.update(extra)
        with pytest.raises(ConfigError, match="symmetric"):
            opened(started, "one")


def test_azure_versions(tmp_path: Path) -> None:
    with AzureKeyVaultServer(tmp_path) as started:
        key = make(started, "one")
        provider = opened(started, "one")
        first = key.newest
        old = provider.wrap(SecretKey.generate(), CONTEXT)
        started.rotate(key)
        new = provider.renewed(old, CONTEXT)
        pinned = opened(started, f"one/{first}")
        assert pinned.id == f"{provider.id}/{first}"
        with pytest.raises(WrongKey):
            pinned.unwrap(new, CONTEXT)
        key.states[first] = "disabled"
        assert provider.unwrap(new, CONTEXT)
        with pytest.raises(KeyUnavailable, match="disabled"):
            provider.unwrap(old, CONTEXT)


def test_azure_what_a_stranger_wrapped_under_the_public_key_is_refused(tmp_path: Path) -> None:
    """Somebody who may see the public half, and write the ring, plants a vault key that he knows."""
    with AzureKeyVaultServer(tmp_path) as started:
        key = make(started, "one")
        provider = opened(started, "one")
        blob = provider.wrap(SecretKey.generate(), CONTEXT)
        started.make("stranger")
        stranger = started.keys["stranger"]
        # He signs with a key of his own; everything else is as it should be.
        genuine, stranger.extra["genuine"] = provider._said, None  # type: ignore[attr-defined]

        def said(method: str, version: str, verb: str = "", **fields: str) -> object:
            if verb != "sign":
                return genuine(method, version, verb, **fields)
            from tests.unit.keys.services.azure import _operation

            signed = _operation("sign", next(iter(stranger.material.values())), fields)
            return {"kid": f"{started.url}/keys/one/{key.newest}", "value": signed}

        provider._said = said  # type: ignore[attr-defined]
        forged = provider._wrap(SecretKey.generate().reveal_for_storage(), CONTEXT)  # type: ignore[attr-defined]
        with pytest.raises(WrongKey):
            provider.unwrap(forged, CONTEXT)
        assert provider.unwrap(blob, CONTEXT)


def test_azure_managed_hsm(tmp_path: Path) -> None:
    with AzureKeyVaultServer(tmp_path) as started:
        started.make("aes", "oct-HSM")
        provider = opened(started, "aes")
        key = SecretKey.generate()
        blob = provider.wrap(key, CONTEXT)
        assert provider.unwrap(blob, CONTEXT).equals(key)
        for context in (KeyContext("other", b"v" * 32, 1), KeyContext("acme", b"w" * 32, 1)):
            with pytest.raises(WrongKey):
                provider.unwrap(blob, context)
        assert not any("sign" in path or "verify" in path for path in started.paths)


def test_azure_a_key_that_may_not_sign_is_refused(tmp_path: Path) -> None:
    with AzureKeyVaultServer(tmp_path) as started:
        make(started, "one").extra["key_ops"] = ["wrapKey", "unwrapKey"]
        with pytest.raises(ConfigError, match="sign"):
            opened(started, "one")


@pytest.mark.parametrize(
    "extra", [{"derived": False}, {"type": "rsa-2048"}, {"convergent_encryption": True, "convergent_version": 3}]
)
def test_vault_other_kinds_of_keys_are_refused(tmp_path: Path, extra: dict[str, object]) -> None:
    with TransitServer(tmp_path) as started:
        make(started, "one").extra.update(extra)
        with pytest.raises(ConfigError):
            opened(started, "one")


def test_vault_rewrap_and_versions(tmp_path: Path) -> None:
    with TransitServer(tmp_path) as started:
        key = make(started, "one")
        provider = opened(started, "one")
        vault_key = SecretKey.generate()
        old = provider.wrap(vault_key, CONTEXT)
        started.rotate(key)
        new = provider.renewed(old, CONTEXT)
        assert new.startswith(b"vault:v2:")
        key.extra["min_decryption_version"] = 2
        assert provider.unwrap(new, CONTEXT).equals(vault_key)
        with pytest.raises(KeyUnavailable, match="min_decryption_version"):
            provider.unwrap(old, CONTEXT)


def test_vault_sealed_and_renewed_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TransitServer(tmp_path) as started:
        make(started, "one")
        provider = opened(started, "one", "&namespace=team-a")
        assert started.headers[-1]["x-vault-namespace"] == "team-a"
        blob = provider.wrap(SecretKey.generate(), CONTEXT)
        started.sealed = True
        with pytest.raises(KeyUnavailable) as caught:
            provider.unwrap(blob, CONTEXT)
        assert caught.value.retryable
        started.sealed, started.token = False, "renewed"
        with pytest.raises(KeyUnavailable) as caught:
            provider.unwrap(blob, CONTEXT)
        assert not caught.value.retryable
        monkeypatch.setenv("TEST_VAULT_TOKEN", "renewed")
        assert provider.unwrap(blob, CONTEXT)
