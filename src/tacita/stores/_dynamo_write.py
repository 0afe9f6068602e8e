"""Changing a vault's log in a DynamoDB table: each change is one transaction that moves the head, or nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from tacita.errors import HeadMoved, InvalidInput, StoreError
from tacita.hazmat import random_bytes
from tacita.sealed import UNKNOWN_EPOCH, DropCounts, PurgedEvent, SealedEvent, VaultHead
from tacita.stores import _dynamo_debts
from tacita.stores._dynamo import Item, Refused, Table
from tacita.stores._dynamo_attempt import Attempt, sweep
from tacita.stores._dynamo_head import LIFE, Head, check_head, check_same, moving, said, seen, snapshot_debt, update
from tacita.stores._dynamo_layout import (
    HEAD,
    ID_BYTES,
    LIST,
    Pack,
    key,
    pack_item,
    pack_place,
    packs,
    piece_items,
    piece_place,
    shelf,
)
from tacita.stores._dynamo_read import Reader

_INLINE_BYTES: Final = 400_000
"""Larger appends are staged: a partition takes about a megabyte a second, and a transaction costs it twice."""
_INLINE_PACKS: Final = 40
_LISTED: Final = 80_000
_TRIES: Final = 8
_KNOWN: Final = 10_000


class Writer:
    """Appends to, replaces and drops the logs of one table. Thread-safe."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._reader = Reader(table)
        self._lives: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    def learn(self, head: Head) -> Head:
        """Remember where the rows of this vault are: an append then needs one request."""
        self._learn(head.vault_id, head.life)
        return head

    def _learn(self, vault_id: bytes, life: bytes) -> None:
        with self._lock:
            if len(self._lives) >= _KNOWN:
                self._lives.clear()
            self._lives[vault_id] = life

    def append(
        self,
        vault_id: bytes,
        expected_seq: int,
        events: Sequence[SealedEvent],
        epoch: bytes,
        purge: Sequence[int],
        format: int,
    ) -> None:
        """As the port says."""
        seq = expected_seq + len(events)
        attempt = Attempt(self._table, vault_id)
        made = packs(expected_seq, events)
        with self._lock:
            life = self._lives.get(vault_id, b"")
        # A purge must know the snapshot that it drops, so it looks first.
        head = None if life and expected_seq and not purge else self._reader.head(vault_id)
        inline: bool | None = None
        for _ in range(_TRIES):
            if head is not None:
                check_head(head, expected_seq, epoch, format)
                life = head.life if head.there else attempt.id
            if inline is None:
                inline = self._stage(attempt, vault_id, made, events, purge, seq)
            place = {**key(vault_id, pack_place(life, seq)), "by": {"B": attempt.id}, "link": {"B": attempt.id}}
            rows: Iterable[Item] = [{"Put": {"Item": place}}] if expected_seq else []
            if inline:
                rows = [{"Put": {"Item": pack_item(vault_id, life, pack, attempt.id)}} for pack in made]
            change = moving(vault_id, head, expected_seq, seq, epoch, format, life, attempt.id if purge else b"")
            try:
                self._table.transact("append", attempt.id, [*change, *rows, *attempt.ends()])
            except Refused as refused:
                head = self._reader.head(vault_id)
                if refused.uncertain and self._is_there(head, seq, attempt.id):
                    break
                self._abandon_unless(attempt, lambda head=head: check_head(head, expected_seq, epoch, format))  # type: ignore[misc]
                continue
            break
        else:
            attempt.abandon()
            raise StoreError("dynamodb: the vault kept changing; nothing was written", retryable=True)
        self._learn(vault_id, life)
        if purge:
            _dynamo_debts.pay(self._table, vault_id)

    def _abandon_unless(self, attempt: Attempt, check: Callable[[], None]) -> None:
        try:
            check()
        except (HeadMoved, InvalidInput):
            attempt.abandon()
            raise

    def _is_there(self, head: Head, seq: int, attempt: bytes) -> bool:
        """Whether an attempt took effect whose answer was lost."""
        if not head.there:
            return False
        if head.life == attempt:
            return True
        item = self._table.get("append", key(head.vault_id, pack_place(head.life, seq)))
        return item is not None and bytes(item["by"]["B"]) == attempt

    def _stage(
        self,
        attempt: Attempt,
        vault_id: bytes,
        made: Sequence[Pack],
        events: Sequence[SealedEvent],
        purge: Sequence[int],
        head: int,
    ) -> bool:
        """Put what one transaction cannot hold where nobody looks. Whether the packs are to go with the transaction."""
        size = sum(len(event.sealed) for event in events)
        inline = size <= _INLINE_BYTES and len(made) <= _INLINE_PACKS
        items = [piece_items(vault_id, pack, attempt.id) for pack in made if pack.pieces]
        if not inline:
            items.append(pack_item(vault_id, attempt.id, pack, attempt.id) for pack in made)
        if purge:
            items.append(_list_items(vault_id, attempt.id, purge, head))
        if items:
            sweep(self._table, vault_id)
            attempt.stage("append", chain.from_iterable(items))
        return inline

    def replace(
        self, vault_id: bytes, expected: VaultHead, events: Sequence[SealedEvent | PurgedEvent], epoch: bytes
    ) -> None:
        """As the port says."""
        head = self._reader.head(vault_id)
        check_same(head, expected)
        sweep(self._table, vault_id)
        attempt = Attempt(self._table, vault_id)
        made = packs(0, events)
        pieces = (piece_items(vault_id, pack, attempt.id) for pack in made if pack.pieces)
        whole = (pack_item(vault_id, attempt.id, pack, attempt.id) for pack in made)
        attempt.stage("replace", chain(chain.from_iterable(pieces), whole))
        for _ in range(_TRIES):
            put = said(len(events), expected.format, epoch, attempt.id) | {"purged": {"N": str(len(events))}}
            change = update(
                key(vault_id, HEAD),
                **seen(head),
                put=put,
                remove=("snapshot", "upto", "parts"),
                debts=[*([LIFE + head.life] if head.there else []), *snapshot_debt(head)],
            )
            listed = [] if head.there else [{"Put": {"Item": key(shelf(vault_id), vault_id)}}]
            try:
                self._table.transact("replace", attempt.id, [{"Update": change}, *listed, *attempt.ends()])
                break
            except Refused as refused:
                head = self._reader.head(vault_id)
                if refused.uncertain and head.life == attempt.id:
                    break
                self._abandon_unless(attempt, lambda head=head: check_same(head, expected))  # type: ignore[misc]
        else:
            attempt.abandon()
            raise StoreError("dynamodb: the vault kept changing; nothing was written", retryable=True)
        self._learn(vault_id, attempt.id)
        _dynamo_debts.pay(self._table, vault_id)

    def drop(self, vault_id: bytes, epoch: bytes) -> DropCounts:
        """As the port says: gone at once, deleted before this returns, or by whoever drops next."""
        counts = DropCounts(0, 0)
        while True:
            head = self._reader.head(vault_id)
            if not head.there or not head.is_of(epoch, UNKNOWN_EPOCH):
                break
            debts = [LIFE + head.life, *snapshot_debt(head)]
            gone = ("seq", "format", "epoch", "life", "purged", "snapshot", "upto", "parts", "drops")
            change = update(key(vault_id, HEAD), **seen(head), remove=gone, debts=debts)
            counts = DropCounts(head.seq, head.parts)
            try:
                self._table.transact("drop", random_bytes(ID_BYTES), [{"Update": change}])
                break
            except Refused as refused:
                now = self._reader.head(vault_id)
                if refused.uncertain and now.life != head.life:
                    break  # it was our answer that got lost, or somebody else dropped this very log
                counts = DropCounts(0, 0)
        if not self._reader.head(vault_id).there:
            _dynamo_debts.pay(self._table, vault_id)
        return counts


def _list_items(vault_id: bytes, attempt: bytes, purge: Sequence[int], head: int) -> Iterator[Item]:
    seqs = sorted(set(purge))
    for number, start in enumerate(range(0, len(seqs), _LISTED)):
        body = b"".join(seq.to_bytes(4) for seq in seqs[start : start + _LISTED])
        yield {
            **key(vault_id, piece_place(LIST, attempt, number, 0)),
            "body": {"B": body},
            "head": {"N": str(head)},
        }
