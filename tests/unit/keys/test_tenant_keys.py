"""Root keys of tenants' own: a revoked one makes that tenant unreadable within the cache time, and the others never notice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tacita import KeyUnavailable, Memory, TacitaError
from tacita.config import Settings
from tacita.errors import WrongKey
from tacita.flows.engine import INDEX
from tacita.hazmat import SecretKey
from tacita.items import Subject
from tacita.keys._local import LocalProvider, ephemeral
from tacita.ports.keys import KeyContext, KeyProvider
from tacita.retrieval.index import SearchIndex
from tacita.stores.memory import MemoryLogStore
from tacita.stores.memory_ring import MemoryKeyRing
from tacita.vault.cache import Vaults
from tacita.vault.events import Restricted
from tacita.vault.keyring import Keys
from tacita.vault.tenancy import Tenancy
from tacita.vault.vault import Change

ANA = Subject(kind="user", id="ana")


class Switched(LocalProvider):
    """A root key that behaves as if a service held it: it can be taken away, or be out of reach."""

    elsewhere = True

    def __init__(self, name: str) -> None:
        super().__init__(SecretKey.generate(), scheme=name, where="a test")
        self.hosts = ("service.example",)
        self.revoked = self.down = False
        self.asked = 0
        self.slow = 0.0

    def _check(self) -> None:
        self.asked += 1
        time.sleep(self.slow)
        if self.down:
            raise KeyUnavailable("out of reach", retryable=True)
        if self.revoked:
            raise KeyUnavailable("disabled")

    def wrap(self, key: SecretKey, context: KeyContext) -> bytes:
        self._check()
        return super().wrap(key, context)

    def unwrap(self, blob: bytes, context: KeyContext) -> SecretKey:
        self._check()
        return super().unwrap(blob, context)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.read = 0

    def __call__(self) -> float:
        self.read += 1
        return self.now


@pytest.fixture
def acme() -> Switched:
    return Switched("acme")


@pytest.fixture
def bolt() -> Switched:
    return Switched("bolt")


@pytest.fixture
def tenancy(acme: Switched, bolt: Switched) -> Tenancy:
    return Tenancy(ephemeral(), {"acme": (lambda: acme, ()), "bolt": (lambda: bolt, ())})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vaults(tenancy: Tenancy, clock: Clock) -> Iterator[Vaults[SearchIndex]]:
    keys = Keys(MemoryKeyRing(), tenancy, key_cache=300, clock=clock)
    opened: Vaults[SearchIndex] = Vaults(MemoryLogStore(), keys, INDEX, capacity=1 << 30)
    opened._keeper.wake = lambda: None  # type: ignore[method-assign]  # `look` is called by hand
    yield opened
    opened.close()


def write(vaults: Vaults[SearchIndex], tenant: str) -> None:
    event = Restricted(at=1, actor="test", kind="hold", on=False, reason="")
    vaults.get(tenant, ANA).transact(lambda state: Change(None, [event]))


def test_each_vault_is_under_its_tenants_key_and_the_rest_under_the_homes(
    vaults: Vaults[SearchIndex], acme: Switched, bolt: Switched, tenancy: Tenancy
) -> None:
    for tenant in ("acme", "bolt", "other"):
        write(vaults, tenant)
    vaults.keys.create("acme", "audit", "log")
    found = {vaults.keys.whose(entry)[:2]: entry.provider for entry in vaults.keys.ring.entries()}
    assert found == {
        ("acme", "user"): acme.id,
        ("bolt", "user"): bolt.id,
        ("other", "user"): tenancy.id,
        ("acme", "audit"): tenancy.id,
    }
    assert vaults.get("other", ANA).keys.lease is None, "nobody is asked again about a key of this machine"


def test_it_is_asked_once_and_the_clock_read_once_a_use(
    vaults: Vaults[SearchIndex], acme: Switched, clock: Clock
) -> None:
    write(vaults, "acme")
    asked, read = acme.asked, clock.read
    for _ in range(50):
        vaults.find("acme", ANA)
    assert (acme.asked - asked, clock.read - read) == (0, 50)
    uses = vaults.keys.uses.of[acme.id]
    assert (uses.wrap, uses.unwrap, uses.failures, uses.cache_hits) == (1, 0, 0, 50)


def test_a_revoked_key_opens_nothing_after_the_cache_time(
    vaults: Vaults[SearchIndex], acme: Switched, bolt: Switched, clock: Clock
) -> None:
    for tenant in ("acme", "bolt"):
        write(vaults, tenant)
    acme.revoked = True
    clock.now += 299
    write(vaults, "acme")
    clock.now += 1
    for _ in range(3):
        with pytest.raises(KeyUnavailable) as caught:
            vaults.find("acme", ANA)
        assert not caught.value.retryable
    assert vaults.open_bytes()[0] == 1, "the vault is not in RAM any more"
    write(vaults, "bolt")
    assert vaults.keys.uses.of[acme.id].failures == 3
    acme.revoked = False
    assert vaults.get("acme", ANA).seq == 2


def test_a_service_that_is_down_disturbs_nobody_within_the_cache_time(
    vaults: Vaults[SearchIndex], acme: Switched, clock: Clock
) -> None:
    write(vaults, "acme")
    acme.down = True
    clock.now += 160
    write(vaults, "acme")
    vaults._keeper.look()
    clock.now += 139
    write(vaults, "acme")
    clock.now += 2
    with pytest.raises(KeyUnavailable) as caught:
        vaults.find("acme", ANA)
    assert caught.value.retryable
    acme.down = False
    assert vaults.get("acme", ANA).seq == 3


def test_in_the_background_what_is_used_is_asked_about_and_what_is_not_is_let_go(
    vaults: Vaults[SearchIndex], acme: Switched, bolt: Switched, clock: Clock
) -> None:
    for tenant in ("acme", "bolt"):
        write(vaults, tenant)
    before = acme.asked
    clock.now += 151
    vaults._keeper.look()
    assert acme.asked == before + 1
    clock.now += 151
    vaults.find("acme", ANA)
    vaults._keeper.look()
    assert acme.asked == before + 2, "asked again, for it was used"
    clock.now += 299
    vaults._keeper.look()
    assert vaults.open_bytes()[0] == 1, "bolt's was not used since"
    clock.now += 2
    vaults._keeper.look()
    assert vaults.open_bytes()[0] == 0


def test_in_the_background_a_no_counts_at_once(vaults: Vaults[SearchIndex], acme: Switched, clock: Clock) -> None:
    write(vaults, "acme")
    acme.revoked = True
    clock.now += 151
    vaults._keeper.look()
    assert vaults.open_bytes()[0] == 0
    with pytest.raises(KeyUnavailable):
        vaults.find("acme", ANA)


def test_in_the_background_a_vault_that_another_process_erased_is_let_go(
    vaults: Vaults[SearchIndex], acme: Switched, clock: Clock
) -> None:
    write(vaults, "acme")
    before = acme.asked
    vaults.keys.ring.shred(vaults.keys.vault_id("acme", ANA.kind, ANA.id))
    clock.now += 151
    vaults._keeper.look()
    assert acme.asked == before, "there is no key to ask about"
    assert vaults.open_bytes()[0] == 0


def test_a_vault_that_is_in_use_is_not_taken_from_under_its_user(
    vaults: Vaults[SearchIndex], acme: Switched, clock: Clock
) -> None:
    write(vaults, "acme")
    acme.revoked = True
    slot = vaults._slots[vaults.keys.vault_id("acme", ANA.kind, ANA.id)]
    slot.asking += 1
    clock.now += 151
    vaults._keeper.look()
    assert slot.vault is not None
    slot.asking -= 1
    with pytest.raises(KeyUnavailable):
        vaults.find("acme", ANA)
    assert vaults.open_bytes()[0] == 0


def test_a_vault_that_was_opened_anew_meanwhile_stays(vaults: Vaults[SearchIndex]) -> None:
    looked_at = vaults.get("acme", ANA)
    vaults.forget_open(looked_at.keys.vault_id)
    anew = vaults.get("acme", ANA)
    vaults._let_go(looked_at)
    assert vaults.get("acme", ANA) is anew


def test_a_vault_that_came_to_the_homes_key_is_not_asked_about_any_more(
    vaults: Vaults[SearchIndex], acme: Switched, tenancy: Tenancy, clock: Clock
) -> None:
    write(vaults, "acme")
    (entry,) = vaults.keys.ring.entries()
    assert vaults.keys.ring.rewrap([(entry, vaults.keys.rewrapped(entry, tenancy))]) == 1
    clock.now += 301
    write(vaults, "acme")
    acme.revoked = True
    clock.now += 100_000
    write(vaults, "acme")


def test_the_homes_key_is_renewed_as_if_there_were_no_tenants(tenancy: Tenancy) -> None:
    key, context = SecretKey.generate(), KeyContext("other", bytes(32), 1)
    renewed = tenancy.renewed(tenancy.wrap(key, context), context)
    assert tenancy.unwrap(renewed, context).equals(key)


def test_one_that_is_down_is_asked_once_a_round(vaults: Vaults[SearchIndex], acme: Switched, clock: Clock) -> None:
    for name in ("a", "b", "c"):
        vaults.get("acme", Subject(kind="user", id=name))
    acme.down = True
    before = acme.asked
    clock.now += 151
    vaults._keeper.look()
    assert acme.asked == before + 1


def test_another_key_in_the_ring_than_in_ram_is_noticed(
    vaults: Vaults[SearchIndex], acme: Switched, clock: Clock
) -> None:
    write(vaults, "acme")
    ring = vaults.keys.ring
    (entry,) = ring.entries()
    planted = acme.wrap(SecretKey.generate(), KeyContext("acme", entry.vault_id, 1))
    ring.rewrap([(entry, replace(entry, wrapped=planted))])
    clock.now += 301
    with pytest.raises(TacitaError) as caught:
        vaults.find("acme", ANA)
    assert caught.value.code in ("tampered", "wrong_key")


def test_only_root_keys_that_the_settings_name_are_asked(
    vaults: Vaults[SearchIndex], acme: Switched, bolt: Switched
) -> None:
    """An entry says which key it is under. Somebody who can write the ring must not choose whom we believe."""
    write(vaults, "acme")
    (entry,) = vaults.keys.ring.entries()
    planted = bolt.wrap(SecretKey.generate(), KeyContext("acme", entry.vault_id, 1))
    vaults.keys.ring.rewrap([(entry, replace(entry, wrapped=planted, provider=bolt.id))])
    vaults.forget_open(entry.vault_id)
    with pytest.raises(KeyUnavailable, match="previous"):
        vaults.find("acme", ANA)


def test_a_root_key_that_cannot_be_opened_is_not_tried_by_everybody(bolt: Switched, clock: Clock) -> None:
    tries = []

    def failing() -> KeyProvider:
        tries.append(1)
        raise KeyUnavailable("out of reach", retryable=True)

    tenancy = Tenancy(ephemeral(), {"acme": (failing, ()), "bolt": (lambda: bolt, ())}, clock)
    for _ in range(10):
        with pytest.raises(KeyUnavailable) as caught:
            tenancy.of_tenant("acme")
        assert caught.value.retryable
    assert len(tries) == 1
    clock.now += 6
    with pytest.raises(KeyUnavailable):
        tenancy.of_tenant("acme")
    assert len(tries) == 2
    assert tenancy.of_tenant("bolt").id == bolt.id


def test_keys_from_before_are_found_and_one_that_is_gone_does_not_hide_the_others(
    acme: Switched, bolt: Switched
) -> None:
    def gone() -> KeyProvider:
        raise KeyUnavailable("deleted")

    tenancy = Tenancy(ephemeral(), {"acme": (lambda: acme, (gone, lambda: bolt))})
    assert tenancy.of_tenant("acme").known_as(bolt.id) is bolt
    with pytest.raises(KeyUnavailable):
        tenancy.of_tenant("acme").known_as("another")
    tenancy.close()


# --- through the public face ---


def memory(home: Path, tenant: str, keys: KeyProvider, key_cache: float = 0.4) -> Memory:
    config = {"home": str(home), "tenant": tenant, "embedder": "none", "key_cache": key_cache}
    return Memory(settings=Settings.load(config=config), keys=keys)


@pytest.fixture
def on_disk(home: Path, acme: Switched, bolt: Switched) -> tuple[Path, Tenancy]:
    return home, Tenancy(ephemeral(), {"acme": (lambda: acme, ()), "bolt": (lambda: bolt, ())})


def test_only_that_tenant_under_threads(
    on_disk: tuple[Path, Tenancy], acme: Switched, bolt: Switched, record_property: Callable[[str, object], None]
) -> None:
    home, tenancy = on_disk
    key_cache, stop = 0.5, threading.Event()
    kept: dict[str, list[str]] = {"acme": [], "bolt": []}
    failed: dict[str, list[tuple[float, TacitaError]]] = {"acme": [], "bolt": []}
    worked: dict[str, list[tuple[float, float]]] = {"acme": [], "bolt": []}
    longest = {"acme": 0.0, "bolt": 0.0}
    with memory(home, "acme", tenancy, key_cache) as one, memory(home, "bolt", tenancy, key_cache) as other:

        def work(memory: Memory, tenant: str, number: int) -> None:
            turn = 0
            while not stop.is_set():
                text, began = f"{tenant} {number} {turn}", time.monotonic()
                try:
                    memory.add(text, user_id=f"user-{turn % 3}")
                    kept[tenant].append(text)
                    memory.search(text, user_id=f"user-{turn % 3}")
                    worked[tenant].append((began, time.monotonic()))
                except TacitaError as error:
                    failed[tenant].append((time.monotonic(), error))
                longest[tenant] = max(longest[tenant], time.monotonic() - began)
                turn += 1
                time.sleep(0.002)

        threads = [
            threading.Thread(target=work, args=(memory, tenant, number))
            for number in range(2)
            for memory, tenant in ((one, "acme"), (other, "bolt"))
        ]
        for thread in threads:
            thread.start()
        time.sleep(1.2)
        assert not failed["acme"], "nobody notices that keys are asked about"
        acme.revoked, acme.slow, at = True, 0.2, time.monotonic()
        time.sleep(2.0)
        acme.revoked, acme.slow = False, 0.0
        back = time.monotonic()
        time.sleep(1.0)
        stop.set()
        for thread in threads:
            thread.join()
        assert not failed["bolt"]
        assert failed["acme"]
        assert all(type(error) is KeyUnavailable for _, error in failed["acme"])
        stale = [began - at for began, ended in worked["acme"] if at < began and ended < back]
        assert max(stale, default=0.0) <= key_cache + 0.2, "the key was used after the cache time"
        assert any(began > back for began, _ in worked["acme"]), "given back, it works again"
        for memory_, tenant in ((one, "acme"), (other, "bolt")):
            there = {
                item.text
                for number in range(3)
                for item in memory_.get_all(user_id=f"user-{number}", limit=1_000).items
            }
            assert set(kept[tenant]) <= there, "what was acknowledged is there"
    record_property(
        "figure", f"revoked key used for {max(stale, default=0.0):.2f} s of {key_cache} s, others: 0 failures"
    )


def test_walks_pass_over_a_tenant_that_is_out_of_reach(on_disk: tuple[Path, Tenancy], acme: Switched) -> None:
    home, tenancy = on_disk
    with memory(home, "acme", tenancy) as one:
        one.add("hers", user_id="ana")
    acme.revoked = True
    with memory(home, "bolt", tenancy) as other:
        other.add("his", user_id="bob")
        stats = other.stats()
        assert (stats.vaults, stats.unavailable) == (1, 1)
        assert stats.key_providers[acme.id]["failures"] >= 1
        assert other.sweep().unavailable == 1
        report = other.verify()
        assert [problem.problem for problem in report.problems] == ["disabled"]
        assert other.get_all(user_id="bob").total == 1


def test_what_happened_is_written_down_when_the_key_is_gone(on_disk: tuple[Path, Tenancy], acme: Switched) -> None:
    home, tenancy = on_disk
    with memory(home, "acme", tenancy) as one:
        one.add("hers", user_id="ana")
        acme.revoked = True
        assert [entry["operation"] for entry in one.audit()]


def test_erasing_needs_no_key_but_waits_for_one_that_may_come_back(
    on_disk: tuple[Path, Tenancy], acme: Switched
) -> None:
    home, tenancy = on_disk
    with memory(home, "acme", tenancy) as one:
        one.add("hers", user_id="ana")
    with memory(home, "acme", tenancy) as one:
        acme.down = True
        with pytest.raises(KeyUnavailable):
            one.erase(user_id="ana")  # there may be a legal hold inside
        acme.down, acme.revoked = False, True
        assert one.erase(user_id="ana").keys_destroyed == 1


def test_no_time_at_all_asks_at_every_use(on_disk: tuple[Path, Tenancy], acme: Switched) -> None:
    home, tenancy = on_disk
    with memory(home, "acme", tenancy, key_cache=0) as one:
        one.add("hers", user_id="ana")
        before = acme.asked
        one.search("hers", user_id="ana")
        assert acme.asked > before
        acme.revoked = True
        with pytest.raises(KeyUnavailable):
            one.search("hers", user_id="ana")


def test_a_wrong_answer_is_an_error_and_nothing_else(
    on_disk: tuple[Path, Tenancy], acme: Switched, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, tenancy = on_disk
    with memory(home, "acme", tenancy, key_cache=0) as one:
        one.add("hers", user_id="ana")

        def wrong(blob: bytes, context: KeyContext) -> SecretKey:
            raise WrongKey("not of this key")

        monkeypatch.setattr(acme, "unwrap", wrong)
        with pytest.raises(WrongKey):
            one.search("hers", user_id="ana")
