"""Things put where nobody looks until one transaction puts them in place; and swept when that never came."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from tacita.hazmat import random_bytes
from tacita.stores._dynamo import Item, Refused, Table
from tacita.stores._dynamo_head import update
from tacita.stores._dynamo_layout import CHUNK, ID_BYTES, LIST, NOTE, PACK, PART, blob, key, key_of, number
from tacita.stores._dynamo_table import PLACE, under

_GIVEN_UP_SECONDS: Final = 86_400
"""A writer that took longer finds that it may not finish. Clocks of two machines may differ by hours."""


class Attempt:
    """One writer's try to change a vault."""

    def __init__(self, table: Table, vault_id: bytes) -> None:
        self.id = random_bytes(ID_BYTES)
        self._table = table
        self._vault_id = vault_id
        self._noted = False

    def stage(self, what: str, items: Iterable[Item]) -> None:
        """Put items that are under this attempt's id. The note comes first: nothing lies there that no note tells of."""
        if not self._noted:
            note = {**key(self._vault_id, NOTE + self.id), "since": {"N": str(int(time.time()))}}
            self._table.ask(what, "put_item", Item=note)
            self._noted = True
        self._table.put_all(what, items)

    def ends(self) -> list[Item]:
        """What the transaction that puts things in place must do besides. Fails when what was staged was swept."""
        if not self._noted:
            return []
        condition = "attribute_exists(#place) AND attribute_not_exists(#dead)"
        names = {"#place": PLACE, "#dead": "dead"}
        where = key(self._vault_id, NOTE + self.id)
        return [{"Delete": {"Key": where, "ConditionExpression": condition, "ExpressionAttributeNames": names}}]

    def abandon(self) -> None:
        """Remove what was staged. Only when it is known that nothing took effect."""
        if self._noted:
            _bury(self._table, self._vault_id, self.id)


def sweep(table: Table, vault_id: bytes, *, all_of_them: bool = False) -> None:
    """Remove what writers staged and gave up long ago, or, in a vault that is gone, whatever was staged."""
    for note in list(under(table, "sweep", vault_id, NOTE)):
        since = number(note, "since")
        if all_of_them or "dead" in note or since < time.time() - _GIVEN_UP_SECONDS:
            _bury(table, vault_id, blob(note, PLACE)[1:])


def _bury(table: Table, vault_id: bytes, attempt: bytes) -> None:
    where = key(vault_id, NOTE + attempt)
    try:
        # From here on its writer cannot finish any more.
        request = update(where, when="attribute_exists(#place)", given={}, put={"dead": {"N": "1"}})
        table.ask("sweep", "update_item", **request)
    except Refused:
        return  # it finished, or somebody else swept it
    for kind in (PACK, CHUNK, PART, LIST):
        delete_under(table, vault_id, kind + attempt)
    table.ask("sweep", "delete_item", Key=where)


def delete_under(table: Table, vault_id: bytes, prefix: bytes) -> None:
    """Delete every item whose place begins like this."""
    table.delete_all("delete", map(key_of, under(table, "delete", vault_id, prefix, "rev")))
