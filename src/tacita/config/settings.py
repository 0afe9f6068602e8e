"""Everything that can be set, parsed once, with where each value came from.

A setting comes from, in this order: an argument, the config file, a `TACITA_` variable, the home's recorded choice,
the default. No other environment variable is ever read, so that no vendor's variable can reroute anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import platformdirs

from tacita import _home
from tacita.config.reading import expanded, read_config, refuse_literal_secrets, telemetry_off
from tacita.errors import ConfigError
from tacita.pipeline.prompt import Guidance
from tacita.privacy.disclose import Terms
from tacita.privacy.policy import PROFILES, Action, Policy
from tacita.tracebacks import without_values

DEFAULT_EMBEDDER = "local:minilm"


_VARIABLES = {
    "home": "TACITA_HOME",
    "store": "TACITA_STORE",
    "keys": "TACITA_KEYS",
    "embedder": "TACITA_EMBEDDER",
    "guard": "TACITA_GUARD",
    "model": "TACITA_MODEL",
    "reranker": "TACITA_RERANKER",
    "vectors": "TACITA_VECTORS",
}
_SECONDS = {"h": 3_600, "d": 86_400, "w": 604_800, "y": 31_557_600}
_CONFIG_VARIABLE = "TACITA_CONFIG"


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
        return msgspec.structs.replace(base, types=types, channels=self.channels)


class Disclosure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What models elsewhere may be told."""

    pii: Literal["pseudonymise", "mask", "keep", "block"] = "pseudonymise"
    names: bool | None = None
    """Whether speakers' names are replaced; by default only under the guard profile `strict`."""
    purposes: tuple[str, ...] = ()
    consent: Literal["assumed", "required"] = "assumed"

    def hides_names(self, guard: str) -> bool:
        """Whether names are replaced, given the guard profile."""
        return guard == "strict" if self.names is None else self.names


class ExtractionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How facts are drawn from messages. The operator's, never a caller's."""

    background: bool = False
    """True: `add` returns when the messages are safe, and the facts follow."""
    threads: int = 8
    instructions: str = ""
    categories: tuple[str, ...] = ()
    renew_after: Annotated[int, msgspec.Meta(ge=0)] = 20
    """A profile or summary that there is is written anew after so many new facts or messages; 0: only when asked for."""

    def guidance(self) -> Guidance:
        """What the prompt says beside our own instructions."""
        return Guidance(self.instructions, self.categories)


class ImageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pictures that messages name. Neither fetched nor told unless turned on: no policy sees what is on them."""

    describe: bool = False
    """True: an add with `infer` has a model describe them."""
    model: str | None = None
    """Another model than the one for facts."""
    hosts: tuple[str, ...] = ()
    """The only hosts from which a picture's address is fetched, over TLS, never from a private network."""


class TelemetrySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts of operations, to an endpoint of the operator's. Off unless turned on."""

    enabled: bool = False
    kind: Literal["posthog", "otel"] = "posthog"
    endpoint: str | None = None
    """PostHog-compatible, `https://...`."""
    key: str | None = None
    """Project key by reference: `env:NAME`."""


class TenantSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is a tenant's own. Its vault keys are under its root key; the catalog and the audit log stay under the home's."""

    keys: str | None = None
    """The tenant's root key, such as `awskms:ARN?credentials=default`; without one, the home's."""
    previous: tuple[str, ...] = ()
    """Root keys that the tenant had before: asked until `tacita rotate --tenant` has put all under the present one."""


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
    profile: Literal["sealed", "exposed-vectors"] = "sealed"
    """Where vectors may live. `exposed-vectors` gives them in plain to the engine that `vectors` names: see
    docs/how-to/vectors.md for what it then learns."""
    vectors: str | None = None
    """`qdrant:COLLECTION@https://HOST:6333?key=env:NAME`, `faiss:FOLDER`, ... Only together with that profile."""
    vectors_fallback: Literal["none", "sealed"] = "none"
    """What a search does when the engine cannot be asked: fail, or open everything from the sealed log, slowly."""
    disclosure: Disclosure = Disclosure()
    extraction: ExtractionSettings = ExtractionSettings()
    images: ImageSettings = ImageSettings()
    retention: dict[Literal["message", "fact", "summary", "procedure", "profile"], str] = {}
    """For how long items of a kind are kept after they were last changed: `"90d"`, `"36h"`, `"2y"`. Then they go, with
    all that was made of them."""
    telemetry: TelemetrySettings = TelemetrySettings()
    anchors: str | None = None
    """A file on another medium, or `https://HOST/PATH?token=env:NAME`, that remembers how far each vault had come, so that
    data and key ring cannot go back in time together unnoticed. Written at `close` and by `tacita anchors`."""
    audit: Literal["batched", "always"] = "batched"
    """When an audit entry is on disk: at most 0.1 s after a read, or before the read returns. Disclosures always wait."""
    core_dumps: bool = False
    """Whether a crash of the process may leave a core file, which holds what vaults were open. If not, the soft limit of their
    size is set to 0 when a memory is opened."""
    cache_bytes: Annotated[int, msgspec.Meta(ge=0)] = 1 << 30
    """Bytes of RAM for open vaults, by estimate; the process takes about a third more for them. Vaults that nobody uses are
    let go of, longest unused first. One that does not fit beside those in use waits; one that is larger than all of it is
    opened when no other is in use."""
    cache_wait: Annotated[float, msgspec.Meta(ge=0, le=600)] = 10
    """Seconds that opening a vault waits for room, at most 600. Then it is refused as `Overloaded`, and may be
    tried again."""
    key_cache: Annotated[float, msgspec.Meta(ge=0, le=900)] = 300
    """Seconds, at most 900. A vault key that a root key elsewhere has unwrapped is used for as long before that one is asked
    again; a root key that was revoked opens nothing after that. 0 asks at every use."""
    tenants: dict[str, TenantSettings] = {}
    """By tenant: root keys of their own."""
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
            described, source = read_config(config, [name for name in cls.__struct_fields__ if name != "origins"])
            try:
                described = expanded(described, "")
            except RecursionError:
                raise ConfigError(f"the settings in {source} are nested too deeply") from None
            values.update(described)
            origins.update(dict.fromkeys(described, source))
        if home is not None:
            values["home"], origins["home"] = os.fspath(home), "argument"
        if "home" not in values:
            values["home"] = str(platformdirs.user_data_path("tacita"))
        try:
            refuse_literal_secrets(values)
            values["home"] = _absolute(values["home"])
            return msgspec.convert({**values, "origins": origins}, cls, dec_hook=_decode)
        except msgspec.ValidationError as error:
            raise ConfigError(f"config: {without_values(error)}") from None
        except UnicodeEncodeError:
            raise ConfigError("config: a setting holds lone surrogates, which no encoding can keep") from None

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

    def terms(self) -> Terms:
        """What the disclosure flow lets out."""
        told = self.disclosure
        return Terms(
            told.pii, told.hides_names(self.guard_profile), told.purposes, told.consent, pictures=self.images.describe
        )

    def retained(self) -> dict[str, int]:
        """For how many microseconds items of a kind are kept. Raises ConfigError."""
        found = {}
        for kind, said in self.retention.items():
            amount, unit = said[:-1], said[-1:]
            # Nine digits of years are for ever; of more, Python would not even make a number.
            if (
                not (amount.isascii() and amount.isdigit() and len(amount) < 10)
                or unit not in _SECONDS
                or int(amount) < 1
            ):
                raise ConfigError(f'retention.{kind} is a number and h, d, w or y, such as "90d"')
            found[str(kind)] = int(amount) * _SECONDS[unit] * 1_000_000
        return found

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
            "profile": self.profile,
            "vectors": self.vectors or "none",
            "vectors_fallback": self.vectors_fallback,
            "disclosure.pii": self.disclosure.pii,
            "disclosure.names": str(self.terms().names).lower(),
            "disclosure.purposes": ", ".join(self.disclosure.purposes) or "any",
            "disclosure.consent": self.disclosure.consent,
            "extraction.background": str(self.extraction.background).lower(),
            "extraction.categories": ", ".join(self.extraction.categories) or "any",
            "images.describe": str(self.images.describe).lower(),
            "images.model": self.images.model or "as model",
            "images.hosts": ", ".join(self.images.hosts) or "none",
            "retention": ", ".join(f"{kind}={said}" for kind, said in self.retention.items()) or "for ever",
            "telemetry.enabled": str(self.telemetry.enabled and not telemetry_off()).lower(),
            "telemetry.endpoint": self.telemetry.endpoint or "none",
            "anchors": self.anchors or "none",
            "audit": self.audit,
            "core_dumps": str(self.core_dumps).lower(),
            "cache_bytes": str(self.cache_bytes),
            "cache_wait": f"{self.cache_wait:g}",
            "key_cache": f"{self.key_cache:g}",
            **{f"tenants.{name}.keys": each.keys or "as the home's" for name, each in sorted(self.tenants.items())},
            "plugins.allow": ", ".join(self.plugins.allow),
        }
        recorded_origin = {"keys": "recorded in home.json"} if recorded and not self.keys else {}
        return {
            name: {"value": value, "origin": self.origins.get(name.split(".")[0], recorded_origin.get(name, "default"))}
            for name, value in shown.items()
        }


def _absolute(home: Any) -> str:
    if not isinstance(home, str) or "\0" in home:
        raise ConfigError("home is the path of a folder")
    try:
        return str(Path(home).expanduser().absolute())
    except RuntimeError:
        raise ConfigError("home begins with ~ and a user of whom this machine knows no folder") from None


def _listed(types: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={action}" for name, action in sorted(types.items())) or "as the profile"


def _decode(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError("a path is a string")
