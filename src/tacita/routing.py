"""Which worker serves whose memory, for applications that send requests to workers of their own and for load balancers.

Any worker may serve any vault: what is chosen here decides speed and nothing else. Pure functions; nothing is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tacita.errors import InvalidInput
from tacita.hazmat import SecretKey, sha256

_LEAST_BYTES = 16


def affinity(
    secret: bytes, *, tenant: str, kind: Literal["user", "agent", "app", "run"], subject_id: str
) -> str:  # fmt: skip
    """The value for a balancer's header or key, 32 hex digits: the same for all requests of a subject, and keyed.

    Whoever sees it, as in a balancer's log, cannot test a guess of whose it is. `secret` is the application's own, at least
    16 random bytes, and the same on all that send requests; the memory's keys never leave the workers for this.
    """
    if len(secret) < _LEAST_BYTES:
        raise InvalidInput(f"the secret has at least {_LEAST_BYTES} random bytes")
    parts = [each.encode() for each in ("tacita/affinity/v1", tenant, kind, subject_id)]
    # Each behind its length: two subjects never share a message.
    message = b"".join(len(part).to_bytes(4) + part for part in parts)
    return SecretKey(sha256(secret)).mac(message)[:16].hex()


def ranked(workers: Sequence[str], affinity: str) -> list[str]:
    """The workers for a subject, the one to ask first and the others in order, should it be down.

    Rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998): when a worker goes,
    only its own subjects move, each to its second; when one comes, it takes an equal part from all.
    """
    if len(set(workers)) != len(workers):
        raise InvalidInput("each worker is named once")
    return sorted(workers, key=lambda worker: sha256(f"{affinity}/{worker}".encode()), reverse=True)
