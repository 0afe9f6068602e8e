"""The Redis and Valkey log store: one server or a cluster, whose append-only file is the medium."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tacita.errors import HeadMoved, InvalidInput, StoreError, Tampered
from tacita.hazmat import random_bytes
from tacita.ports.log import LogStore
from tacita.sealed import (
    EPOCH_BYTES,
    UNKNOWN_EPOCH,
    VAULT_ID_BYTES,
    DropCounts,
    PurgedEvent,
    SealedEvent,
    SealedPart,
    SealedRow,
    VaultHead,
)
from tacita.stores import _redis_rows
from tacita.stores import _redis_scripts as scripts
from tacita.stores._address import Secret
from tacita.stores._redis_aof import Rewrites, reliable

_AT_ONCE_BYTES: Final = 4 << 20
_AT_ONCE_ROWS: Final = 1000
_STAGE_MILLISECONDS: Final = 600_000
"""What was staged and not put in place is gone after this. The only keys that expire, with the minute of `gone`."""
_PAGE: Final = 500


class RedisLogStore(LogStore):
    """Sealed logs on a Redis or Valkey server: `rediss://HOST:PORT/DATABASE?user=NAME&password=env:NAME`, or a cluster.

    Opened only where an answer comes after the append-only file has what it acknowledges, unless the URI says
    `durability=accepted-loss`. A replica that takes over may lack the last acknowledged appends; the key ring's anchors
    notice. What was purged is out of the server's memory at once, and out of its file when that was written anew, which
    every deletion asks for.
    """

    scheme = "redis"

    def __init__(self, uri: str, secret: Secret) -> None:
        """Raises ConfigError for an address that is not protected, StoreError for a server that cannot be relied on."""
        parsed, self._servers = reliable(uri, secret)
        self._prefix = f"{parsed.prefix}:log:"
        self.name = parsed.place
        self._rewrites = Rewrites(self._servers, parsed.rewrite)

    def _keys(self, vault_id: bytes, *names: str) -> list[str]:
        # The braces: all keys of a vault are on one server of a cluster.
        return [f"{self._prefix}{{{vault_id.hex()}}}:{name}" for name in names]

    def _head(self, vault_id: bytes) -> VaultHead | None:
        # With the last digest, for a replica that takes over goes back in time while we look.
        *found, digest = self._servers.run("head", scripts.HEAD, self._keys(vault_id, "head", "rows"))
        return _checked(vault_id, found, digest)

    def _append(
        self,
        vault_id: bytes,
        expected_seq: int,
        events: Sequence[SealedEvent],
        epoch: bytes,
        purge: Sequence[int],
        format: int,
    ) -> None:
        attempt = random_bytes(8)
        rows = [_redis_rows.encode(event) for event in events]
        keys = self._keys(vault_id, "head", "rows", "snap", f"stage:{attempt.hex()}")
        staged = len(rows) > _AT_ONCE_ROWS or sum(map(len, rows)) > _AT_ONCE_BYTES
        if staged:
            self._stage(keys[3], expected_seq, rows)
        holes = sorted(set(purge))
        given = (attempt, expected_seq, len(rows), epoch, UNKNOWN_EPOCH, format, int(staged), len(holes), *holes)
        done = self._servers.run("append", scripts.APPEND, keys, *given, *([] if staged else rows))
        self._check(done, keys[3], expected_seq, format)
        if purge:
            self._rewrites.deleted(keys[0])

    def _stage(self, key: str, after: int, rows: Sequence[bytes]) -> None:
        """Put rows where nobody looks, a few megabytes at a time."""
        batch: list[Any] = []
        size = 0
        for number, row in enumerate(rows, 1):
            batch += (after + number, row)
            size += len(row)
            if size > _AT_ONCE_BYTES or len(batch) > 2 * _AT_ONCE_ROWS or number == len(rows):
                self._servers.run("stage rows", scripts.STAGE, [key], _STAGE_MILLISECONDS, *batch)
                batch, size = [], 0

    def _check(self, done: int, stage: str, expected_seq: int, format: int) -> None:
        if done == scripts.DONE:
            return
        # Only where nothing took effect: a failure of this must not make a failure of what did.
        self._servers.call("clear away", "UNLINK", stage)
        if done == scripts.OTHER_FORMAT:
            raise InvalidInput(f"the vault's log does not have format {format}")
        if done == scripts.MOVED:
            raise HeadMoved(f"the vault's head is not {expected_seq} of this epoch")
        raise StoreError(f"{self._servers.name}: what was staged is gone; nothing was written", retryable=True)

    def _replace(
        self, vault_id: bytes, expected: VaultHead, events: Sequence[SealedEvent | PurgedEvent], epoch: bytes
    ) -> None:
        attempt = random_bytes(8)
        keys = self._keys(vault_id, "head", "rows", "snap", f"stage:{attempt.hex()}")
        if self._head(vault_id) != (expected if expected.seq else None):
            raise HeadMoved(f"the vault's head is not {expected.seq} of this epoch")
        self._stage(keys[3], 0, [_redis_rows.encode(event) for event in events])
        given = (attempt, expected.seq, expected.epoch, expected.format, len(events), epoch)
        done = self._servers.run("replace", scripts.REPLACE, keys, *given)
        self._check(done, keys[3], expected.seq, expected.format)
        self._rewrites.deleted(keys[0])

    def _read(self, vault_id: bytes, after: int) -> Iterator[SealedRow]:
        keys = self._keys(vault_id, "head", "rows")
        life, upto, at = None, 0, max(after, 0)
        while True:
            given = (at, upto, _AT_ONCE_BYTES, _AT_ONCE_ROWS)
            found = self._servers.run("read", scripts.READ, keys, *given)
            if not found and life is None:
                return
            if not found or found[0] != (life or found[0]):
                raise HeadMoved("the log was replaced or dropped while it was read")
            life, at = found[0], found[2]
            # The view is that of the first look, or later where a row was purged since: then what says so belongs to it.
            upto = upto or found[1]
            for seq, stored in zip(found[3::2], found[4::2], strict=True):
                row, purged_by = _redis_rows.decode(seq, stored)
                upto = max(upto, purged_by)
                yield row
            if at >= upto:
                return

    def _fetch(self, vault_id: bytes, seqs: Sequence[int]) -> list[SealedRow]:
        key = self._keys(vault_id, "rows")[0]
        wanted = sorted(set(seqs))
        rows = []
        for start in range(0, len(wanted), _PAGE):
            page = wanted[start : start + _PAGE]
            found = self._servers.call("fetch", "HMGET", key, *page)
            rows += [_redis_rows.decode(seq, row)[0] for seq, row in zip(page, found, strict=True) if row is not None]
        return rows

    def _drop(self, vault_id: bytes, epoch: bytes) -> DropCounts:
        keys = self._keys(vault_id, "head", "rows", "snap", "gone")
        counts = self._servers.run("drop", scripts.DROP, keys, random_bytes(8), epoch, UNKNOWN_EPOCH)
        if any(counts):
            self._rewrites.deleted(keys[0])
        return DropCounts(*counts)

    def _vaults(self) -> Iterator[VaultHead]:
        start = len(self._prefix) + 1
        names = set(self._servers.keys(f"{self._prefix}{{*}}:head"))
        ids = sorted(_redis_rows.vault_id(name[start : start + 2 * VAULT_ID_BYTES]) for name in names)
        for at in range(0, len(ids), _PAGE):
            page = ids[at : at + _PAGE]
            asked = [("HMGET", *self._keys(vault_id, "head"), "format", "seq", "epoch") for vault_id in page]
            for vault_id, found in zip(page, self._servers.many("list vaults", asked), strict=True):
                if (head := _checked(vault_id, found)) is not None:
                    yield head

    def _write_snapshot(self, vault_id: bytes, upto_seq: int, parts: Iterator[SealedPart]) -> None:
        attempt = random_bytes(8)
        keys = self._keys(vault_id, "head", "snap", f"stage:{attempt.hex()}")
        wanted = self._servers.run("write snapshot", scripts.BEGIN_SNAPSHOT, keys[:1], upto_seq)
        if not wanted:
            return
        count = 0
        try:
            for part in parts:
                given = (_STAGE_MILLISECONDS, part.part, part.sealed)
                self._servers.run("write snapshot", scripts.STAGE, keys[2:], *given)
                count += 1
        except BaseException:
            self._servers.call("clear away", "UNLINK", keys[2])
            raise
        if count:
            # Overtaken by a purge, a drop or a newer one it is not wanted any more, and removed there.
            self._servers.run("write snapshot", scripts.FINISH_SNAPSHOT, keys, attempt, upto_seq, count, *wanted)

    def _read_snapshot(self, vault_id: bytes) -> tuple[int, Iterator[SealedPart]] | None:
        keys = self._keys(vault_id, "head", "snap")
        found = self._servers.run("read snapshot", scripts.FIND_SNAPSHOT, keys)
        if not found:
            return None
        snapshot, upto_seq, *parts = found

        def read() -> Iterator[SealedPart]:
            for part in sorted(map(int, parts)):
                sealed = self._servers.run("read snapshot", scripts.READ_PART, keys, snapshot, part)
                if sealed is None:
                    return  # replaced or dropped meanwhile; whoever reads notices that parts are missing
                yield SealedPart(part, sealed)

        return int(upto_seq), read()

    def _drop_snapshots(self, vault_id: bytes) -> int:
        keys = self._keys(vault_id, "head", "snap")
        dropped: int = self._servers.run("drop snapshots", scripts.DROP_SNAPSHOT, keys, random_bytes(8))
        if dropped:
            self._rewrites.deleted(keys[0])
        return dropped

    def _size(self) -> int:
        """Bytes of the append-only files, or of the memory where there are none; of the whole servers."""
        size = 0
        for server in self._servers.asked("size", self._servers.primaries):
            told = self._servers.asked("size", server.info)
            size += int(told.get("aof_current_size") or told["used_memory"])
        return size

    def close(self) -> None:
        self._servers.close_after(self._rewrites.settle)


def _checked(vault_id: bytes, found: Sequence[Any], digest: bytes | None = None) -> VaultHead | None:
    layout, seq, epoch = found
    if seq is None:
        return None
    try:
        head = VaultHead(vault_id, _redis_rows.number(layout), _redis_rows.number(seq), epoch or b"", digest)
    except ValueError:
        head = None
    if head is None or len(head.epoch) != EPOCH_BYTES:
        raise Tampered("the list of vaults was changed: it holds values that were never written")
    return head
