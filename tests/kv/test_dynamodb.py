"""DynamoDB: what is refused at the door, what is left after a deletion, throttling, and what errors tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.kv.servers import PASSWORD, MotoServer, named, refuses_a_forked_child, secret

from tacita.credentials import Credential
from tacita.errors import ConfigError, StoreError
from tacita.sealed import SealedEvent, SealedPart
from tacita.stores import _dynamo, _dynamo_attempt, _dynamo_layout, _dynamo_uri, _dynamo_write
from tacita.stores._dynamo_attempt import Attempt
from tacita.stores.dynamodb import DynamoLogStore
from tacita.stores.dynamodb_ring import DynamoKeyRing
from tacita.testing.log_contract import A, E, event, events
from tacita.testing.ring_contract import entry

CANARY = "MARMALADE-CANARY"


@pytest.fixture
def store(moto: MotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoLogStore]:
    moto.forget()
    monkeypatch.setattr(_dynamo, "_PAUSE", 0.001)
    opened = DynamoLogStore(moto.uri(named(tmp_path)), secret)
    yield opened
    opened.close()


def raw(store: DynamoLogStore | DynamoKeyRing) -> bytes:
    """Every byte that the table holds."""
    found = bytearray()
    for item in store._table.client.scan(TableName=store._table.name)["Items"]:
        for value in item.values():
            for kept in value.values():
                found += (
                    b"".join(kept) if isinstance(kept, list) else str(kept).encode() if isinstance(kept, str) else kept
                )
    return bytes(found)


def test_purged_and_dropped_bytes_leave_the_table(store: DynamoLogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dynamo_layout, "PACK_BYTES", 400)
    monkeypatch.setattr(_dynamo_write, "_INLINE_BYTES", 500)
    store.append(A, 0, [event(111_111), event(222_222), event(333_333, 5_000), *events(4, 6)], epoch=E)
    store.write_snapshot(A, 9, iter([SealedPart(0, b"snapshot bytes" * 100)]))
    assert b"111111111111" in raw(store)
    assert b"333333333333" in raw(store)
    assert b"snapshot bytes" in raw(store)
    store.append(A, 9, [event(10)], purge=[1, 3], epoch=E)
    for gone in (b"111111111111", b"333333333333", b"snapshot bytes"):
        assert gone not in raw(store)
    assert b"222222222222" in raw(store)
    store.drop(A, epoch=E)
    assert raw(store) == b""


def test_a_shredded_key_leaves_the_table(moto: MotoServer, tmp_path: Path) -> None:
    ring = DynamoKeyRing(moto.uri(named(tmp_path)), secret)
    ring.create(entry(A, b"the wrapped key bytes"))
    assert b"the wrapped key bytes" in raw(ring)
    ring.shred(A)
    assert b"the wrapped key bytes" not in raw(ring)
    ring.close()


def test_what_was_staged_and_given_up_is_swept_after_a_day(
    store: DynamoLogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(A, 0, events(1, 2), epoch=E)
    left = Attempt(store._table, A)
    part = {**_dynamo_layout.key(A, _dynamo_layout.PART + left.id + bytes(6)), "body": {"B": b"left over"}}
    left.stage("test", [part])
    store.write_snapshot(A, 2, iter([SealedPart(0, b"one")]))
    assert b"left over" in raw(store), "it may still be at work"
    later = time.time() + 90_000
    monkeypatch.setattr(_dynamo_attempt.time, "time", lambda: later)
    store.write_snapshot(A, 2, iter([SealedPart(0, b"two")]))
    assert b"left over" not in raw(store)
    with pytest.raises(_dynamo.Refused):
        store._table.transact("test", left.id, left.ends())


class Unwilling:
    """A client that refuses `times` requests of a kind, or leaves half of a batch undone."""

    def __init__(self, client: Any, operation: str, times: int, code: str, status: int = 400) -> None:
        self._client = client
        self._operation, self._times, self._code, self._status = operation, times, code, status
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name != self._operation:
            return found

        def request(**asked: Any) -> Any:
            if self.refused >= self._times:
                return found(**asked)
            self.refused += 1
            if self._code == "half":
                ((table, wanted),) = asked["RequestItems"].items()
                half = len(wanted) // 2
                if half:
                    found(RequestItems={table: wanted[:half]})
                return {"UnprocessedItems": {table: wanted[half:]}}
            told = {
                "Error": {"Code": self._code, "Message": CANARY},
                "ResponseMetadata": {"HTTPStatusCode": self._status},
            }
            if self._code == "TransactionConflict":
                told["Error"]["Code"] = "TransactionCanceledException"
                told["CancellationReasons"] = [{"Code": "None"}, {"Code": "TransactionConflict"}]
            raise ClientError(told, name)  # type: ignore[arg-type]

        return request


@pytest.mark.parametrize(
    ("code", "status"),
    [("ThrottlingException", 400), ("TransactionConflict", 400), ("InternalServerError", 500)],
)
def test_throttling_passes_or_is_a_retryable_error(store: DynamoLogStore, code: str, status: int) -> None:
    client = store._table.client
    store._table.client = Unwilling(client, "transact_write_items", 4, code, status)
    assert store.append(A, 0, [event(1)], epoch=E) == 1
    store._table.client = Unwilling(client, "transact_write_items", 99, code, status)
    with pytest.raises(StoreError) as failed:
        store.append(A, 1, [event(2)], epoch=E)
    assert failed.value.retryable
    assert CANARY not in str(failed.value)
    assert store._table.client.refused == 6
    store._table.client = Unwilling(client, "transact_write_items", 1, "AccessDeniedException")
    with pytest.raises(StoreError, match="AccessDenied") as failed:
        store.append(A, 1, [event(2)], epoch=E)
    assert not failed.value.retryable
    store._table.client = client
    assert store.append(A, 1, [event(2)], epoch=E) == 2


def test_what_a_batch_leaves_undone_is_done_again(store: DynamoLogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dynamo_layout, "PACK_BYTES", 400)
    monkeypatch.setattr(_dynamo_write, "_INLINE_BYTES", 500)
    client = store._table.client
    store._table.client = Unwilling(client, "batch_write_item", 3, "half")
    assert store.append(A, 0, events(1, 60), epoch=E) == 60
    assert len(list(store.read(A))) == 60
    endless = Unwilling(client, "batch_write_item", 999, "half")
    monkeypatch.setattr(endless, "_code", "half")
    store._table.client = endless
    monkeypatch.setattr(
        Unwilling,
        "__getattr__",
        lambda self, name: _nothing_done if name == "batch_write_item" else getattr(client, name),
    )
    with pytest.raises(StoreError, match="no progress") as failed:
        store.append(A, 60, events(61, 60), epoch=E)
    assert failed.value.retryable


def _nothing_done(**asked: Any) -> Any:
    return {"UnprocessedItems": asked["RequestItems"]}


def test_no_variable_of_the_environment_reroutes(
    moto: MotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:9"
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy"):
        monkeypatch.setenv(name, nowhere)
    for name, value in (
        *(("AWS_PROFILE", "nobody"), ("AWS_ACCESS_KEY_ID", "wrong"), ("AWS_USE_FIPS_ENDPOINT", "true")),
        *(("AWS_REGION", "us-east-1"), ("AWS_CA_BUNDLE", "/nowhere.pem"), ("AWS_CONFIG_FILE", "/nowhere")),
    ):
        monkeypatch.setenv(name, value)
    store = DynamoLogStore(moto.uri(named(tmp_path)), secret)
    assert store._table.client.meta.endpoint_url == f"http://127.0.0.1:{moto.port}"
    assert store._table.client._request_signer._credentials.access_key == PASSWORD
    assert store.append(A, 0, [event(1)], epoch=E) == 1
    store.close()


def test_credentials_of_this_machine_only_when_asked_for(
    moto: MotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-this-machine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    uri = moto.uri(named(tmp_path)).replace("key=env:AWS_KEY&secret=env:AWS_SECRET", "credentials=default")
    store = DynamoLogStore(uri, secret)
    assert store._table.client._request_signer._credentials.access_key == "of-this-machine"
    assert store.append(A, 0, [event(1)], epoch=E) == 1
    store.close()


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("dynamodb:tacita?key=env:A&secret=env:B", "region"),
        ("dynamodb:tacita?region=eu-central-1", "credentials=default"),
        ("dynamodb:tacita?region=eu-central-1&key=env:A", "credentials=default"),
        ("dynamodb:tacita?region=eu-central-1&key=env:A&secret=env:B&credentials=default", "credentials=default"),
        (f"dynamodb:tacita?region=eu-central-1&key=env:A&secret={CANARY}", "by reference"),
        ("dynamodb:tacita?region=eu-central-1@http://db.example.com&credentials=default", "https"),
        (f"dynamodb:tacita?region=eu-central-1@https://u:{CANARY}@h&credentials=default", "no credentials"),
        ("dynamodb:tacita?region=eu-central-1@https://h:x&credentials=default", "cannot be read"),
        ("dynamodb:ta/cita?region=eu-central-1&credentials=default", "PREFIX"),
        ("dynamodb:tacita?region=mars&credentials=default", "region"),
        (f"dynamodb:tacita?region=eu-central-1&credentials={CANARY}", "credentials"),
    ],
)
def test_addresses_that_are_refused(uri: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as failed:
        _dynamo_uri.parse(uri)
    assert CANARY not in str(failed.value)


def test_addresses_that_are_taken() -> None:
    parsed = _dynamo_uri.parse("dynamodb:tacita?region=eu-central-1&credentials=default")
    assert parsed.url == "https://dynamodb.eu-central-1.amazonaws.com"
    assert _dynamo_uri.parse("dynamodb:tacita?region=cn-north-1&credentials=default").url.endswith(".com.cn")
    own = _dynamo_uri.parse("dynamodb:tacita?region=eu-central-1@https://vpce-1.example.com&credentials=default")
    assert (own.url, own.region) == ("https://vpce-1.example.com", "eu-central-1")


def test_errors_tell_neither_secrets_nor_what_was_sent(moto: MotoServer, tmp_path: Path) -> None:
    told: list[BaseException] = []

    def fails(call: Callable[[], object]) -> None:
        with pytest.raises((StoreError, ConfigError)) as failed:
            call()
        told.append(failed.value)

    fails(lambda: DynamoLogStore(moto.uri(named(tmp_path), create="yes").replace("&create=yes", ""), secret))
    store = DynamoLogStore(moto.uri(named(tmp_path)), secret)
    sealed = SealedEvent(b"t" * 16, CANARY.encode() * 100, b"d" * 32)
    client = store._table.client
    store._table.name = "not-there"
    fails(lambda: store.append(A, 0, [sealed], epoch=E))
    store._table.client = Unwilling(client, "transact_write_items", 9, "ValidationException")
    fails(lambda: store.append(A, 0, [sealed], epoch=E))
    store._table.client = client
    store.close()
    fails(lambda: store.append(A, 0, [sealed], epoch=E))
    nowhere = moto.uri(named(tmp_path), attempts="1").replace(f":{moto.port}", ":9")
    fails(lambda: DynamoLogStore(nowhere, lambda _: Credential("env:X", lambda _: CANARY)))
    for error in told:
        chain: BaseException | None = error
        while chain is not None:
            assert CANARY not in str(chain)
            assert PASSWORD not in str(chain)
            chain = None if chain.__suppress_context__ else chain.__context__


def test_another_programs_table_is_refused(moto: MotoServer, tmp_path: Path, store: DynamoLogStore) -> None:
    store._table.client.create_table(
        TableName="other-log",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(StoreError, match="another program's"):
        DynamoLogStore(moto.uri("other"), secret)


def test_a_table_made_by_us_is_on_demand_protected_and_encrypted_as_asked(moto: MotoServer, tmp_path: Path) -> None:
    store = DynamoLogStore(moto.uri(named(tmp_path), kms="alias/tacita"), secret)
    made = store._table.client.describe_table(TableName=store._table.name)["Table"]
    assert made["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert made["DeletionProtectionEnabled"]
    assert made["SSEDescription"]["KMSMasterKeyArn"].endswith("alias/tacita")
    live = store._table.client.describe_time_to_live(TableName=store._table.name)
    assert live["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED"
    store.close()


def test_a_forked_child_is_refused_and_the_parent_goes_on(store: DynamoLogStore) -> None:
    store.append(A, 0, [event(1)], epoch=E)
    assert refuses_a_forked_child(store, A)
    assert store.append(A, 1, [event(2)], epoch=E) == 2
