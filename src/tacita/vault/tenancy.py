"""Root keys of tenants beside the home's: opened when they are first needed, each for itself, so that one which is out of
reach holds up nobody but its tenant."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Final

from tacita.errors import KeyUnavailable
from tacita.hazmat import SecretKey
from tacita.ports.keys import KeyContext, KeyProvider
from tacita.vault.succession import Succession

Open = Callable[[], KeyProvider]
"""Opens a root key. Raises ConfigError, KeyUnavailable."""

_PAUSE: Final = 5.0
"""Seconds before a root key that could not be opened is tried again: its tenant's threads do not queue up for it."""


class _Tenant:
    """The root keys of one tenant: the present one, which may be the home's, and those from before."""

    def __init__(
        self, present: Open, previous: Sequence[Open], clock: Callable[[], float], *, keep_present: bool
    ) -> None:
        """`keep_present`: the present one is somebody else's to close."""
        self._present = present
        self._previous = list(previous)
        self._keep_present = keep_present
        self._clock = clock
        self._lock = Lock()
        self._opened: Succession | None = None
        self._past: dict[Open, KeyProvider] = {}
        self._failed: KeyUnavailable | None = None
        self._not_before = 0.0

    def provider(self) -> KeyProvider:
        with self._lock:
            if self._opened is None:
                if self._failed is not None and self._clock() < self._not_before:
                    raise KeyUnavailable(str(self._failed), retryable=self._failed.retryable)
                try:
                    self._opened = Succession(self._present(), self._find)
                except KeyUnavailable as error:
                    self._failed, self._not_before = error, self._clock() + _PAUSE
                    raise
            return self._opened

    def _find(self, provider_id: str) -> KeyProvider | None:
        """A root key from before. One that cannot be opened is no reason not to look at the others."""
        missing = None
        for each in self._previous:
            try:
                found = self._past.get(each) or self._past.setdefault(each, each())
            except KeyUnavailable as error:
                missing = error
                continue
            if found.id == provider_id:
                return found
        if missing is not None:
            raise missing
        return None

    def close(self) -> None:
        with self._lock:
            opened, self._opened = self._opened, None
            past, self._past = list(self._past.values()), {}
        for each in past:
            each.close()
        if opened is not None and not self._keep_present:
            opened.close()


class Tenancy(KeyProvider):
    """The home's root key for all but those tenants that have one of their own."""

    def __init__(
        self,
        home: KeyProvider,
        tenants: Mapping[str, tuple[Open | None, Sequence[Open]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tenants`: the present root key of each, None for the home's, and those from before."""
        self.id = home.id
        self.where = home.where
        self.elsewhere = home.elsewhere
        self.hosts = home.hosts
        self._home = home
        self._own = frozenset(name for name, (present, _) in tenants.items() if present is not None)
        self._tenants = {
            name: _Tenant(present or (lambda: home), previous, clock, keep_present=present is None)
            for name, (present, previous) in tenants.items()
        }

    def wrap(self, key: SecretKey, context: KeyContext) -> bytes:
        return self._home.wrap(key, context)

    def unwrap(self, blob: bytes, context: KeyContext) -> SecretKey:
        return self._home.unwrap(blob, context)

    def renewed(self, blob: bytes, context: KeyContext) -> bytes:
        return self._home.renewed(blob, context)

    def known_as(self, provider_id: str) -> KeyProvider | None:
        return self if provider_id == self.id else self._home.known_as(provider_id)

    def of_tenant(self, tenant: str) -> KeyProvider:
        found = self._tenants.get(tenant)
        return self if found is None else found.provider()

    def keeps_own(self, tenant: str) -> bool:
        return tenant in self._own

    def knows(self, tenant: str) -> bool:
        return tenant in self._tenants

    def close_tenants(self) -> None:
        """Let go of the tenants' root keys, not of the home's."""
        for each in self._tenants.values():
            each.close()

    def close(self) -> None:
        self.close_tenants()
        self._home.close()
