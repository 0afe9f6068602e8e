"""A process whose power will be cut: `power_worker.py WORLD LIFE [unsynced]`. Lives on real files, under the recorder.

Before each operation it says `{"begin": ...}` on standard output, and when Tacita has returned, `{"done": ...}`. What it
deletes it looks up in the store first, and says a few pieces of that ciphertext, which no disk may hold from then on.

Life 0 makes the home and closes it. Life 1 opens it and dies without closing. Life 2 finds what life 1 left behind.
With `unsynced` SQLite is told to sync nothing: the control, which must lose data.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tacita import Memory
from tacita.items import Scope
from tacita.stores._sqlite import Database

WINDOW = 16
STRIDE = 448
"""Nearer than a sector of 512 bytes: a whole sector of ciphertext that stays behind holds one window or more."""
HEADER = 96
"""Before it stands what events of a vault have in common."""


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def pieces(sealed: bytes) -> Iterator[str]:
    for at in (*range(HEADER, len(sealed) - WINDOW, STRIDE), len(sealed) - WINDOW):
        yield sealed[at : at + WINDOW].hex()


class Worker:
    """Does one thing after the other and remembers what it put in, so that it knows what to change."""

    def __init__(self, world: Path, life: int) -> None:
        self._chance = random.Random(life)
        self._life = life
        self._number = 0
        with self.saying("open", life=life):
            self.memory = Memory.from_config(
                {"home": str(world / "home"), "embedder": "none", "anchors": str(world / "anchors.json")}
            )
        self.engine: Any = self.memory._engine
        # What earlier lives left is not touched again; it only has to stay.
        self.kept: dict[str, dict[str, str]] = {}

    @contextmanager
    def saying(self, op: str, **what: Any) -> Iterator[dict[str, Any]]:
        say(json.dumps({"begin": {"op": op, **what}}))
        learnt: dict[str, Any] = {}
        yield learnt
        say(json.dumps({"done": {"op": op, **what, **learnt}}))

    def text(self, length: int = 0) -> str:
        self._number += 1
        return f"life {self._life} item {self._number} " + "".join(self._chance.choices("abcdefgh ", k=length))

    def add(self, user: str, count: int = 1, length: int = 80, tool: str | None = None) -> None:
        texts = [self.text(length).strip() for _ in range(count)]
        said = {"role": "user"} if tool is None else {"role": "tool", "name": tool}
        with self.saying("add", user=user, texts=texts):
            ids = self.memory.add([{**said, "content": text} for text in texts], user_id=user).ids
        self.kept.setdefault(user, {}).update(zip(texts, ids, strict=True))

    def update(self, user: str) -> None:
        old = self._chance.choice(sorted(self.kept[user]))
        new = self.text(120).strip()
        with self.saying("update", user=user, old=old, new=new):
            self.memory.update(self.kept[user][old], new, user_id=user)
        self.kept[user][new] = self.kept[user].pop(old)

    def delete(self, user: str) -> None:
        text = self._chance.choice(sorted(self.kept[user]))
        with self.saying("delete", user=user, texts=[text]) as learnt:
            item = self.kept[user].pop(text)
            learnt["gone"] = self._gone(user, lambda: self.memory.delete(item, user_id=user))

    def purge(self, user: str, tool: str) -> None:
        self.add(user, 3, tool=tool)
        texts = list(self.kept[user])[-3:]
        with self.saying("delete", user=user, texts=texts) as learnt:
            learnt["gone"] = self._gone(user, lambda: self.memory.purge(f"tool:{tool}", user_id=user))
        for text in texts:
            del self.kept[user][text]

    def erase(self, user: str) -> None:
        with self.saying("erase", user=user) as learnt:
            learnt["gone"] = self._gone(user, lambda: self.memory.erase(user_id=user))
        self.kept.pop(user, None)

    def snapshot(self, user: str) -> None:
        with self.saying("snapshot", user=user):
            self.engine.find(Scope(tenant="default", user_id=user)).save_snapshot(after=1)

    def read(self, user: str) -> None:
        with self.saying("read", user=user):
            self.memory.get_all(user_id=user)
            self.engine.audit.flush()

    def remember_anchors(self) -> None:
        with self.saying("anchors"):
            self.memory.remember_anchors()

    def pause(self) -> None:
        """Let whoever runs us look at the files: they stand still."""
        self.engine.audit.flush()
        say("pause")
        sys.stdin.readline()

    def _stored(self, user: str) -> set[str]:
        vault_id = self.engine.vault_id(Scope(tenant="default", user_id=user))
        sealed = [row.sealed for row in self.engine.store.read(vault_id) if row.sealed is not None]
        snapshot = self.engine.store.read_snapshot(vault_id)
        sealed += [] if snapshot is None else [part.sealed for part in snapshot[1]]
        key = self.engine.keys.ring.get(vault_id)
        sealed += [] if key is None else [bytes(HEADER) + key.wrapped[-2 * WINDOW :]]
        return {piece for each in sealed for piece in pieces(each)}

    def _gone(self, user: str, remove: Callable[[], object]) -> list[str]:
        before = self._stored(user)
        remove()
        gone = before - self._stored(user)
        assert gone, "nothing was removed"
        return sorted(gone)


def live(worker: Worker, life: int) -> None:
    users = [f"user{number}" for number in range(4)]
    for number in range(100 if life == 0 else 30):
        worker.add(users[number % 4], 1 + number % 3 // 2, length=6_000 if number % 9 == 0 else 80)
    worker.pause()
    for round_ in range(3):
        for user in users[:3]:
            worker.update(user)
            worker.delete(user)
            worker.add(user)
        worker.snapshot(users[round_])
        worker.read(users[round_])
        worker.delete(users[round_])
        worker.snapshot(users[3])
        worker.purge(users[round_], f"tool{round_}")
        worker.remember_anchors()
        worker.add(f"brief{life}")
        worker.snapshot(f"brief{life}")
        worker.erase(f"brief{life}")
        worker.add(f"brief{life}")
        if round_ == 1:
            worker.erase(users[3])
            worker.add(users[3], 2)
        worker.pause()
    for number in range(40):
        worker.add(users[number % 4])
    worker.pause()


def main() -> None:
    world, life = Path(sys.argv[1]), int(sys.argv[2])
    if sys.argv[3:] == ["unsynced"]:
        connect = Database._connect
        Database._connect = lambda self, *, synchronous: connect(self, synchronous="OFF")  # type: ignore[method-assign]
    worker = Worker(world, life)
    live(worker, life)
    if life == 0:
        with worker.saying("close"):
            worker.memory.close()
        say("pause")
        sys.stdin.readline()
    os._exit(0)


if __name__ == "__main__":
    main()
