"""moto's server with one request at a time: its transactions are not isolated from each other, and DynamoDB's are.

Before a transaction it copies the whole table once for each of its actions, and keeps every copy of every item for ever:
seconds and gigabytes with thousands of vaults. Here the copy shares the items, and whoever would change one changes a copy.
"""

from __future__ import annotations

import copy
import sys
from collections import defaultdict
from collections.abc import Iterable
from threading import Lock
from typing import Any

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

_app = DomainDispatcherApplication(create_backend_app)
_lock = Lock()


def _one_at_a_time(environ: Any, start_response: Any) -> Iterable[bytes]:
    with _lock:
        return list(_app(environ, start_response))


def _sharing_items(table: Table, _: dict[int, Any]) -> Table:
    """What a transaction that fails is rolled back to."""
    # Not by its class: moto keeps a list of all that was made that way.
    made = object.__new__(Table)
    made.__dict__.update(table.__dict__)
    made.items = defaultdict(dict, {partition: dict(rows) for partition, rows in table.items.items()})
    return made


_update_in_place = DynamoDBBackend.update_item


def _update_a_copy(self: DynamoDBBackend, table_name: str, key: dict[str, Any], *given: Any, **more: Any) -> Any:
    table = self.get_table(table_name)
    partition, place = self.get_keys_value(table, key)
    if (item := table.get_item(partition, place)) is not None:
        table.items[partition][place] = copy.deepcopy(item)
    return _update_in_place(self, table_name, key, *given, **more)


if __name__ == "__main__":
    Table.__deepcopy__ = _sharing_items
    DynamoDBBackend.update_item = _update_a_copy
    run_simple("127.0.0.1", int(sys.argv[1]), _one_at_a_time, threaded=True)
