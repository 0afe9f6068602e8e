"""What a configuration may send where. Pure, and nothing is contacted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tacita import _home, registry
from tacita.config.providers import build_embedder, build_model, build_reranker, build_vision, open_vectors
from tacita.config.reading import parts_of
from tacita.config.settings import Settings
from tacita.ports.models import Embedder, LanguageModel, PictureSource, RemoteEmbedder, RemoteReranker, Reranker
from tacita.ports.vectors import VectorIndex


def egress(settings: Settings, *, embedder: str | None = None, model: str | None = None) -> list[dict[str, Any]]:
    """Every host that a configuration may contact, and what kind of data goes there. Opens and contacts nothing.

    Raises ConfigError for a model that is not described as it must be.
    """
    owned: list[Callable[[], None]] = []
    uri = embedder or settings.embedder
    remote = registry.split(uri)[0] in registry.REMOTE_EMBEDDERS
    found = build_embedder(settings, uri, owned) if remote else None
    described = build_model(settings, model, owned)
    local = registry.split(settings.reranker or "")[0] == "cross-encoder"
    reranker = None if local else build_reranker(settings, described, owned)
    entries = manifest(settings, found, described, reranker, *build_vision(settings, described, owned))
    if settings.profile == "exposed-vectors":
        # Only its address counts here, and that has nothing to do with the number of dimensions.
        entries += vector_manifest(open_vectors(settings, 1))
    return entries


def manifest(
    settings: Settings,
    embedder: Embedder | RemoteEmbedder | None,
    model: LanguageModel | None,
    reranker: Reranker | RemoteReranker | LanguageModel | None,
    vision: LanguageModel | None = None,
    pictures: PictureSource | None = None,
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
    if vision is not None:
        seen = "pictures in messages of an add with infer"
        hosts = vision.hosts or ("a function in this process",)
        entries += [_entry("images", vision.name, host, seen, "as they are: no policy sees them") for host in hosts]
    if pictures is not None:
        asked = "requests for pictures that messages name"
        entries += [_entry("images", "https", host, asked, "no content, no ids") for host in pictures.hosts]
    if settings.anchors is not None and registry.split(settings.anchors)[0] in ("https", "http"):
        host = parts_of("anchors", settings.anchors).netloc
        entries.append(_entry("anchors", "https", host, "keyed pseudonyms of vaults, numbers", "no content, no ids"))
    entries += _stores(settings)
    roots = [("the home", settings.keys or _home.recorded_keys(settings.home))]
    tenants = sorted(settings.tenants.items())
    roots += [(f"tenant {name}", uri) for name, each in tenants for uri in (each.keys, *each.previous)]
    for whose, uri in roots:
        if uri is not None and (scheme := registry.split(uri)[0]) in registry.KEYS_ELSEWHERE:
            data = f"vault keys of {whose}, names of tenants, keyed ids of vaults"
            hosts = registry.lookup("key_uris", scheme)(uri).hosts
            entries += [_entry("keys", scheme, host, data, "no content") for host in hosts]
    if settings.telemetry.enabled and settings.telemetry.kind == "posthog" and settings.telemetry.endpoint:
        host = parts_of("telemetry.endpoint", settings.telemetry.endpoint).netloc
        entries.append(_entry("telemetry", "posthog", host, "counts of operations", "no content, no ids"))
    return entries


def _stores(settings: Settings) -> list[dict[str, Any]]:
    """What goes to servers that keep the log or the key ring."""
    entries = []
    for role, uri, what in (
        ("store", settings.store, "sealed events under keyed names; their number, order, padded sizes and times"),
        ("ring", settings.ring, "wrapped vault keys, sealed labels, anchors"),
    ):
        scheme = registry.split(uri or "")[0]
        if scheme in registry.STORES_ELSEWHERE:
            hosts = registry.lookup("store_hosts", scheme)(uri)
        elif scheme in ("", "sqlite", "memory"):
            hosts = ()
        else:
            hosts = ("wherever this plug-in goes",)
        entries += [_entry(role, scheme, host, what, "ciphertext only") for host in hosts]
    return entries


def vector_manifest(index: VectorIndex) -> list[dict[str, Any]]:
    """What goes to an engine for vectors."""
    what = "vectors of every text that is kept and of every query, under keyed names"
    hosts = index.hosts or ("a library in this process",)
    return [
        _entry("vectors", index.name, host, what, "in plain: whoever runs it can guess the words") for host in hosts
    ]


def _entry(role: str, name: str, host: str, data: str, policy: str) -> dict[str, Any]:
    credentials = host in (
        *("oauth2.googleapis.com", "metadata.google.internal", "login.microsoftonline.com"),
        "where the machine's own credentials come from",
    )
    return {
        "role": role,
        "name": name,
        "host": host,
        "data": "credentials only" if credentials else data,
        "policy": "" if credentials else policy,
    }
