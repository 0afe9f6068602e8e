"""Stand-ins for personal data in what a model gets, and the way back.

The same value has the same stand-in in every request about one vault and another one in another vault: its number is a
keyed tag, so nothing has to be stored, and a stand-in tells a provider nothing about who is in two vaults.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from tacita.patterns import lazy_pattern

# A text that already holds something of the form must not be taken for a stand-in of ours.
_LOOKS_LIKE_ONE: Final = lazy_pattern(r"<(?=[A-Z][A-Z_]*_\d+>)")
_TOKEN: Final = lazy_pattern(r"<?\b([A-Z][A-Z_]*_\d{6})\b>?")
_NUMBERS: Final = 1_000_000


class Pseudonyms:
    """The stand-ins of one request. `tag` is a keyed function of the vault, so numbers cannot be guessed."""

    def __init__(self, tag: Callable[[bytes], bytes]) -> None:
        self._tag = tag
        self._values: dict[str, str] = {}
        self._tokens: dict[tuple[str, str], str] = {}

    def __repr__(self) -> str:
        return f"<Pseudonyms {len(self._values)}>"

    def stand_in(self, kind: str, value: str) -> str:
        """`<EMAIL_482913>` for an e-mail address, and so on. Case and outer spaces make no difference."""
        label = re.sub(r"[^A-Z]+", "_", kind.upper()).strip("_") or "DATA"
        folded = " ".join(value.split()).casefold()
        known = self._tokens.get((label, folded))
        if known is None:
            number = int.from_bytes(self._tag(f"{label}\0{folded}".encode("utf-8", "surrogatepass"))[:8]) % _NUMBERS
            while f"{label}_{number:06d}" in self._values:
                number = (number + 1) % _NUMBERS
            known = f"{label}_{number:06d}"
            self._tokens[label, folded] = known
            self._values[known] = value
        return f"<{known}>"

    def people(self, text: str, names: Iterable[str]) -> str:
        """The text with known names replaced by `<PERSON_...>`, the longest first."""
        wanted = sorted({name for name in names if len(name) > 1}, key=len, reverse=True)
        if not wanted:
            return text
        pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, wanted))})(?!\w)", re.IGNORECASE)
        return pattern.sub(lambda match: self.stand_in("person", match.group()), text)

    def restore(self, text: str) -> str:
        """The text with the stand-ins of this request, and of no other, replaced by what they stand for."""
        return _TOKEN.sub(lambda match: self._values.get(match.group(1), match.group()), text)


def defused(text: str) -> str:
    """The text with whatever looks like a stand-in made to look otherwise."""
    return _LOOKS_LIKE_ONE.sub("\u2039", text)
