"""A root key together with those before and after it: during a rotation some vault keys are under one, some under another."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from tacita.hazmat import SecretKey
from tacita.ports.keys import KeyContext, KeyProvider


class Succession(KeyProvider):
    """Wraps under the present key; finds others when an entry of the ring asks for one."""

    def __init__(self, present: KeyProvider, find: Callable[[str], KeyProvider | None]) -> None:
        """`find` opens the root key of an id, if the home knows one."""
        self.id = present.id
        self.where = present.where
        self.elsewhere = present.elsewhere
        self.hosts = present.hosts
        self._present = present
        self._find = find
        self._others: dict[str, KeyProvider] = {}
        self._lock = Lock()

    def wrap(self, key: SecretKey, context: KeyContext) -> bytes:
        return self._present.wrap(key, context)

    def unwrap(self, blob: bytes, context: KeyContext) -> SecretKey:
        return self._present.unwrap(blob, context)

    def renewed(self, blob: bytes, context: KeyContext) -> bytes:
        return self._present.renewed(blob, context)

    def known_as(self, provider_id: str) -> KeyProvider | None:
        if provider_id == self.id:
            return self
        with self._lock:
            if provider_id not in self._others:
                found = self._find(provider_id)
                if found is None:
                    return None
                self._others[provider_id] = found
            return self._others[provider_id]

    def close(self) -> None:
        self._present.close()
        with self._lock:
            others, self._others = list(self._others.values()), {}
        for other in others:
            other.close()
