"""From URIs to providers: the only place that names them, by the registry."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tacita import _home, registry
from tacita.config.reading import read_reference, secrets_of
from tacita.config.settings import Settings
from tacita.errors import ConfigError
from tacita.flows.exposure import Exposure, Record
from tacita.ports.keys import AnchorPlace, KeyProvider
from tacita.ports.models import Embedder, LanguageModel, PictureSource, RemoteEmbedder, RemoteReranker, Reranker
from tacita.ports.vectors import VectorIndex
from tacita.vault.succession import Succession
from tacita.vault.tenancy import Open, Tenancy


def build_store(
    role: registry.Role, settings: Settings, given: Any, default: Path, owned: list[Callable[[], None]]
) -> Any:
    if given is not None and not isinstance(given, str):
        return given
    uri = given or f"sqlite:{default}"
    scheme, rest = registry.split(uri)
    factory = registry.lookup(role, scheme, settings.plugins.allow)
    if scheme == "memory":
        opened = factory()
    elif scheme == "sqlite":
        opened = factory(default.parent / rest if rest else default)
    else:
        # Elsewhere: an address, and secrets by reference.
        opened = factory(uri, secrets_of(uri))
    owned.append(opened.close)
    return opened


def build_vectors(
    settings: Settings,
    given: VectorIndex | None,
    embedder: Embedder | RemoteEmbedder | None,
    recorded: Record | None,
    owned: list[Callable[[], None]],
) -> Exposure:
    """What the settings say about vectors outside. Raises ConfigError for an engine without the profile, and otherwise."""
    exposed = settings.profile == "exposed-vectors"
    if not exposed and (settings.vectors is not None or given is not None):
        raise ConfigError(
            'an engine for vectors sees them in plain; if that is what you want, say profile = "exposed-vectors"'
        )
    if exposed and settings.vectors is None and given is None:
        raise ConfigError('profile = "exposed-vectors" needs vectors = "qdrant:..." or another engine')
    # A process without an embedder still removes what was given: it knows from the record how it was made.
    dimensions = embedder.dimensions if embedder is not None else recorded.dimensions if recorded is not None else None
    if not exposed or dimensions is None:
        return Exposure(exposed)
    index = given
    if index is None:
        index = open_vectors(settings, dimensions)
        owned.append(index.close)
    if index.dimensions != dimensions:
        raise ConfigError(f"the vector index takes {index.dimensions} dimensions, the embedder makes {dimensions}")
    return Exposure(exposed, index, settings.vectors_fallback == "sealed")


def open_vectors(settings: Settings, dimensions: int) -> VectorIndex:
    """The engine that the settings name. Contacts nobody yet."""
    uri = settings.vectors or ""
    scheme, rest = registry.split(uri)
    factory = registry.lookup("vectors", scheme, settings.plugins.allow)
    index: VectorIndex
    if scheme == "faiss":
        index = factory(settings.home / (rest or "vectors"), dimensions)
    else:
        index = factory(uri, secrets_of(uri), dimensions)
    return index


def build_anchors(settings: Settings) -> AnchorPlace | None:
    """Where anchors are remembered outside the home, if anywhere."""
    if settings.anchors is None:
        return None
    scheme = registry.split(settings.anchors)[0]
    if scheme in ("https", "http"):
        place: AnchorPlace = registry.lookup("anchors", scheme)(settings.anchors, secrets_of(settings.anchors))
    else:
        place = registry.lookup("anchors", "file")(Path(settings.anchors).expanduser())
    return place


def build_embedder(
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
        opened = factory(uri, secrets_of(uri))
        owned.append(opened.close)
    else:
        opened = factory(uri, models_dir=settings.models)
    found: Embedder | RemoteEmbedder | None = opened
    return found


def build_model(
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
    opened: Any = factory(uri, secrets_of(uri))
    owned.append(opened.close)
    found: LanguageModel = opened
    return found


def build_reranker(
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
    opened: Any = factory(uri, secrets_of(uri))
    owned.append(opened.close)
    remote: RemoteReranker = opened
    return remote


def build_vision(
    settings: Settings, model: LanguageModel | None, owned: list[Callable[[], None]]
) -> tuple[LanguageModel | None, PictureSource | None]:
    """Who describes pictures and who fetches them, if anybody does."""
    chosen = settings.images
    if not chosen.describe:
        if chosen.model or chosen.hosts:
            raise ConfigError("images.model and images.hosts do nothing without images.describe = true")
        return None, None
    seeing = build_model(settings, chosen.model, owned) if chosen.model else model
    if seeing is None:
        raise ConfigError("images.describe needs a language model: set model or images.model")
    fetcher: PictureSource = registry.lookup("pictures", "https")(chosen.hosts)
    return seeing, fetcher


def build_keys(
    settings: Settings, given: str | KeyProvider | None, owned: list[Callable[[], None]], *, has_home: bool
) -> KeyProvider:
    check_keys(settings)
    if isinstance(given, KeyProvider):
        return _with_tenants(settings, given, owned) if settings.tenants else given
    uri = given or settings.keys

    def opened(uri: str) -> KeyProvider:
        return open_keys(settings, uri)

    if not has_home:
        provider = opened(uri or "ephemeral:")
    else:
        chosen = _home.choose_keys(settings.home, uri, opened)
        provider = Succession(chosen, lambda wanted: _elsewhere(settings, wanted))
    owned.append(provider.close)
    return _with_tenants(settings, provider, owned) if settings.tenants else provider


def check_keys(settings: Settings) -> None:
    """Take every root key's address apart, so that a wrong one is noticed before its tenant comes. Opens nothing."""
    for each in settings.tenants.values():
        for uri in (each.keys, *each.previous):
            if uri is not None:
                scheme = registry.split(uri)[0]
                if scheme in registry.KEYS_ELSEWHERE:
                    registry.lookup("key_uris", scheme)(uri)
                else:
                    registry.lookup("keys", scheme, settings.plugins.allow)


def _with_tenants(settings: Settings, home: KeyProvider, owned: list[Callable[[], None]]) -> KeyProvider:
    def opener(uri: str) -> Open:
        return lambda: open_keys(settings, uri)

    tenants = {
        name: (None if each.keys is None else opener(each.keys), [opener(uri) for uri in each.previous])
        for name, each in settings.tenants.items()
    }
    tenancy = Tenancy(home, tenants)
    owned.append(tenancy.close_tenants)
    return tenancy


def _elsewhere(settings: Settings, provider_id: str) -> KeyProvider | None:
    """The home's root key of another id: from before a rotation, or after one that another process makes."""
    uri = _home.root_of(settings.home, provider_id)
    found = None if uri is None else open_keys(settings, uri)
    return found if found is not None and found.id == provider_id else None


def open_keys(settings: Settings, uri: str) -> KeyProvider:
    scheme, rest = registry.split(uri)
    factory = registry.lookup("keys", scheme, settings.plugins.allow)
    provider: KeyProvider
    if scheme == "file":
        provider = factory(settings.keys_folder / rest)
    elif scheme == "env":
        provider = factory(rest, os.environ.get)
    elif scheme == "passphrase":
        provider = factory(read_reference(rest), settings.keys_folder / "passphrase.json")
    elif scheme == "keyring":
        service, _, name = rest.partition("/")
        provider = factory(service, name)
    elif scheme == "ephemeral":
        provider = factory()
    elif scheme in registry.KEYS_ELSEWHERE:
        provider = factory(uri, secrets_of(uri))
    else:
        provider = factory(rest)
    return provider
