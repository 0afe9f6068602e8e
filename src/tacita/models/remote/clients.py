"""The official clients of the vendors, told everything explicitly and confined to the host of the URI.

An SDK would else look into its vendor's environment variables for an address, a proxy or a key.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, Final

import httpx2
from pydantic_ai.embeddings import EmbeddingModel
from pydantic_ai.models import Model

from tacita.credentials import Credential
from tacita.errors import ConfigError
from tacita.models.remote.uri import ModelUri

Secret = Callable[[str], Credential]
"""From an option's name to its credential. Raises ConfigError when it is not given."""

NO_KEY: Final = "not-needed"
_TELLING: Final = ("x-stainless-", "openai-organization", "openai-project", "x-goog-api-client")
"""What clients tell about this machine, or take from its environment, without being asked."""
_TALKATIVE: Final = (
    *("openai", "anthropic", "boto3", "botocore", "google_genai", "google.auth", "urllib3"),
    *("httpx", "httpcore", "httpx2", "httpcore2", "pydantic_ai"),
)
_OAUTH: Final = "https://oauth2.googleapis.com/token"


class _Confined(httpx2.AsyncHTTPTransport):
    """Lets requests through to one host only, whatever a library or a redirect makes of the address."""

    def __init__(self, host: str) -> None:
        super().__init__(verify=True, trust_env=False, retries=0)
        self._host = host

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.netloc.decode() != self._host:
            raise ConfigError(f"a request to a host other than {self._host} was refused")
        for name in [name for name in request.headers if name.lower().startswith(_TELLING)]:
            del request.headers[name]
        return await super().handle_async_request(request)


def hush() -> None:
    """Keep the vendors' libraries from logging: at DEBUG they write whole requests, words and all."""
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if logger.level < logging.WARNING:
            logger.setLevel(logging.WARNING)


def open_http(uri: ModelUri, timeout: float) -> httpx2.AsyncClient:
    """The HTTP client of one model. Belongs to one event loop; whoever opens it closes it."""
    hush()
    return httpx2.AsyncClient(transport=_Confined(uri.host), timeout=timeout, trust_env=False, follow_redirects=False)


def _openai(uri: ModelUri, secret: Secret, timeout: float, http: httpx2.AsyncClient) -> Any:
    from openai import AsyncOpenAI
    from pydantic_ai.providers.openai import OpenAIProvider

    key = secret("key").reveal() if uri.needs_key or "key" in uri.options else NO_KEY
    client = AsyncOpenAI(
        api_key=key, base_url=uri.url, max_retries=0, timeout=timeout, http_client=http,
        organization="", project="",
    )  # fmt: skip
    return OpenAIProvider(openai_client=client)


def _azure(uri: ModelUri, secret: Secret, timeout: float, http: httpx2.AsyncClient) -> Any:
    from openai import AsyncAzureOpenAI
    from pydantic_ai.providers.azure import AzureProvider

    client = AsyncAzureOpenAI(
        azure_endpoint=uri.url,
        api_key=secret("key").reveal(),
        api_version=uri.options.get("version", "2024-10-21"),
        max_retries=0,
        timeout=timeout,
        http_client=http,
    )
    return AzureProvider(openai_client=client)


def _anthropic(uri: ModelUri, secret: Secret, timeout: float, http: httpx2.AsyncClient) -> Any:
    from anthropic import AsyncAnthropic
    from pydantic_ai.providers.anthropic import AnthropicProvider

    client = AsyncAnthropic(
        api_key=secret("key").reveal(), base_url=uri.url, max_retries=0, timeout=timeout, http_client=http
    )
    return AnthropicProvider(anthropic_client=client)


def _bedrock(uri: ModelUri, secret: Secret, timeout: float) -> Any:
    import boto3
    from botocore.config import Config
    from pydantic_ai.providers.bedrock import BedrockProvider

    settings = Config(
        read_timeout=timeout,
        connect_timeout=min(10.0, timeout),
        retries={"total_max_attempts": 1},
        proxies={},
        # Named, or a bearer token in the environment would take the place of the keys that the URI names.
        signature_version="v4",
        ignore_configured_endpoint_urls=True,
    )
    session = boto3.Session(
        aws_access_key_id=secret("key").reveal(),
        aws_secret_access_key=secret("secret").reveal(),
        aws_session_token=secret("token").reveal() if "token" in uri.options else None,
        region_name=uri.options.get("region", "us-east-1"),
    )
    # `verify` named as well: else a variable in the environment says whose certificates are good.
    client = session.client("bedrock-runtime", endpoint_url=uri.url, config=settings, verify=True)
    return BedrockProvider(bedrock_client=client)


def _google(uri: ModelUri, secret: Secret, timeout: float, http: httpx2.AsyncClient) -> Any:
    from google.genai import Client, types
    from pydantic_ai.providers.google import GoogleProvider

    options = types.HttpOptions(
        base_url=uri.url,
        timeout=int(timeout * 1000),
        httpx_async_client=http,
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    if uri.scheme == "gemini":
        return GoogleProvider(client=Client(vertexai=False, api_key=secret("key").reveal(), http_options=options))
    client = Client(
        vertexai=True,
        project=uri.options.get("project", "-"),
        location=uri.options.get("location", "global"),
        credentials=_google_credentials(uri, secret),
        http_options=options,
    )
    return GoogleProvider(client=client)


def _google_credentials(uri: ModelUri, secret: Secret) -> Any:
    """A service account's JSON by reference, or the machine's own credentials when the URI says `default`."""
    import google.auth
    from google.oauth2 import credentials, service_account

    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    if "token" in uri.options:
        return credentials.Credentials(token=secret("token").reveal())  # type: ignore[no-untyped-call]
    if uri.options.get("credentials") == "default":
        found, _ = google.auth.default(scopes=scopes)
        return found
    try:
        described = json.loads(secret("credentials").reveal())
    except ValueError:
        described = None
    if not isinstance(described, dict) or described.get("type") != "service_account":
        raise ConfigError(f"model {uri.name}: credentials must be the JSON of a service account, or `default`")
    if described.get("token_uri") != _OAUTH:
        raise ConfigError(f"model {uri.name}: this service account gets its tokens from an unknown host")
    return service_account.Credentials.from_service_account_info(described, scopes=scopes)  # type: ignore[no-untyped-call]


def open_model(uri: ModelUri, secret: Secret, timeout: float, http: httpx2.AsyncClient) -> Model:
    """The library's model behind a URI."""
    if uri.scheme == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel

        return AnthropicModel(uri.model, provider=_anthropic(uri, secret, timeout, http))
    if uri.scheme == "bedrock":
        from pydantic_ai.models.bedrock import BedrockConverseModel

        return BedrockConverseModel(uri.model, provider=_bedrock(uri, secret, timeout))
    if uri.scheme in ("gemini", "vertex"):
        from pydantic_ai.models.google import GoogleModel

        return GoogleModel(uri.model, provider=_google(uri, secret, timeout, http))
    from pydantic_ai.models.openai import OpenAIChatModel

    provider = _azure(uri, secret, timeout, http) if uri.scheme == "azure" else _openai(uri, secret, timeout, http)
    return OpenAIChatModel(uri.model, provider=provider)


def open_embedding_model(uri: ModelUri, secret: Secret, timeout: float, http: httpx2.AsyncClient) -> EmbeddingModel:
    """The same for an embedder."""
    if uri.scheme == "bedrock":
        from pydantic_ai.embeddings.bedrock import BedrockEmbeddingModel

        return BedrockEmbeddingModel(uri.model, provider=_bedrock(uri, secret, timeout))
    if uri.scheme in ("gemini", "vertex"):
        from pydantic_ai.embeddings.google import GoogleEmbeddingModel

        return GoogleEmbeddingModel(uri.model, provider=_google(uri, secret, timeout, http))
    if uri.scheme == "anthropic":
        raise ConfigError("anthropic has no embedders")
    from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel

    provider = _azure(uri, secret, timeout, http) if uri.scheme == "azure" else _openai(uri, secret, timeout, http)
    return OpenAIEmbeddingModel(uri.model, provider=provider)
