"""Asks in the background whether the keys of open vaults still open, so that whoever uses them need not wait for an answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from threading import Event, Lock, Thread
from typing import Protocol

from tacita.errors import TacitaError
from tacita.vault.format import VaultKeys
from tacita.vault.keyring import Keys

log = logging.getLogger("tacita.keys")

_LONGEST = 15.0
_SHORTEST = 0.05


class Held(Protocol):
    """An open vault, as far as its key is concerned."""

    @property
    def keys(self) -> VaultKeys:
        """Of the vault, as they are now."""


class Keeper:
    """One thread, from the first vault on whose key came from elsewhere. `close` ends it."""

    def __init__(self, keys: Keys, held: Callable[[], Iterable[Held]], let_go: Callable[[Held], None]) -> None:
        """`held` lists the open vaults; `let_go` drops one from RAM, if nobody uses it at the moment."""
        self._keys = keys
        self._held = held
        self._let_go = let_go
        self._every = min(_LONGEST, max(_SHORTEST, keys.key_cache / 8))
        self._lock = Lock()
        self._closing = Event()
        self._thread: Thread | None = None

    def wake(self) -> None:
        """A vault was opened under a lease."""
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                self._thread = Thread(target=self._run, name="tacita-keys", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread; it may be in the middle of a question, which is waited for."""
        self._closing.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self._every):
            self.look()

    def look(self) -> None:
        """Ask about what was used since it was last asked about; let go of what nobody needs or may have."""
        down: set[str] = set()
        for vault in self._held():
            keys, lease = vault.keys, vault.keys.lease
            if lease is None or self._keys.clock() < lease.renew_from or self._closing.is_set():
                continue
            if lease.used and lease.provider not in down:
                try:
                    if not self._keys.confirm(keys):
                        lease.revoke()
                except TacitaError as error:
                    # Whoever uses the vault next gets this error, or the next one. Here it is enough to let go.
                    log.warning("the key of vault %s could not be confirmed (%s)", keys.name, error.code)
                    if error.retryable:
                        down.add(lease.provider)
                    else:
                        lease.revoke()
            if self._keys.clock() >= lease.until:
                self._let_go(vault)
