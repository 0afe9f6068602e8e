"""The parts that every flow works with, and the one place where requests are checked against their principal."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tacita.access.audit import AuditLog
from tacita.access.principal import Permission, Principal
from tacita.errors import AccessDenied, Held, InvalidInput, Moved
from tacita.flows.exposure import SEALED, Exposure
from tacita.items import Scope, Subject
from tacita.pipeline.prompt import NO_GUIDANCE, Guidance
from tacita.ports.detectors import Detector
from tacita.ports.keys import AnchorPlace, KeyProvider, KeyRing
from tacita.ports.log import LogStore
from tacita.ports.models import Embedder, LanguageModel, PictureSource, RemoteEmbedder, RemoteReranker, Reranker
from tacita.privacy.detect import scanner
from tacita.privacy.disclose import DEFAULT_TERMS, Terms
from tacita.privacy.policy import Policy
from tacita.retrieval.elsewhere import BareIndex
from tacita.retrieval.index import SearchIndex
from tacita.vault.cache import Vaults
from tacita.vault.events import ItemDeleted
from tacita.vault.fold import NEVER, VaultState
from tacita.vault.keyring import Keys
from tacita.vault.leases import KEY_CACHE
from tacita.vault.mirror import AnchorMirror
from tacita.vault.vault import Change, IndexKind, OpenVault

log = logging.getLogger("tacita.engine")

Clock = Callable[[], int]
"""Microseconds since 1970 in UTC."""
State = VaultState[SearchIndex]
Vault = OpenVault[SearchIndex]

INDEX_LAYOUT = "5"
"""Bump when the arrays of `SearchIndex` change: older snapshots are then rebuilt."""
INDEX = IndexKind(INDEX_LAYOUT, SearchIndex, SearchIndex.from_arrays)
BARE: IndexKind[SearchIndex] = IndexKind(f"{INDEX_LAYOUT}/bare", BareIndex, BareIndex.from_arrays)
"""Without vectors in RAM: under the profile `exposed-vectors`."""
DeletionReason = Literal["deleted", "expired", "rejected", "origin", "forgotten", "redacted"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def system_clock() -> int:
    """The machine's clock."""
    return time.time_ns() // 1_000


@functools.lru_cache(maxsize=1_024)
def moment(microseconds: int) -> datetime:
    """An aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds(value: datetime) -> int:
    """The inverse of `moment`, exact; a naive datetime is taken as UTC."""
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


class Engine:
    """Store, keys, open vaults, embedder and audit log of one home, shared by all views of it. Thread-safe."""

    def __init__(
        self,
        store: LogStore,
        ring: KeyRing,
        provider: KeyProvider,
        embedder: Embedder | RemoteEmbedder | None,
        *,
        tenant: str,
        cache_bytes: int,
        cache_wait: float = 10.0,
        policy: Policy,
        key_cache: float = KEY_CACHE,
        model: LanguageModel | None = None,
        terms: Terms = DEFAULT_TERMS,
        guidance: Guidance = NO_GUIDANCE,
        renew_after: int = 0,
        retention: Mapping[str, int] | None = None,
        audit_at_once: bool = False,
        anchors: AnchorPlace | None = None,
        detectors: Sequence[Detector] = (),
        vision: LanguageModel | None = None,
        pictures: PictureSource | None = None,
        reranker: Reranker | RemoteReranker | LanguageModel | None = None,
        exposure: Exposure = SEALED,
        clock: Clock = system_clock,
    ) -> None:
        self.store = store
        self.provider = provider
        self.embedder = embedder
        # Asked once: a check against a protocol costs more than a hash of the question.
        self.remote = embedder if isinstance(embedder, RemoteEmbedder) else None
        self.local = embedder if self.remote is None and isinstance(embedder, Embedder) else None
        self.policy = policy
        self.model = model
        self.terms = terms
        self.guidance = guidance
        self.renew_after = renew_after
        self.retention = dict(retention or {})
        self.reranker = reranker
        self.vision = vision
        self.pictures = pictures
        self.find_personal = scanner(detectors)
        self.clock = clock
        self.keys = Keys(ring, provider, key_cache=key_cache)
        self.mirror = None if anchors is None else AnchorMirror(anchors, self.keys.anchors)
        if self.mirror is not None:
            # Before anything of a home is used that may have gone back in time as a whole.
            self.mirror.check(ring)
        self.index_kind = BARE if exposure.exposed else INDEX
        self.vaults: Vaults[SearchIndex] = Vaults(
            store, self.keys, self.index_kind, capacity=cache_bytes, patience=cache_wait
        )
        self.audit = AuditLog(store, self.keys, tenant, clock, at_once=audit_at_once)
        self.exposed = exposure.begin(self.keys, self.audit, None if embedder is None else embedder.name)
        if self.exposed is not None:
            self.vaults.on_write = self.exposed.follow
        self.vaults.on_open = lambda vault_id: self.audit.record("tacita", "key", vault_id=vault_id)

    def authorize(
        self, principal: Principal, permission: Permission, operation: str, ids: Mapping[str, str | None]
    ) -> Scope:
        """The checked scope of a request. A refusal is audited."""
        try:
            principal.require(permission)
            return principal.scope(ids)
        except AccessDenied:
            self.audit.record(principal.actor, operation, "denied", purpose=principal.purpose)
            raise

    def authorize_subjects(
        self,
        principal: Principal,
        permission: Permission,
        operation: str,
        subjects: Iterable[Mapping[str, str]],
    ) -> list[Scope]:
        """One checked scope for each subject that a request names. A refusal is audited."""
        try:
            principal.require(permission)
            return principal.scopes(subjects)
        except AccessDenied:
            self.audit.record(principal.actor, operation, "denied", purpose=principal.purpose)
            raise

    def find(self, scope: Scope) -> Vault | None:
        """The vault of a scope's subject, caught up and swept of expired items; None if there is none."""
        vault = self.vaults.find(scope.tenant, subject_of(scope))
        if vault is not None and (vault.state.expiring or self.retention):
            self.sweep(vault)
        return vault

    def readable(self, principal: Principal, scope: Scope) -> Vault | None:
        """The same for reading what it holds. Raises Held when the subject is frozen; that is audited."""
        vault = self.find(scope)
        if vault is not None and "freeze" in vault.state.rare.restricted:
            vault_id = vault.keys.vault_id
            self.audit.record(principal.actor, "read", "denied", vault_id=vault_id, purpose=principal.purpose)
            raise Held("this subject is frozen: what is kept of it may be exported or erased, not read or told")
        return vault

    def vault_id(self, scope: Scope) -> bytes:
        """The store's name for the vault of a scope's subject, whether there is one or not."""
        subject = subject_of(scope)
        return self.keys.vault_id(scope.tenant, subject.kind, subject.id)

    def sweep(self, vault: Vault) -> int:
        """Delete what has expired, for good: expiry erases, it does not hide. Returns how many items went.

        What was derived from it goes too. Under a legal hold nothing goes.
        """

        def decide(state: State) -> Change[int]:
            if "hold" in state.rare.restricted:
                return Change(0)
            now = self.clock()
            events, purge = [], []
            over = self._over(state, now).nonzero()[0].tolist()
            gone = [state.ids[row] for row in over if state.by_id.get(state.ids[row]) == row]
            for item_id in state.with_descendants(gone) if gone else ():
                seqs = event_seqs(state, state.by_id[item_id])
                events.append(ItemDeleted(at=now, actor="tacita", id=item_id, purged=tuple(seqs), reason="expired"))
                purge += seqs
            return Change(len(events), events, purge)

        return vault.transact(decide)

    def overdue(self, vault: Vault) -> int:
        """How many items' time is over."""
        with vault.lock:
            return int(self._over(vault.state, self.clock()).sum())

    def _over(self, state: State, now: int) -> NDArray[np.bool_]:
        rows = state.rows
        over: NDArray[np.bool_] = rows["alive"] & (rows["expires_at"] != NEVER) & (rows["expires_at"] <= now)
        for kind, kept in self.retention.items():
            number = state.number_of(kind)
            if number is not None:
                over |= rows["alive"] & (rows["kind"] == number) & (rows["updated_at"] <= now - kept)
        return over

    def read_entry(self, principal: Principal, operation: str, vault: Vault | None, items: int) -> None:
        """The audit entry of a read that went through."""
        vault_id = vault.keys.vault_id if vault else None
        self.audit.record(principal.actor, operation, vault_id=vault_id, items=items, purpose=principal.purpose)

    def close(self) -> None:
        """Write the audit entries that wait, the snapshots that are worth it, and how far all had come."""
        try:
            self.audit.close()
        finally:
            # Whatever cannot be written: nothing stays open.
            self.vaults.close()
        if self.mirror is not None:
            try:
                self.store.fence.finish()
            except Moved as error:
                # They are remembered for the memory that went elsewhere now; ours would be taken for its past.
                log.warning("anchors are not written (%s)", error.code)
                return
            self.mirror.write(self.keys.ring, self.clock())


@functools.lru_cache(maxsize=1_024)
def subject_of(scope: Scope) -> Subject:
    """Whose memory a scope names."""
    subject = scope.subject
    if subject is None:
        raise InvalidInput("say whose memory it is: user_id, agent_id, app_id or run_id")
    return subject


def whole(scope: Scope) -> Scope:
    """The scope of the same subject without the labels that narrow it."""
    subject = subject_of(scope)
    return Scope(tenant=scope.tenant, **{f"{subject.kind}_id": subject.id})


def under_hold(state: State) -> None:
    """Raises Held when a legal hold keeps a vault's items."""
    if "hold" in state.rare.restricted:
        raise Held("this subject is under a legal hold: nothing of it can be deleted until the hold ends")


def event_seqs(state: State, row: int) -> list[int]:
    """Sequence numbers of every row of the log that holds content of the item whose current row is given."""
    seqs = []
    for version in state.versions(row):
        seqs.append(int(state.rows["seq"][version]))
        seqs += state.rare.reembedded.get(version, [])
    return sorted(seqs)
