"""The audit log: who read, was refused or erased what, when and for which purpose. Sealed, chained, never content.

A write needs no entry here: its sealed event carries actor, time and purpose in the same transaction (ADR 0004).
Everything else is queued and appended to the tenant's own audit vault in batches, at most 100 ms after it happened.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from threading import Condition, Lock, Thread

from tacita.errors import HeadMoved, StoreError, TacitaError, Tampered
from tacita.ports.log import LogStore
from tacita.sealed import UNKNOWN_EPOCH, Anchor
from tacita.vault import rekey
from tacita.vault.events import AUDIT_TAG, Audited, AuditEntry, Rekeyed, decode, encode
from tacita.vault.format import VaultKeys
from tacita.vault.keyring import Keys
from tacita.vault.log import SealedLog
from tacita.vault.vault import CONTENTION_SECONDS

FLUSH_SECONDS = 0.1
BATCH_ENTRIES = 1_000
QUEUE_ENTRIES = 100_000

log = logging.getLogger("tacita.audit")


class AuditLog:
    """One tenant's audit log. Thread-safe. Entries are durable after `flush`, which runs by itself and at `close`."""

    def __init__(
        self, store: LogStore, keys: Keys, tenant: str, clock: Callable[[], int], *, at_once: bool = False
    ) -> None:
        """With `at_once` every entry is durable before what it tells of returns."""
        self._store = store
        self._keys = keys
        self._tenant = tenant
        self._clock = clock
        self._at_once = at_once
        self._queue: deque[AuditEntry] = deque()
        self._write_lock = Lock()
        self._wake = Condition()
        self._log: SealedLog | None = None
        self._thread: Thread | None = None
        self._idle = True
        self._closing = False
        self._failure: TacitaError | None = None

    def record(
        self,
        actor: str,
        operation: str,
        outcome: str = "ok",
        *,
        vault_id: bytes | None = None,
        items: int = 0,
        purpose: str | None = None,
    ) -> None:
        """Queue one entry; costs a microsecond, or a commit if entries are written at once.

        Raises the error of the last flush if that failed: no audit, no read.
        """
        if self._failure is not None and len(self._queue) >= QUEUE_ENTRIES:
            raise self._failure
        self._queue.append(
            AuditEntry(
                at=self._clock(),
                actor=actor,
                operation=operation,
                outcome=outcome,
                vault=vault_id,
                items=items,
                purpose=purpose,
            )
        )
        if self._at_once:
            self.flush()
            return
        # Set before the writer looks at the queue, and read after this put something there: one of both notices.
        if self._idle:
            self._wake_writer()

    def _wake_writer(self) -> None:
        with self._wake:
            if self._thread is None and not self._closing:
                # A daemon: an interpreter that exits without close() must not hang on it.
                self._thread = Thread(target=self._run, name="tacita-audit", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._idle = True
                self._wake.wait_for(lambda: self._queue or self._closing)
                self._idle = False
                self._wake.wait_for(lambda: self._closing, timeout=FLUSH_SECONDS)
                if self._closing:
                    return
            try:
                self.flush()
                self._failure = None
            except TacitaError as error:
                self._failure = error
                log.error("audit log cannot be written (%s); entries wait in memory", error.code)

    def flush(self) -> None:
        """Append what is queued, durably. Entries stay queued when it fails."""
        with self._write_lock:
            # What is queued while this writes waits for the next time: under steady reads it would never end.
            waiting = len(self._queue)
            while waiting:
                batch = [self._queue[i] for i in range(min(waiting, BATCH_ENTRIES))]
                self._append(Audited(at=self._clock(), actor="tacita", entries=tuple(batch)))
                for _ in batch:
                    self._queue.popleft()
                waiting -= len(batch)

    def _append(self, event: Audited) -> None:
        body = encode(event)
        deadline = time.monotonic() + CONTENTION_SECONDS
        while True:
            sealed_log = self._open()
            try:
                for _ in sealed_log.tail():
                    pass
                sealed_log.append([(sealed_log.keys.item_tag(AUDIT_TAG), body)])
                return
            except Tampered:
                # Sealed under another key since we looked; or not genuine.
                if self._open() is sealed_log:
                    raise
            except HeadMoved:
                if time.monotonic() >= deadline:
                    raise StoreError(
                        f"the audit log of tenant {self._tenant}: other writers kept being first; try again",
                        retryable=True,
                    ) from None
                time.sleep(random.uniform(0, 0.002))

    def _open(self) -> SealedLog:
        if self._log is not None:
            head = self._store.head(self._log.keys.vault_id)
            if head is not None and head.epoch not in (self._log.epoch, UNKNOWN_EPOCH):
                self._log = None
        if self._log is None:
            keys, anchor = self._find()
            head = self._store.head(keys.vault_id)
            if (head.seq if head else 0) < anchor.seq:
                raise Tampered(f"audit log {keys.name} seq {anchor.seq}: rolled back, the store ends before")
            self._log = SealedLog(self._store, self._keys.ring, keys, start=anchor)
        return self._log

    def _find(self) -> tuple[VaultKeys, Anchor]:
        # "audit" is no subject kind, so that no caller's id can name this vault.
        vault_id = self._keys.vault_id(self._tenant, "audit", "log")
        found = rekey.find(self._store, self._keys, self._tenant, vault_id)
        return self._keys.create(self._tenant, "audit", "log") if found is None else found

    def entries(self) -> Iterator[AuditEntry]:
        """All entries, oldest first, verified from the first one. Raises Tampered."""
        self.flush()
        vault_id = self._keys.vault_id(self._tenant, "audit", "log")
        yield from rekey.steadily(self._store, self._keys, self._tenant, vault_id, self._entries) or ()

    def _entries(self, keys: VaultKeys, anchor: Anchor) -> list[AuditEntry]:
        reader = SealedLog(self._store, self._keys.ring, keys)
        found: list[AuditEntry] = []
        for _, body in reader.tail():
            event = None if body is None else decode(body)
            if isinstance(event, Audited):
                found += event.entries
            elif not isinstance(event, Rekeyed):
                raise Tampered(f"audit log {keys.name} seq {reader.seq}: not an audit entry")
        reader.check_anchor(anchor)
        return found

    def close(self) -> None:
        """Flush and stop. Raises what the flush raises: an audit log that cannot be written is not passed over."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
        self.flush()
