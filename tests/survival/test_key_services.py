"""Key services that fail at random under adds, searches and rotations: no plaintext, nothing lost, one kind of error."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.keys.services.opened import SERVERS, VARIABLES, make, opened, uri
from tests.unit.keys.services.server import Fault

from tacita import KeyUnavailable, Memory, TacitaError
from tacita.config import Settings
from tacita.errors import HeadMoved
from tacita.keys import _remote
from tacita.rotating import rotate
from tacita.vault import tenancy

SECONDS = float(os.environ.get("TACITA_KEY_FAULT_SECONDS", "6"))
"""For each service."""
_FAULTS: tuple[Fault, ...] = ("throttled", "broken", "cut", "no_json", "wrong_shape", "redirect")


def faults(seed: int, share: float) -> Iterator[Fault | None]:
    rng = random.Random(seed)
    while True:
        yield rng.choice(_FAULTS) if rng.random() < share else None


@pytest.mark.slow
@pytest.mark.parametrize("scheme", list(SERVERS))
def test_random_faults(
    scheme: str,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(_remote, "_OPEN_SECONDS", 0.2)
    monkeypatch.setattr(_remote, "_LONGEST_WAIT", 0.05)
    monkeypatch.setattr(tenancy, "_PAUSE", 0.05)
    acknowledged: dict[str, set[str]] = {}
    failed: list[TacitaError] = []
    stop = threading.Event()
    with SERVERS[scheme](tmp_path) as server:
        make(server, "one")
        config = {
            "home": str(home), "tenant": "acme", "embedder": "none", "key_cache": 0.1,
            "tenants": {"acme": {"keys": uri(server, "one")}},
        }  # fmt: skip

        def work(number: int) -> None:
            turn = 0
            with Memory(settings=Settings.load(config=config)) as memory:
                while not stop.is_set():
                    turn += 1
                    # Other users after a while: all of one user is read at once.
                    user, text = f"user-{number}-{turn % 5}-{turn // 4_000}", f"canary {number} {turn}"
                    try:
                        memory.add(text, user_id=user)
                        acknowledged.setdefault(user, set()).add(text)
                        found = {item.text for item in memory.get_all(user_id=user, limit=1_000).items}
                        assert acknowledged[user] <= found
                        memory.search(text, user_id=user)
                    except TacitaError as error:
                        failed.append(error)

        def turn_keys() -> None:
            while not stop.wait(0.05):
                try:
                    rotate(Settings.load(config=config), None, tenant="acme", renew=True, deep=True)
                except (KeyUnavailable, HeadMoved) as error:
                    failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        threads.append(threading.Thread(target=turn_keys))
        problems: list[object] = []
        monkeypatch.setattr(threading, "excepthook", problems.append)
        opened(server, "one").close()  # libraries are loaded: that takes a while
        server.chance = faults(7, 0.2)
        for thread in threads:
            thread.start()
        ends = time.monotonic() + 60
        stop.wait(SECONDS / 2)
        while sum(map(len, acknowledged.values())) < 20 and time.monotonic() < ends:
            stop.wait(0.1)
        server.chance = faults(8, 0.6)
        stop.wait(SECONDS / 2)
        stop.set()
        for thread in threads:
            thread.join()
        assert not problems
        server.chance = None
        assert failed, "the faults reached somebody"
        wrong = [error for error in failed if not (type(error) in (KeyUnavailable, HeadMoved) and error.retryable)]
        assert not wrong
        with Memory(settings=Settings.load(config=config)) as memory:
            for user, texts in acknowledged.items():
                assert texts <= {item.text for item in memory.get_all(user_id=user, limit=1_000).items}
            assert memory.verify(deep=True).ok
        everything = server.everything() + b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
        assert b"canary" not in everything
    count = sum(map(len, acknowledged.values()))
    assert count
    record_property("figure", f"{count} adds acknowledged, {len(failed)} operations failed, none lost")
