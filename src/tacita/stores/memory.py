"""The in-memory log store: the same promises, gone with the process. For tests and for people who want no files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import RLock

from tacita.errors import HeadMoved, StoreError
from tacita.ports.log import LogStore
from tacita.sealed import DropCounts, SealedEvent, SealedPart, SealedRow, VaultHead


@dataclass(slots=True)
class _Vault:
    format: int
    rows: list[SealedRow] = field(default_factory=list)
    snapshot: tuple[int, list[SealedPart]] | None = None


class MemoryLogStore(LogStore):
    """Sealed logs in this process's RAM."""

    scheme = "memory"

    def __init__(self) -> None:
        self._vaults_by_id: dict[bytes, _Vault] = {}
        self._lock = RLock()
        self._closed = False

    def _find(self, vault_id: bytes) -> _Vault | None:
        if self._closed:
            raise StoreError("this store is closed")
        return self._vaults_by_id.get(vault_id)

    def _head(self, vault_id: bytes) -> VaultHead | None:
        with self._lock:
            vault = self._find(vault_id)
            return None if vault is None else VaultHead(vault_id, vault.format, len(vault.rows))

    def _append(
        self, vault_id: bytes, expected_seq: int, events: Sequence[SealedEvent], purge: Sequence[int], format: int
    ) -> None:
        with self._lock:
            vault = self._find(vault_id) or _Vault(format)
            if len(vault.rows) != expected_seq:
                raise HeadMoved(f"the vault's head is {len(vault.rows)}, not {expected_seq}")
            if purge:
                vault.snapshot = None
            for seq in purge:
                vault.rows[seq - 1] = replace(vault.rows[seq - 1], sealed=None)
            vault.rows += [
                SealedRow(seq, event.item_tag, event.sealed, event.digest)
                for seq, event in enumerate(events, expected_seq + 1)
            ]
            self._vaults_by_id[vault_id] = vault

    def _read(self, vault_id: bytes, after: int) -> Iterator[SealedRow]:
        with self._lock:
            vault = self._find(vault_id)
            return iter(vault.rows[after:] if vault else [])

    def _fetch(self, vault_id: bytes, seqs: Sequence[int]) -> list[SealedRow]:
        with self._lock:
            vault = self._find(vault_id)
            rows = vault.rows if vault else []
            return [rows[seq - 1] for seq in sorted(set(seqs)) if 0 < seq <= len(rows)]

    def _drop(self, vault_id: bytes) -> DropCounts:
        with self._lock:
            self._find(vault_id)
            vault = self._vaults_by_id.pop(vault_id, None)
            if vault is None:
                return DropCounts(0, 0)
            return DropCounts(len(vault.rows), len(vault.snapshot[1]) if vault.snapshot else 0)

    def _vaults(self) -> Iterator[VaultHead]:
        with self._lock:
            self._find(b"")
            found = sorted(self._vaults_by_id.items())
            return iter([VaultHead(vault_id, vault.format, len(vault.rows)) for vault_id, vault in found])

    def _write_snapshot(self, vault_id: bytes, upto_seq: int, parts: Iterator[SealedPart]) -> None:
        sealed = list(parts)
        with self._lock:
            vault = self._find(vault_id)
            if vault is not None and (vault.snapshot is None or vault.snapshot[0] < upto_seq):
                vault.snapshot = (upto_seq, sealed)

    def _read_snapshot(self, vault_id: bytes) -> tuple[int, Iterator[SealedPart]] | None:
        with self._lock:
            vault = self._find(vault_id)
            return None if vault is None or vault.snapshot is None else (vault.snapshot[0], iter(vault.snapshot[1]))

    def _drop_snapshots(self, vault_id: bytes) -> int:
        with self._lock:
            vault = self._find(vault_id)
            if vault is None or vault.snapshot is None:
                return 0
            count = len(vault.snapshot[1])
            vault.snapshot = None
            return count

    def _size(self) -> int:
        with self._lock:
            return sum(len(row.sealed or b"") for vault in self._vaults_by_id.values() for row in vault.rows)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._vaults_by_id.clear()
