"""The Redis and Valkey key ring: one hash a vault, best on another server than the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tacita.errors import Conflict, KeyUnavailable, Tampered
from tacita.hazmat import random_bytes
from tacita.ports.keys import KeyRing, checked_vault_id
from tacita.sealed import VAULT_ID_BYTES, Anchor, RingEntry
from tacita.stores import _redis_ring_scripts, _redis_rows
from tacita.stores._address import Secret
from tacita.stores._redis_aof import Rewrites, reliable

_PRESENT: Final = ("version", "provider", "wrapped", "label", "seq", "chain")
_NEXT: Final = ("next-version", "next-provider", "next-wrapped", "next-label", "seq", "chain")
_PAGE: Final = 500


class RedisKeyRing(KeyRing):
    """Wrapped keys and anchors on a Redis or Valkey server; the URI and what is demanded are those of `RedisLogStore`.

    Every change is on disk before it returns, anchors too. `rewrap` is one transaction on one server; in a cluster each
    vault is one. A shredded key is out of memory at once, and out of the append-only file when that was written anew.
    """

    def __init__(self, uri: str, secret: Secret) -> None:
        """Raises ConfigError for an address that is not protected, StoreError for a server that cannot be relied on."""
        parsed, self._servers = reliable(uri, secret)
        self._prefix = f"{parsed.prefix}:ring:"
        self._settings = f"{parsed.prefix}:ring-setting:"
        self.name = parsed.place
        self._rewrites = Rewrites(self._servers, parsed.rewrite)

    def _key(self, vault_id: bytes) -> str:
        return f"{self._prefix}{{{checked_vault_id(vault_id).hex()}}}"

    def _run(self, what: str, script: str, vault_id: bytes, *arguments: Any) -> Any:
        return self._servers.run(what, script, [self._key(vault_id)], *arguments)

    def _setting_key(self, name: str) -> str:
        return self._settings + name.encode().hex()

    def setting(self, name: str) -> bytes | None:
        kept: bytes | None = self._servers.call("read setting", "GET", self._setting_key(name))
        return kept

    def put_setting_once(self, name: str, value: bytes) -> bytes:
        key = self._setting_key(name)
        kept: bytes = self._servers.run("put setting", _redis_ring_scripts.PUT_ONCE, [key], value)
        return kept

    def drop_setting(self, name: str) -> None:
        key = self._setting_key(name)
        self._servers.call("drop setting", "UNLINK", key)
        self._rewrites.deleted(key)

    def swap_setting(self, name: str, expected: bytes | None, value: bytes) -> bool:
        key = self._setting_key(name)
        given = ("absent", "") if expected is None else ("present", expected)
        done = bool(self._servers.run("swap setting", _redis_ring_scripts.SWAP, [key], *given, value))
        if done and expected is not None:
            self._rewrites.deleted(key)
        return done

    def settings(self) -> Iterator[tuple[str, bytes]]:
        try:
            names = {
                bytes.fromhex(key[len(self._settings) :].decode()).decode()
                for key in self._servers.keys(f"{self._settings}*")
            }
        except ValueError:
            raise Tampered("the key ring was changed: it holds a setting that was never written") from None
        for name in sorted(names):
            value = self.setting(name)
            if value is not None:
                yield name, value

    def rewrap(self, pairs: Sequence[tuple[RingEntry, RingEntry]]) -> int:
        attempt = random_bytes(8)
        script = _redis_ring_scripts.REWRAP
        commands = [
            ("EVAL", script, 1, self._key(old.vault_id), attempt, old.wrapped, new.wrapped, new.provider)
            for old, new in pairs
        ]
        done = sum(self._servers.many("rewrap keys", commands, whole=True)) if commands else 0
        if done:
            for old, _ in pairs:
                self._rewrites.deleted(self._key(old.vault_id))
        return done

    def get(self, vault_id: bytes) -> RingEntry | None:
        found = self._servers.call("get key", "HMGET", self._key(vault_id), *_PRESENT)
        return _entry(vault_id, found)

    def shredded(self, vault_id: bytes) -> bool:
        return bool(self._servers.call("get key", "HEXISTS", self._key(vault_id), "shredded"))

    def create(self, entry: RingEntry) -> None:
        given = (random_bytes(8), entry.key_version, entry.provider, entry.wrapped, entry.label)
        anchor = (entry.anchor.seq, entry.anchor.chain)
        if not self._run("create key", _redis_ring_scripts.CREATE, entry.vault_id, *given, *anchor):
            raise Conflict(f"vault {entry.vault_id.hex()[:12]} has a key already")

    def advance(self, vault_id: bytes, anchor: Anchor) -> None:
        done = self._run("advance anchor", _redis_ring_scripts.ADVANCE, vault_id, anchor.seq, anchor.chain)
        if done == _redis_ring_scripts.ABSENT:
            raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: it has no key, or its key was destroyed")
        if done == _redis_ring_scripts.TWO_HISTORIES:
            raise Tampered(f"vault {vault_id.hex()[:12]} seq {anchor.seq}: two histories claim this place")

    def rewind(self, vault_id: bytes, anchor: Anchor) -> None:
        if not self._run("rewind anchor", _redis_ring_scripts.REWIND, vault_id, anchor.seq, anchor.chain):
            raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: it has no key, or its key was destroyed")

    def successor(self, vault_id: bytes) -> RingEntry | None:
        return _entry(vault_id, self._servers.call("get successor", "HMGET", self._key(vault_id), *_NEXT))

    def successors(self) -> Iterator[RingEntry]:
        return self._listed(_NEXT)

    def prepare(self, entry: RingEntry) -> RingEntry:
        given = (entry.key_version, entry.provider, entry.wrapped, entry.label)
        found = self._run("prepare key", _redis_ring_scripts.PREPARE, entry.vault_id, *given)
        kept = _entry(entry.vault_id, found) if found else None
        if kept is None:
            raise KeyUnavailable(f"vault {entry.vault_id.hex()[:12]}: no key that this one could follow")
        return kept

    def promote(self, vault_id: bytes, key_version: int, anchor: Anchor) -> bool:
        given = (random_bytes(8), key_version, anchor.seq, anchor.chain)
        done = bool(self._run("promote key", _redis_ring_scripts.PROMOTE, vault_id, *given))
        if done:
            self._rewrites.deleted(self._key(vault_id))
        return done

    def shred(self, vault_id: bytes) -> bool:
        done = bool(self._run("shred key", _redis_ring_scripts.SHRED, vault_id, random_bytes(8)))
        if done:
            self._rewrites.deleted(self._key(vault_id))
        return done

    def bury(self, vault_id: bytes) -> None:
        if not self._run("bury key", _redis_ring_scripts.BURY, vault_id, random_bytes(8)):
            raise Conflict(f"vault {vault_id.hex()[:12]} has a key")

    def tombstones(self) -> Iterator[bytes]:
        for vault_id, found in self._all("shredded"):
            if found[0] is not None:
                yield vault_id

    def entries(self) -> Iterator[RingEntry]:
        return self._listed(_PRESENT)

    def _listed(self, fields: Sequence[str]) -> Iterator[RingEntry]:
        found = (_entry(vault_id, values) for vault_id, values in self._all(*fields))
        return (entry for entry in found if entry is not None)

    def _all(self, *fields: str) -> Iterator[tuple[bytes, Any]]:
        """These fields of every vault, in order of vault id."""
        start = len(self._prefix) + 1
        names = set(self._servers.keys(f"{self._prefix}{{*}}"))
        ids = sorted(_redis_rows.vault_id(name[start : start + 2 * VAULT_ID_BYTES]) for name in names)
        for at in range(0, len(ids), _PAGE):
            page = ids[at : at + _PAGE]
            asked = [("HMGET", self._key(vault_id), *fields) for vault_id in page]
            yield from zip(page, self._servers.many("list keys", asked), strict=True)

    def close(self) -> None:
        self._servers.close_after(self._rewrites.settle)


def _entry(vault_id: bytes, found: Sequence[bytes | None]) -> RingEntry | None:
    version, provider, wrapped, label, seq, chain = found
    if wrapped is None:
        return None
    try:
        entry = RingEntry(
            vault_id,
            _redis_rows.number(version),
            (provider or b"").decode(),
            wrapped,
            label or b"",
            Anchor(_redis_rows.number(seq), chain or b""),
        )
    except ValueError:
        raise Tampered("the key ring was changed: it holds values that were never written") from None
    return entry
