"""Forged and mutated ciphertext: no variant of a sealed event opens anywhere but in its own place."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from tacita import Tampered
from tacita.hazmat import SecretKey
from tacita.sealed import SealedRow
from tacita.vault.format import VaultKeys, digest, next_chain, open_event, seal_event

ATTEMPTS = int(os.environ.get("TACITA_FORGERIES", "300000"))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_mutated_event_opens(record_property: Callable[[str, object], None]) -> None:
    chance = random.Random(5)
    vaults = [_vault(name, chance) for name in (b"a", b"b")]
    opened = 0
    for number in range(ATTEMPTS):
        keys, rows, chains = vaults[number % 2]
        at = chance.randrange(len(rows))
        forged, chain = _forge(chance, rows, chains, vaults[(number + 1) % 2], at)
        try:
            open_event(keys, chain, forged)
        except Tampered:
            continue
        opened += 1
    assert opened == 0
    record_property("figure", f"{opened} of {ATTEMPTS:,} accepted")


Vault = tuple[VaultKeys, list[SealedRow], list[bytes]]


def _vault(name: bytes, chance: random.Random) -> Vault:
    keys = VaultKeys.derive(SecretKey(chance.randbytes(32)), tenant="t", vault_id=name * 32, version=1)
    chain, rows, chains = keys.genesis, [], [keys.genesis]
    for seq in range(1, 9):
        event = seal_event(keys, seq, chain, keys.item_tag(bytes([seq])), chance.randbytes(chance.randrange(1, 300)))
        rows.append(SealedRow(seq, event.item_tag, event.sealed, event.digest))
        chain = next_chain(keys, chain, seq, event.digest)
        chains.append(chain)
    return keys, rows, chains


def _forge(
    chance: random.Random, rows: list[SealedRow], chains: list[bytes], other: Vault, at: int
) -> tuple[SealedRow, bytes]:
    """A row that differs from the genuine one at `at`, its digest made anew as an attacker would, and its chain value."""
    row, chain = rows[at], chains[at]
    sealed, tag, seq = bytearray(row.sealed or b""), row.item_tag, row.seq
    kind = chance.randrange(8)
    if kind == 0:
        sealed[chance.randrange(len(sealed))] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del sealed[chance.randrange(len(sealed)) :]
    elif kind == 2:
        sealed += chance.randbytes(chance.randrange(1, 40))
    elif kind == 3:
        first, second = chance.randrange(len(sealed)), chance.randrange(len(sealed))
        if sealed[first] == sealed[second]:
            sealed[first] ^= 0x80
        else:
            sealed[first], sealed[second] = sealed[second], sealed[first]
    elif kind == 4:
        start = chance.randrange(len(sealed))
        part = chance.randbytes(min(32, len(sealed) - start))
        sealed[start : start + len(part)] = bytes(a ^ (b | 1) for a, b in zip(sealed[start:], part, strict=False))
    elif kind == 5:
        # A genuine event in another place of the same history.
        donor = rows[(at + chance.randrange(1, len(rows))) % len(rows)]
        sealed, tag = bytearray(donor.sealed or b""), donor.item_tag
    elif kind == 6:
        # A genuine event of another vault in the same place.
        donor = other[1][at]
        sealed, tag = bytearray(donor.sealed or b""), donor.item_tag
    else:
        # The genuine event after another history.
        chain = chance.randbytes(32)
    return SealedRow(seq, tag, bytes(sealed), digest(tag, bytes(sealed))), chain
