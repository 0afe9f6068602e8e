"""The in-memory log store: the same promises, gone with the process. For tests and for people who want no files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock

import msgspec

from tacita.errors import HeadMoved, InvalidInput, StoreError
from tacita.ports.log import LogStore
from tacita.sealed import DropCounts, PurgedEvent, SealedEvent, SealedPart, SealedRow, VaultHead


class _Vault(msgspec.Struct, eq=False):
    format: int
    epoch: bytes
    rows: list[SealedRow] = msgspec.field(default_factory=list)
    purged_seq: int = 0
    snapshot: tuple[int, tuple[SealedPart, ...]] | None = None

    def head(self, vault_id: bytes) -> VaultHead:
        return VaultHead(vault_id, self.format, len(self.rows), self.epoch)

    def drop_snapshot(self) -> int:
        dropped = self.snapshot
        self.snapshot = None
        return 0 if dropped is None else len(dropped[1])


class MemoryLogStore(LogStore):
    """Sealed logs in this process's RAM. A forked child gets a copy of its own."""

    scheme = "memory"

    def __init__(self) -> None:
        self._by_id: dict[bytes, _Vault] = {}
        self._lock = Lock()
        self._closed = False

    def _find(self, vault_id: bytes) -> _Vault | None:
        if self._closed:
            raise StoreError("this store is closed")
        return self._by_id.get(vault_id)

    def _head(self, vault_id: bytes) -> VaultHead | None:
        with self._lock:
            vault = self._find(vault_id)
            return None if vault is None else vault.head(vault_id)

    def _append(
        self,
        vault_id: bytes,
        expected_seq: int,
        events: Sequence[SealedEvent],
        epoch: bytes,
        purge: Sequence[int],
        format: int,
    ) -> None:
        rows = _rows(expected_seq, events)
        with self._lock:
            vault = self._find(vault_id) or _Vault(format, epoch)
            if len(vault.rows) != expected_seq or vault.epoch != epoch:
                raise HeadMoved(f"the vault's head is not {expected_seq} of this epoch")
            if vault.format != format:
                raise InvalidInput(f"the vault's log has format {vault.format}, not {format}")
            for seq in purge:
                vault.rows[seq - 1] = msgspec.structs.replace(vault.rows[seq - 1], sealed=None)
            vault.rows += rows
            if purge:
                vault.drop_snapshot()
                vault.purged_seq = len(vault.rows)
            self._by_id[vault_id] = vault

    def _replace(
        self, vault_id: bytes, expected: VaultHead, events: Sequence[SealedEvent | PurgedEvent], epoch: bytes
    ) -> None:
        rows = _rows(0, events)
        with self._lock:
            vault = self._find(vault_id)
            if vault.head(vault_id) != expected if vault else expected.seq:
                raise HeadMoved(f"the vault's head is not {expected.seq} of this epoch")
            self._by_id[vault_id] = _Vault(expected.format, epoch, rows, len(rows))

    def _read(self, vault_id: bytes, after: int) -> Iterator[SealedRow]:
        with self._lock:
            vault = self._find(vault_id)
            return iter(vault.rows[max(after, 0) :] if vault else [])

    def _fetch(self, vault_id: bytes, seqs: Sequence[int]) -> list[SealedRow]:
        with self._lock:
            vault = self._find(vault_id)
            rows = vault.rows if vault else []
            return [rows[seq - 1] for seq in sorted(set(seqs)) if 0 < seq <= len(rows)]

    def _drop(self, vault_id: bytes, epoch: bytes) -> DropCounts:
        with self._lock:
            vault = self._find(vault_id)
            if vault is None or vault.epoch != epoch:
                return DropCounts(0, 0)
            del self._by_id[vault_id]
            return DropCounts(len(vault.rows), vault.drop_snapshot())

    def _vaults(self) -> Iterator[VaultHead]:
        with self._lock:
            self._find(b"")
            found = [vault.head(vault_id) for vault_id, vault in self._by_id.items()]
        return iter(sorted(found, key=lambda head: head.vault_id))

    def _write_snapshot(self, vault_id: bytes, upto_seq: int, parts: Iterator[SealedPart]) -> None:
        sealed = tuple(parts)
        with self._lock:
            vault = self._find(vault_id)
            # Folded before a purge, it would bring back what the purge removed.
            if vault is None or not vault.purged_seq <= upto_seq <= len(vault.rows):
                return
            if sealed and (vault.snapshot is None or vault.snapshot[0] <= upto_seq):
                vault.snapshot = (upto_seq, sealed)

    def _read_snapshot(self, vault_id: bytes) -> tuple[int, Iterator[SealedPart]] | None:
        with self._lock:
            vault = self._find(vault_id)
            return None if vault is None or vault.snapshot is None else (vault.snapshot[0], iter(vault.snapshot[1]))

    def _drop_snapshots(self, vault_id: bytes) -> int:
        with self._lock:
            vault = self._find(vault_id)
            return 0 if vault is None else vault.drop_snapshot()

    def _size(self) -> int:
        with self._lock:
            self._find(b"")
            return sum(len(row.sealed or b"") for vault in self._by_id.values() for row in vault.rows)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._by_id.clear()


def _rows(after: int, events: Sequence[SealedEvent | PurgedEvent]) -> list[SealedRow]:
    return [
        SealedRow(seq, event.item_tag, event.sealed if isinstance(event, SealedEvent) else None, event.digest)
        for seq, event in enumerate(events, after + 1)
    ]
