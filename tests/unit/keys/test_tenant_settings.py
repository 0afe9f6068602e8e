"""Tenants' root keys by settings, against stand-ins for the services: what is refused, what moves where, what is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.keys.services.aws import AwsKmsServer
from tests.unit.keys.services.opened import VARIABLES, make, uri
from tests.unit.keys.services.transit import TransitServer

from tacita import ConfigError, KeyUnavailable, Memory, Tampered
from tacita.config import Settings, build, egress
from tacita.restoring import restore_data
from tacita.rotating import rotate


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def transit(tmp_path: Path) -> Iterator[TransitServer]:
    with TransitServer(tmp_path) as started:
        for name in ("one", "two"):
            make(started, name)
        yield started


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[AwsKmsServer]:
    with AwsKmsServer(tmp_path) as started:
        make(started, "one")
        yield started


def settings(home: Path, tenant: str = "default", **more: Any) -> Settings:
    return Settings.load(config={"home": str(home), "tenant": tenant, "embedder": "none", **more})


def providers(chosen: Settings) -> dict[str, str]:
    """The provider of each subject's vault key."""
    with Memory(settings=chosen) as memory:
        keys = memory._engine.keys
        return {keys.whose(entry)[2]: entry.provider for entry in keys.ring.entries() if keys.whose(entry)[1] == "user"}


def test_a_home_whose_root_key_is_elsewhere(home: Path, transit: TransitServer) -> None:
    chosen = settings(home, keys=uri(transit, "one"), key_cache=0)
    with Memory(settings=chosen) as memory:
        memory.add("hers", user_id="ana")
    assert b"hers" not in transit.everything()
    memory = Memory(settings=settings(home, key_cache=0))
    assert memory.get_all(user_id="ana").total == 1, "the home has recorded where its root key is"
    make(transit, "one").state = "deleted"
    with pytest.raises(KeyUnavailable):
        memory.get_all(user_id="ana")
    with pytest.raises(KeyUnavailable):
        memory.close()  # what was read cannot be written down any more, and that is not passed over
    with pytest.raises(KeyUnavailable):
        Memory(settings=settings(home))


def test_a_home_moves_to_a_root_key_elsewhere(home: Path, transit: TransitServer, aws: AwsKmsServer) -> None:
    with Memory(settings=settings(home)) as memory:
        memory.add("hers", user_id="ana")
    for server in (transit, aws):
        assert rotate(settings(home), uri(server, "one")).left == 0
        assert rotate(settings(home), None).previous == ()
    (home / "keys" / "root.key").unlink()
    del transit.keys["one"]
    with Memory(settings=settings(home)) as memory:
        assert memory.get_all(user_id="ana").total == 1
        assert memory.verify().ok


def test_a_tenant_brings_a_key_changes_it_and_takes_it_away(
    home: Path, transit: TransitServer, aws: AwsKmsServer
) -> None:
    first, second = uri(transit, "one"), uri(aws, "one")
    for tenant, user in (("acme", "ana"), ("bolt", "bob")):
        with Memory(settings=settings(home, tenant)) as memory:
            memory.add("text", user_id=user)
    steps: list[tuple[dict[str, Any], str]] = [
        ({"keys": first}, "vault:"),
        ({"keys": second, "previous": [first]}, "awskms:"),
        ({"previous": [second]}, "file:"),
    ]
    for described, scheme in steps:
        chosen = settings(home, "acme", tenants={"acme": described})
        with Memory(settings=chosen) as memory:
            assert memory.get_all(user_id="ana").total == 1, "before anything was moved"
        report = rotate(chosen, None, tenant="acme")
        assert (report.rewrapped, report.left) == (1, 0)
        assert report.provider.startswith(scheme)
        found = providers(chosen)
        assert found["ana"].startswith(scheme)
        assert found["bob"].startswith("file:")
    del transit.keys["one"], aws.keys[make(aws, "one").name]
    with Memory(settings=settings(home, "acme")) as memory:
        assert memory.get_all(user_id="ana").total == 1


def test_a_homes_rotation_leaves_tenants_keys_alone(home: Path, transit: TransitServer) -> None:
    tenants = {"acme": {"keys": uri(transit, "one")}}
    with Memory(settings=settings(home, "acme")) as memory:
        memory.add("before she had a key", user_id="old")
    for tenant, user in (("acme", "ana"), ("bolt", "bob")):
        with Memory(settings=settings(home, tenant, tenants=tenants)) as memory:
            memory.add("text", user_id=user)
    transit.down = True
    chosen = settings(home, tenants=tenants)
    before = providers(chosen)
    asked = len(transit.paths)
    report = rotate(chosen, "file:root-2.key")
    assert report.left == 0
    assert rotate(chosen, None, deep=True).previous == ()
    after = providers(chosen)
    assert len(transit.paths) == asked
    assert after["ana"] == before["ana"]
    assert after["bob"] != before["bob"]
    assert after["old"] == after["bob"], "what was under the home's old key may not be left behind"
    transit.down = False
    (home / "keys" / "root.key").unlink()
    for deep in (False, True):
        report = rotate(chosen, None, tenant="acme", deep=deep)
    assert report.resealed == 2
    with Memory(settings=settings(home, "acme", tenants=tenants)) as memory:
        assert memory.get_all(user_id="ana").total == memory.get_all(user_id="old").total == 1
        assert memory.verify().ok


def test_the_newest_version_of_a_tenants_key(home: Path, transit: TransitServer) -> None:
    chosen = settings(home, "acme", tenants={"acme": {"keys": uri(transit, "one")}})
    with Memory(settings=chosen) as memory:
        memory.add("text", user_id="ana")
    key = make(transit, "one")
    transit.rotate(key)
    before = len(transit.paths)
    assert rotate(chosen, None, tenant="acme").rewrapped == 0
    assert rotate(chosen, None, tenant="acme", renew=True).rewrapped == 1
    assert any("/rewrap/" in path for path in transit.paths[before:])
    key.extra["min_decryption_version"] = 2
    with Memory(settings=chosen) as memory:
        assert memory.get_all(user_id="ana").total == 1


def test_a_tenant_is_not_rotated_to_a_key_of_the_command_line(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"tenants\.acme"):
        rotate(settings(home), "file:x.key", tenant="acme")
    with pytest.raises(ConfigError, match=r"tenants\.acme"):
        rotate(settings(home), None, tenant="acme")


def test_a_deep_rotation_says_when_the_key_only_opens(home: Path, transit: TransitServer) -> None:
    chosen = settings(home, "acme", tenants={"acme": {"keys": uri(transit, "one")}})
    with Memory(settings=chosen) as memory:
        memory.add("text", user_id="ana")
    answer = transit.answer

    def only_opens(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if "/encrypt/" in path:
            headers = {**headers, "x-vault-token": "nobody"}
        return answer(method, path, headers, body)

    transit.answer = only_opens  # type: ignore[method-assign]
    with pytest.raises(KeyUnavailable, match="refused"):
        rotate(chosen, None, tenant="acme", deep=True)
    with Memory(settings=chosen) as memory:
        assert memory.get_all(user_id="ana").total == 1


ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.mark.parametrize(
    "wrong",
    [
        "awskms:alias/x",
        "awskms:alias/x?region=nowhere",
        f"awskms:{ARN}?region=us-east-1",
        f"awskms:{ARN}?endpoint=x",
        f"awskms:{ARN}@http://kms.example",
        f"awskms:{ARN}@https://user:word@kms.example",
        f"awskms:{ARN}@https://kms.example/path",
        "awskms:some key?region=eu-central-1",
        "gcpkms:projects/p/cryptoKeys/k",
        "azurekv:https://x.vault.azure.net/secrets/k",
        "azurekv:http://x.vault.azure.net/keys/k",
        "vault:transit/keys/k",
        "vault:transit/k@https://vault.example:8200",
        "vault:transit/keys/../../sys@https://vault.example:8200",
        "nosuch:thing",
    ],
)
def test_addresses_that_are_none_are_refused_before_anything_is_opened(home: Path, wrong: str) -> None:
    with pytest.raises(ConfigError):
        build(settings(home, store="memory:", tenants={"acme": {"keys": wrong}}))


@pytest.mark.parametrize(
    "literal",
    [
        f"awskms:{ARN}?key=AKIAABCDEFGHIJKLMNOP&secret=env:X",
        "vault:transit/keys/k@https://vault.example:8200?token=hvs.abcdefghijklmnopqrstuv",
        "vault:transit/keys/k@https://ana:hunter22@vault.example:8200?token=env:X",
    ],
)
def test_literal_secrets_are_refused_and_not_repeated(home: Path, literal: str) -> None:
    for described in ({"keys": literal}, {"previous": [literal]}):
        with pytest.raises(ConfigError) as caught:
            settings(home, tenants={"acme": described})
        assert not any(word in str(caught.value) for word in ("AKIA", "hvs.", "hunter22"))


@pytest.mark.parametrize("more", [{"key_cache": 901}, {"key_cache": -1}, {"tenants": {"acme": {"key": "env:X"}}}])
def test_the_cache_time_has_an_end(home: Path, more: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        settings(home, **more)


@pytest.mark.parametrize(
    ("keys", "module"),
    [
        (f"awskms:{ARN}?credentials=default", "boto3"),
        ("gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k?credentials=default", "google.auth"),
        ("azurekv:https://x.vault.azure.net/keys/k?credentials=default", "azure.identity"),
    ],
)
def test_a_missing_extra_is_named(home: Path, keys: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == module or name.startswith(module + ".")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"pip install 'tacita\[\w+\]'"):
        build(settings(home, keys=keys))


def test_who_is_contacted_is_told(home: Path) -> None:
    tenants = {
        "acme": {"keys": f"awskms:{ARN}?credentials=default"},
        "bolt": {"keys": "azurekv:https://x.vault.azure.net/keys/k?tenant=t&client=c&secret=env:X"},
        "dent": {"keys": "gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k?credentials=file:/x.json"},
    }
    told = {
        entry["host"]: entry["data"] for entry in egress(settings(home, tenants=tenants)) if entry["role"] == "keys"
    }
    assert "tenant acme" in told["kms.eu-central-1.amazonaws.com"]
    assert {
        "x.vault.azure.net",
        "login.microsoftonline.com",
        "cloudkms.googleapis.com",
        "oauth2.googleapis.com",
    } <= set(told)
    shown = settings(home, tenants=tenants).explain()
    assert shown["tenants.acme.keys"]["value"].startswith("awskms:")
    assert shown["key_cache"]["value"] == "300"


def test_a_tenants_key_that_is_out_of_reach_does_not_keep_the_home_shut(home: Path, transit: TransitServer) -> None:
    transit.down = True
    tenants = {"acme": {"keys": uri(transit, "one")}}
    with Memory(settings=settings(home, "bolt", tenants=tenants)) as memory:
        memory.add("his", user_id="bob")
    with Memory(settings=settings(home, "acme", tenants=tenants)) as memory:
        with pytest.raises(KeyUnavailable) as caught:
            memory.add("hers", user_id="ana")
        assert caught.value.retryable
        assert memory.get_all(user_id="ana").total == 0


def test_a_copy_is_put_back_without_a_tenants_key_only_when_that_is_accepted(
    home: Path, tmp_path: Path, transit: TransitServer
) -> None:
    tenants = {"acme": {"keys": uri(transit, "one")}, "bolt": {"keys": uri(transit, "two")}}
    acme, bolt = (settings(home, tenant, tenants=tenants) for tenant in ("acme", "bolt"))
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    with Memory(settings=bolt) as memory:
        memory.add("his", user_id="bob")
    with Memory(settings=acme) as memory:
        memory.add("hers", user_id="ana")
        memory.add("theirs", user_id="eva")
        memory.backup(first)
        memory.add("later", user_id="ana")
    present = (home / "data" / "log.db").read_bytes()
    make(transit, "one").state = "deleted"
    with pytest.raises(KeyUnavailable, match=r"2 vaults .* acme; .*--accept-unchecked"):
        restore_data(acme, first, accept_rollback=True)
    assert (home / "data" / "log.db").read_bytes() == present, "nothing was changed"
    report = restore_data(acme, first, accept_rollback=True, accept_unchecked=True)
    assert report.unchecked == 2
    make(transit, "one").state = "enabled"
    with Memory(settings=bolt) as memory:
        assert memory.get_all(user_id="bob").total == 1
    with Memory(settings=acme) as memory:
        assert memory.get_all(user_id="eva").total == 1
        with pytest.raises(Tampered):
            memory.get_all(user_id="ana")
        trail = [(each["operation"], each["outcome"], each["items"]) for each in memory.audit()]
        assert ("restore", "unchecked", 2) in trail
        memory.backup(second)
    report = restore_data(acme, second, accept_rollback=True)
    assert (report.rolled_back, report.unchecked) == (1, 0)
    with Memory(settings=acme) as memory:
        assert [item.text for item in memory.get_all(user_id="ana")] == ["hers"]
        assert memory.verify().ok
