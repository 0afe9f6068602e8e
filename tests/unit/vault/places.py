"""Vaults over a store and a key ring in RAM: the real ones, without files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tacita.flows.engine import INDEX
from tacita.items import Subject
from tacita.keys._local import ephemeral
from tacita.ports.keys import KeyProvider, KeyRing
from tacita.ports.log import LogStore
from tacita.retrieval.index import SearchIndex
from tacita.stores.memory import MemoryLogStore
from tacita.stores.memory_ring import MemoryKeyRing
from tacita.vault.cache import Vaults
from tacita.vault.events import Event, ItemAdded, ItemRecord
from tacita.vault.keyring import Keys
from tacita.vault.vault import Change, OpenVault


@dataclass
class Place:
    """A store, a key ring and the vaults in them, as one process sees them."""

    store: LogStore = field(default_factory=MemoryLogStore)
    ring: KeyRing = field(default_factory=MemoryKeyRing)
    provider: KeyProvider = field(default_factory=ephemeral)
    capacity: int = 1 << 30

    def __post_init__(self) -> None:
        self.keys = Keys(self.ring, self.provider)
        self.vaults: Vaults[SearchIndex] = Vaults(self.store, self.keys, INDEX, capacity=self.capacity)

    def another_process(self) -> Place:
        return Place(self.store, self.ring, self.provider, self.capacity)

    def vault_id(self, who: str = "ana") -> bytes:
        return self.keys.vault_id("acme", "user", who)

    def vault(self, who: str = "ana") -> OpenVault[SearchIndex]:
        return self.vaults.get("acme", Subject(kind="user", id=who))

    def find(self, who: str = "ana") -> OpenVault[SearchIndex] | None:
        return self.vaults.find("acme", Subject(kind="user", id=who))

    def erase(self, who: str = "ana") -> tuple[bool, int]:
        shredded, dropped = self.vaults.erase("acme", Subject(kind="user", id=who))
        return shredded, dropped.events

    def write(self, *events: Event, who: str = "ana", purge: Sequence[int] = ()) -> OpenVault[SearchIndex]:
        vault = self.vault(who)
        vault.transact(lambda _: Change(None, events, purge))
        return vault

    def texts(self, who: str = "ana") -> list[str]:
        vault = self.find(who)
        return [] if vault is None else [vault.state.texts[row] for row in vault.state.by_id.values()]


def item(number: int, text: str = "", **fields: object) -> ItemRecord:
    described = {"channel": "user", "trust": 3, "timestamp": 1_000 + number, **fields}
    return ItemRecord(id=number.to_bytes(16), text=text or f"text {number}", **described)  # type: ignore[arg-type]


def added(number: int, text: str = "", **fields: object) -> ItemAdded:
    return ItemAdded(at=1_000 + number, actor="ana", item=item(number, text, **fields))
