"""Systems for the tests of the benchmark: one that does all that it promises, and one for each way of not doing so."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from benchmarks.peers.port import Item, Vector


class Faithful:
    """Lines in a file: appended and synced, written anew by a deletion."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "items.jsonl"
        self._file.touch()
        self._rows: list[Any] = [json.loads(line) for line in self._file.read_text().splitlines()]

    @classmethod
    def open(cls, folder: Path, _dimensions: int) -> Self:
        return cls(folder)

    def _write(self, rows: Sequence[Any], how: str) -> None:
        with self._file.open(how) as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())

    def add_many(self, person: str, items: Sequence[Item]) -> list[str]:
        rows = [[person, item.id, item.text, item.vector.tolist()] for item in items]
        self._rows += rows
        self._write(rows, "a")
        return [item.id for item in items]

    def add_one(self, person: str, item: Item) -> str:
        return self.add_many(person, [item])[0]

    def search(self, person: str, _text: str, vector: Vector, k: int) -> list[str]:
        mine = [row for row in self._rows if row[0] == person]
        return [row[1] for row in sorted(mine, key=lambda row: -float(np.dot(row[3], vector)))[:k]]

    def delete(self, person: str, id: str) -> None:
        self._rows = [row for row in self._rows if row[:2] != [person, id]]
        self._write(self._rows, "w")

    def erase(self, person: str) -> None:
        self._rows = [row for row in self._rows if row[0] != person]
        self._write(self._rows, "w")

    def close(self) -> None:
        return None


class Lossy(Faithful):
    """Acknowledges single adds before they are on disk."""

    _waiting: Sequence[Any] = ()

    def add_one(self, person: str, item: Item) -> str:
        self._waiting = [*self._waiting, [person, item.id, item.text, item.vector.tolist()]]
        if len(self._waiting) == 50:
            self.close()
        return item.id

    def close(self) -> None:
        self._write(self._waiting, "a")
        self._waiting = ()


class Strict(Faithful):
    """Refuses an id that it holds, and takes longer to say that it kept something than to keep it."""

    def add_one(self, person: str, item: Item) -> str:
        if any(held == item.id for _, held, *_ in self._rows):
            raise KeyError(item.id)
        super().add_one(person, item)
        time.sleep(0.05)
        return item.id


class Torn(Faithful):
    """What a kill leaves cannot be opened again."""

    def add_one(self, person: str, item: Item) -> str:
        with self._file.open("a") as file:
            file.write("{")
        return item.id


class Broken(Faithful):
    """Cannot be opened."""

    def __init__(self, folder: Path) -> None:
        raise OSError(f"nothing to be done in {folder.name}")


class Leaky(Faithful):
    """Keeps what was said in a log that deletion does not touch."""

    def add_many(self, person: str, items: Sequence[Item]) -> list[str]:
        with (self._file.parent / "log").open("ab") as log:
            log.write(b"".join(self.written(item.text) for item in items))
        return super().add_many(person, items)

    @staticmethod
    def written(text: str) -> bytes:
        return text.encode()


class LeakyWide(Leaky):
    """In UTF-16."""

    @staticmethod
    def written(text: str) -> bytes:
        return text.encode("utf-16")


class LeakyEscaped(Leaky):
    """In JSON that escapes everything."""

    @staticmethod
    def written(text: str) -> bytes:
        return "".join(f"\\u{ord(each):04x}" for each in text).encode()


class LeakyBase64(Leaky):
    """In base64, wherever a word happens to begin."""

    @staticmethod
    def written(text: str) -> bytes:
        return base64.b64encode(text.encode())


class GlobalTop(Faithful):
    """Looks for the best of everybody's, and then only keeps a person's own."""

    def search(self, person: str, _text: str, vector: Vector, k: int) -> list[str]:
        best = sorted(self._rows, key=lambda row: -float(np.dot(row[3], vector)))[:k]
        return [row[1] for row in best if row[0] == person]
