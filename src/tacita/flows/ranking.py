"""One ranking of one vault, with its vectors in RAM or outside: what `recall` and `infer` have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tacita.errors import HeadMoved, StoreError
from tacita.flows.engine import Engine, Vault
from tacita.flows.source import Source
from tacita.retrieval.search import Query, Ranked

_ATTEMPTS: Final = 5


def ranked(
    engine: Engine, vault: Vault, query: Query, rank: Callable[[Source | None], Ranked]
) -> tuple[Ranked, list[str]]:
    """What `rank` makes of a vault, and warnings. Hold the vault's lock.

    `rank` gets where the vectors are, None if they are in RAM. It may be called again, after the vault has changed.

    Raises StoreError when vectors are outside, the engine cannot be asked, and the settings do not say to do without it.
    """
    exposed = engine.exposed
    if exposed is None or query.vector is None:
        return rank(None), []
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            source = exposed.source(vault, query.vector)
            found = rank(source)
            return found, _said(source, found, exposed.index.name)
        except HeadMoved:
            if attempt == _ATTEMPTS:
                raise
        except StoreError as error:
            if not exposed.fallback:
                raise
            said = f"searched without the vector index {exposed.index.name} ({error.code}): complete, but slow"
            return rank(exposed.without(vault)), [said]
    raise AssertionError


def _said(source: Source, found: Ranked, name: str) -> list[str]:
    said = []
    if source.behind:
        said.append(
            f"{source.behind} items are not in the vector index {name} and were searched without it: run `tacita reindex`"
        )
    if not found.settled:
        said.append("too many items are about as good: the order of the last hits is approximate")
    return said
