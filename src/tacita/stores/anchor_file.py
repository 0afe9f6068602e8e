"""Anchors remembered a second time in a file on another medium. What is in it is `vault.mirror`'s business."""

from __future__ import annotations

from pathlib import Path

from tacita.durable import replace_file
from tacita.errors import StoreError
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
        try:
            replace_file(self._path, body)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from None
