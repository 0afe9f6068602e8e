"""Official clients against protocol servers on loopback: what is sent, and what is made of every failure."""

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.support import Support

from tacita.config.reading import secrets_of
from tacita.credentials import Credential
from tacita.disclosed import Disclosed
from tacita.errors import ConfigError, ModelError
from tacita.models.remote.clients import _google_credentials
from tacita.models.remote.model import RemoteEmbedding, RemoteModel
from tacita.models.remote.uri import parse
from tacita.testing.servers import ModelServer

CANARY = "my sister's name is Quillfeather"
CHAT = {
    "openai": "openai:gpt-x@{url}/v1?key=env:K",
    "azure": "azure:deployment@{url}?key=env:K",
    "anthropic": "anthropic:claude-x@{url}?key=env:K",
    "bedrock": "bedrock:anthropic.claude-3-haiku-20240307-v1:0@{url}?key=env:K&secret=env:S&region=eu-central-1",
    "gemini": "gemini:gemini-2.5-flash@{url}?key=env:K",
    "vertex": "vertex:gemini-2.5-flash@{url}?token=env:T&project=p&location=europe-west1",
    "groq": "groq:llama@{url}/openai/v1?key=env:K",
    "mistral": "mistral:small@{url}/v1?key=env:K",
    "cohere": "cohere:command@{url}/compatibility/v1?key=env:K",
    "together": "together:m/x@{url}/v1?key=env:K",
    "ollama": "ollama:llama3@{url}/v1",
    "vllm": "vllm:m@{url}/v1",
    "lmstudio": "lmstudio:m@{url}/v1",
    "openai-compatible": "openai-compatible:any@{url}/v1",
}
EMBED = {
    "openai": "openai:text-embedding-3-small@{url}/v1?key=env:K&dimensions=8",
    "azure": "azure:deployment@{url}?key=env:K&dimensions=8",
    "gemini": "gemini:text-embedding-004@{url}?key=env:K&dimensions=8",
    "vertex": "vertex:text-embedding-004@{url}?token=env:T&project=p&location=europe-west1&dimensions=8",
    "ollama": "ollama:nomic@{url}/v1?dimensions=8",
}
CLIENTS = {
    "anthropic": "anthropic",
    "bedrock": "boto3",
    "gemini": "google-genai",
    "vertex": "google-genai",
}
"""Which vendor's client is used; for all others OpenAI's, whose protocol they speak."""


def supports(request: Any) -> Support | None:
    """Of the tests that ask each vendor."""
    which = getattr(request.node, "callspec", None) and request.node.callspec.params.get("which")
    if not which:
        return None
    role = "embedders" if request.node.originalname == "test_every_vendor_embeds" else "models"
    return Support(role, (which,), "our stand-in", "protocol", (CLIENTS.get(which, "openai"),))


SDKS = ["openai", "anthropic", "bedrock", "gemini", "vertex"]


def secret(option: str) -> Credential:
    return Credential(f"env:{option.upper()}", lambda _: f"synthetic-{option}")


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(lambda _, data: f'{{"facts": [], "echo": "{len(data)}"}}') as running:
        yield running


opened: list[RemoteModel | RemoteEmbedding] = []


@pytest.fixture(autouse=True)
def closing(server: ModelServer) -> Iterator[None]:
    # A client that gave up early may have left some of the script of the test before.
    server.will_do_well()
    yield
    while opened:
        opened.pop().close()


def embedder(which: str, server: ModelServer) -> RemoteEmbedding:
    opened.append(one := RemoteEmbedding(EMBED[which].format(url=server.url), secret))
    return one


def model(which: str, server: ModelServer, **options: str) -> RemoteModel:
    uri = CHAT[which].format(url=server.url)
    extra = "&".join(f"{key}={value}" for key, value in {"attempts": "1", **options}.items())
    opened.append(one := RemoteModel(uri + ("&" if "?" in uri else "?") + extra, secret))
    return one


def ask(one: RemoteModel) -> str:
    return one.complete(Disclosed(one.name, None, "Extract facts.", (CANARY,)))


def attempt(one: RemoteModel) -> str | ModelError | ConfigError:
    try:
        return ask(one)
    except (ModelError, ConfigError) as error:
        return error


@pytest.mark.parametrize("which", CHAT)
def test_every_vendor_answers(which: str, server: ModelServer) -> None:
    one = model(which, server)
    assert ask(one) == f'{{"facts": [], "echo": "{len(CANARY)}"}}'
    request = server.received[-1]
    assert b"Extract facts." in request.body
    assert CANARY.encode() in request.body
    assert one.hosts[0] == f"127.0.0.1:{server.port}"
    assert CANARY not in repr(one)


@pytest.mark.parametrize("which", EMBED)
def test_every_vendor_embeds(which: str, server: ModelServer) -> None:
    one = embedder(which, server)
    texts = tuple(f"text {number}" for number in range(70))
    rows = one.embed_disclosed(Disclosed(one.name, None, "", texts))
    assert rows.shape == (70, 8)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert len({tuple(row) for row in rows.tolist()}) == 70, "batches are put together in order"


@pytest.mark.parametrize("which", SDKS)
@pytest.mark.parametrize("behaviour", ["busy", "broken", "cut", "no_json", "wrong_shape", "refused", "redirect"])
def test_every_failure_is_ours_and_quotes_nothing(which: str, behaviour: str, server: ModelServer) -> None:
    server.will(behaviour)  # type: ignore[arg-type]
    one = model(which, server)
    outcome = attempt(one)
    if isinstance(outcome, str):
        # A client may read an odd shape as an empty answer; it must never make words up.
        assert behaviour in ("wrong_shape", "no_json"), behaviour
        assert outcome == ""
    else:
        told = "".join(traceback.format_exception(outcome))
        assert CANARY not in told
        assert "Quillfeather" not in repr(outcome.__context__)
        assert "synthetic-key" not in told
        assert isinstance(outcome, ConfigError) == (behaviour == "refused")
        assert outcome.retryable or behaviour not in ("busy", "broken", "cut")
    assert ask(one).startswith("{"), "the next call works"


@pytest.mark.parametrize("which", SDKS)
def test_a_slow_answer_is_given_up(which: str, server: ModelServer) -> None:
    server.will("slow")
    with pytest.raises(ModelError, match="in time") as caught:
        ask(model(which, server, timeout="1"))
    assert caught.value.retryable


@pytest.mark.parametrize("which", ["openai", "anthropic", "bedrock"])
def test_what_may_pass_is_tried_again(which: str, server: ModelServer) -> None:
    server.will("busy", "broken")
    before = len(server.received)
    assert ask(model(which, server, attempts="3")).startswith("{")
    assert len(server.received) == before + 3


@pytest.mark.parametrize("which", SDKS)
@pytest.mark.parametrize("behaviour", ["ok", "busy", "broken", "cut", "no_json", "wrong_shape", "refused"])
def test_nothing_is_logged_at_debug(
    which: str, behaviour: str, server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Lesson 19. The vendors' own libraries log whole requests at DEBUG."""
    server.will(behaviour)  # type: ignore[arg-type]
    with caplog.at_level(logging.DEBUG):
        attempt(model(which, server))
    written = "\n".join(f"{record.getMessage()} {record.args} {record.exc_text}" for record in caplog.records)
    assert not [word for word in ("Quillfeather", "synthetic-key", "synthetic-secret") if word in written]


def test_no_vendors_variable_reroutes_anything(monkeypatch: pytest.MonkeyPatch, server: ModelServer) -> None:
    """Lesson 21: a variable in the environment sent all prompts to another company."""
    with ModelServer() as elsewhere:
        for name in (
            "OPENAI_BASE_URL OPENAI_API_BASE AZURE_OPENAI_ENDPOINT ANTHROPIC_BASE_URL AWS_ENDPOINT_URL "
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME GOOGLE_GEMINI_BASE_URL GOOGLE_VERTEX_BASE_URL HTTP_PROXY http_proxy "
            "HTTPS_PROXY https_proxy ALL_PROXY all_proxy OLLAMA_BASE_URL OLLAMA_HOST GROQ_BASE_URL VLLM_BASE_URL"
        ).split():
            monkeypatch.setenv(name, elsewhere.url)
        for name in (
            "OPENAI_API_KEY AZURE_OPENAI_API_KEY ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN AWS_ACCESS_KEY_ID "
            "AWS_SECRET_ACCESS_KEY AWS_BEARER_TOKEN_BEDROCK GOOGLE_API_KEY GEMINI_API_KEY"
        ).split():
            monkeypatch.setenv(name, "ambient-credential")
        monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "somebody-elses")
        before = len(server.received)
        for which in CHAT:
            ask(model(which, server))
        for which in EMBED:
            one = embedder(which, server)
            one.embed_disclosed(Disclosed(one.name, None, "", ("text",)))
        assert elsewhere.received == []
        sent = server.received[before:]
        assert len(sent) == len(CHAT) + len(EMBED)
        assert not [each.path for each in sent if "ambient" in str(each.headers) or "somebody" in each.path]


def test_only_disclosed_values_are_taken(server: ModelServer) -> None:
    before = len(server.received)
    for wrong in (CANARY, (CANARY,), type("Disclosed", (), {"texts": (CANARY,), "instructions": ""})()):
        with pytest.raises(TypeError):
            model("openai", server).complete(wrong)  # type: ignore[arg-type]
    assert len(server.received) == before


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("openai:gpt-x", "no vendor's variable is read"),
        ("openai:gpt-x?key=sk-synthetic", "by reference"),
        ("openai:gpt-x@http://example.com/v1?key=env:K", "TLS"),
        ("openai:gpt-x@https://user:pass@example.com/v1?key=env:K", "no credentials in its address"),
        ("openai:?key=env:K", "MODEL"),
        ("openai:x?key=env:K&speed=9", "unknown options"),
        ("bedrock:m?key=env:K&secret=env:S", "region"),
        ("vertex:m?token=env:T", "project"),
        ("vertex:m?project=p&location=l", "credentials=file:PATH"),
        ("azure:m?key=env:K", "address"),
        ("openai:x?key=env:K&timeout=soon", "timeout"),
    ],
)
def test_a_wrong_uri_says_what_to_write(uri: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        RemoteModel(uri, secret)
    assert "sk-synthetic" not in str(caught.value)


def test_a_credential_shows_nothing() -> None:
    one = secret("key")
    assert "synthetic" not in f"{one!r} {one} {vars(type(one))}"
    assert one.reveal() == "synthetic-key"
    for attempt_at in (lambda: pickle.dumps(one), lambda: copy.copy(one), lambda: copy.deepcopy(one)):
        with pytest.raises(TypeError):
            attempt_at()


def test_a_service_accounts_file_is_read_whole(tmp_path: Path) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "client_email": "synthetic@example.iam.gserviceaccount.com",
        "private_key": private.decode(),
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account, indent=2))
    file.chmod(0o600)
    uri = f"vertex:m?project=p&location=l&credentials=file:{file}"
    found = _google_credentials(parse(uri), secrets_of(uri))
    assert found.service_account_email == account["client_email"]
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        _google_credentials(parse(uri), secrets_of(uri))
    file.chmod(0o600)
    file.write_text(json.dumps({**account, "token_uri": "https://elsewhere.example/token"}))
    with pytest.raises(ConfigError, match="unknown host"):
        _google_credentials(parse(uri), secrets_of(uri))
