"""FAISS: a library in this process over plain files, one for each vault. `faiss:FOLDER`, by default `vectors` in the home.

A file is a journal: a header, then entries of one length, each with a checksum. Writing appends; deleting writes the file
anew without them. Searches are exact (`IndexFlatIP`).
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Final

import numpy as np

from tacita.errors import StoreError
from tacita.ports.vectors import TAG_BYTES, Floats, VectorIndex
from tacita.stores._files import private_file, private_folder

_MAGIC: Final = b"TACITAV1"
_HEADER: Final = len(_MAGIC) + 4
_NOTHING: Final[Floats] = np.zeros((0, 0), np.float32)
_OPEN: Final = 64
"""Most vaults that are kept in RAM."""


class _Loaded:
    """One file in RAM."""

    def __init__(self, dimensions: int) -> None:
        import faiss

        self.flat = faiss.IndexFlatIP(dimensions)
        self.tags: list[bytes] = []
        self.at: dict[bytes, int] = {}
        """Where each entry is; an older one of the same tag is not listed."""
        self.seen = (0, 0)
        """Inode and length of the file when it was read."""

    def add(self, tags: Sequence[bytes], vectors: Floats) -> None:
        self.at.update((tag, number) for number, tag in enumerate(tags, len(self.tags)))
        self.tags += tags
        self.flat.add(np.ascontiguousarray(vectors))


class FaissIndex(VectorIndex):
    """A folder of plain vectors, for this user's eyes only. Processes take turns."""

    scheme = "faiss"
    most = 16_384

    def __init__(self, folder: Path, dimensions: int) -> None:
        super().__init__(dimensions)
        self._folder = folder
        self.name = f"faiss:{folder}"
        self._record = TAG_BYTES + 4 * dimensions + 4
        self._lock = RLock()
        self._loaded: OrderedDict[bytes, _Loaded] = OrderedDict()

    def _open(self) -> None:
        import faiss  # noqa: F401  that it is not installed is told now

        private_folder(self._folder)

    def _close(self) -> None:
        with self._lock:
            self._loaded.clear()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread and no other process."""
        with self._lock:
            handle = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield
            finally:
                os.close(handle)

    def _path(self, vault: bytes) -> Path:
        return self._folder / f"{vault.hex()}.vectors"

    def _load(self, vault: bytes) -> _Loaded | None:
        """A vault's file as it is now; None if there is none. Only what was appended is read again."""
        path = self._path(vault)
        if not private_file(path):
            self._loaded.pop(vault, None)
            return None
        status = path.stat()
        found = self._loaded.get(vault)
        if found is None or found.seen[0] != status.st_ino or found.seen[1] > status.st_size:
            found = _Loaded(self.dimensions)
        if found.seen != (status.st_ino, status.st_size):
            with path.open("rb") as file:
                self._check_header(file.read(_HEADER))
                file.seek(max(_HEADER, found.seen[1]))
                found.add(*self._entries(file.read()))
            found.seen = (status.st_ino, _HEADER + len(found.tags) * self._record)
        self._loaded[vault] = found
        self._loaded.move_to_end(vault)
        while len(self._loaded) > _OPEN:
            self._loaded.popitem(last=False)
        return found

    def _check_header(self, header: bytes) -> None:
        if len(header) != _HEADER or not header.startswith(_MAGIC):
            raise StoreError(f"vector index {self.name}: a file there is not one of its own")
        dimensions = int.from_bytes(header[len(_MAGIC) :])
        if dimensions != self.dimensions:
            raise self._wrong_dimensions(dimensions)

    def _entries(self, data: bytes) -> tuple[list[bytes], Floats]:
        """Tags and vectors up to the first entry that is not whole: a writer was cut off there."""
        rows = np.frombuffer(data, np.uint8)[: len(data) // self._record * self._record].reshape(-1, self._record)
        good = 0
        for row in rows:
            if zlib.crc32(row[:-4].tobytes()) != int.from_bytes(row[-4:].tobytes()):
                break
            good += 1
        tags = [row.tobytes() for row in rows[:good, :TAG_BYTES]]
        body = np.ascontiguousarray(rows[:good, TAG_BYTES:-4])
        return tags, body.view("<f4").reshape(good, self.dimensions)

    def _upsert(self, vault: bytes, tags: Sequence[bytes], vectors: Floats) -> None:
        with self._alone():
            found = self._load(vault)
            path = self._path(vault)
            flags = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                if found is None:
                    file.write(self._header())
                else:
                    # Behind the last whole entry: what a writer left that was cut off is overwritten.
                    file.truncate(found.seen[1])
                    file.seek(found.seen[1])
                file.write(self._encoded(tags, vectors))
            self._load(vault)

    def _header(self) -> bytes:
        return _MAGIC + self.dimensions.to_bytes(4)

    def _encoded(self, tags: Sequence[bytes], vectors: Floats) -> bytes:
        pieces = [tag + vector.astype("<f4").tobytes() for tag, vector in zip(tags, vectors, strict=True)]
        return b"".join(piece + zlib.crc32(piece).to_bytes(4) for piece in pieces)

    def _delete(self, vault: bytes, tags: Sequence[bytes]) -> None:
        with self._alone():
            found = self._load(vault)
            if found is None or not any(tag in found.at for tag in tags):
                return
            gone = set(tags)
            kept = [(tag, at) for tag, at in found.at.items() if tag not in gone]
            vectors = found.flat.reconstruct_batch(np.array([at for _, at in kept], np.int64)) if kept else _NOTHING
            path = self._path(vault)
            beside = path.with_suffix(".new")
            flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
                file.write(self._header() + self._encoded([tag for tag, _ in kept], vectors))
            beside.replace(path)
            self._loaded.pop(vault, None)

    def _drop(self, vault: bytes) -> None:
        with self._alone():
            self._loaded.pop(vault, None)
            self._path(vault).unlink(missing_ok=True)
            self._path(vault).with_suffix(".new").unlink(missing_ok=True)

    def _search(self, vault: bytes, vector: Floats, k: int) -> list[tuple[bytes, float]]:
        with self._alone():
            found = self._load(vault)
            if found is None:
                return []
            # Older entries of the same tag may take places of the list.
            wanted = min(k + len(found.tags) - len(found.at), len(found.tags))
            scores, places = found.flat.search(vector[None, :], max(1, wanted))
            pairs = [
                (found.tags[at], at, score)
                for at, score in zip(places[0].tolist(), scores[0].tolist(), strict=True)
                if at >= 0
            ]
            return [(tag, score) for tag, at, score in pairs if found.at[tag] == at][:k]

    def _present(self, vault: bytes, tags: Sequence[bytes]) -> list[bytes]:
        with self._alone():
            found = self._load(vault)
            return [] if found is None else [tag for tag in tags if tag in found.at]

    def _tags(self, vault: bytes) -> Iterator[bytes]:
        with self._alone():
            found = self._load(vault)
            return iter([] if found is None else list(found.at))

    def _count(self, vault: bytes) -> int:
        with self._alone():
            found = self._load(vault)
            return 0 if found is None else len(found.at)

    def _vaults(self) -> Iterator[bytes]:
        return iter([bytes.fromhex(path.stem) for path in self._folder.glob("*.vectors")])

    def _transient(self, error: Exception) -> bool:
        return isinstance(error, OSError)
