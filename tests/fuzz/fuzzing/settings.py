"""What operators write: config files, environment variables and the addresses of models."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

from fuzzing.kit import MARKER, Refused, Target, attempt, from_json, json_seeds, require, skips_unreadable
from fuzzing.stored import FOLDER
from tacita.config import Settings
from tacita.config.egress import egress
from tacita.errors import ConfigError
from tacita.models.remote import uri


def configured(data: bytes) -> None:
    """A config file, JSON or TOML as it begins: ConfigError, or settings that can be shown and used."""
    if len(data) < 1:
        return
    path = FOLDER / ("config.json" if data[:1] in b"[{ \n" else "config.toml")
    path.write_bytes(data)
    _loaded(path, {}, quotes_marker=_names_marker(data))


def _names_marker(data: bytes) -> bool:
    """Whether the marker stands in a setting's name, which a message may quote, and not only in a value."""
    try:
        told = json.loads(data) if data[:1] in b"[{ \n" else tomllib.loads(data.decode())
    except (ValueError, RecursionError):
        return False
    waiting = [told]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if any(MARKER in str(key) for key in value) or MARKER in str(value.get("plugins", "")):
                return True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


def environment(value: Any) -> None:
    """Variables of the environment, those that name nothing of ours too."""
    if not isinstance(value, dict):
        return
    variables = {
        str(name).encode("utf-8", "replace").decode().replace("=", "").replace("\0", "") or "X": text.encode(
            "utf-8", "replace"
        )
        .decode()
        .replace("\0", "")
        for name, text in value.items()
        if isinstance(text, str)
    }
    if "TACITA_CONFIG" in variables:
        path = FOLDER / "named.json"
        path.write_text(variables["TACITA_CONFIG"])
        variables["TACITA_CONFIG"] = str(path)
    _loaded(None, variables, quotes_marker=True)


def _loaded(path: Path | None, variables: dict[str, str], *, quotes_marker: bool) -> None:
    kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    with mock.patch.dict(os.environ, {**kept, **variables}, clear=True):
        settings = attempt(lambda: Settings.load(config=path), ConfigError, quotes_marker=quotes_marker)
        if isinstance(settings, Refused):
            return
        # What was loaded can be used, or is refused before anything is opened.
        attempt(settings.policy, ConfigError, quotes_marker=True)
        attempt(settings.retained, ConfigError, quotes_marker=True)
        settings.terms()
        attempt(settings.explain, ConfigError, quotes_marker=True)
        attempt(lambda: egress(settings), ConfigError, quotes_marker=True)


def model_uri(data: bytes) -> None:
    """A model's address: ConfigError that quotes no option, or one that leads over TLS to the host that it names."""
    text = data.decode("utf-8", "surrogateescape")
    quotes = MARKER in text.partition("?")[0]
    found = attempt(lambda: uri.parse(text), ConfigError, quotes_marker=quotes)
    if isinstance(found, Refused):
        return
    require(found.url.startswith(("https://", "http://")), "a model is asked over HTTP")
    require(found.url.startswith("https://") or found.options.get("insecure") == "yes" or _near(found), "TLS")
    require(bool(found.host and found.name), "a model has a host and a name")
    vendor = {"bedrock": ".amazonaws.com", "vertex": "aiplatform.googleapis.com"}.get(found.scheme, "")
    require("@https://" in text or "@http://" in text or found.host.endswith(vendor), "the vendor's host")
    for option in ("timeout", "attempts", "concurrency", "dimensions"):
        attempt(lambda option=option: found.number(option, 1, 1, 600), ConfigError, quotes_marker=quotes)  # type: ignore[misc]


def _near(found: uri.ModelUri) -> bool:
    return found.host.partition(":")[0] in ("localhost",) or found.host.startswith(("127.", "[::1]", "[::ffff:"))


_CONFIG: Final = {
    "home": "/nonexistent/home",
    "tenant": "t",
    "store": "sqlite:log.db",
    "embedder": "none",
    "guard": {"profile": "strict", "types": {"email": "mask"}, "channels": {"tool": {"secret": "block"}}},
    "model": "openai:m@https://a.example/v1?key=env:K",
    "reranker": "rerank:m@https://a.example?key=env:K",
    "disclosure": {"pii": "mask", "names": True, "purposes": ["care"], "consent": "required"},
    "extraction": {"background": False, "threads": 2, "instructions": MARKER, "categories": ["a"], "renew_after": 3},
    "images": {"describe": True, "model": "openai:v@https://b.example/v1?key=env:K", "hosts": ["img.example.org"]},
    "retention": {"message": "90d", "fact": "2y"},
    "telemetry": {"enabled": True, "endpoint": "https://t.example", "key": "env:T"},
    "audit": "always",
    "cache_bytes": 1000,
    "plugins": {"allow": ["x"]},
    "models_folder": "${HOME}/models",
}
_TOML: Final = b"""home = "~/x"
model = "ollama:m"
[extraction]
instructions = "Zanzibar7391"
[guard]
profile = "clinical"
[guard.types]
email = "drop"
"""


def _configs() -> Iterator[bytes]:
    yield json.dumps(_CONFIG).encode()
    yield _TOML
    yield json.dumps({"home": "/nonexistent/x", "embedder": "openai:e?key=env:K&dimensions=8"}).encode()


TARGETS: Final = (
    Target(
        "config-file",
        "A config file is a ConfigError that quotes no value, or settings that can be shown and used",
        configured,
        _configs,
        "json",
    ),
    Target(
        "environment",
        "Whatever the environment holds: ConfigError, or settings that can be shown and used",
        skips_unreadable(environment, from_json),
        json_seeds(
            {"TACITA_HOME": "~/x", "TACITA_MODEL": "ollama:m", "TACITA_GUARD": "strict", "TACITA_EMBEDDER": "none"},
            {"TACITA_CONFIG": '{"store": "memory:", "model": "${M}"}', "M": "vllm:m", "DO_NOT_TRACK": "1"},
            {"TACITA_STORE": "sqlite:x", "TACITA_RERANKER": "model", "TACITA_KEYS": "env:K"},
        ),
        "json",
    ),
    Target(
        "model-uri",
        "A model's address is a ConfigError that quotes no option, or leads over TLS to the host that it names",
        model_uri,
        lambda: iter(
            [
                b"openai:gpt@https://host/v1?key=env:K&timeout=30&attempts=2",
                b"bedrock:a.b?region=eu-central-1&key=env:Zanzibar7391",
                b"vllm:m@http://127.0.0.1:8000/v1?insecure=yes",
                b"vertex:m@001?project=p&location=global&credentials=default",
                b"openai-compatible:m@https://[::1]:8/v1?token=Zanzibar7391",
            ]
        ),
    ),
)
