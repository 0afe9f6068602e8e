# Written by scripts/generate_async.py from memory.py. Edit that one, then `make format`.
"""`AsyncMemory`: the verbs of `Memory` for asyncio, each run on a worker thread.

Nothing is decided here: a method hands its arguments to the same method of `Memory`.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, final

from tacita.config import Settings
from tacita.flows import inspect, prompt, recall
from tacita.flows.engine import Clock, system_clock
from tacita.importers.base import BadLine, ImportRecord
from tacita.items import (
    AddResult,
    ArchiveReport,
    BackupReport,
    Change,
    ContextBlock,
    DeleteReceipt,
    EraseReceipt,
    Extraction,
    Forgetting,
    ImportReport,
    IsolateReport,
    Item,
    Mention,
    Page,
    Proof,
    Quarantined,
    RepairReport,
    Restrictions,
    SearchResult,
    Stats,
    SweepReport,
    VerifyReport,
)
from tacita.memory import Memory
from tacita.ports.detectors import Detector
from tacita.ports.keys import KeyProvider, KeyRing
from tacita.ports.log import LogStore
from tacita.ports.models import Embedder, LanguageModel, RemoteEmbedder
from tacita.ports.vectors import VectorIndex

_P = ParamSpec("_P")
_T = TypeVar("_T")

_THREADS = 8
_END: Any = object()


class _Threads:
    """Threads of our own, shared by a memory and its views: work that waits for a disk must not fill the pool that
    the host's DNS look-ups use."""

    __slots__ = ("pool",)

    def __init__(self) -> None:
        self.pool: ThreadPoolExecutor | None = ThreadPoolExecutor(_THREADS, thread_name_prefix="tacita")

    def stop(self) -> None:
        # None is the loop's own pool: a call after `close` still reaches Memory, which says what is wrong.
        pool, self.pool = self.pool, None
        if pool is not None:
            pool.shutdown(wait=False)


@final
class AsyncMemory:
    """`Memory` for asyncio: the same verbs, arguments, results and errors.

    Making one opens the home before it returns, as `Memory()` does. Cancelling a call stops the waiting, not the
    work: an `add` that was under way may still be kept.
    """

    __slots__ = ("_memory", "_owner", "_threads")

    _memory: Memory
    _threads: _Threads
    _owner: bool

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        store: str | LogStore | None = None,
        ring: str | KeyRing | None = None,
        keys: str | KeyProvider | None = None,
        embedder: str | Embedder | RemoteEmbedder | None = None,
        model: str | LanguageModel | Callable[[str, str], str] | None = None,
        vectors: VectorIndex | None = None,
        detectors: Sequence[Detector] = (),
        settings: Settings | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self._adopt(
            Memory(
                home,
                store=store,
                ring=ring,
                keys=keys,
                embedder=embedder,
                model=model,
                vectors=vectors,
                detectors=detectors,
                settings=settings,
                clock=clock,
            ),
            None,
        )

    @classmethod
    def _around(cls, memory: Memory, threads: _Threads | None) -> Self:
        self = cls.__new__(cls)
        self._adopt(memory, threads)
        return self

    def _adopt(self, memory: Memory, threads: _Threads | None) -> None:
        self._memory = memory
        self._owner = threads is None
        self._threads = threads or _Threads()

    async def _run(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        call = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads.pool, call)

    async def _stream(
        self, function: Callable[_P, Iterator[_T]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> AsyncIterator[_T]:
        iterator = await self._run(function, *args, **kwargs)
        try:
            while (value := await self._run(next, iterator, _END)) is not _END:
                yield value
        finally:
            # A generator that is left half-way holds a read open until it is closed.
            if (close := getattr(iterator, "close", None)) is not None:
                await self._run(close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Async{self._memory!r}"

    @classmethod
    async def from_config(cls, config: Mapping[str, Any] | str | os.PathLike[str]) -> Self:
        """A memory as a dict or a TOML or JSON file describes it. Unknown keys are a ConfigError."""
        return cls._around(await asyncio.to_thread(Memory.from_config, config), None)

    def bind(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        subjects: Iterable[Mapping[str, str]] | None = None,
        permissions: Iterable[str] | None = None,
        actor: str | None = None,
        purpose: str | None = None,
    ) -> Self:
        """A view that may do at most what this one may: its ids are fixed, other subjects are out of reach."""
        return self._around(
            self._memory.bind(
                user_id=user_id,
                agent_id=agent_id,
                app_id=app_id,
                run_id=run_id,
                subjects=subjects,
                permissions=permissions,
                actor=actor,
                purpose=purpose,
            ),
            self._threads,
        )

    async def add(
        self,
        messages: object,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        timestamp: datetime | str | float | None = None,
        expires_at: datetime | str | float | None = None,
        infer: bool = False,
        idempotency_key: str | None = None,
    ) -> AddResult:
        """Keep what was said, verbatim and sealed. All of it is durable when this returns, or none of it is there."""
        return await self._run(
            self._memory.add,
            messages,
            user_id=user_id,
            agent_id=agent_id,
            app_id=app_id,
            run_id=run_id,
            metadata=metadata,
            timestamp=timestamp,
            expires_at=expires_at,
            infer=infer,
            idempotency_key=idempotency_key,
        )

    async def extract(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Extraction:
        """Draw facts from messages whose turn has not come, or for which the model failed earlier."""
        return await self._run(self._memory.extract, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id)

    async def profile(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        renew: bool = False,
    ) -> Item | None:
        """A short profile of a subject, each line resting on known facts; None if there is none."""
        return await self._run(
            self._memory.profile, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id, renew=renew
        )

    async def summary(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        renew: bool = False,
    ) -> Item | None:
        """A summary of the conversation in exactly this scope, each line resting on messages; None if there is none."""
        return await self._run(
            self._memory.summary, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id, renew=renew
        )

    async def quarantine(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> list[Quarantined]:
        """What waits for somebody to look at it: text of tools and documents that wants to instruct its reader."""
        return await self._run(
            self._memory.quarantine, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id
        )

    async def review(
        self,
        id: str,
        *,
        approve: bool,
        digest: str,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> None:
        """Let an item out of quarantine, or remove it for good. Its trust stays what it was."""
        await self._run(
            self._memory.review,
            id,
            approve=approve,
            digest=digest,
            user_id=user_id,
            agent_id=agent_id,
            app_id=app_id,
            run_id=run_id,
        )

    async def consent(
        self,
        models: bool | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> bool | None:
        """Whether models elsewhere may be told about a subject; None if nobody asked it."""
        return await self._run(
            self._memory.consent, models, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id
        )

    async def update(
        self,
        id: str,
        text: str | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Item:
        """A new version of an item, with new text, new metadata (replacing the old) or both. The past stays readable."""
        return await self._run(
            self._memory.update,
            id,
            text,
            user_id=user_id,
            agent_id=agent_id,
            app_id=app_id,
            run_id=run_id,
            metadata=metadata,
        )

    async def delete(
        self,
        id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> DeleteReceipt:
        """Remove an item with all its versions, ciphertext included."""
        return await self._run(
            self._memory.delete, id, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id
        )

    async def erase(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> EraseReceipt:
        """Erase a subject: its key is destroyed, its rows are dropped. Names exactly one id, the subject's."""
        return await self._run(self._memory.erase, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id)

    async def purge(
        self,
        origin: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> DeleteReceipt | None:
        """Remove all that came through one channel, and everything that was made of it; None if nothing did."""
        return await self._run(
            self._memory.purge, origin, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id
        )

    async def forget(
        self,
        request: str,
        *,
        dry_run: bool = True,
        ids: Sequence[str] | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Forgetting:
        """Propose the items that a request in words means, and with `dry_run=False` remove them."""
        return await self._run(
            self._memory.forget,
            request,
            dry_run=dry_run,
            ids=ids,
            user_id=user_id,
            agent_id=agent_id,
            app_id=app_id,
            run_id=run_id,
        )

    async def find_mentions(
        self,
        who: str,
        *,
        subjects: Iterable[Mapping[str, str]] | None = None,
        progress: Callable[[int, int | None], None] = inspect.no_progress,
    ) -> list[Mention]:
        """Items that name somebody, in all vaults that this view may read; ids and counts only. Frozen ones are left out."""
        return await self._run(self._memory.find_mentions, who, subjects=subjects, progress=progress)

    async def redact(
        self,
        who: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> DeleteReceipt | None:
        """Take somebody's name, address or number out of every item that holds it, older versions included."""
        return await self._run(
            self._memory.redact, who, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id
        )

    async def hold(
        self,
        on: bool | None = None,
        *,
        reason: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Restrictions:
        """Begin or end a legal hold of a subject: while it lasts nothing of it is deleted, purged, erased or expires."""
        return await self._run(
            self._memory.hold, on, reason=reason, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id
        )

    async def freeze(
        self,
        on: bool | None = None,
        *,
        reason: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Restrictions:
        """Begin or end a freeze of a subject: what is kept stays, and is neither read nor told to a model."""
        return await self._run(
            self._memory.freeze, on, reason=reason, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id
        )

    async def sweep(self, *, progress: Callable[[int, int | None], None] = inspect.no_progress) -> SweepReport:
        """Delete everything whose time is over, in every vault. Expiry also happens whenever a vault is used."""
        return await self._run(self._memory.sweep, progress=progress)

    async def backup(self, path: str | os.PathLike[str], *, update: bool = False) -> BackupReport:
        """Write a copy of the sealed data as of one moment to a new file, while the memory is in use."""
        return await self._run(self._memory.backup, path, update=update)

    async def backup_keys(self, folder: str | os.PathLike[str]) -> None:
        """Write a copy of the key ring and `home.json` into a new folder. The root key is not in it."""
        await self._run(self._memory.backup_keys, folder)

    async def remember_anchors(self) -> None:
        """Write how far every vault has come to the place that the setting `anchors` names. Closing does it as well."""
        await self._run(self._memory.remember_anchors)

    async def receipt_key(self) -> str:
        """The public key with which receipts of this home can be checked anywhere: 64 hex digits."""
        return await self._run(self._memory.receipt_key)

    async def verify_receipt(self, proof: Proof | Mapping[str, Any]) -> dict[str, Any]:
        """What a receipt's `proof` says, if this home signed it."""
        return await self._run(self._memory.verify_receipt, proof)

    def audit(self) -> AsyncIterator[dict[str, Any]]:
        """Every audit entry of this tenant, writes included, in order of time: who, what, when, why, how many."""
        return self._stream(self._memory.audit)

    async def audit_checkpoint(self) -> Proof:
        """How far this tenant's audit log has come, signed: keep it where nobody who can change the home can change it."""
        return await self._run(self._memory.audit_checkpoint)

    async def verify_checkpoint(self, proof: Proof | Mapping[str, Any]) -> dict[str, Any]:
        """What a checkpoint says, if the audit log still begins with the entries that it speaks of."""
        return await self._run(self._memory.verify_checkpoint, proof)

    async def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        subjects: Iterable[Mapping[str, str]] | None = None,
        top_k: int = 10,
        threshold: float | None = None,
        as_of: datetime | str | float | None = None,
        reference_time: datetime | str | float | None = None,
        explain: bool = False,
    ) -> SearchResult:
        """The best items for a question, best first."""
        return await self._run(
            self._memory.search,
            query,
            user_id=user_id,
            agent_id=agent_id,
            app_id=app_id,
            run_id=run_id,
            filters=filters,
            subjects=subjects,
            top_k=top_k,
            threshold=threshold,
            as_of=as_of,
            reference_time=reference_time,
            explain=explain,
        )

    async def context(
        self,
        query: str,
        *,
        budget: int = 1000,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        subjects: Iterable[Mapping[str, str]] | None = None,
        as_of: datetime | str | float | None = None,
        reference_time: datetime | str | float | None = None,
        count_tokens: Callable[[str], int] = prompt.estimate_tokens,
    ) -> ContextBlock:
        """A block for a prompt: the best items in time order, cited, fenced as data, at most `budget` tokens."""
        return await self._run(
            self._memory.context,
            query,
            budget=budget,
            user_id=user_id,
            agent_id=agent_id,
            app_id=app_id,
            run_id=run_id,
            filters=filters,
            subjects=subjects,
            as_of=as_of,
            reference_time=reference_time,
            count_tokens=count_tokens,
        )

    async def get(
        self,
        id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Item:
        """One item. Raises NotFound, the same for somebody else's id and for one that never was."""
        return await self._run(self._memory.get, id, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id)

    async def get_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        limit: int = 100,
        cursor: str | None = None,
        order: recall.Order = "newest",
    ) -> Page:
        """One page of items by time. Give `cursor=page.next_cursor` for the next page."""
        return await self._run(
            self._memory.get_all,
            user_id=user_id,
            agent_id=agent_id,
            app_id=app_id,
            run_id=run_id,
            filters=filters,
            limit=limit,
            cursor=cursor,
            order=order,
        )

    async def history(
        self,
        id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> list[Change]:
        """Every change of an item with its time and actor, oldest first. Raises NotFound."""
        return await self._run(
            self._memory.history, id, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id
        )

    def export(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """A header record, then every item of the scope, oldest first, ready for JSON Lines. It is plaintext."""
        return self._stream(self._memory.export, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id)

    def salvage(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """What can still be read of a subject whose vault is refused as damaged: a header with what is lost, then items."""
        return self._stream(self._memory.salvage, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id)

    async def isolate(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        dry_run: bool = False,
    ) -> IsolateReport:
        """Give up what is damaged in a subject's vault, so that the rest can be used again."""
        return await self._run(
            self._memory.isolate, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id, dry_run=dry_run
        )

    async def repair(self, *, progress: Callable[[int, int | None], None] = inspect.no_progress) -> RepairReport:
        """Rebuild what is derived where it is not what the log says: snapshots. The log is never changed."""
        return await self._run(self._memory.repair, progress=progress)

    async def export_archive(
        self,
        path: str | os.PathLike[str],
        passphrase: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> ArchiveReport:
        """Write everything of a subject to a new file, sealed under a passphrase: versions, trust, vectors, history."""
        return await self._run(
            self._memory.export_archive,
            path,
            passphrase,
            user_id=user_id,
            agent_id=agent_id,
            app_id=app_id,
            run_id=run_id,
        )

    async def import_archive(self, path: str | os.PathLike[str], passphrase: str) -> ArchiveReport:
        """Replay an archive: the same vault again, with the same ids, versions, trust and times."""
        return await self._run(self._memory.import_archive, path, passphrase)

    async def import_(
        self,
        records: str | os.PathLike[str] | Iterable[ImportRecord | BadLine],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        infer: bool = False,
        progress: Callable[[int, int | None], None] = inspect.no_progress,
    ) -> ImportReport:
        """Add the messages of a file. Streaming, resumable and idempotent: importing again adds nothing twice."""
        return await self._run(
            self._memory.import_,
            records,
            user_id=user_id,
            agent_id=agent_id,
            app_id=app_id,
            run_id=run_id,
            infer=infer,
            progress=progress,
        )

    async def verify(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        deep: bool = False,
        progress: Callable[[int, int | None], None] = inspect.no_progress,
    ) -> VerifyReport:
        """Open every event, follow every chain, compare anchors and snapshots. Without ids: the whole home."""
        return await self._run(
            self._memory.verify,
            user_id=user_id,
            agent_id=agent_id,
            app_id=app_id,
            run_id=run_id,
            deep=deep,
            progress=progress,
        )

    async def stats(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Stats:
        """Counts for a scope. Without ids: for the whole home, which opens every vault once."""
        return await self._run(self._memory.stats, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id)

    async def reindex(self, *, progress: Callable[[int, int | None], None] = inspect.no_progress) -> int:
        """New vectors for all items whose vectors are of another model. Resumable. Returns how many were made."""
        return await self._run(self._memory.reindex, progress=progress)

    async def vectors(self, *, progress: Callable[[int, int | None], None] = inspect.no_progress) -> dict[str, Any]:
        """Where vectors are outside of this home, and how that place differs from the log. Opens every vault once."""
        return await self._run(self._memory.vectors, progress=progress)

    async def withdraw_vectors(self, *, abandon: bool = False) -> int:
        """Take all vectors of this home back from the engine outside, and read back that they are gone."""
        return await self._run(self._memory.withdraw_vectors, abandon=abandon)

    async def describe(self) -> dict[str, Any]:
        """What is sealed, where keys live, file modes, model state, and what would leave the machine (nothing)."""
        return await self._run(self._memory.describe)

    async def telemetry_preview(self, operation: str = "search", outcome: str = "ok") -> bytes:
        """Exactly the bytes that a process would send in which this happened once, if telemetry were on."""
        return await self._run(self._memory.telemetry_preview, operation, outcome)

    async def close(self) -> None:
        """Write what waits (audit entries, snapshots) and let go. Closing a bound view closes only the view."""
        await self._run(self._memory.close)
        if self._owner:
            self._threads.stop()
