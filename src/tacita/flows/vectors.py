"""Looking after the vectors that are outside: compare with the log, put right, and take them back for good."""

from __future__ import annotations

from typing import Any

from tacita.access.principal import Principal
from tacita.errors import ConfigError, InvalidInput
from tacita.flows.engine import Engine
from tacita.flows.exposed import Drift, Exposed
from tacita.flows.exposure import RECORD, Record
from tacita.flows.inspect import Progress, every_subject, no_progress
from tacita.ports.vectors import LEARNS


def required(engine: Engine) -> Exposed | None:
    """What a deletion needs. Raises ConfigError when there are vectors outside that cannot be removed from here."""
    if engine.exposed is None and (record := Record.of(engine.keys.ring)) is not None:
        raise ConfigError(
            f"vectors of this home are in {record.place}, and exposed-vectors is off: "
            "turn it on to delete anything, or run `tacita vectors withdraw` with it first"
        )
    return engine.exposed


def status(engine: Engine, progress: Progress = no_progress) -> dict[str, Any]:
    """Where vectors are outside, and how that place differs from the log, in entries. Changes nothing."""
    record = Record.of(engine.keys.ring)
    told: dict[str, Any] = {"place": None if record is None else record.place, "on": engine.exposed is not None}
    if engine.exposed is not None:
        drift = _over_all(engine, progress, repair=False)
        told |= {"entries": drift.expected, "missing": drift.missing, "extra": drift.extra, "learns": LEARNS}
    return told


def put_right(engine: Engine, progress: Progress = no_progress) -> int:
    """Give the engine what it lacks and remove what it should not hold. Returns how many entries that were."""
    if engine.exposed is None:
        return 0
    drift = _over_all(engine, progress, repair=True)
    known = [entry.vault_id for entry in engine.keys.ring.entries()]
    engine.exposed.drop_unknown(known)
    return drift.missing + drift.extra


def _over_all(engine: Engine, progress: Progress, *, repair: bool) -> Drift:
    exposed = engine.exposed
    assert exposed is not None
    total = Drift(0, 0, 0)
    for number, scope in enumerate(every_subject(engine), 1):
        vault = engine.find(scope)
        if vault is not None:
            total = total.plus(exposed.repair(vault, compare=True) if repair else exposed.drift(vault))
        # Else it would be in use while the next one is opened.
        del vault
        progress(number, None)
    return total


def withdraw(engine: Engine, principal: Principal, *, abandon: bool) -> int:
    """Remove all vectors of this home from the engine, read back that they are gone, and forget that they were there.

    Returns how many vaults had some. With `abandon` the engine is not asked: what it holds, it keeps.

    Raises StoreError when it cannot be asked or some are left, InvalidInput when there is nothing to withdraw.
    """
    record = Record.of(engine.keys.ring)
    if record is None:
        raise InvalidInput("no vectors of this home are outside")
    removed = 0
    if not abandon:
        if engine.exposed is None:
            raise ConfigError(f"vectors are in {record.place}: run this with the settings under which they were given")
        engine.exposed.stop()
        removed = engine.exposed.drop_unknown(())
    verb = "abandon" if abandon else "withdraw"
    engine.audit.record(principal.actor, f"{verb}_vectors:{record.place}", items=removed, purpose=principal.purpose)
    engine.audit.flush()
    engine.keys.ring.drop_setting(RECORD)
    return removed
