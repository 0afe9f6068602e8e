"""What a model's URI says: `openai:gpt-4.1-mini@https://host/v1?key=env:OPENAI_API_KEY`.

Nothing else decides where words go: the vendors' own environment variables are never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from tacita import addresses
from tacita.errors import ConfigError
from tacita.patterns import lazy_pattern

_OPTIONS: Final = frozenset(
    {
        "key", "secret", "token", "region", "project", "location", "version", "credentials", "dimensions", "timeout",
        "attempts", "concurrency", "insecure",
    }
)  # fmt: skip
DEFAULT_URLS: Final[Mapping[str, str]] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "cohere": "https://api.cohere.ai/compatibility/v1",
    "together": "https://api.together.xyz/v1",
    "rerank": "https://api.cohere.com",
    "ollama": "http://127.0.0.1:11434/v1",
    "vllm": "http://127.0.0.1:8000/v1",
    "lmstudio": "http://127.0.0.1:1234/v1",
}
_PLACE: Final = lazy_pattern("[a-z0-9-]*")
"""A region becomes part of a host name: nothing in it may lead to another one."""
_LOCAL: Final = frozenset({"ollama", "vllm", "lmstudio", "rerank"})
"""These need no key."""


class ModelUri(msgspec.Struct, frozen=True):
    """A model's address, parsed and checked. Holds references to credentials, never a credential."""

    scheme: str
    model: str
    url: str
    options: Mapping[str, str]

    @property
    def name(self) -> str:
        """`scheme:model`, with the host where it is not the vendor's."""
        usual = DEFAULT_URLS.get(self.scheme)
        return f"{self.scheme}:{self.model}" + ("" if self.url == usual else f"@{self.host}")

    @property
    def host(self) -> str:
        """Host and, if it is not the usual one, port."""
        return urlsplit(self.url).netloc

    @property
    def needs_key(self) -> bool:
        """Whether this vendor lets nobody in without one."""
        return self.scheme not in _LOCAL and self.scheme != "openai-compatible"

    def number(self, option: str, default: float, least: float, most: float) -> float:
        """A numeric option. Raises ConfigError."""
        return addresses.number(f"model {self.name}", self.options, option, default, least, most)


def parse(uri: str) -> ModelUri:
    """Take a URI apart. Raises ConfigError, never quoting an option's value."""
    scheme, _, rest = uri.partition(":")
    # Without a colon all of it would be the scheme, which messages name: options are none of it.
    scheme = scheme.partition("?")[0]
    rest, _, query = rest.partition("?")
    options = addresses.options_of(f"model {scheme}", query, _OPTIONS, ("key", "secret", "token"))
    if options.get("credentials", "default") != "default":
        addresses.check_reference(f"model {scheme}", "credentials", options["credentials"])
    for option in ("region", "location"):
        if not _PLACE.fullmatch(options.get(option, "")):
            raise ConfigError(f"model {scheme}: {option} is a name of lower-case letters, digits and hyphens")
    if options.get("insecure", "no") not in ("yes", "no"):
        raise ConfigError(f"model {scheme}: insecure is yes or no")
    # A model's name may hold "@" (Vertex versions); a URL begins after the last one that is followed by a scheme.
    at = max(rest.rfind("@https://"), rest.rfind("@http://"))
    model, url = (rest, "") if at < 0 else (rest[:at], rest[at + 1 :])
    if not model or not model.isprintable() or any(char.isspace() for char in model):
        raise ConfigError(f"a model is named as {scheme}:MODEL")
    url = (url or _usual_url(scheme, options)).rstrip("/")
    addresses.http_parts(f"model {scheme}", url, insecure=options.get("insecure") == "yes")
    return ModelUri(scheme, model, url, options)


def _usual_url(scheme: str, options: Mapping[str, str]) -> str:
    if scheme == "bedrock":
        if not options.get("region"):
            raise ConfigError("model bedrock: name the region, as in bedrock:MODEL?region=eu-central-1")
        return f"https://bedrock-runtime.{options['region']}.amazonaws.com"
    if scheme == "vertex":
        if not options.get("project") or not options.get("location"):
            raise ConfigError("model vertex: name project and location, as in vertex:MODEL?project=P&location=L")
        location = options["location"]
        return "https://aiplatform.googleapis.com" if location == "global" else (
            f"https://{location}-aiplatform.googleapis.com"
        )  # fmt: skip
    if scheme not in DEFAULT_URLS:
        raise ConfigError(f"model {scheme}: name its address, as in {scheme}:MODEL@https://HOST/v1")
    return DEFAULT_URLS[scheme]
