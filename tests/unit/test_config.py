"""Settings: where each comes from, what is refused, and that nothing of a secret is shown."""

from __future__ import annotations

import json
import os
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from tacita import ConfigError, InvalidInput, Memory, registry
from tacita.config import Settings, build, egress, self_test
from tacita.hazmat import SecretKey
from tacita.keys._local import LocalProvider
from tacita.ports.keys import KeyContext
from tacita.stores.memory import MemoryLogStore


def test_the_order_of_sources(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().home == home
    assert Settings.load().origins["home"] == "TACITA_HOME"
    config = tmp_path / "tacita.toml"
    config.write_text(f'home = "{tmp_path / "from-file"}"\nembedder = "none"\n')
    monkeypatch.setenv("TACITA_EMBEDDER", "local:minilm")
    found = Settings.load(config=config)
    assert (found.home, found.embedder) == (tmp_path / "from-file", "none")
    assert found.origins["embedder"] == str(config)
    monkeypatch.setenv("TACITA_CONFIG", str(config))
    assert Settings.load().embedder == "none"
    assert Settings.load(home=tmp_path / "given").home == tmp_path / "given"
    assert found.explain()["embedder"] == {"value": "none", "origin": str(config)}


def test_vendors_variables_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Settings.load()
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "DATABASE_URL", "AWS_REGION", "HTTP_PROXY"):
        monkeypatch.setenv(name, "https://elsewhere.example")
    assert Settings.load() == before


@pytest.mark.parametrize("config", [{"embeder": "none"}, {"origins": {}}, {"plugins": {"alow": []}}, {3: 4}])
def test_unknown_settings_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Settings.load(config=config)


def test_a_misspelt_setting_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match="did you mean 'embedder'"):
        Settings.load(config={"embeder": "none"})


@pytest.mark.parametrize("config", [{"cache_bytes": "much"}, {"tenant": 3}, {"plugins": []}, {"embedder": None}])
def test_values_of_a_wrong_type_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Settings.load(config=config)


@pytest.mark.parametrize(
    "content", ["home = [", "\x00", '["a"]', "[" * 5000], ids=["not TOML", "zero byte", "a list", "deep"]
)
@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_damaged_file_is_an_error_without_its_content(tmp_path: Path, content: str, suffix: str) -> None:
    path = tmp_path / f"tacita{suffix}"
    path.write_text(content)
    with pytest.raises(ConfigError, match=str(path)):
        Settings.load(config=path)
    with pytest.raises(ConfigError, match="cannot be read"):
        Settings.load(config=tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    "setting",
    [
        {"keys": "ab" * 32},
        {"keys": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="},
        {"store": "postgres://tacita:hunter2@db/tacita"},
    ],
)
def test_a_literal_secret_is_refused_and_not_repeated(setting: dict[str, str]) -> None:
    (secret,) = setting.values()
    with pytest.raises(ConfigError) as caught:
        Settings.load(config=setting)
    assert secret not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="literal secret"):
        build(Settings.load(), **setting)  # type: ignore[arg-type]


def test_from_config_takes_a_dict_or_a_file(home: Path, tmp_path: Path) -> None:
    config = {"home": str(home), "embedder": "none", "tenant": "acme"}
    with Memory.from_config(config) as memory:
        memory.add("kept", user_id="ana")
    path = tmp_path / "tacita.json"
    path.write_text(json.dumps(config))
    with Memory.from_config(path) as memory:
        assert memory.get_all(user_id="ana").total == 1
    with Memory.from_config({**config, "tenant": "other"}) as memory:
        assert memory.get_all(user_id="ana").total == 0


def test_unknown_schemes_name_the_known_ones() -> None:
    for role, known in (("stores", "sqlite"), ("keys", "passphrase"), ("embedders", "local")):
        with pytest.raises(ConfigError, match=known):
            registry.lookup(role, "nonsense")  # type: ignore[arg-type]


def test_a_plug_in_loads_only_if_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", "tacita.stores.memory:MemoryLogStore", "tacita.stores")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [point] if group == "tacita.stores" else [])
    with pytest.raises(ConfigError, match=r"plugins\.allow"):
        registry.lookup("stores", "mine")
    assert registry.lookup("stores", "mine", ("mine",)) is MemoryLogStore
    with pytest.raises(ConfigError, match="unknown scheme"):
        registry.lookup("rings", "mine", ("mine",))


class Careless(LocalProvider):
    """A provider that forgets to bind a key to its context."""

    def wrap(self, key: SecretKey, context: KeyContext) -> bytes:
        return super().wrap(key, KeyContext("", b"", 0))

    def unwrap(self, blob: bytes, context: KeyContext) -> SecretKey:
        return super().unwrap(blob, KeyContext("", b"", 0))


class Clear(LocalProvider):
    """A provider that gives back another key."""

    def unwrap(self, blob: bytes, context: KeyContext) -> SecretKey:
        return SecretKey.generate()


@pytest.mark.parametrize("kind", [Careless, Clear])
def test_the_self_test_refuses_a_provider_that_does_not_hold(home: Path, kind: type[LocalProvider]) -> None:
    provider = kind(SecretKey.generate(), scheme="test", where="a test")
    with pytest.raises(ConfigError, match="self-test"):
        Memory(home, store="memory:", keys=provider, embedder="none")


def test_the_self_test_passes_on_what_is_built(home: Path) -> None:
    parts = build(Settings.load(config={"embedder": "none"}))
    self_test(parts)
    parts.close()


def test_a_failed_build_leaves_nothing_open(home: Path) -> None:
    def descriptors() -> set[str]:
        return {target for fd in os.listdir("/proc/self/fd") if str(home) in (target := _target(fd))}

    provider = Clear(SecretKey.generate(), scheme="test", where="a test")
    with pytest.raises(ConfigError):
        Memory(home, keys=provider, embedder="none")
    assert descriptors() == set()


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except FileNotFoundError:
        return ""


def test_home_and_settings_exclude_each_other(home: Path) -> None:
    with pytest.raises(ConfigError, match="not both"):
        Memory(home, settings=Settings.load())
    with pytest.raises((ConfigError, InvalidInput)):
        Memory(embedder=object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "described",
    [
        {"model": "openai:gpt-x?key=sk-synthetic-0000"},
        {"telemetry": {"key": "phc_synthetic"}},
        {"extraction": {"instructions": "use AKIAQ3EGRT7ZLN2HWXJP for it"}},
        {"models_folder": "postgres://admin:hunter2Winter94@db.example/x"},
    ],
    ids=str,
)
def test_a_literal_secret_is_refused_wherever_it_stands(described: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="literal secret") as caught:
        Settings.load(home=tmp_path, config=described)
    assert not [word for word in ("synthetic", "AKIA", "hunter2") if word in str(caught.value)]


def test_variables_in_a_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_HOST", "models.example.org")
    file = tmp_path / "tacita.toml"
    file.write_text(
        'model = "openai:x@https://${MODEL_HOST}/v1?key=env:K"\n[extraction]\ncategories = ["${MODEL_HOST}"]\n'
    )
    settings = Settings.load(home=tmp_path, config=file)
    assert settings.model == "openai:x@https://models.example.org/v1?key=env:K"
    assert settings.extraction.categories == ("models.example.org",)
    monkeypatch.delenv("MODEL_HOST")
    with pytest.raises(ConfigError, match="MODEL_HOST"):
        Settings.load(home=tmp_path, config=file)


def test_egress_names_every_host_and_contacts_none(tmp_path: Path) -> None:
    described = {
        "model": "vertex:gemini?project=p&location=europe-west1&credentials=file:/nowhere.json",
        "embedder": "openai:text-embedding-3-small?key=env:NOT_SET&dimensions=8",
        "telemetry": {"enabled": True, "endpoint": "https://posthog.example.org"},
    }
    found = egress(Settings.load(home=tmp_path, config=described))
    assert [entry["host"] for entry in found] == [
        "europe-west1-aiplatform.googleapis.com",
        "oauth2.googleapis.com",
        "api.openai.com",
        "posthog.example.org",
    ]
    assert egress(Settings.load(home=tmp_path)) == []


def test_egress_names_where_log_and_key_ring_are_kept(tmp_path: Path) -> None:
    for store, ring, hosts in (
        (
            "postgres://a@db1:6000,db2/x?password=env:NOT_SET",
            "postgres://a@/x?host=/run/postgresql",
            [("store", "db1:6000"), ("store", "db2:5432")],
        ),
        (
            "rediss+cluster://r1:7000,r2?password=env:NOT_SET",
            "redis+unix:///run/redis.sock",
            [("store", "r1:7000"), ("store", "r2:6379")],
        ),
        (
            "dynamodb:tacita?region=eu-central-1&key=env:NOT_SET&secret=env:NOT_SET",
            "dynamodb:tacita?region=eu-west-1@https://vpce.example.org&credentials=default",
            [
                ("store", "dynamodb.eu-central-1.amazonaws.com"),
                ("ring", "vpce.example.org"),
                ("ring", "where the machine's own credentials come from"),
            ],
        ),
        ("somebodys:store", "sqlite:ring.db", [("store", "wherever this plug-in goes")]),
    ):
        found = egress(Settings.load(home=tmp_path, config={"store": store, "ring": ring}))
        assert [(entry["role"], entry["host"]) for entry in found] == hosts
        for entry in found:
            assert entry["data"] == "credentials only" or entry["policy"] == "ciphertext only"
    with pytest.raises(ConfigError, match="TLS"):
        egress(Settings.load(home=tmp_path, config={"store": "redis://elsewhere"}))
