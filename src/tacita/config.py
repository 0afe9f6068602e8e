"""Settings, and `build`: the only reader of environment and config files, the only place that names providers.

A setting comes from, in this order: an argument, the config file, a `TACITA_` variable, the home's recorded choice,
the default. No other environment variable is ever read, so that no vendor's variable can reroute anything.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec
import platformdirs

from tacita import __version__, _home, registry
from tacita.credentials import Credential
from tacita.errors import ConfigError, CryptoError, WrongKey
from tacita.hazmat import SecretKey, committed_open, committed_seal
from tacita.pipeline.prompt import Guidance
from tacita.ports.keys import KeyContext, KeyProvider, KeyRing
from tacita.ports.log import LogStore
from tacita.ports.models import Embedder, LanguageModel, RemoteEmbedder, RemoteReranker, Reranker
from tacita.privacy.detect import scan
from tacita.privacy.disclose import Terms
from tacita.privacy.policy import PROFILES, Action, Policy
from tacita.telemetry import OpenTelemetry, PostHog, Telemetry, facts

DEFAULT_EMBEDDER = "local:minilm"
_VARIABLES = {
    "home": "TACITA_HOME",
    "store": "TACITA_STORE",
    "keys": "TACITA_KEYS",
    "embedder": "TACITA_EMBEDDER",
    "guard": "TACITA_GUARD",
    "model": "TACITA_MODEL",
    "reranker": "TACITA_RERANKER",
}
_CONFIG_VARIABLE = "TACITA_CONFIG"
_URI_FIELDS = ("store", "ring", "keys", "embedder", "model", "reranker")
_LITERAL_SECRET = re.compile(
    r"//[^/@\s]*:[^/@\s]+@|^(?:[0-9a-fA-F]{64}|[A-Za-z0-9+/]{43}=)$"
    r"|[?&](?:key|secret|token|credentials)=(?!(?:env|file|keyring):|default\b)"
)


class Plugins(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Third-party providers."""

    allow: tuple[str, ...] = ()


class GuardSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A guard profile with exceptions: by type, by channel, by tenant."""

    profile: Literal["default", "strict", "clinical", "off"] = "default"
    types: dict[str, Action] = {}
    """By type of finding; `secret` and `pii` stand for all types of a class."""
    channels: dict[str, dict[str, Action]] = {}
    """By channel: user, assistant, system, tool or import."""
    tenants: dict[str, dict[str, Action]] = {}
    """By tenant: exceptions to `types`."""

    def policy(self, tenant: str) -> Policy:
        """As the guard takes it."""
        base = PROFILES[self.profile]
        types = {**base.types, **self.types, **self.tenants.get(tenant, {})}
        return dataclasses.replace(base, types=types, channels=self.channels)


class Disclosure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What models elsewhere may be told."""

    pii: Literal["pseudonymise", "mask", "keep", "block"] = "pseudonymise"
    names: bool | None = None
    """Whether speakers' names are replaced; by default only under the guard profile `strict`."""
    purposes: tuple[str, ...] = ()
    consent: Literal["assumed", "required"] = "assumed"

    def terms(self, guard: str) -> Terms:
        """The same as the disclosure flow takes it."""
        names = guard == "strict" if self.names is None else self.names
        return Terms(self.pii, names, self.purposes, self.consent)


class ExtractionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How facts are drawn from messages. The operator's, never a caller's."""

    background: bool = False
    """True: `add` returns when the messages are safe, and the facts follow."""
    threads: int = 8
    instructions: str = ""
    categories: tuple[str, ...] = ()

    def guidance(self) -> Guidance:
        """What the prompt says beside our own instructions."""
        return Guidance(self.instructions, self.categories)


class TelemetrySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts of operations, to an endpoint of the operator's. Off unless turned on."""

    enabled: bool = False
    kind: Literal["posthog", "otel"] = "posthog"
    endpoint: str | None = None
    """PostHog-compatible, `https://...`."""
    key: str | None = None
    """Project key by reference: `env:NAME`."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set, parsed once. `origins` tells where each value came from."""

    home: Path
    tenant: str = "default"
    store: str | None = None
    ring: str | None = None
    keys: str | None = None
    embedder: str = DEFAULT_EMBEDDER
    guard: Literal["default", "strict", "clinical", "off"] | GuardSettings = "default"
    """What happens to secrets and personal data in what is added: see docs/how-to/guard.md."""
    model: str | None = None
    """Language model for facts, such as `openai:gpt-4.1-mini?key=env:OPENAI_API_KEY`."""
    reranker: str | None = None
    """`cross-encoder:FOLDER`, `rerank:MODEL?key=env:NAME`, or `model`: the language model orders the best hits."""
    disclosure: Disclosure = Disclosure()
    extraction: ExtractionSettings = ExtractionSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    cache_bytes: int = 1 << 30
    plugins: Plugins = Plugins()
    models_folder: Path | None = None
    """Where `tacita models fetch` keeps models; default: `models` in the home."""
    origins: dict[str, str] = {}

    @classmethod
    def load(
        cls,
        *,
        home: str | os.PathLike[str] | None = None,
        config: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    ) -> Settings:
        """The effective settings. Raises ConfigError for unknown keys, wrong types and literal secrets."""
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for name, variable in _VARIABLES.items():
            if os.environ.get(variable):
                values[name], origins[name] = os.environ[variable], variable
        config = config if config is not None else os.environ.get(_CONFIG_VARIABLE) or None
        if config is not None:
            described, source = _read_config(config)
            described = _expanded(described, "")
            values.update(described)
            origins.update(dict.fromkeys(described, source))
        if home is not None:
            values["home"], origins["home"] = os.fspath(home), "argument"
        if "home" not in values:
            values["home"] = str(platformdirs.user_data_path("tacita"))
        _refuse_literal_secrets(values)
        values["home"] = str(Path(values["home"]).expanduser().absolute())
        try:
            return msgspec.convert({**values, "origins": origins}, cls, dec_hook=_decode)
        except msgspec.ValidationError as error:
            # msgspec names the path and the types, not the value.
            raise ConfigError(f"config: {error}") from None

    @property
    def guard_profile(self) -> str:
        """Name of the guard profile."""
        return self.guard if isinstance(self.guard, str) else self.guard.profile

    def policy(self) -> Policy:
        """What the guard does for this tenant. Raises ConfigError for a channel that there is none of."""
        chosen = GuardSettings(self.guard) if isinstance(self.guard, str) else self.guard
        unknown = chosen.channels.keys() - {"user", "assistant", "system", "tool", "import"}
        if unknown:
            raise ConfigError("guard.channels knows user, assistant, system, tool and import")
        return chosen.policy(self.tenant)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def keys_folder(self) -> Path:
        return self.home / "keys"

    @property
    def models(self) -> Path:
        return self.models_folder or self.home / "models"

    def explain(self) -> dict[str, dict[str, str]]:
        """Each setting with its effective value and where that came from. Values are never secrets."""
        recorded = _home.recorded_keys(self.home)
        shown = {
            "home": str(self.home),
            "tenant": self.tenant,
            "store": self.store or f"sqlite:{self.data / 'log.db'}",
            "ring": self.ring or f"sqlite:{self.keys_folder / 'ring.db'}",
            "keys": self.keys or recorded or "chosen at first use",
            "embedder": self.embedder,
            "guard": self.guard_profile,
            "guard.types": _listed(self.policy().types),
            "model": self.model or "none",
            "reranker": self.reranker or "none",
            "disclosure.pii": self.disclosure.pii,
            "disclosure.names": str(self.disclosure.terms(self.guard_profile).names).lower(),
            "disclosure.purposes": ", ".join(self.disclosure.purposes) or "any",
            "disclosure.consent": self.disclosure.consent,
            "extraction.background": str(self.extraction.background).lower(),
            "extraction.categories": ", ".join(self.extraction.categories) or "any",
            "telemetry.enabled": str(self.telemetry.enabled and not telemetry_off()).lower(),
            "telemetry.endpoint": self.telemetry.endpoint or "none",
            "cache_bytes": str(self.cache_bytes),
            "plugins.allow": ", ".join(self.plugins.allow),
        }
        recorded_origin = {"keys": "recorded in home.json"} if recorded and not self.keys else {}
        return {
            name: {"value": value, "origin": self.origins.get(name.split(".")[0], recorded_origin.get(name, "default"))}
            for name, value in shown.items()
        }


def _listed(types: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={action}" for name, action in sorted(types.items())) or "as the profile"


def _decode(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError


def _read_config(config: Mapping[str, Any] | str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    if isinstance(config, Mapping):
        described, source = dict(config), "config"
    else:
        path = Path(config)
        source = str(path)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"the config file {path} cannot be read: {error.strerror}") from None
        try:
            described = json.loads(raw) if path.suffix == ".json" else tomllib.loads(raw.decode())
        except (ValueError, RecursionError):
            raise ConfigError(
                f"the config file {path} is not valid {'JSON' if path.suffix == '.json' else 'TOML'}"
            ) from None
        if not isinstance(described, dict):
            raise ConfigError(f"the config file {path} must hold an object")
    known = [name for name in Settings.__struct_fields__ if name != "origins"]
    for name in described:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
            raise ConfigError(f"unknown setting {str(name)!r} in {source}{hint}")
    return described, source


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _expanded(value: Any, where: str) -> Any:
    """A config value with `${NAME}` replaced by that variable, at any depth. Raises ConfigError for one that is not set."""
    if isinstance(value, str):

        def of(match: re.Match[str]) -> str:
            if match[1] not in os.environ:
                raise ConfigError(f"{where} uses ${{{match[1]}}}, and that variable is not set")
            return os.environ[match[1]]

        return _VARIABLE.sub(of, value)
    if isinstance(value, Mapping):
        return {key: _expanded(each, f"{where}.{key}" if where else str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_expanded(each, where) for each in value]
    return value


def _strings(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _strings(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each, name)


def _refuse_literal_secrets(values: Mapping[str, Any]) -> None:
    for name, value in _strings(values, ""):
        if name.rpartition(".")[2] in ("key", "secret", "token", "password", "credentials"):
            literal = value.partition(":")[0] not in ("env", "file", "keyring")
        else:
            literal = name in _URI_FIELDS and _LITERAL_SECRET.search(value) is not None
            # By what it is and not by what it is called: a connection string hides in a name that nobody thought of.
            # Not what only stands behind a telling word: `passphrase:file:...` is no password.
            literal = literal or any(
                finding.kind == "secret" and finding.type not in ("password", "token") for finding in scan(value)
            )
        if literal:
            written = "...?key=env:NAME" if name in ("model", "embedder") else "env:NAME"
            raise ConfigError(
                f'the setting {name} holds a literal secret; put it into a variable and write {name} = "{written}"'
            )


@dataclass(frozen=True)
class Parts:
    """What a memory is built from. `close` lets go of what `build` opened, not of what the caller gave."""

    settings: Settings
    store: LogStore
    ring: KeyRing
    keys: KeyProvider
    embedder: Embedder | RemoteEmbedder | None
    model: LanguageModel | None = None
    reranker: Reranker | RemoteReranker | LanguageModel | None = None
    owned: tuple[Callable[[], None], ...] = field(default=())

    def close(self) -> None:
        for close in self.owned:
            close()

    def describe(self) -> dict[str, Any]:
        """What `doctor` shows. No content and no secret."""
        home = self.settings.home
        on_disk = self.store.scheme == "sqlite"
        files = _home.file_modes(home) if home.is_dir() else []
        same_disk = bool(self.keys.id.startswith("file:") and _home.same_disk(home, self.keys.where))
        return {
            "home": str(home),
            "tenant": self.settings.tenant,
            "store": self.store.scheme,
            "durable": on_disk,
            "sealed": ["texts", "metadata", "labels", "timestamps", "vectors", "history", "audit log"],
            "visible_to_store": ["number of vaults", "number, order and padded size of events", "keyed tags"],
            "key_provider": self.keys.id,
            "key_location": self.keys.where,
            "key_on_same_disk": same_disk,
            "files": files,
            "files_private": all(entry["private"] for entry in files),
            "embedder": "none" if self.embedder is None else self.embedder.name,
            "guard": self.settings.guard_profile,
            "model": "none" if self.model is None else self.model.name,
            "reranker": "none" if self.reranker is None else self.reranker.name,
            "egress": _manifest(self.settings, self.embedder, self.model, self.reranker),
        }


def telemetry_off() -> bool:
    """Whether the environment switches telemetry off. Read each time: the switch works at any moment."""
    return os.environ.get("TACITA_TELEMETRY", "").lower() in ("0", "false", "off", "no") or (
        os.environ.get("DO_NOT_TRACK", "").lower() not in ("", "0", "false")
    )


def open_telemetry(parts: Parts, installation: str, *, preview: bool = False) -> Telemetry | None:
    """The telemetry that the settings describe; None if they do not turn it on.

    Args:
        preview: make it even if it is off, to show what it would send.

    Raises ConfigError for an endpoint that is missing or not protected.
    """
    chosen = parts.settings.telemetry
    if not chosen.enabled and not preview:
        return None
    if chosen.kind == "otel":
        sink: OpenTelemetry | PostHog = OpenTelemetry()
    else:
        scheme, host = urlsplit(chosen.endpoint or "").scheme, urlsplit(chosen.endpoint or "").hostname
        local = scheme == "http" and host in ("127.0.0.1", "::1", "localhost")
        if not preview and not (host and (scheme == "https" or local)):
            raise ConfigError('telemetry needs telemetry.endpoint = "https://HOST"; there is no default')
        sink = PostHog(chosen.endpoint or "")
    return Telemetry(
        sink,
        installation=installation,
        key=_read_reference(chosen.key) if chosen.key else "",
        facts=facts(
            __version__,
            store=parts.store.scheme,
            embedder="none" if parts.embedder is None else parts.embedder.name,
            model="none" if parts.model is None else parts.model.name,
            guard=parts.settings.guard_profile,
        ),
        is_off=telemetry_off,
    )


def egress(settings: Settings, *, embedder: str | None = None, model: str | None = None) -> list[dict[str, Any]]:
    """Every host that a configuration may contact, and what kind of data goes there. Opens and contacts nothing.

    Raises ConfigError for a model that is not described as it must be.
    """
    owned: list[Callable[[], None]] = []
    uri = embedder or settings.embedder
    remote = registry.split(uri)[0] in registry.REMOTE_EMBEDDERS
    found = _build_embedder(settings, uri, owned) if remote else None
    described = _build_model(settings, model, owned)
    local = registry.split(settings.reranker or "")[0] == "cross-encoder"
    return _manifest(settings, found, described, None if local else _build_reranker(settings, described, owned))


def _manifest(
    settings: Settings,
    embedder: Embedder | RemoteEmbedder | None,
    model: LanguageModel | None,
    reranker: Reranker | RemoteReranker | LanguageModel | None,
) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    told = f"personal data: {settings.disclosure.pii}; secrets: masked"
    if model is not None:
        what = "messages of an add with infer, and related facts"
        for host in model.hosts or ("a function in this process",):
            entries.append(_entry("model", model.name, host, what, told))
    if isinstance(embedder, RemoteEmbedder):
        what = "every text that is kept, and every query"
        entries += [_entry("embedder", embedder.name, host, what, told) for host in embedder.hosts]
    if isinstance(reranker, RemoteReranker | LanguageModel):
        what = "queries and the texts that they find"
        entries += [_entry("reranker", reranker.name, host, what, told) for host in reranker.hosts]
    if settings.telemetry.enabled and settings.telemetry.kind == "posthog" and settings.telemetry.endpoint:
        host = urlsplit(settings.telemetry.endpoint).netloc
        entries.append(_entry("telemetry", "posthog", host, "counts of operations", "no content, no ids"))
    return entries


def _entry(role: str, name: str, host: str, data: str, policy: str) -> dict[str, Any]:
    credentials = host in ("oauth2.googleapis.com", "metadata.google.internal")
    return {
        "role": role,
        "name": name,
        "host": host,
        "data": "credentials only" if credentials else data,
        "policy": "" if credentials else policy,
    }


def build(
    settings: Settings,
    *,
    store: str | LogStore | None = None,
    ring: str | KeyRing | None = None,
    keys: str | KeyProvider | None = None,
    embedder: str | Embedder | RemoteEmbedder | None = None,
    model: str | LanguageModel | Callable[[str, str], str] | None = None,
) -> Parts:
    """Open what the settings and arguments name, run the self-test, and hand it over.

    Raises ConfigError, KeyUnavailable, WrongKey, StoreError; nothing is half open afterwards.
    """
    owned: list[Callable[[], None]] = []
    uris = (("store", store), ("ring", ring), ("keys", keys), ("embedder", embedder), ("model", model))
    for name, given in uris:
        if isinstance(given, str):
            _refuse_literal_secrets({name: given})
    try:
        opened_embedder = _build_embedder(settings, embedder, owned)
        opened_model = _build_model(settings, model, owned)
        opened_reranker = _build_reranker(settings, opened_model, owned)
        chosen_store = store if store is not None else settings.store
        in_memory = isinstance(chosen_store, str) and registry.split(chosen_store)[0] == "memory"
        if in_memory:
            ring = ring if ring is not None else settings.ring or "memory:"
            keys = keys if keys is not None else settings.keys or "ephemeral:"
        elif not isinstance(chosen_store, LogStore):
            _home.prepare(settings.home)
            if ring is None and settings.ring is None and chosen_store is None:
                _home.require_ring(settings.home)
        provider = _build_keys(settings, keys, owned, has_home=not in_memory)
        opened_ring = _build_file(
            "rings", settings, ring or settings.ring, settings.keys_folder.resolve() / "ring.db", owned
        )
        opened_store = _build_file("stores", settings, chosen_store, settings.data / "log.db", owned)
        parts = Parts(
            settings,
            opened_store,
            opened_ring,
            provider,
            opened_embedder,
            opened_model,
            opened_reranker,
            tuple(reversed(owned)),
        )
        self_test(parts)
    except BaseException:
        for close in reversed(owned):
            close()
        raise
    return parts


def _build_file(
    role: registry.Role, settings: Settings, given: Any, default: Path, owned: list[Callable[[], None]]
) -> Any:
    if given is not None and not isinstance(given, str):
        return given
    scheme, rest = registry.split(given or f"sqlite:{default}")
    factory = registry.lookup(role, scheme, settings.plugins.allow)
    if scheme == "memory":
        opened = factory()
    elif scheme == "sqlite":
        opened = factory(default.parent / rest if rest else default)
    else:
        opened = factory(rest)
    owned.append(opened.close)
    return opened


def _build_embedder(
    settings: Settings, given: str | Embedder | RemoteEmbedder | None, owned: list[Callable[[], None]]
) -> Embedder | RemoteEmbedder | None:
    if given is not None and not isinstance(given, str):
        if not isinstance(given, Embedder | RemoteEmbedder):
            raise ConfigError("an embedder has name, dimensions and embed(texts)")
        return given
    uri = given or settings.embedder
    scheme = registry.split(uri)[0]
    factory = registry.lookup("embedders", scheme, settings.plugins.allow)
    opened: Any
    if scheme in registry.REMOTE_EMBEDDERS:
        opened = factory(uri, _secrets_of(uri))
        owned.append(opened.close)
    else:
        opened = factory(uri, models_dir=settings.models)
    found: Embedder | RemoteEmbedder | None = opened
    return found


def _build_model(
    settings: Settings,
    given: str | LanguageModel | Callable[[str, str], str] | None,
    owned: list[Callable[[], None]],
) -> LanguageModel | None:
    if isinstance(given, LanguageModel):
        return given
    if given is not None and not isinstance(given, str):
        if not callable(given):
            raise ConfigError("a model has name, hosts and complete(prompt), or is a function (instructions, data)")
        wrap = registry.lookup("models", "function")
        wrapped: LanguageModel = wrap(given)
        return wrapped
    uri = given or settings.model
    if uri is None or uri == "none":
        return None
    factory = registry.lookup("models", registry.split(uri)[0], settings.plugins.allow)
    opened: Any = factory(uri, _secrets_of(uri))
    owned.append(opened.close)
    found: LanguageModel = opened
    return found


def _build_reranker(
    settings: Settings, model: LanguageModel | None, owned: list[Callable[[], None]]
) -> Reranker | RemoteReranker | LanguageModel | None:
    uri = settings.reranker
    if uri is None or uri == "none":
        return None
    if uri == "model":
        if model is None:
            raise ConfigError("reranker = model needs a language model: set model as well")
        return model
    scheme, rest = registry.split(uri)
    factory = registry.lookup("rerankers", scheme, settings.plugins.allow)
    if scheme == "cross-encoder":
        local: Reranker = factory(rest)
        return local
    opened: Any = factory(uri, _secrets_of(uri))
    owned.append(opened.close)
    remote: RemoteReranker = opened
    return remote


def _secrets_of(uri: str) -> Callable[[str], Credential]:
    """The credentials that a URI refers to, by option."""
    references = dict(parse_qsl(uri.partition("?")[2]))

    def secret(option: str) -> Credential:
        if option not in references:
            raise ConfigError(f"{uri.partition('?')[0]}: {option} is not given; write {option}=env:NAME")
        # A service account's JSON has many lines; of other files the first one counts.
        return Credential(references[option], partial(_read_reference, whole=option == "credentials"))

    return secret


def _build_keys(
    settings: Settings, given: str | KeyProvider | None, owned: list[Callable[[], None]], *, has_home: bool
) -> KeyProvider:
    if isinstance(given, KeyProvider):
        return given
    uri = given or settings.keys

    def opened(uri: str) -> KeyProvider:
        return _open_keys(settings, uri)

    provider = _home.choose_keys(settings.home, uri, opened) if has_home else opened(uri or "ephemeral:")
    owned.append(provider.close)
    return provider


def _open_keys(settings: Settings, uri: str) -> KeyProvider:
    scheme, rest = registry.split(uri)
    factory = registry.lookup("keys", scheme, settings.plugins.allow)
    provider: KeyProvider
    if scheme == "file":
        provider = factory(settings.keys_folder / rest)
    elif scheme == "env":
        provider = factory(rest, os.environ.get)
    elif scheme == "passphrase":
        provider = factory(_read_reference(rest), settings.keys_folder / "passphrase.json")
    elif scheme == "keyring":
        service, _, name = rest.partition("/")
        provider = factory(service, name)
    elif scheme == "ephemeral":
        provider = factory()
    else:
        provider = factory(rest)
    return provider


def _read_reference(reference: str, *, whole: bool = False) -> str:
    """The secret behind `env:NAME` or `file:PATH`. Raises ConfigError, naming only the reference."""
    scheme, rest = registry.split(reference)
    if scheme == "env":
        value = os.environ.get(rest)
    elif scheme == "file":
        value = _home.read_secret_file(Path(rest), whole=whole)
    elif scheme == "keyring":
        value = registry.lookup("credentials", "keyring")(*rest.partition("/")[::2])
    else:
        raise ConfigError("a secret is given by reference: env:NAME, file:PATH or keyring:SERVICE/NAME")
    if not value:
        raise ConfigError(f"the secret behind {scheme}:{rest} is empty or not set")
    return value


def self_test(parts: Parts) -> None:
    """Refuse to run where sealing does not hold: wrong contexts, changed bytes and foreign files must be noticed."""
    key = SecretKey.generate()
    context = KeyContext("self-test", bytes(32), 1)
    blob = parts.keys.wrap(key, context)
    if not parts.keys.unwrap(blob, context).equals(key):
        raise ConfigError("self-test: the key provider does not give back what it wrapped")
    _must_refuse(
        lambda: parts.keys.unwrap(blob, KeyContext("self-test", bytes(32), 2)), "a wrapped key opens elsewhere"
    )
    words = b"self-test " * 8
    sealed = committed_seal(key, b"a", words)
    if words[:10] in sealed or sealed == committed_seal(key, b"a", words):
        raise ConfigError("self-test: sealing does not hide the text")
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    _must_refuse(lambda: committed_open(key, b"a", changed), "changed bytes open")
    _must_refuse(lambda: committed_open(key, b"b", sealed), "sealed bytes open in another context")


def _must_refuse(action: Callable[[], object], otherwise: str) -> None:
    try:
        action()
    except (WrongKey, CryptoError):
        return
    raise ConfigError(f"self-test: {otherwise}; refusing to run")
