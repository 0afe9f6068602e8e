"""Receipts of deletions: signed with a key of the key ring, checked by whoever has its public half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tacita.errors import InvalidInput, StoreError, Tampered
from tacita.flows.engine import Engine, moment
from tacita.hazmat import signed_by
from tacita.items import Proof

_DOMAIN: Final = b"tacita/v1/receipt\0"
"""So that a signature of a receipt is a signature of nothing else."""


def issue(
    engine: Engine,
    kind: str,
    vault_id: bytes,
    at: int,
    *,
    ids: Sequence[str],
    before: Mapping[str, int | None],
    after: Mapping[str, int],
) -> Proof:
    """A signed receipt. Raises StoreError instead when anything is left: nothing is reported deleted that still exists."""
    if any(after.values()):
        left = ", ".join(f"{count} {place}" for place, count in after.items() if count)
        raise StoreError(f"vault {vault_id.hex()[:12]}: after deleting there are still {left}; delete again")
    facts = {
        "tacita_receipt": 1,
        "kind": kind,
        "vault": vault_id.hex(),
        "ids": list(ids),
        "before": dict(before),
        "after": dict(after),
        "at": moment(at).isoformat(),
        "key": engine.keys.receipts.public.hex(),
    }
    return signed(engine, _DOMAIN, facts)


def signed(engine: Engine, domain: bytes, facts: Mapping[str, Any]) -> Proof:
    """Facts with the home's signature, which in another domain is none."""
    payload = msgspec.json.encode(facts, order="sorted")
    return Proof(payload=payload.decode(), signature=engine.keys.receipts.sign(domain + payload).hex())


def verify(proof: Proof | Mapping[str, Any], key: bytes) -> dict[str, Any]:
    """What a receipt says, if it was signed with the key of this public half.

    Raises InvalidInput for what is no receipt, Tampered for one that was changed or signed with another key.
    """
    return checked(proof, key, _DOMAIN, "receipt")


def checked(proof: Proof | Mapping[str, Any], key: bytes, domain: bytes, kind: str) -> dict[str, Any]:
    """The facts of a signed `receipt` or `checkpoint`. Raises as `verify`."""
    try:
        found = proof if isinstance(proof, Proof) else msgspec.convert(dict(proof), Proof)
        signature, facts = bytes.fromhex(found.signature), found.facts
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        raise InvalidInput(f"this is no {kind}: it has a payload and a signature") from None
    if facts.get(f"tacita_{kind}") != 1:
        raise InvalidInput(f"this is no {kind} of a known version")
    if not signed_by(key, signature, domain + found.payload.encode()):
        raise Tampered(f"this {kind} was changed, or was not signed with this key")
    return facts
