"""The DynamoDB log store: one table, shared by any number of processes and machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tacita.ports.log import LogStore
from tacita.sealed import DropCounts, PurgedEvent, SealedEvent, SealedPart, SealedRow, VaultHead
from tacita.stores import _dynamo_table, _dynamo_uri
from tacita.stores._address import Secret
from tacita.stores._dynamo import open_table
from tacita.stores._dynamo_head import read_head
from tacita.stores._dynamo_layout import HEAD, key, shelves
from tacita.stores._dynamo_read import Reader
from tacita.stores._dynamo_snapshots import Snapshots
from tacita.stores._dynamo_table import PARTITION, PLACE
from tacita.stores._dynamo_write import Writer

_PAGE: Final = 100


class DynamoLogStore(LogStore):
    """Sealed logs in the table `PREFIX-log`: `dynamodb:PREFIX?region=eu-central-1&key=env:NAME&secret=env:NAME`.

    Every read is strongly consistent. A deletion is in force at once; that its items are deleted too, is what the call waits
    for. When it raises a retryable StoreError after that, the deletion stands, and the next one in this vault finishes it.
    Point-in-time recovery and backups of the table keep what was purged for as long as the operator keeps them.
    """

    scheme = "dynamodb"

    def __init__(self, uri: str, secret: Secret) -> None:
        """Raises ConfigError for an address that is not protected, StoreError for a table that is not as it must be."""
        parsed = _dynamo_uri.parse(uri)
        self._table = open_table(parsed, secret, f"{parsed.prefix}-log")
        self.name = parsed.place(self._table.name)
        self._reader = Reader(self._table)
        self._writer = Writer(self._table)
        self._snapshots = Snapshots(self._table)
        try:
            _dynamo_table.prepare(self._table, parsed)
        except BaseException:
            self._table.close()
            raise

    def _head(self, vault_id: bytes) -> VaultHead | None:
        head = self._reader.head(vault_id)
        return self._writer.learn(head).public if head.there else None

    def _append(
        self,
        vault_id: bytes,
        expected_seq: int,
        events: Sequence[SealedEvent],
        epoch: bytes,
        purge: Sequence[int],
        format: int,
    ) -> None:
        self._writer.append(vault_id, expected_seq, events, epoch, purge, format)

    def _replace(
        self, vault_id: bytes, expected: VaultHead, events: Sequence[SealedEvent | PurgedEvent], epoch: bytes
    ) -> None:
        self._writer.replace(vault_id, expected, events, epoch)

    def _read(self, vault_id: bytes, after: int) -> Iterator[SealedRow]:
        return self._reader.rows(vault_id, after)

    def _fetch(self, vault_id: bytes, seqs: Sequence[int]) -> list[SealedRow]:
        return self._reader.fetch(vault_id, seqs)

    def _drop(self, vault_id: bytes, epoch: bytes) -> DropCounts:
        return self._writer.drop(vault_id, epoch)

    def _vaults(self) -> Iterator[VaultHead]:
        for shelf in shelves():
            last = b"\x00"
            while True:
                page = self._listed(shelf, last)
                heads = self._table.get_all("list vaults", [key(vault_id, HEAD) for vault_id in page])
                for item in sorted(heads, key=lambda item: bytes(item[PARTITION]["B"])):
                    head = read_head(bytes(item[PARTITION]["B"]), item)
                    if head.there:
                        yield head.public
                if len(page) < _PAGE:
                    break
                last = page[-1]

    def _listed(self, shelf: bytes, last: bytes) -> list[bytes]:
        found = self._table.ask(
            "list vaults",
            "query",
            KeyConditionExpression="#vault = :shelf AND #place > :last",
            ExpressionAttributeNames={"#vault": PARTITION, "#place": PLACE},
            ExpressionAttributeValues={":shelf": {"B": shelf}, ":last": {"B": last}},
            ConsistentRead=True,
            Limit=_PAGE,
        )
        return [bytes(item[PLACE]["B"]) for item in found["Items"]]

    def _write_snapshot(self, vault_id: bytes, upto_seq: int, parts: Iterator[SealedPart]) -> None:
        self._snapshots.write(vault_id, upto_seq, parts)

    def _read_snapshot(self, vault_id: bytes) -> tuple[int, Iterator[SealedPart]] | None:
        return self._snapshots.read(vault_id)

    def _drop_snapshots(self, vault_id: bytes) -> int:
        return self._snapshots.drop(vault_id)

    def _size(self) -> int:
        """Bytes of the table as the vendor last counted them: every six hours or so."""
        return _dynamo_table.size(self._table)

    def close(self) -> None:
        self._table.close()
