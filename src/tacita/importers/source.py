"""Where an importer's bytes come from: a file or a stream, read once, line by line or whole, within limits.

Nothing here knows a format. Bytes that are not UTF-8, lines that are too long and files that are not text are named
as such, and never crash the reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import BinaryIO, Final, TypeAlias

from tacita.errors import InvalidInput

LINE_BYTES: Final = 16 * 1024 * 1024
"""Longest line of a line-by-line format; a longer one is skipped and reported."""

DOCUMENT_BYTES: Final = 512 * 1024 * 1024
"""Largest file of a format that must be loaded whole (a JSON document)."""

HEAD_BYTES: Final = 64 * 1024
"""How much of the beginning is looked at to tell the format."""

_BOM: Final = b"\xef\xbb\xbf"
_NOT_TEXT: Final = (
    (b"\xff\xfe", "the file is UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "the file is UTF-16: save it as UTF-8"),
    (b"PK\x03\x04", "the file is a zip archive: unpack it and give the file inside, such as conversations.json"),
    (b"\x1f\x8b", "the file is compressed with gzip: unpack it first"),
    (b"%PDF", "the file is a PDF: save its text first"),
    (b"SQLite format 3\x00", "the file is a database, not an export"),
)

Readable: TypeAlias = str | PathLike[str] | BinaryIO


class Source:
    """One pass over the bytes of a file, without a byte order mark; `head` looks ahead and takes nothing away."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        head = b""
        while len(head) < HEAD_BYTES and (more := stream.read(HEAD_BYTES - len(head))):
            head += more
        for magic, advice in _NOT_TEXT:
            if head.startswith(magic):
                raise InvalidInput(advice)
        self.head = head.removeprefix(_BOM)
        """The first `HEAD_BYTES` bytes at most."""
        self._chunk = self.head
        self._at = 0
        self._line = 0

    def lines(self) -> Iterator[tuple[int, bytes | None]]:
        """Line numbers from 1 and lines without their ends (LF or CRLF). None stands for a line that is too long.

        What `first_line` took is not given again.
        """
        while (line := self._next_line()) is not None:
            yield line

    def first_line(self) -> tuple[int, bytes | None] | None:
        """The next line that is not blank, or None at the end."""
        while (line := self._next_line()) is not None and line[1] is not None and not line[1].strip():
            pass
        return line

    def document(self, before: bytes = b"") -> bytes:
        """`before` and everything that was not taken yet. Raises InvalidInput beyond `DOCUMENT_BYTES`."""
        pieces = [before, self._chunk[self._at :]]
        size = sum(map(len, pieces))
        while more := self._stream.read(1024 * 1024):
            size += len(more)
            if size > DOCUMENT_BYTES:
                raise InvalidInput(f"the file is larger than {DOCUMENT_BYTES // 1024**2} MiB: split it")
            pieces.append(more)
        self._chunk, self._at = b"", 0
        return b"".join(pieces)

    def _next_line(self) -> tuple[int, bytes | None] | None:
        pieces: list[bytes] = []
        size = 0
        while True:
            if self._at >= len(self._chunk):
                self._chunk, self._at = self._stream.read(HEAD_BYTES), 0
                if not self._chunk:
                    if not size:
                        return None
                    break
            end = self._chunk.find(b"\n", self._at)
            piece = self._chunk[self._at :] if end < 0 else self._chunk[self._at : end]
            size += len(piece)
            if size <= LINE_BYTES:
                pieces.append(piece)
            self._at = len(self._chunk) if end < 0 else end + 1
            if end >= 0:
                break
        self._line += 1
        return self._line, b"".join(pieces).removesuffix(b"\r") if size <= LINE_BYTES else None


@contextmanager
def opened(readable: Readable) -> Iterator[Source]:
    """A `Source` over a path (opened and closed here) or a binary stream (left open). Raises InvalidInput."""
    if not isinstance(readable, str | PathLike):
        yield Source(readable)
        return
    try:
        stream = open(readable, "rb")  # noqa: SIM115  closed below; only the opening may be called unreadable
    except OSError as error:
        raise InvalidInput(f"the file cannot be opened: {error.strerror}") from None
    with stream:
        yield Source(stream)
