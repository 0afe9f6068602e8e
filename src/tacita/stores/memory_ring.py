"""The in-memory key ring: for tests, and for a memory that is to leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import RLock

from msgspec import structs

from tacita.errors import Conflict, KeyUnavailable, StoreError, Tampered
from tacita.ports.keys import KeyRing, checked_vault_id
from tacita.sealed import Anchor, RingEntry


class MemoryKeyRing(KeyRing):
    """Wrapped keys in this process's RAM."""

    def __init__(self) -> None:
        self._entries: dict[bytes, RingEntry | None] = {}
        self._successors: dict[bytes, RingEntry] = {}
        self._settings: dict[str, bytes] = {}
        self._lock = RLock()
        self._closed = False

    def _open(self) -> dict[bytes, RingEntry | None]:
        if self._closed:
            raise StoreError("this key ring is closed")
        return self._entries

    def setting(self, name: str) -> bytes | None:
        with self._lock:
            self._open()
            return self._settings.get(name)

    def put_setting_once(self, name: str, value: bytes) -> bytes:
        with self._lock:
            self._open()
            return self._settings.setdefault(name, value)

    def drop_setting(self, name: str) -> None:
        with self._lock:
            self._open()
            self._settings.pop(name, None)

    def swap_setting(self, name: str, expected: bytes | None, value: bytes) -> bool:
        with self._lock:
            self._open()
            if self._settings.get(name) == expected:
                self._settings[name] = value
            return self._settings.get(name) == value

    def settings(self) -> Iterator[tuple[str, bytes]]:
        with self._lock:
            self._open()
            return iter(sorted(self._settings.items()))

    def rewrap(self, pairs: Sequence[tuple[RingEntry, RingEntry]]) -> int:
        done = 0
        with self._lock:
            entries = self._open()
            for old, new in pairs:
                kept = entries.get(old.vault_id)
                if kept is not None and kept.wrapped == old.wrapped:
                    entries[old.vault_id] = structs.replace(kept, wrapped=new.wrapped, provider=new.provider)
                    done += 1
        return done

    def get(self, vault_id: bytes) -> RingEntry | None:
        with self._lock:
            return self._open().get(checked_vault_id(vault_id))

    def shredded(self, vault_id: bytes) -> bool:
        with self._lock:
            entries = self._open()
            return checked_vault_id(vault_id) in entries and entries[vault_id] is None

    def create(self, entry: RingEntry) -> None:
        with self._lock:
            if self._open().get(checked_vault_id(entry.vault_id)) is not None:
                raise Conflict(f"vault {entry.vault_id.hex()[:12]} has a key already")
            self._entries[entry.vault_id] = entry

    def advance(self, vault_id: bytes, anchor: Anchor) -> None:
        with self._lock:
            entry = self._open().get(checked_vault_id(vault_id))
            if entry is None:
                raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: it has no key, or its key was destroyed")
            if entry.anchor.seq == anchor.seq and entry.anchor.chain != anchor.chain:
                raise Tampered(f"vault {vault_id.hex()[:12]} seq {anchor.seq}: two histories claim this place")
            if entry.anchor.seq < anchor.seq:
                self._entries[vault_id] = structs.replace(entry, anchor=anchor)

    def rewind(self, vault_id: bytes, anchor: Anchor) -> None:
        with self._lock:
            entry = self._open().get(checked_vault_id(vault_id))
            if entry is None:
                raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: it has no key, or its key was destroyed")
            self._entries[vault_id] = structs.replace(entry, anchor=anchor)

    def successor(self, vault_id: bytes) -> RingEntry | None:
        with self._lock:
            self._open()
            return self._successors.get(checked_vault_id(vault_id))

    def successors(self) -> Iterator[RingEntry]:
        with self._lock:
            self._open()
            return iter([entry for _, entry in sorted(self._successors.items())])

    def prepare(self, entry: RingEntry) -> RingEntry:
        with self._lock:
            present = self._open().get(checked_vault_id(entry.vault_id))
            if present is None or present.key_version != entry.key_version - 1:
                raise KeyUnavailable(f"vault {entry.vault_id.hex()[:12]}: no key that this one could follow")
            return self._successors.setdefault(entry.vault_id, entry)

    def promote(self, vault_id: bytes, key_version: int, anchor: Anchor) -> bool:
        with self._lock:
            present = self._open().get(checked_vault_id(vault_id))
            successor = self._successors.get(vault_id)
            if present is None or successor is None or successor.key_version != key_version:
                return False
            if anchor.seq <= present.anchor.seq:
                return False
            self._entries[vault_id] = structs.replace(successor, anchor=anchor)
            del self._successors[vault_id]
            return True

    def shred(self, vault_id: bytes) -> bool:
        with self._lock:
            if self._open().get(checked_vault_id(vault_id)) is None:
                return False
            self._successors.pop(vault_id, None)
            self._entries[vault_id] = None
            return True

    def bury(self, vault_id: bytes) -> None:
        with self._lock:
            if self._open().get(checked_vault_id(vault_id)) is not None:
                raise Conflict(f"vault {vault_id.hex()[:12]} has a key")
            self._entries[vault_id] = None

    def tombstones(self) -> Iterator[bytes]:
        with self._lock:
            return iter(sorted(vault_id for vault_id, entry in self._open().items() if entry is None))

    def entries(self) -> Iterator[RingEntry]:
        with self._lock:
            return iter([entry for _, entry in sorted(self._open().items()) if entry is not None])

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._entries.clear()
            self._successors.clear()
