"""Regular expressions that are compiled when they are first used.

Together they take as long as opening a vault of a thousand items, and most processes need few of them.
"""

from __future__ import annotations

import re
from typing import Any, cast


class _Pattern:
    def __init__(self, text: str, flags: int) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        # Asked only for what is not there yet: from the second time on this costs what a compiled pattern costs.
        value = getattr(re.compile(self._text, self._flags), name)
        setattr(self, name, value)
        return value


def lazy_pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """As `re.compile`, but an expression that is wrong raises `re.error` when it is first used."""
    return cast("re.Pattern[str]", _Pattern(text, flags))
