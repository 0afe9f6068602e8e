"""One DynamoDB table: opened, asked, and its errors mapped. Bounded retries; a refusal is told apart from a failure."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from tacita.errors import StoreError
from tacita.stores import _address
from tacita.stores._dynamo_uri import DynamoUri

Item = dict[str, Any]

_BATCH_WRITE: Final = 25
_BATCH_GET: Final = 100
_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_TEMPORARY: Final = frozenset(
    {
        *("ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "Throttling"),
        *("InternalServerError", "InternalFailure", "ServiceUnavailable", "TransactionConflictException"),
        *("TransactionInProgressException", "ProvisionedThroughputExceeded", "ThrottlingError", "TransactionConflict"),
        *("ReplicatedWriteConflictException", "LimitExceededException"),
    }
)
_SERVER_FAILED: Final = 500
_NO_FILES: Final[dict[str, Any]] = {
    "profile": (None, [], None, None),
    "config_file": (None, [], os.devnull, None),
    "credentials_file": (None, [], os.devnull, None),
}


class Refused(Exception):
    """A condition did not hold. With `uncertain`, an earlier try of the same call may have taken effect."""

    def __init__(self, uncertain: bool) -> None:
        super().__init__("a condition did not hold")
        self.uncertain = uncertain


class Table:
    """Thread-safe; every failure is a `StoreError` without anything of a request in it."""

    def __init__(self, client: Any, name: str, attempts: int) -> None:
        self.name = name
        self.client = client
        self._attempts = attempts
        self._pid = os.getpid()
        self._closed = False

    def ask(self, what: str, operation: str, **request: Any) -> Any:
        """One request to this table, tried again while the trouble may pass. Raises StoreError, Refused."""
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            HTTPClientError,
            IncompleteReadError,
        )
        from botocore.exceptions import ConnectionError as NotConnected
        from botocore.parsers import ResponseParserError

        if "TransactItems" not in request and "RequestItems" not in request:
            request["TableName"] = self.name
        uncertain = False
        reason = ""
        for attempt in range(self._attempts):
            self._check_usable()
            self._pause(attempt)
            try:
                return getattr(self.client, operation)(**request)
            except ClientError as error:
                reason = _reason(error)
                if reason == "ConditionalCheckFailed":
                    raise Refused(uncertain) from None
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                if reason not in _TEMPORARY and status < _SERVER_FAILED:
                    raise StoreError(f"dynamodb {self.name}: {what} was refused ({reason})") from None
                uncertain = uncertain or status >= _SERVER_FAILED
            except (HTTPClientError, NotConnected, IncompleteReadError, ResponseParserError) as error:
                reason, uncertain = type(error).__name__, True
            except BotoCoreError as error:
                raise StoreError(f"dynamodb {self.name}: {what} failed ({type(error).__name__})") from None
        # Whether the last try took effect is not known: its answer may be what got lost.
        raise StoreError(f"dynamodb {self.name}: {what} failed in {self._attempts} tries ({reason})", retryable=True)

    def transact(self, what: str, token: bytes, actions: Sequence[Mapping[str, Any]]) -> None:
        """All actions or none. The token makes it one transaction however often it is sent (for ten minutes)."""
        for action in actions:
            for body in action.values():
                body["TableName"] = self.name
        self.ask(what, "transact_write_items", TransactItems=list(actions), ClientRequestToken=token.hex())

    def get(self, what: str, key: Item, **more: Any) -> Item | None:
        """One item as it is now."""
        found: Item | None = self.ask(what, "get_item", Key=key, ConsistentRead=True, **more).get("Item")
        return found

    def query(self, what: str, condition: str, values: Item, *, page: int = 0, **more: Any) -> Iterator[Item]:
        """All items that fit in order of their place, each as it is when it is read."""
        request = {"KeyConditionExpression": condition, "ExpressionAttributeValues": values, **more}
        if page:
            request["Limit"] = page
        while True:
            found = self.ask(what, "query", ConsistentRead=True, **request)
            yield from found["Items"]
            if "LastEvaluatedKey" not in found:
                return
            request["ExclusiveStartKey"] = found["LastEvaluatedKey"]

    def put_all(self, what: str, items: Iterable[Item]) -> None:
        """Put items, each by itself."""
        self._write_all(what, ({"PutRequest": {"Item": item}} for item in items))

    def delete_all(self, what: str, keys: Iterable[Item]) -> None:
        """Delete items, each by itself."""
        self._write_all(what, ({"DeleteRequest": {"Key": key}} for key in keys))

    def _write_all(self, what: str, requests: Iterator[Item]) -> None:
        while batch := list(islice(requests, _BATCH_WRITE)):
            left, idle = batch, 0
            while left:
                self._pause(idle)
                found = self.ask(what, "batch_write_item", RequestItems={self.name: left})
                before, left = len(left), found.get("UnprocessedItems", {}).get(self.name, [])
                idle = self._idle(what, idle, len(left) < before)

    def get_all(self, what: str, keys: Sequence[Item]) -> list[Item]:
        """Those of the items that are there, in any order."""
        found: list[Item] = []
        for start in range(0, len(keys), _BATCH_GET):
            left, idle = list(keys[start : start + _BATCH_GET]), 0
            while left:
                self._pause(idle)
                asked = {self.name: {"Keys": left, "ConsistentRead": True}}
                answer = self.ask(what, "batch_get_item", RequestItems=asked)
                got = answer.get("Responses", {}).get(self.name, [])
                found += got
                left = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
                idle = self._idle(what, idle, bool(got))
        return found

    def _idle(self, what: str, idle: int, progress: bool) -> int:
        """How many answers in a row got nothing done. Raises StoreError when it is too many."""
        idle = 0 if progress else idle + 1
        if idle > self._attempts:
            raise StoreError(f"dynamodb {self.name}: {what} makes no progress (throttled)", retryable=True)
        return idle

    def _pause(self, attempt: int) -> None:
        if attempt:
            time.sleep(random.uniform(0.5, 1) * min(_LONGEST_PAUSE, _PAUSE * 2**attempt))

    def _check_usable(self) -> None:
        if self._closed:
            raise StoreError(f"dynamodb {self.name}: this store is closed")
        if self._pid != os.getpid():
            raise StoreError(f"dynamodb {self.name}: opened before a fork; open it again in this process")

    def close(self) -> None:
        """Let go of all connections. In a forked child they are the parent's, and stay."""
        if not self._closed:
            self._closed = True
            if self._pid == os.getpid():
                self.client.close()


def _reason(error: Any) -> str:
    """A refusal's code: of a cancelled transaction, the one of its reasons that decides. Never its message."""
    code = str(error.response.get("Error", {}).get("Code", "Unknown"))
    if code == "TransactionCanceledException":
        reasons = [each.get("Code", "None") for each in error.response.get("CancellationReasons", [])]
        told = [each for each in reasons if each not in ("None", None)]
        if not told:
            return code
        # A condition that failed decides; what else went wrong may pass only if all of it may.
        return str(next((each for each in told if each == "ConditionalCheckFailed"), max(told, key=_lasting)))
    return code.removesuffix("Exception") if code == "ConditionalCheckFailedException" else code


def _lasting(code: str) -> bool:
    return code not in _TEMPORARY


def open_table(uri: DynamoUri, secret: _address.Secret, name: str) -> Table:
    """A table of the vendor's. Connects to nothing yet. Raises ConfigError."""
    boto3 = _address.library("boto3", "dynamodb")
    import botocore.session
    from botocore.config import Config

    _address.hush("boto3", "botocore", "urllib3")
    # With keys that the URI names, no profile and no file of this account counts.
    core = botocore.session.Session(None if uri.default_credentials else _NO_FILES)
    # Neither for DynamoDB nor for the services that give out credentials.
    core.set_config_variable("ignore_configured_endpoint_urls", True)
    keys: dict[str, str] = {}
    if not uri.default_credentials:
        keys = {"aws_access_key_id": secret("key").reveal(), "aws_secret_access_key": secret("secret").reveal()}
        if "token" in uri.options:
            keys["aws_session_token"] = secret("token").reveal()
    settings = Config(
        connect_timeout=min(5.0, uri.timeout),
        read_timeout=uri.timeout,
        max_pool_connections=uri.pool,
        retries={"total_max_attempts": 1, "mode": "standard"},  # trying again is `ask`'s business
        proxies={},
        signature_version="v4",
        ignore_configured_endpoint_urls=True,
        use_dualstack_endpoint=False,
        use_fips_endpoint=False,
    )
    session = boto3.Session(botocore_session=core, region_name=uri.region, **keys)
    # `verify` named as well: else a variable in the environment says whose certificates are good.
    client = session.client("dynamodb", endpoint_url=uri.url, config=settings, verify=True)
    return Table(client, name, uri.attempts)
