"""Making a DynamoDB table, and refusing one that is not as it must be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from tacita.errors import StoreError
from tacita.stores._dynamo import Item, Table
from tacita.stores._dynamo_uri import DynamoUri

PARTITION: Final = "vault"
PLACE: Final = "place"
_POLLS: Final = 120


def under(table: Table, what: str, vault_id: bytes, prefix: bytes = b"", *only: str) -> Iterator[Item]:
    """Every item of a vault whose place begins like this, in order; with `only`, of these attributes and its key."""
    more: Item = {}
    if only:
        more["ProjectionExpression"] = ", ".join(f"#{name}" for name in (PARTITION, PLACE, *only))
    more["ExpressionAttributeNames"] = {f"#{name}": name for name in (PARTITION, PLACE, *only)}
    if not prefix:
        del more["ExpressionAttributeNames"][f"#{PLACE}"]
        return table.query(what, "#vault = :vault", {":vault": {"B": vault_id}}, **more)
    values = {":vault": {"B": vault_id}, ":prefix": {"B": prefix}}
    return table.query(what, "#vault = :vault AND begins_with(#place, :prefix)", values, **more)


def prepare(table: Table, uri: DynamoUri) -> None:
    """Raises StoreError when the table is not there, or not as it must be; makes it when the URI says so."""
    described = _described(table)
    if described is None:
        if not uri.create:
            raise StoreError(
                f"dynamodb {table.name}: there is no such table; make it as docs/how-to/dynamodb.md says, "
                "or let this program do it with create=yes"
            )
        _create(table, uri)
        described = _described(table)
    for _ in range(_POLLS):
        if described is not None and described["TableStatus"] in ("ACTIVE", "UPDATING"):
            break
        time.sleep(0.5)
        described = _described(table)
    schema = {each["AttributeName"]: each["KeyType"] for each in (described or {}).get("KeySchema", [])}
    if schema != {PARTITION: "HASH", PLACE: "RANGE"}:
        raise StoreError(f"dynamodb {table.name}: this table is another program's, or not ready")


def _described(table: Table) -> Any:
    try:
        return table.ask("describe", "describe_table")["Table"]
    except StoreError as error:
        if "ResourceNotFoundException" in str(error):
            return None
        raise


def _create(table: Table, uri: DynamoUri) -> None:
    request: dict[str, Any] = {
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "B"} for name in (PARTITION, PLACE)],
        "KeySchema": [
            {"AttributeName": PARTITION, "KeyType": "HASH"},
            {"AttributeName": PLACE, "KeyType": "RANGE"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": True,
    }
    if uri.kms:
        request["SSESpecification"] = {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": uri.kms}
    try:
        table.ask("create table", "create_table", **request)
    except StoreError as error:
        if "ResourceInUseException" not in str(error):  # another process was first
            raise


def size(table: Table) -> int:
    """Bytes of the table, as the vendor counts them every six hours or so."""
    return int(table.ask("size", "describe_table")["Table"].get("TableSizeBytes", 0))
