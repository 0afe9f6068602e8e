"""What is gone already and must still be deleted: ciphertext of a purge, a life that was replaced, an old snapshot.

A debt is written into the head by the very transaction that makes something unreachable, and taken off when the items are
deleted. Whoever deletes next in a vault pays what a crash left over. Paying twice is harmless.
"""

from __future__ import annotations

from tacita.hazmat import random_bytes
from tacita.stores._dynamo import Item, Refused, Table
from tacita.stores._dynamo_attempt import delete_under, sweep
from tacita.stores._dynamo_head import LIFE, PURGE, SNAPSHOT, Head, update
from tacita.stores._dynamo_layout import (
    CHUNK,
    HEAD,
    ID_BYTES,
    LIST,
    PACK,
    PART,
    StoredPack,
    blob,
    key,
    pack_place,
    piece_place,
    purged_body,
    read_pack,
    shelf,
)
from tacita.stores._dynamo_read import Reader, purge_list
from tacita.stores._dynamo_table import PLACE, under


def pay(table: Table, vault_id: bytes) -> None:
    """Delete what the head of a vault says is gone. Raises StoreError; then the next one goes on."""
    reader = Reader(table)
    head = reader.head(vault_id)
    for debt in head.debts:
        if debt[:1] == PURGE:
            _purge(reader, table, head, debt[1:])
        elif debt[:1] == SNAPSHOT:
            delete_under(table, vault_id, PART + debt[1:])
        elif debt[:1] == LIFE:
            _delete_life(table, vault_id, debt[1:])
        _paid(table, vault_id, debt)
    if not head.there:
        sweep(table, vault_id, all_of_them=True)
        _forget(table, vault_id)


def _paid(table: Table, vault_id: bytes, debt: bytes) -> None:
    try:
        table.ask(
            "delete",
            "update_item",
            Key=key(vault_id, HEAD),
            UpdateExpression="DELETE #debts :debt",
            # Else this would make a head where somebody else has just removed it.
            ConditionExpression="attribute_exists(#place)",
            ExpressionAttributeNames={"#debts": "debts", "#place": PLACE},
            ExpressionAttributeValues={":debt": {"BS": [debt]}},
        )
    except Refused:
        return


def _forget(table: Table, vault_id: bytes) -> None:
    """Remove the last trace of a vault that is gone, unless it is being made anew."""
    gone = "attribute_not_exists(#seq) AND attribute_not_exists(#debts)"
    names = {"#seq": "seq", "#debts": "debts"}
    where = key(vault_id, HEAD)
    try:
        head = {"Delete": {"Key": where, "ConditionExpression": gone, "ExpressionAttributeNames": names}}
        listed: Item = {"Delete": {"Key": key(shelf(vault_id), vault_id)}}
        table.transact("delete", random_bytes(ID_BYTES), [head, listed])
    except Refused:
        return


def _purge(reader: Reader, table: Table, head: Head, attempt: bytes) -> None:
    wanted = dict(purge_list(table, head.vault_id, attempt))
    if head.there and wanted:
        last = max(wanted)
        at = min(wanted) - 1
        for pack in reader.packs(head, at):
            if any(row.seq in wanted for row in pack.rows):
                _rewrite(table, head.vault_id, pack, set(wanted), max(wanted.values()))
            if pack.last >= last:
                break
    delete_under(table, head.vault_id, LIST + attempt)


def _rewrite(table: Table, vault_id: bytes, pack: StoredPack, holes: set[int], head: int) -> None:
    where = key(vault_id, pack_place(pack.segment, pack.last))
    while True:
        # Pieces first: the pack is what leads to them.
        pieces = [piece_place(CHUNK, pack.owner, pack.last, chunk) for chunk in range(pack.pieces)]
        table.delete_all("purge", [key(vault_id, place) for place in pieces])
        put = {
            "body": {"B": purged_body(pack, holes)},
            "hole": {"N": str(max(head, pack.hole))},
            "rev": {"N": str(pack.rev + 1)},
        }
        request = update(
            where, when="#rev = :rev", given={":rev": {"N": str(pack.rev)}}, put=put, remove=("pieces", "owner")
        )
        try:
            table.ask("purge", "update_item", **request)
            return
        except Refused:
            # Somebody else purged in here, or our own answer was lost, or the log was dropped meanwhile.
            item = table.get("purge", where)
            if item is None:
                return
            pack = read_pack(item)
            if all(row.sealed is None for row in pack.rows if row.seq in holes) and not pack.pieces:
                return


def _delete_life(table: Table, vault_id: bytes, life: bytes) -> None:
    # What it leads to first: cut short, this begins anew and finds the rest.
    for item in under(table, "delete", vault_id, PACK + life, "link"):
        if "link" in item:
            _delete_segment(table, vault_id, blob(item, "link"))
    _delete_segment(table, vault_id, life)


def _delete_segment(table: Table, vault_id: bytes, segment: bytes) -> None:
    for item in under(table, "delete", vault_id, PACK + segment, "owner"):
        if "owner" in item:
            delete_under(table, vault_id, CHUNK + blob(item, "owner"))
    delete_under(table, vault_id, PACK + segment)
