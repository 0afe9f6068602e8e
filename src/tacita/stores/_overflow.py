"""Where SQLite puts the bytes of a row, so that ciphertext can be kept where deletion really deletes.

`secure_delete` zeroes what is freed. It does not zero what is left behind when SQLite moves rows between the pages of
a table while it splits or merges them: measured, 1 in 300 deleted rows of mixed sizes leaves a fragment in some page's
unused middle (ADR 20). What never moves are overflow pages: they hold the rest of a row that is too long for its page,
and are zeroed as a whole when they are freed. So every secret stands at the end of a row, behind a filler which takes
all the bytes that stay on the page. The rule is part of SQLite's file format (section 1.6 of its description).
"""

from __future__ import annotations

import msgspec

_HEADER = 12
"""Bytes of a record's header in our tables, give or take a few; the aim below has room for that."""


class Overflow(msgspec.Struct, frozen=True):
    """Arithmetic on rows of a table, for pages with `usable` bytes (the page size less what a build reserves)."""

    usable: int

    @property
    def chunk(self) -> int:
        """Bytes of a row that one overflow page takes."""
        return self.usable - 4

    @property
    def least(self) -> int:
        """Bytes of a long row that stay on the table's page at least (M in the file format)."""
        return (self.usable - 12) * 32 // 255 - 23

    def filler(self, rest: int) -> int:
        """How many zero bytes to put before the secret of a row whose other values have `rest` bytes together."""
        filler = self.least + _HEADER
        # `wanted` must come out above `most`: aim at the middle of that window, which is at least 69 bytes wide.
        aim = (self.usable - 35 - self.least + 1 + self.chunk - 1) // 2
        return filler + (aim - (_HEADER + filler + rest - self.least)) % self.chunk

    @property
    def lead(self) -> int:
        """Filler before the space of an extent."""
        return self.least + 3

    def space(self, pages: int) -> int:
        """Bytes after `lead` that an extent of so many overflow pages has, all of them off the table's page."""
        return pages * self.chunk - 16

    def pages(self, length: int) -> int:
        """The least number of pages whose `space` takes `length` bytes."""
        return -(-(length + 16) // self.chunk)
