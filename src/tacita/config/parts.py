"""`build`: open what the settings name, test that sealing holds, and hand it over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tacita import __version__, _home, registry
from tacita._process import leave_no_core_file
from tacita.config.egress import manifest, vector_manifest
from tacita.config.providers import (
    build_anchors,
    build_embedder,
    build_keys,
    build_model,
    build_reranker,
    build_store,
    build_vectors,
    build_vision,
)
from tacita.config.reading import parts_of, read_reference, refuse_literal_secrets, telemetry_off
from tacita.config.settings import Settings
from tacita.errors import ConfigError, InvalidInput, StoreError, Tampered, WrongKey
from tacita.flows.exposure import SEALED, Exposure, Record
from tacita.hazmat import SecretKey, committed_open, committed_seal
from tacita.ports.keys import AnchorPlace, KeyContext, KeyProvider, KeyRing
from tacita.ports.log import LogStore
from tacita.ports.models import Embedder, LanguageModel, PictureSource, RemoteEmbedder, RemoteReranker, Reranker
from tacita.ports.vectors import LEARNS, VectorIndex
from tacita.telemetry import OpenTelemetry, PostHog, Telemetry, facts
from tacita.vault.moved import Fence


class Parts(msgspec.Struct, frozen=True):
    """What a memory is built from. `close` lets go of what `build` opened, not of what the caller gave."""

    settings: Settings
    store: LogStore
    ring: KeyRing
    keys: KeyProvider
    embedder: Embedder | RemoteEmbedder | None
    model: LanguageModel | None = None
    reranker: Reranker | RemoteReranker | LanguageModel | None = None
    vision: LanguageModel | None = None
    pictures: PictureSource | None = None
    anchors: AnchorPlace | None = None
    exposure: Exposure = SEALED
    owned: tuple[Callable[[], None], ...] = ()

    def close(self) -> None:
        for close in self.owned:
            close()

    def copy_keys(self, folder: Path) -> None:
        """The ring and the home's record in a new private folder. Raises InvalidInput when there is one."""
        if folder.exists():
            raise InvalidInput(f"{folder} is there already; a backup never writes over one")
        try:
            folder.mkdir(mode=0o700, parents=True)
            _home.copy_record(self.settings.home, folder)
        except OSError as error:
            raise StoreError(f"{folder} cannot be written: {error.strerror}") from error
        try:
            self.ring.backup(folder / "ring.db")
        except StoreError:
            # Half a copy under its name would look like one.
            (folder / "home.json").unlink()
            folder.rmdir()
            raise

    def describe(self) -> dict[str, Any]:
        """What `doctor` shows. No content and no secret."""
        home = self.settings.home
        files = _home.file_modes(home) if home.is_dir() else []
        same_disk = bool(self.keys.id.startswith("file:") and _home.same_disk(home, self.keys.where))
        return {
            "home": str(home),
            "tenant": self.settings.tenant,
            "store": self.store.scheme,
            "durable": self.store.scheme != "memory",
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
            "egress": self._egress(),
            **self._vectors(),
        }

    def _egress(self) -> list[dict[str, Any]]:
        entries = manifest(self.settings, self.embedder, self.model, self.reranker, self.vision, self.pictures)
        return entries + ([] if self.exposure.index is None else vector_manifest(self.exposure.index))

    def _vectors(self) -> dict[str, Any]:
        if self.exposure.index is None:
            return {"profile": self.settings.profile}
        return {
            "profile": self.settings.profile,
            "vectors": self.exposure.index.name,
            "visible_to_vector_index": LEARNS,
            "vectors_fallback": self.settings.vectors_fallback,
        }


def build(
    settings: Settings,
    *,
    store: str | LogStore | None = None,
    ring: str | KeyRing | None = None,
    keys: str | KeyProvider | None = None,
    embedder: str | Embedder | RemoteEmbedder | None = None,
    model: str | LanguageModel | Callable[[str, str], str] | None = None,
    vectors: VectorIndex | None = None,
    fenced: bool = True,
) -> Parts:
    """Open what the settings and arguments name, run the self-test, and hand it over.

    Args:
        fenced: refuse a memory that was moved elsewhere, now and while it is open. Not for whoever moves it.

    Raises ConfigError, Moved, KeyUnavailable, WrongKey, StoreError; nothing is half open afterwards.
    """
    owned: list[Callable[[], None]] = []
    if not settings.core_dumps:
        leave_no_core_file()
    uris = (("store", store), ("ring", ring), ("keys", keys), ("embedder", embedder), ("model", model))
    for name, given in uris:
        if isinstance(given, str):
            refuse_literal_secrets({name: given})
    try:
        opened_embedder = build_embedder(settings, embedder, owned)
        opened_model = build_model(settings, model, owned)
        opened_reranker = build_reranker(settings, opened_model, owned)
        chosen_store = store if store is not None else settings.store
        in_memory = isinstance(chosen_store, str) and registry.split(chosen_store)[0] == "memory"
        if in_memory:
            ring = ring if ring is not None else settings.ring or "memory:"
            keys = keys if keys is not None else settings.keys or "ephemeral:"
        elif not isinstance(chosen_store, LogStore):
            _home.prepare(settings.home)
            if ring is None and settings.ring is None and chosen_store is None:
                _home.require_ring(settings.home)
        provider = build_keys(settings, keys, owned, has_home=not in_memory)
        opened_ring = build_store(
            "rings", settings, ring or settings.ring, settings.keys_folder.resolve() / "ring.db", owned
        )
        opened_store = build_store("stores", settings, chosen_store, settings.data / "log.db", owned)
        # What was given in their place is what is described, too.
        named = {name: uri for name, uri in (("store", store), ("ring", ring)) if isinstance(uri, str)}
        if fenced:
            opened_store.fence = fence = Fence(opened_ring, opened_store.name)
            fence.begin()
        parts = Parts(
            msgspec.structs.replace(settings, **named),
            opened_store,
            opened_ring,
            provider,
            opened_embedder,
            opened_model,
            opened_reranker,
            *build_vision(settings, opened_model, owned),
            build_anchors(settings),
            build_vectors(settings, vectors, opened_embedder, Record.of(opened_ring), owned),
            tuple(reversed(owned)),
        )
        self_test(parts)
    except BaseException:
        for close in reversed(owned):
            close()
        raise
    return parts


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
        address = parts_of("telemetry.endpoint", chosen.endpoint or "")
        scheme, host = address.scheme, address.hostname
        local = scheme == "http" and host in ("127.0.0.1", "::1", "localhost")
        if not preview and not (host and (scheme == "https" or local)):
            raise ConfigError('telemetry needs telemetry.endpoint = "https://HOST"; there is no default')
        sink = PostHog(chosen.endpoint or "")
    return Telemetry(
        sink,
        installation=installation,
        key=read_reference(chosen.key) if chosen.key else "",
        facts=facts(
            __version__,
            store=parts.store.scheme,
            embedder="none" if parts.embedder is None else parts.embedder.name,
            model="none" if parts.model is None else parts.model.name,
            guard=parts.settings.guard_profile,
        ),
        is_off=telemetry_off,
    )


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
    except (WrongKey, Tampered):
        # Not KeyUnavailable: a service that does not answer has refused nothing.
        return
    raise ConfigError(f"self-test: {otherwise}; refusing to run")
