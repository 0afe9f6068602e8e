"""Turning the profile `exposed-vectors` on and off: said aloud, recorded beside the keys, audited."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from tacita.access.audit import AuditLog
from tacita.errors import ConfigError
from tacita.flows.exposed import Exposed
from tacita.ports.keys import KeyRing
from tacita.ports.vectors import VectorIndex
from tacita.vault.keyring import Keys

log = logging.getLogger("tacita.vectors")

RECORD: Final = "exposed-vectors"
"""Setting of the ring: to which engine vectors were given, of how many dimensions, made by which model."""


class Record(msgspec.Struct, frozen=True):
    """What is remembered of vectors that were given away."""

    place: str
    dimensions: int
    model: str

    @classmethod
    def of(cls, ring: KeyRing) -> Record | None:
        """What is recorded; None if nothing was ever given."""
        kept = ring.setting(RECORD)
        if kept is None:
            return None
        dimensions, model, place = kept.decode().split("\n", 2)
        return cls(place, int(dimensions), model)

    def keep(self, ring: KeyRing) -> None:
        """Remember this instead."""
        ring.drop_setting(RECORD)
        ring.put_setting_once(RECORD, f"{self.dimensions}\n{self.model}\n{self.place}".encode())


class Exposure(msgspec.Struct, frozen=True):
    """What the settings say about vectors outside."""

    exposed: bool = False
    """Whether the profile is `exposed-vectors`."""
    index: VectorIndex | None = None
    """None under that profile only for a process without an embedder, in a home that has given nothing away."""
    fallback: bool = False

    def begin(self, keys: Keys, audit: AuditLog, model: str | None) -> Exposed | None:
        """What the flows work with; None if no vector goes anywhere. Whatever changes is logged and audited.

        Raises ConfigError when vectors are elsewhere than the settings say: they would be forgotten there.
        """
        before = Record.of(keys.ring)
        if self.index is None:
            if before is not None and not self.exposed:
                log.warning("vectors of this home are in an engine outside, although exposed-vectors is off")
            return None
        now = Record(self.index.name, self.index.dimensions, model or (before.model if before else ""))
        if before is not None and before.place != now.place:
            raise ConfigError(
                f"vectors of this home are in {before.place}, and the settings say {now.place}: "
                "run `tacita vectors withdraw` with the settings from before"
            )
        if now != before:
            # Before the first vector leaves: what nobody can find out about was decided by nobody.
            audit.record("local", f"expose_vectors:{now.place}")
            audit.flush()
            now.keep(keys.ring)
            log.warning(
                "exposed-vectors is on. Whoever runs the vector index learns every vector in plain, from which words can be "
                "guessed, which of them are of one vault, when they come, go and are searched, and every query's vector. "
                "No text, no label, no id"
            )
        return Exposed(self.index, keys, now.model, fallback=self.fallback)


SEALED: Final = Exposure()
