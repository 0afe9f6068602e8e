"""A disk behind a page cache: a trace is played onto it, and at any moment its power can be cut.

The model, which is that of "All File Systems Are Not Created Equal" (Pillai et al., OSDI 2014) and "Torturing Databases
for Fun and Profit" (Zheng et al., OSDI 2014), weaker than any file system that SQLite supports:

- What was written to a file before its last fsync or fdatasync is on the disk. `fdatasync` is `fsync`: both keep the size.
- Of what was written to it since, any subset is there, in no order, whatever happened to other files. A write that is
  there may be torn: each sector of 512 bytes is there or not. One that is not may still have made the file longer, by zeros.
  Truncations are there or not, like writes.
- Bytes beside those that were written stay as they were (SQLite's "powersafe overwrite"), and a sector is old or new.
- A name (made, linked, renamed, removed, folders too) that no fsync of its folder followed is there or not, each for
  itself; a rename is whole. As on ext4, and only when `journal` is set, the fsync of a new file keeps the name under which
  it was made, and those of its folders; without it, as in POSIX, only an fsync of the folder does.

Not here: sectors that rot or lie elsewhere, a device that lies about its cache (but see `deaf`), modes and owners.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath

from tests.survival.power_file import SURVIVAL, File
from tests.survival.power_trace import Record

Files = dict[str, bytes]


Entry = tuple[str, "File | Folder | None"]
"""A name, and what it stands for from now on; None when it is gone."""


@dataclass(slots=True, eq=False)
class Folder:
    """The names that the disk knows for certain, those that the process sees, and the changes in between."""

    disk: dict[str, File | Folder] = field(default_factory=dict)
    live: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[tuple[Entry, ...]] = field(default_factory=list)

    def change(self, *entries: Entry) -> None:
        _rename(self.live, entries)
        self.pending.append(entries)

    def sync(self) -> None:
        for entries in self.pending:
            _rename(self.disk, entries)
        self.pending.clear()

    def keep(self, node: File | Folder) -> None:
        """Make the name durable under which `node` was made, with all that happened to this name before."""
        made = next((at for at, entries in enumerate(self.pending) if entries[0][1] is node), None)
        if made is None or len(self.pending[made]) > 1:
            return
        name = self.pending[made][0][0]
        touching = [entries for entries in self.pending[: made + 1] if any(name == each for each, _ in entries)]
        for entries in touching:
            _rename(self.disk, entries)
        self.pending = [entries for entries in self.pending if all(entries is not each for each in touching)]


@dataclass(slots=True)
class Cut:
    """What was left when the power was gone, and what was not."""

    files: Files = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    lost: int = 0
    torn: int = 0
    names_lost: int = 0


class Disk:
    """The folder `root` of a recorded process. `play` the records one by one, `cut` at any time."""

    def __init__(self, root: str, *, journal: bool) -> None:
        self._root_path = PurePosixPath(root)
        self._root = Folder()
        self._journal = journal
        self._open: dict[int, tuple[File | Folder, list[Folder]]] = {}
        self.deaf = False
        """From when it is set: an fsync of a file returns, and nothing has happened. The control."""

    def play(self, record: Record) -> None:
        match record.op:
            case "A":
                pass
            case "B":
                self._open.clear()
            case "O":
                self._opened(record)
            case "C":
                del self._open[record.fd]
            case "W":
                self._file(record.fd).pending.append((record.a, record.one))
            case "T":
                self._file(record.fd).pending.append((record.a, None))
            case "S":
                self._sync(record.fd)
            case "M":
                self._name(record.one, Folder())
            case "U" | "D":
                self._name(record.one, None)
            case "R" | "L":
                source, old = self._place(record.one)
                target, new = self._place(record.two)
                assert source[-1] is target[-1], "a move between folders is not modelled"
                node = source[-1].live[old]
                target[-1].change(*([(old, None), (new, node)] if record.op == "R" else [(new, node)]))
            case _:
                raise AssertionError(f"the recorded process changed a file by {record.one!r}, which is not modelled")

    def _name(self, path: bytes, node: Folder | None) -> None:
        parents, name = self._place(path)
        parents[-1].change((name, node))

    def _opened(self, record: Record) -> None:
        if record.one.decode() == str(self._root_path):
            self._open[record.fd] = self._root, []
            return
        parents, name = self._place(record.one)
        if record.a:
            parents[-1].change((name, File()))
        node = parents[-1].live[name]
        if record.b and not record.a and isinstance(node, File):
            node.pending.append((0, None))
        self._open[record.fd] = node, parents

    def _file(self, fd: int) -> File:
        node, _ = self._open[fd]
        assert isinstance(node, File)
        return node

    def _sync(self, fd: int) -> None:
        node, parents = self._open[fd]
        if self.deaf and isinstance(node, File):
            return
        node.sync()
        if self._journal:
            for parent, child in pairwise([*parents, node]):
                assert isinstance(parent, Folder)
                parent.keep(child)

    def _place(self, path: bytes) -> tuple[list[Folder], str]:
        """The folders on the way to a path, from the root on, and its last name."""
        *way, name = PurePosixPath(path.decode()).relative_to(self._root_path).parts
        folders = [self._root]
        for step in way:
            folder = folders[-1].live[step]
            assert isinstance(folder, Folder)
            folders.append(folder)
        return folders, name

    def files(self) -> Files:
        """Every file as the living process sees it."""
        return {path: node.content() for path, node in _walk("", self._root.live) if isinstance(node, File)}

    def cut(self, chance: random.Random) -> Cut:
        """What the disk may hold after a power failure now."""
        left = Cut()
        fates: dict[int, bytes] = {}
        waiting = [("", self._root)]
        while waiting:
            path, folder = waiting.pop()
            for name, node in sorted(_names_left(folder, chance, left).items()):
                if isinstance(node, Folder):
                    left.folders.append(path + name)
                    waiting.append((f"{path}{name}/", node))
                    continue
                # One file with two names, as after a link, has one fate.
                if id(node) not in fates:
                    fates[id(node)], lost, torn = node.survivor(chance)
                    left.lost += lost
                    left.torn += torn
                left.files[path + name] = fates[id(node)]
        return left


def _walk(path: str, names: dict[str, File | Folder]) -> Iterator[tuple[str, File | Folder]]:
    for name, node in names.items():
        yield path + name, node
        if isinstance(node, Folder):
            yield from _walk(f"{path}{name}/", node.live)


def _names_left(folder: Folder, chance: random.Random, left: Cut) -> dict[str, File | Folder]:
    names, survival = dict(folder.disk), chance.choice(SURVIVAL)
    for entries in folder.pending:
        if chance.random() < survival:
            _rename(names, entries)
        else:
            left.names_lost += 1
    return names


def _rename(names: dict[str, File | Folder], entries: tuple[Entry, ...]) -> None:
    for name, node in entries:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node
