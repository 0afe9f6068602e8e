"""How far the audit log had come, signed, to be kept elsewhere: later it shows that nothing before was left out or changed.

A checkpoint is a running hash over what the entries say and not over how they are sealed, so it outlives `rotate --deep`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tacita.errors import InvalidInput, Tampered
from tacita.flows import receipts
from tacita.flows.engine import Engine, moment
from tacita.hazmat import equal, sha256
from tacita.items import Proof
from tacita.vault.events import AuditEntry

_DOMAIN: Final = b"tacita/v1/checkpoint\0"
_START: Final = sha256(_DOMAIN)


def issue(engine: Engine) -> Proof:
    """A signed checkpoint of the tenant's audit log as it is. Raises Tampered when the log is not genuine."""
    count, digest = 0, _START
    for entry in engine.audit.entries():
        count, digest = count + 1, _next(digest, entry)
    facts = {
        "tacita_checkpoint": 1,
        "entries": count,
        "digest": digest.hex(),
        "at": moment(engine.clock()).isoformat(),
        "key": engine.keys.receipts.public.hex(),
    }
    return receipts.signed(engine, _DOMAIN, facts)


def verify(engine: Engine, proof: Proof | Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says, if this home signed it and its audit log still begins with what it speaks of.

    Raises InvalidInput for what is no checkpoint, Tampered otherwise.
    """
    facts = receipts.checked(proof, engine.keys.receipts.public, _DOMAIN, "checkpoint")
    wanted, promised = facts.get("entries"), facts.get("digest")
    if not isinstance(wanted, int) or not isinstance(promised, str):
        raise InvalidInput("this is no checkpoint of a known version")
    count, digest = 0, _START
    for entry in engine.audit.entries():
        if count == wanted:
            break
        count, digest = count + 1, _next(digest, entry)
    if count != wanted:
        raise Tampered(f"the audit log has {count} entries; {wanted} were there when this checkpoint was made")
    if not equal(digest.hex().encode(), promised.encode()):
        raise Tampered(f"the first {count} entries of the audit log are not those of this checkpoint")
    return facts


def _next(digest: bytes, entry: AuditEntry) -> bytes:
    return sha256(digest + msgspec.msgpack.encode(entry))
