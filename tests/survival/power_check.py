"""What must be true of a home when the power comes back, judged by what its worker had said before it went."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tests.survival.power_disk import Cut, Files
from tests.survival.power_worker import WINDOW

from tacita import Memory

Texts = dict[str, set[str]]
"""What each user has, those who have nothing left out."""


class Broken(AssertionError):
    """A promise that a crash broke."""


class Said:
    """What the worker has said so far: what is there for certain, and what was going on."""

    def __init__(self) -> None:
        self.texts: Texts = {}
        self.users: set[str] = set()
        self.doing: dict[str, Any] | None = None
        self.reads = 0
        self.acknowledged = 0
        self.gone: set[bytes] = set()

    def hear(self, line: bytes) -> None:
        for each in line.splitlines():
            if each == b"pause":
                continue
            said = json.loads(each)
            if "begin" in said:
                self.doing = said["begin"]
                self.users.add(said["begin"].get("user", "nobody"))
                continue
            done, self.doing = said["done"], None
            self.texts = after(self.texts, done)
            self.reads += done["op"] == "read"
            self.acknowledged += 1
            self.gone.update(bytes.fromhex(piece) for piece in done.get("gone", ()))

    def possible(self) -> list[Texts]:
        """What may be there: what was acknowledged, with or without all of what was going on."""
        return [self.texts] if self.doing is None else [self.texts, after(self.texts, self.doing)]


def after(texts: Texts, what: dict[str, Any]) -> Texts:
    """The state of things behind one operation."""
    user = what.get("user", "")
    now = set(texts.get(user, ()))
    match what["op"]:
        case "add":
            now |= set(what["texts"])
        case "update":
            now = now - {what["old"]} | {what["new"]}
        case "delete":
            now -= set(what["texts"])
        case "erase":
            now = set()
        case "open" | "snapshot" | "read" | "anchors" | "close":
            return texts
        case _:
            raise ValueError(what)
    return {**{other: those for other, those in texts.items() if other != user}, **({user: now} if now else {})}


class Needles:
    """Finds any of many pieces of bytes, wherever they lie."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = set(pieces)
        self._begins = np.zeros(1 << 16, np.bool_)
        for piece in self._pieces:
            self._begins[int.from_bytes(piece[:2], "little")] = True

    def found(self, files: Files) -> dict[str, set[bytes]]:
        """The pieces that each file holds; files without one are left out."""
        found: dict[str, set[bytes]] = {}
        for name, content in files.items():
            if len(content) < WINDOW:
                continue
            each = np.frombuffer(content, np.uint8).astype(np.uint16)
            places = np.flatnonzero(self._begins[each[:-1] | each[1:] << 8]).tolist()
            if pieces := {content[at : at + WINDOW] for at in places} & self._pieces:
                found[name] = pieces
        return found


def write(world: Path, cut: Cut) -> None:
    """Make the folder `world` what was left."""
    shutil.rmtree(world, ignore_errors=True)
    world.mkdir(mode=0o700)
    for folder in sorted(cut.folders):
        (world / folder).mkdir(mode=0o700)
    for name, content in cut.files.items():
        handle = os.open(world / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(handle, content)
        finally:
            os.close(handle)


def check(world: Path, cut: Cut, said: Said, needles: Needles) -> None:
    """Raises Broken, or whatever Tacita raises, when the home in `world` is not as it must be."""
    with _opened(world) as memory:
        doing = said.doing or {}
        if doing.get("op") == "erase":
            memory.sweep()  # finishes an erasure that was cut short, as the documentation says
        _verified(memory)
        has = _texts(memory, said.users)
        if has not in said.possible():
            raise Broken(f"during {doing.get('op')}: {_difference(has, said.texts)}")
        reads = sum(entry["operation"] == "get_all" for entry in memory.audit())
        if reads < said.reads:
            raise Broken(f"{said.reads} reads were in the audit log, {reads} are left")
        memory.add("life goes on", user_id="later")
        for user in said.users:
            memory.get_all(user_id=user, limit=1)
    with _opened(world) as memory:
        _verified(memory)
        if _texts(memory, ["later"]) != {"later": {"life goes on"}} or _texts(memory, said.users) != has:
            raise Broken("what was there after the power failure is not there the next time")
    # Of the files as the power failure left them: what Tacita did since then makes up for nothing.
    if found := needles.found(cut.files):
        count = {name: len(pieces) for name, pieces in found.items()}
        raise Broken(f"removed ciphertext is on the disk again: {count}")


def _opened(world: Path) -> Memory:
    return Memory.from_config({"home": str(world / "home"), "embedder": "none", "anchors": str(world / "anchors.json")})


def _verified(memory: Memory) -> None:
    report = memory.verify()
    if not report.ok:
        raise Broken(f"verify: {[problem.problem for problem in report.problems]}")


def _texts(memory: Memory, users: Iterable[str]) -> Texts:
    found = {}
    for user in users:
        page = memory.get_all(user_id=user, limit=1_000)
        if page.items:
            found[user] = {item.text for item in page.items}
            if len(found[user]) != len(page.items):
                raise Broken(f"{user} has an item twice")
    return found


def _difference(has: Texts, had: Texts) -> str:
    missing = {user: len(texts - has.get(user, set())) for user, texts in had.items() if texts - has.get(user, set())}
    back = {user: len(texts - had.get(user, set())) for user, texts in has.items() if texts - had.get(user, set())}
    return f"acknowledged but not there: {missing}; there but not acknowledged, or deleted: {back}"
