"""Anchors remembered a second time in a file on another medium. What is in it is `vault.mirror`'s business."""

from __future__ import annotations

import os
from pathlib import Path

from tacita.errors import StoreError
from tacita.hazmat import random_bytes
from tacita.ports.keys import AnchorPlace


class FilePlace(AnchorPlace):
    """A file, replaced atomically and durably."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path

    def read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read: {error.strerror}") from None

    def write(self, body: bytes) -> None:
        made = self._path.with_name(f".{self._path.name}-{random_bytes(4).hex()}")
        try:
            handle = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0), 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            os.replace(made, self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            made.unlink(missing_ok=True)
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from None
