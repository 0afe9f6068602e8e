"""For how long a vault key may be used that a provider elsewhere unwrapped, and how often each provider was asked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Literal

import msgspec

Clock = Callable[[], float]
"""Seconds that never go back."""

KEY_CACHE = 300.0
"""Seconds, unless the settings say otherwise."""


class Uses(msgspec.Struct):
    """How often one root key was used. Counts may miss one where threads meet."""

    wrap: int = 0
    unwrap: int = 0
    failures: int = 0
    """Of those, the ones that did not succeed."""
    cache_hits: int = 0
    """Uses of a vault whose key was in RAM, so that a provider elsewhere was not asked."""

    def to_dict(self) -> dict[str, int]:
        """For `stats`."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


class Tally:
    """How often root keys were used since their home was opened."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        """`wrap` and `unwrap`, over all root keys."""
        self.of: dict[str, Uses] = {}
        """By provider."""

    def count(self, provider: str, use: Literal["wrap", "unwrap"]) -> Uses:
        """One use more; where to count how it went."""
        self.total[use] += 1
        uses = self.of.setdefault(provider, Uses())
        setattr(uses, use, getattr(uses, use) + 1)
        return uses


class Lease(msgspec.Struct):
    """One vault key in RAM, from a provider elsewhere. That one is asked again before the time is over."""

    provider: str
    uses: Uses
    asked_at: float
    """When the question was put that was last answered with yes."""
    seconds: float
    used: bool = True
    """Since it was last asked about."""

    @property
    def until(self) -> float:
        """From then on nothing is opened under this key before its provider was asked."""
        return self.asked_at + self.seconds

    @property
    def renew_from(self) -> float:
        """From then on it is asked about in the background: half of the time is left for a provider that is down."""
        return self.asked_at + self.seconds / 2

    def renew(self, asked_at: float) -> None:
        """Its provider said yes to a question of that moment."""
        self.asked_at, self.used = max(asked_at, self.asked_at), False

    def revoke(self) -> None:
        """Its provider said no: the next use asks first."""
        self.asked_at = -math.inf

    def end(self) -> None:
        """The key came to a root key of this machine, which is never asked about."""
        self.seconds = math.inf
