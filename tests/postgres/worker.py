"""A stateless worker: a memory of its own over a shared PostgreSQL store, used until its standard input ends.

`worker.py write|read CONFIG FOLDER NUMBER VAULTS`. A writer notes each acknowledged item in `FOLDER/journal-NUMBER`, on disk
before it goes on; a reader takes these lines, of all writers, and looks for what they name. Both count in files, a byte for
each: `own` (a writer saw its item at once), `seen` (a reader saw it), `refused` and `unknown` (a write that was not done, or
perhaps). What must not be goes to `FOLDER/wrong` and ends the worker with 3.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tacita import Memory, StoreError, TacitaError

T = TypeVar("T")
_MOST = 40
"""Lines that a reader looks for before it turns to another journal."""


class Worker:
    def __init__(self, config: str, folder: Path, number: int, vaults: int) -> None:
        self.folder = folder
        self.number = number
        self.vaults = vaults
        self.chance = random.Random(os.getpid())
        self.ended = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), self.ended.set()), daemon=True).start()
        self.memory = self.patiently(lambda: Memory.from_config(config))

    def count(self, what: str) -> None:
        handle = os.open(self.folder / f"{what}-{self.number}", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(handle, b".")
        os.close(handle)

    def patiently(self, work: Callable[[], T]) -> T:
        """What a read gives as soon as the database is there."""
        while True:
            try:
                return work()
            except StoreError:
                # As long as it takes: the parent says when it is over, and then it ends us.
                time.sleep(0.05)

    def look(self, user: str, item: str, text: str, by: str) -> None:
        if self.patiently(lambda: self.memory.get(item, user_id=user)).text != text:
            raise AssertionError("an item has another text")
        self.count(by)

    def write(self) -> None:
        journal = os.open(self.folder / f"journal-{self.number}", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        written = 0
        while not self.ended.is_set():
            written += 1
            user = f"user-{self.chance.randrange(self.vaults)}"
            text = f"said {written} by writer {self.number} in process {os.getpid()}"
            try:
                item = self.memory.add(text, user_id=user).ids[0]
            except StoreError as error:
                self.count("refused" if error.retryable else "unknown")
                time.sleep(0.05)
                continue
            os.write(journal, f"{user}\t{item}\t{text}\n".encode())
            os.fsync(journal)
            self.look(user, item, text, "own")

    def read(self) -> None:
        places: dict[Path, int] = {}
        while not self.ended.is_set():
            journals = sorted(self.folder.glob("journal-*"))
            for path in self.chance.sample(journals, len(journals)):
                with path.open("rb") as file:
                    # The end of it: what was acknowledged a moment ago.
                    at = max(places.get(path, 0), path.stat().st_size - 100 * _MOST)
                    file.seek(at)
                    found = file.read()
                whole = found[: found.rfind(b"\n") + 1]
                places[path] = at + len(whole)
                lines = whole.splitlines()[-_MOST:]
                for line in lines if at == 0 or len(lines) < _MOST else lines[1:]:
                    if line.count(b"\t") == 2:
                        self.look(*line.decode().split("\t"), "seen")  # type: ignore[call-arg]
                    if self.ended.is_set():
                        return
            time.sleep(0.005)


def main() -> int:
    what, config, folder, number, vaults = sys.argv[1], sys.argv[2], Path(sys.argv[3]), *map(int, sys.argv[4:6])
    worker = Worker(config, folder, number, vaults)
    try:
        worker.write() if what == "write" else worker.read()
    except (TacitaError, AssertionError) as error:
        with (folder / "wrong").open("a") as file:
            file.write(f"{what} {number}: {type(error).__name__}: {error}\n")
        return 3
    worker.patiently(worker.memory.close)
    return 0


if __name__ == "__main__":
    sys.exit(main())
