"""A connection that is cut at any request of any operation: nothing is lost, nothing is done twice, nothing is guessed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from tacita.credentials import Credential
from tacita.errors import StoreError
from tacita.ports.keys import KeyRing
from tacita.ports.log import LogStore
from tacita.sealed import Anchor, SealedPart, VaultHead
from tacita.stores.postgres import PostgresLogStore
from tacita.stores.postgres_setup import DATA
from tacita.testing.log_contract import LATER, A, E, event, events
from tacita.testing.ring_contract import entry


@pytest.fixture
def proxy(server: Any) -> Iterator[Any]:
    made = server.proxy()
    yield made
    made.close()


def succeeds(do: Callable[[], Any]) -> bool:
    """Whether it was done; if not, the error says that nothing was, and that trying again may help."""
    try:
        do()
    except StoreError as error:
        if not error.retryable:
            raise
        return False
    return True


FIRST = {"answered": False}
AFTER = {"answered": True}
HEAD = VaultHead(A, 1, 3, E)

LOG: dict[str, tuple[Callable[[LogStore], Any], Callable[[LogStore], bool]]] = {
    "append one": (
        lambda store: store.append(A, 3, [event(9)], epoch=E),
        lambda store: [row.digest for row in store.fetch(A, [4])] == [event(9).digest],
    ),
    "append some": (
        lambda store: store.append(A, 3, events(9, 5), epoch=E),
        lambda store: len(store.fetch(A, range(4, 9))) == 5,
    ),
    "append many": (
        lambda store: store.append(A, 3, events(9, 700), epoch=E),
        lambda store: len(store.fetch(A, range(4, 704))) == 700,
    ),
    "append and purge": (
        lambda store: store.append(A, 3, [event(9)], purge=[1, 2], epoch=E),
        lambda store: [row.sealed is None for row in store.read(A)] == [True, True, False, False],
    ),
    "replace": (
        lambda store: store.replace(A, HEAD, events(50, 6), epoch=LATER),
        lambda store: store.head(A) == VaultHead(A, 1, 6, LATER),
    ),
    "drop": (
        lambda store: store.drop(A, epoch=E).events == 3 or 1 / 0,
        lambda store: store.head(A) is None and not list(store.read(A)),
    ),
    "drop snapshots": (lambda store: store.drop_snapshots(A), lambda store: store.read_snapshot(A) is None),
}


@pytest.mark.parametrize("cut", [FIRST, AFTER], ids=["before", "after"])
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "append one" else pytest.mark.slow) for n in LOG])
def test_a_write_to_the_log(server: Any, proxy: Any, name: str, cut: dict[str, bool]) -> None:
    do, is_done = LOG[name]
    watching = server.log("watching lost answers")
    store = server.log("watching lost answers", port=proxy.port)
    outcomes = set()
    for request in range(1, 40):
        watching.drop(A, epoch=E)
        watching.drop(A, epoch=LATER)
        watching.append(A, 0, events(1, 3), epoch=E)
        watching.write_snapshot(A, 3, iter([SealedPart(0, b"part")]))
        store.head(A)  # the connection is there
        proxy.arm(request, **cut)
        acknowledged = succeeds(lambda: do(store))
        proxy.arm(-1, answered=False)
        assert is_done(watching) == acknowledged, f"request {request}"
        rows = list(watching.read(A))
        head = watching.head(A)
        assert [row.seq for row in rows] == list(range(1, (head.seq if head else 0) + 1))
        outcomes.add(acknowledged)
        if not proxy.was_cut():
            break
    else:
        raise AssertionError("more requests than any operation has")
    assert True in outcomes
    store.close()
    watching.close()


RING: dict[str, tuple[Callable[[KeyRing], Any], Callable[[KeyRing], bool]]] = {
    "create": (lambda ring: ring.create(entry(b"n" * 32)), lambda ring: ring.get(b"n" * 32) == entry(b"n" * 32)),
    "advance": (lambda ring: ring.advance(A, Anchor(9, b"9" * 32)), lambda ring: _anchor(ring).seq == 9),
    "rewind": (lambda ring: ring.rewind(A, Anchor(1, b"1" * 32)), lambda ring: _anchor(ring).seq == 1),
    "prepare": (
        lambda ring: ring.prepare(replace(entry(A, b"next"), key_version=2)),
        lambda ring: ring.successor(A) is not None,
    ),
    "promote": (
        lambda ring: ring.promote(A, 2, Anchor(9, b"9" * 32)) or 1 / 0,
        lambda ring: ring.get(A) == replace(entry(A, b"next"), key_version=2, anchor=Anchor(9, b"9" * 32)),
    ),
    "shred": (
        lambda ring: ring.shred(A) or 1 / 0,
        lambda ring: ring.get(A) is None and ring.shredded(A) and ring.successor(A) is None,
    ),
    "rewrap": (
        lambda ring: ring.rewrap([(entry(A), entry(A, b"anew"))]) == 1 or 1 / 0,
        lambda ring: ring.get(A) == replace(entry(A, b"anew"), anchor=Anchor(3, b"3" * 32)),
    ),
    "put setting": (lambda ring: ring.put_setting_once("x", b"1"), lambda ring: ring.setting("x") == b"1"),
    "swap setting": (
        lambda ring: ring.swap_setting("y", b"2", b"3") or 1 / 0,
        lambda ring: ring.setting("y") == b"3",
    ),
    "swap in setting": (
        lambda ring: ring.swap_setting("x", None, b"1") or 1 / 0,
        lambda ring: ring.setting("x") == b"1",
    ),
    "drop setting": (lambda ring: ring.drop_setting("y"), lambda ring: ring.setting("y") is None),
}


def _anchor(ring: KeyRing) -> Anchor:
    found = ring.get(A)
    assert found is not None
    return found.anchor


@pytest.mark.parametrize("cut", [FIRST, AFTER], ids=["before", "after"])
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "shred" else pytest.mark.slow) for n in RING])
def test_a_write_to_the_ring(server: Any, proxy: Any, name: str, cut: dict[str, bool]) -> None:
    do, is_done = RING[name]
    watching = server.ring(f"lost {name} {cut}")
    ring = server.ring(f"lost {name} {cut}", port=proxy.port)
    succeeded = False
    for request in range(1, 40):
        for vault_id in (A, b"n" * 32):
            watching.shred(vault_id)
        watching.create(entry(A))
        watching.advance(A, Anchor(3, b"3" * 32))
        if name in ("promote", "shred"):
            watching.prepare(replace(entry(A, b"next"), key_version=2))
        watching.drop_setting("y")
        watching.put_setting_once("y", b"2")
        watching.drop_setting("x")
        ring.get(A)
        proxy.arm(request, **cut)
        acknowledged = succeeds(lambda: do(ring))
        succeeded |= acknowledged
        proxy.arm(-1, answered=False)
        assert is_done(watching) == acknowledged, f"request {request}"
        if not proxy.was_cut():
            break
    assert succeeded
    ring.close()
    watching.close()


class Interrupted(PostgresLogStore):
    """Somebody gives the log another key between the loss of an answer and the question what became of it."""

    def _is_there(self, db: Any, vault_id: bytes, head: int, *rest: Any, **more: Any) -> bool | None:
        self.between()
        return super()._is_there(db, vault_id, head, *rest, **more)

    between: Callable[[], object]


def test_what_cannot_be_known_is_not_called_lost(server: Any, proxy: Any) -> None:
    other = server.log("not known")
    uri = server.uri(DATA, other._schema, port=proxy.port)
    store = Interrupted(uri, lambda option: Credential("env:x", lambda _: "a-password-of-tests-only"))
    store.append(A, 0, [event(1)], epoch=E)
    store.between = lambda: other.replace(A, VaultHead(A, 1, 2, E), events(50, 3), epoch=LATER)
    proxy.arm(1, answered=True)
    with pytest.raises(StoreError, match="not known: read before you write it again") as failed:
        store.append(A, 1, [event(2)], epoch=E)
    assert not failed.value.retryable
    store.close()
    other.close()


@pytest.mark.parametrize("cut", [FIRST, AFTER], ids=["before", "after"])
def test_reads_are_asked_once_more(server: Any, proxy: Any, cut: dict[str, bool]) -> None:
    store = server.log(f"reads {cut}", port=proxy.port)
    ring = server.ring(f"reads {cut}", port=proxy.port)
    store.append(A, 0, events(1, 20), epoch=E)
    store.write_snapshot(A, 3, iter([SealedPart(0, b"part")]))
    ring.create(entry(A))
    for read in (
        lambda: store.head(A),
        lambda: len(list(store.read(A))) == 20,
        lambda: store.fetch(A, [1]),
        lambda: list(store.vaults()),
        store.size,
        lambda: ring.get(A),
        lambda: list(ring.entries()),
    ):
        proxy.arm(1, **cut)
        assert read()
        assert proxy.was_cut()
    store.close()
    ring.close()


def test_a_stream_that_breaks_is_an_error_and_not_the_end(server: Any, proxy: Any) -> None:
    store = server.log("stream", port=proxy.port)
    store.append(A, 0, events(1, 3_000), epoch=E)
    for request in range(1, 8):
        proxy.arm(request, answered=False)
        broken = not succeeds(lambda: len(list(store.read(A))) == 3_000 or 1 / 0)
        assert broken <= proxy.was_cut()
    store.close()


@pytest.mark.slow
def test_a_server_that_falls_silent_is_an_error_in_time(server: Any, proxy: Any) -> None:
    store = server.log("silent", port=proxy.port, timeout="1")
    store.append(A, 0, [event(1)], epoch=E)
    begun = time.monotonic()
    proxy.arm(1, answered=True, silent=True)
    # Its answer never comes, and so we ask over another connection: it was done.
    assert store.append(A, 1, [event(2)], epoch=E) == 2
    assert time.monotonic() - begun < 10
    store.close()
