"""Clients whose n-th request fails, before it was sent or after it took effect; and what a log may look like then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ReadTimeoutError

from tacita.ports.log import LogStore
from tacita.sealed import SealedPart, VaultHead
from tacita.testing.log_contract import A


class Crashed(BaseException):
    """The process is gone: nothing of ours may handle this."""


@dataclass
class Faults:
    """Armed with `at`, the n-th request from then on fails as `fail` says; `after`: when it took effect already."""

    at: int = 0
    after: bool = False
    fail: Callable[[], BaseException] = Crashed
    seen: list[str] = field(default_factory=list)
    dead: bool = False
    step: int = 1
    """Which requests fail in turn: each one, or every second, third, ..., beginning with the first."""

    def turns(self) -> range:
        """The requests that are to fail, one after another; more than any operation has."""
        return range(1, 100, self.step)

    def arm(self, at: int, *, after: bool, fail: Callable[[], BaseException] = Crashed) -> None:
        self.at, self.after, self.fail, self.dead = at, after, fail, False
        self.seen.clear()

    def around(self, name: str, request: Callable[[], Any]) -> Any:
        if self.dead:
            raise self.fail()
        self.seen.append(name)
        mine = len(self.seen) == self.at
        if mine and not self.after:
            self.dead = self.fail is Crashed
            raise self.fail()
        answer = request()
        if mine:
            self.dead = self.fail is Crashed
            raise self.fail()
        return answer


class FaultyDynamo:
    """A boto3 client that passes every request through `Faults`."""

    def __init__(self, client: Any, faults: Faults) -> None:
        self._client = client
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name == "close":
            return found
        return lambda **request: self._faults.around(name, lambda: found(**request))


class FaultyRedis:
    """A Redis client that passes every command through `Faults`."""

    def __init__(self, client: Any, faults: Faults) -> None:
        self._client = client
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def execute_command(self, *command: Any) -> Any:
        return self._faults.around(str(command[0]), lambda: self._client.execute_command(*command))


def lost_dynamo_answer() -> BaseException:
    return ReadTimeoutError(endpoint_url="http://127.0.0.1")


def lost_redis_answer() -> BaseException:
    import redis

    return redis.exceptions.TimeoutError("timed out")


@dataclass(frozen=True)
class Seen:
    """All that a reader can see of a vault."""

    head: VaultHead | None
    rows: tuple[tuple[bytes, bytes, bytes | None], ...]
    snapshot: tuple[int, tuple[SealedPart, ...]] | None
    vaults: tuple[bytes, ...]


def look(store: LogStore) -> Seen:
    found = store.read_snapshot(A)
    rows = list(store.read(A))
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert store.fetch(A, range(1, len(rows) + 2)) == rows
    return Seen(
        store.head(A),
        tuple((row.item_tag, row.digest, row.sealed) for row in rows),
        None if found is None else (found[0], tuple(found[1])),
        tuple(head.vault_id for head in store.vaults()),
    )
