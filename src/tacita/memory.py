"""`Memory`: the public face. Every verb checks its principal and its arguments, then hands over to one flow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from msgspec import structs

from tacita import limits
from tacita.access.principal import Permission, Principal, clean_id
from tacita.config import Parts, Settings, build, open_telemetry
from tacita.errors import AccessDenied, ConfigError, InvalidInput
from tacita.flows import (
    archive,
    bring,
    checkpoints,
    forget,
    inspect,
    isolation,
    mentions,
    parse,
    portray,
    prompt,
    recall,
    receipts,
    remember,
    review,
    salvage,
    telling,
    vectors,
)
from tacita.flows.engine import Clock, Engine, system_clock, whole
from tacita.flows.filters import parse_filters
from tacita.flows.ids import parse_id
from tacita.flows.infer import combined
from tacita.flows.worker import Worker
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
    Scope,
    SearchResult,
    Stats,
    SweepReport,
    VerifyReport,
)
from tacita.ports.detectors import Detector, checked_detectors
from tacita.ports.keys import KeyProvider, KeyRing
from tacita.ports.log import LogStore
from tacita.ports.models import Embedder, LanguageModel, RemoteEmbedder
from tacita.ports.vectors import VectorIndex
from tacita.telemetry import counted
from tacita.tracebacks import bare_errors

CONTEXT_CANDIDATES = 100


@bare_errors
@counted
class Memory:
    """Long-term memory, sealed under a key for each person.

    `Memory()` keeps everything in one folder, the home. `bind` returns a view of the same memory that may do less.
    Thread-safe. Not usable after a fork: open a new one in the child.

    Args:
        home: folder for data and keys; default `TACITA_HOME`, else the platform's data folder.
        store: URI or `LogStore`, e.g. `"memory:"` for one that leaves nothing behind.
        ring: URI or `KeyRing` for the wrapped keys.
        keys: URI or `KeyProvider` for the root key, e.g. `"env:TACITA_ROOT_KEY"`.
        embedder: URI or object with `name`, `dimensions` and `embed(texts)`; `"none"` searches by words only.
        model: URI or object of a language model that draws facts from what is added with `infer=True`, e.g.
            `"openai:gpt-4.1-mini?key=env:OPENAI_API_KEY"`, or a callable `(instructions, data) -> answer`.
        vectors: a `VectorIndex` that is told all vectors in plain, instead of the URI in the settings; refused unless these
            say `profile = "exposed-vectors"`.
        detectors: the operator's own, for names, health and other personal data without a form. They run here.
        settings: settings from `tacita.config`, instead of the environment and a config file.
        clock: microseconds since 1970, for tests.

    Raises:
        ConfigError: a setting, a path or a model is not as it must be; says what to do.
        KeyUnavailable, WrongKey: the root key is not there, or is another one.
    """

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
        chosen = settings if settings is not None else Settings.load(home=home)
        if settings is not None and home is not None:
            raise ConfigError("give either home or settings, not both")
        # Whatever can be wrong with the settings is said before anything is opened.
        policy, own = chosen.policy(), checked_detectors(detectors)
        self._parts: Parts = build(
            chosen, store=store, ring=ring, keys=keys, embedder=embedder, model=model, vectors=vectors
        )
        try:
            self._engine = Engine(
                self._parts.store,
                self._parts.ring,
                self._parts.keys,
                self._parts.embedder,
                tenant=chosen.tenant,
                cache_bytes=chosen.cache_bytes,
                cache_wait=chosen.cache_wait,
                key_cache=chosen.key_cache,
                policy=policy,
                model=self._parts.model,
                terms=chosen.terms(),
                vision=self._parts.vision,
                pictures=self._parts.pictures,
                guidance=chosen.extraction.guidance(),
                renew_after=chosen.extraction.renew_after,
                retention=chosen.retained(),
                audit_at_once=chosen.audit == "always",
                anchors=self._parts.anchors,
                detectors=own,
                reranker=self._parts.reranker,
                exposure=self._parts.exposure,
                clock=clock,
            )
            self._telemetry = open_telemetry(self._parts, self._engine.keys.installation())
        except BaseException:
            self._parts.close()
            raise
        self._principal = Principal(tenant=chosen.tenant)
        self._pid = os.getpid()
        self._owner = True
        self._closed = False
        self._worker: Worker | None = None
        if self._parts.model is not None and chosen.extraction.background:
            self._worker = Worker(
                self._engine,
                self._principal,
                lambda stop: inspect.unfinished(self._engine, stop),
                threads=chosen.extraction.threads,
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | str | os.PathLike[str]) -> Memory:
        """A memory as a dict or a TOML or JSON file describes it. Unknown keys are a ConfigError."""
        return cls(settings=Settings.load(config=config))

    # ------------------------------------------------------------------ views

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
    ) -> Memory:
        """A view that may do at most what this one may: its ids are fixed, other subjects are out of reach.

        Args:
            subjects: other subjects that searches may name, e.g. `[{"user_id": "ana"}, {"agent_id": "coach"}]`.
            permissions: some of read, write, delete, erase, export, admin.
            actor: who acts, for history and audit.
            purpose: why, for the audit log.

        Raises:
            AccessDenied: it would widen.
        """
        self._usable()
        view = Memory.__new__(Memory)
        view._parts, view._engine, view._pid = self._parts, self._engine, self._pid
        view._owner, view._closed = False, False
        view._worker, view._telemetry = self._worker, self._telemetry
        view._principal = self._principal.narrow(
            _ids(user_id, agent_id, app_id, run_id),
            subjects=subjects,
            permissions=permissions,
            actor=actor,
            purpose=purpose,
        )
        return view

    # ------------------------------------------------------------------ writing

    def add(
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
        """Keep what was said, verbatim and sealed. All of it is durable when this returns, or none of it is there.

        Args:
            messages: a string, a message or a list of messages `{role, content, name?, timestamp?, metadata?}`;
                `content` may be OpenAI-style parts, of which non-text ones are kept as references.
            metadata: JSON object for every message.
            timestamp: when it was said, for messages without their own; default now. Without a zone it is UTC.
            expires_at: when to delete it, for good.
            infer: draw facts from them with the language model as well. Whatever it does, the messages are kept.
            idempotency_key: the same key with the same content adds nothing twice.

        Raises:
            InvalidInput, AccessDenied: nothing was written.
            Conflict: the idempotency key came with other content before.
        """
        scope = self._authorize(Permission.WRITE, "add", _ids(user_id, agent_id, app_id, run_id))
        if infer and self._engine.model is None:
            raise InvalidInput("infer=True needs a language model, and none is configured; see docs/how-to/models.md")
        parsed = parse.parse_messages(messages, metadata=metadata, timestamp=timestamp)
        if idempotency_key is not None:
            key = clean_id("idempotency_key", idempotency_key)
            parsed = [parse.with_key(message, f"{key}#{number}") for number, message in enumerate(parsed)]
        expiry = None if expires_at is None else parse.parse_moment("expires_at", expires_at)
        added = remember.add(self._engine, self._principal, scope, parsed, expires_at=expiry, extract=infer)
        if not infer:
            return added
        if self._worker is not None:
            self._worker.wake(self._principal, whole(scope))
            return structs.replace(added, extraction=Extraction(pending=len(added)))
        new = {parse_id(each.id) for each in added.results if each.event == "added"}
        return structs.replace(added, extraction=portray.draw(self._engine, self._principal, scope, only=new))

    def extract(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Extraction:
        """Draw facts from messages whose turn has not come, or for which the model failed earlier.

        Raises:
            InvalidInput: there is no language model.
        """
        scope = self._authorize(Permission.WRITE, "extract", _ids(user_id, agent_id, app_id, run_id))
        return portray.draw(self._engine, self._principal, scope)

    def profile(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        renew: bool = False,
    ) -> Item | None:
        """A short profile of a subject, each line resting on known facts; None if there is none.

        It goes when a fact that it rests on is deleted or expires, and untrusted facts never become part of it.

        Args:
            renew: have the language model write it anew from the facts that stand now.

        Raises:
            InvalidInput: there is no language model to renew it with.
            ModelError, AccessDenied: it could not be renewed; the earlier one stands.
        """
        permission = Permission.WRITE if renew else Permission.READ
        scope = self._authorize(permission, "profile", _ids(user_id, agent_id, app_id, run_id))
        flow = portray.renew if renew else portray.current
        return flow(self._engine, self._principal, scope, portray.PROFILE)

    def summary(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        renew: bool = False,
    ) -> Item | None:
        """A summary of the conversation in exactly this scope, each line resting on messages; None if there is none.

        It goes when a message that it rests on is deleted or expires, and untrusted messages never become part of it.

        Args:
            renew: have the language model write it anew from the latest messages and the summary that there is.

        Raises:
            InvalidInput: there is no language model to renew it with.
            ModelError, AccessDenied: it could not be renewed; the earlier one stands.
        """
        permission = Permission.WRITE if renew else Permission.READ
        scope = self._authorize(permission, "summary", _ids(user_id, agent_id, app_id, run_id))
        flow = portray.renew if renew else portray.current
        return flow(self._engine, self._principal, scope, portray.SUMMARY)

    def quarantine(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> list[Quarantined]:
        """What waits for somebody to look at it: text of tools and documents that wants to instruct its reader.

        Nothing of it is found, read or told to a model meanwhile, and after 30 days it goes.
        """
        scope = self._authorize(Permission.ADMIN, "quarantine", _ids(user_id, agent_id, app_id, run_id))
        return review.waiting(self._engine, self._principal, scope)

    def review(
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
        """Let an item out of quarantine, or remove it for good. Its trust stays what it was.

        Args:
            digest: as `quarantine` told it, so that what is approved is what was shown.

        Raises:
            NotFound: no such item is in quarantine.
            Conflict: it is not what was shown.
        """
        scope = self._authorize(Permission.ADMIN, "review", _ids(user_id, agent_id, app_id, run_id))
        review.review(self._engine, self._principal, scope, parse_id(id), approve=approve, shown=digest)

    def consent(
        self,
        models: bool | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> bool | None:
        """Whether models elsewhere may be told about a subject; None if nobody asked it.

        Args:
            models: True records that it agrees, False that it does not (then nothing is told, whatever the settings).
        """
        permission = Permission.READ if models is None else Permission.WRITE
        scope = self._authorize(permission, "consent", _ids(user_id, agent_id, app_id, run_id))
        return telling.consent(self._engine, self._principal, scope, models)

    def update(
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
        """A new version of an item, with new text, new metadata (replacing the old) or both. The past stays readable.

        Raises:
            NotFound: the scope holds no such item.
        """
        scope = self._authorize(Permission.WRITE, "update", _ids(user_id, agent_id, app_id, run_id))
        if text is None and metadata is None:
            raise InvalidInput("give a new text, new metadata or both")
        if text is not None and not parse.check_text(text).strip():
            raise InvalidInput("text is empty; to remove an item, delete it")
        return remember.update(
            self._engine,
            self._principal,
            scope,
            parse_id(id),
            text=text,
            metadata=None if metadata is None else parse.parse_metadata(metadata),
        )

    def delete(
        self,
        id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> DeleteReceipt:
        """Remove an item with all its versions, ciphertext included.

        Raises:
            NotFound: the scope holds no such item.
            Held: the subject is under a legal hold.
            StoreError: some of it is still stored.
        """
        scope = self._authorize(Permission.DELETE, "delete", _ids(user_id, agent_id, app_id, run_id))
        return forget.delete(self._engine, self._principal, scope, parse_id(id))

    def erase(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> EraseReceipt:
        """Erase a subject: its key is destroyed, its rows are dropped. Names exactly one id, the subject's.

        Raises:
            InvalidInput: more than one id is given: erasing is all or nothing, labels do not narrow it.
            Held: the subject is under a legal hold.
        """
        scope = self._authorize(Permission.ERASE, "erase", _ids(user_id, agent_id, app_id, run_id))
        if len(scope.ids) > 1:
            raise InvalidInput("erase takes exactly one id: it erases a whole subject, labels do not narrow it")
        return forget.erase(self._engine, self._principal, scope)

    def purge(
        self,
        origin: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> DeleteReceipt | None:
        """Remove all that came through one channel, and everything that was made of it; None if nothing did.

        Args:
            origin: as items say it in `channel`: `tool:web`, `import`, `assistant`, `picture`, ...

        Raises:
            Held: the subject is under a legal hold.
            StoreError: some of it is still stored.
        """
        scope = self._authorize(Permission.DELETE, "purge", _ids(user_id, agent_id, app_id, run_id))
        return forget.purge_origin(self._engine, self._principal, scope, parse.check_text(origin))

    def forget(
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
        """Propose the items that a request in words means, and with `dry_run=False` remove them.

        Names (known, capitalised or in quotes), addresses, numbers and codes are found in any surface form, in older versions
        and metadata too. With a language model, items that mean the same without naming it are proposed as well; these
        go only when their `ids` are given.

        Args:
            request: such as "everything about my ex-husband Tom".
            ids: what to remove of the proposal; default all that is named.

        Raises:
            InvalidInput: the request names nothing, and there is no model.
            NotFound: an id that the scope does not hold.
            Held: the subject is under a legal hold, or frozen.
        """
        given = _ids(user_id, agent_id, app_id, run_id)
        # What it proposes is read.
        self._authorize(Permission.READ, "forget", given)
        scope = self._authorize(Permission.DELETE, "forget", given)
        confirmed = None if ids is None else [parse_id(each) for each in ids]
        asked = _query(request)
        return mentions.forget(self._engine, self._principal, scope, asked, dry_run=dry_run, confirmed=confirmed)

    def find_mentions(
        self,
        who: str,
        *,
        subjects: Iterable[Mapping[str, str]] | None = None,
        progress: Callable[[int, int | None], None] = inspect.no_progress,
    ) -> list[Mention]:
        """Items that name somebody, in all vaults that this view may read; ids and counts only. Frozen ones are left out.

        Args:
            who: a name, an address, a number or a code.
            subjects: look through these only. An unbound view without them takes the admin permission.

        Raises:
            InvalidInput: `who` names nobody.
        """
        self._usable()
        if subjects is not None:
            scopes = self._engine.authorize_subjects(self._principal, Permission.READ, "find_mentions", subjects)
        elif self._principal.subjects is not None:
            own = [{f"{kind}_id": subject} for kind, subject in sorted(self._principal.subjects)]
            scopes = self._engine.authorize_subjects(self._principal, Permission.READ, "find_mentions", own)
        else:
            self._whole_home()
            scopes = inspect.subjects_of(self._engine, self._principal.tenant)
        mentions.checked_terms(_query(who))
        found: list[Mention] = []
        for number, scope in enumerate(scopes):
            progress(number, len(scopes))
            found += mentions.find(self._engine, self._principal, scope, who)
        return found

    def redact(
        self,
        who: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> DeleteReceipt | None:
        """Take somebody's name, address or number out of every item that holds it, older versions included.

        Items keep their ids; their history begins anew. None if no item names them.

        Raises:
            InvalidInput: `who` names nobody.
            Held: the subject is under a legal hold, or frozen.
            StoreError: some of it is still stored.
        """
        scope = self._authorize(Permission.DELETE, "redact", _ids(user_id, agent_id, app_id, run_id))
        return mentions.redact(self._engine, self._principal, scope, _query(who))

    def hold(
        self,
        on: bool | None = None,
        *,
        reason: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Restrictions:
        """Begin or end a legal hold of a subject: while it lasts nothing of it is deleted, purged, erased or expires.

        Args:
            on: True begins it, False ends it, None only says what there is.
            reason: for the vault's history.

        Raises:
            NotFound: nothing is known of the subject.
        """
        scope = self._whole_subject("hold", _ids(user_id, agent_id, app_id, run_id))
        return forget.restrict(self._engine, self._principal, scope, "hold", on, _reason(reason))

    def freeze(
        self,
        on: bool | None = None,
        *,
        reason: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Restrictions:
        """Begin or end a freeze of a subject: what is kept stays, and is neither read nor told to a model.

        Adding, exporting, deleting and erasing go on. Arguments and errors as for `hold`.
        """
        scope = self._whole_subject("freeze", _ids(user_id, agent_id, app_id, run_id))
        return forget.restrict(self._engine, self._principal, scope, "freeze", on, _reason(reason))

    def sweep(self, *, progress: Callable[[int, int | None], None] = inspect.no_progress) -> SweepReport:
        """Delete everything whose time is over, in every vault. Expiry also happens whenever a vault is used.

        Needs the admin permission. A sweep that was interrupted is finished by the next one.
        """
        self._whole_home()
        return inspect.sweep(self._engine, self._principal, progress)

    def backup(self, path: str | os.PathLike[str], *, update: bool = False) -> BackupReport:
        """Write a copy of the sealed data as of one moment to a new file, while the memory is in use.

        Without the keys it is noise. Needs the admin permission. `tacita restore data` puts it back.

        With `update` the file is a copy already, of which only vaults that changed since are written: what was deleted or
        erased since goes from it. Each vault is of one moment then; cut short, some are of the time before.

        Raises:
            InvalidInput: the file is there already, or with `update` is not.
            StoreError: it cannot be written, or the store has tools of its own for this.
        """
        self._whole_home()
        # Before the copy, so that it is in it: what is audited after a copy makes the audit log newer than the copy.
        self._engine.audit.record(self._principal.actor, "backup", "begun", purpose=self._principal.purpose)
        self._engine.audit.flush()
        store = self._parts.store
        if update:
            return BackupReport(**structs.asdict(store.update_copy(Path(path))))
        store.backup(Path(path))
        return BackupReport(unchanged=0, written=sum(1 for _ in store.vaults()), dropped=0)

    def backup_keys(self, folder: str | os.PathLike[str]) -> None:
        """Write a copy of the key ring and `home.json` into a new folder. The root key is not in it.

        Keep it apart from copies of the data, few, and for a short time: it keeps the keys of people who are erased later.
        Make it before the copy of the data. Needs the admin permission.

        Raises:
            InvalidInput: the folder is there already.
            StoreError: it cannot be written, or the ring has tools of its own for this.
        """
        self._whole_home()
        self._engine.audit.record(self._principal.actor, "backup_keys", "begun", purpose=self._principal.purpose)
        self._engine.audit.flush()
        self._parts.copy_keys(Path(folder))

    def remember_anchors(self) -> None:
        """Write how far every vault has come to the place that the setting `anchors` names. Closing does it as well.

        Needs the admin permission.

        Raises:
            InvalidInput: the settings name none.
            StoreError: it cannot be written.
        """
        self._whole_home()
        if self._engine.mirror is None:
            raise InvalidInput('there is no place to remember anchors in: set anchors = "PATH" or an address')
        self._engine.store.fence.begin()
        self._engine.mirror.write(self._engine.keys.ring, self._engine.clock())

    def receipt_key(self) -> str:
        """The public key with which receipts of this home can be checked anywhere: 64 hex digits."""
        self._usable()
        return self._engine.keys.receipts.public.hex()

    def verify_receipt(self, proof: Proof | Mapping[str, Any]) -> dict[str, Any]:
        """What a receipt's `proof` says, if this home signed it.

        Raises:
            InvalidInput: it is no receipt.
            Tampered: it was changed, or signed with another key.
        """
        self._usable()
        return receipts.verify(proof, self._engine.keys.receipts.public)

    def audit(self) -> Iterator[dict[str, Any]]:
        """Every audit entry of this tenant, writes included, in order of time: who, what, when, why, how many.

        Needs the admin permission. Vaults appear as pseudonyms; content never does. A vault that cannot be read appears with
        the outcome `tampered` or another code.

        Raises:
            Tampered: the audit log was changed.
        """
        self._whole_home()
        return inspect.audit_trail(self._engine, self._principal)

    def audit_checkpoint(self) -> Proof:
        """How far this tenant's audit log has come, signed: keep it where nobody who can change the home can change it.

        Needs the admin permission. Raises Tampered when the log is not genuine.
        """
        self._whole_home()
        return checkpoints.issue(self._engine)

    def verify_checkpoint(self, proof: Proof | Mapping[str, Any]) -> dict[str, Any]:
        """What a checkpoint says, if the audit log still begins with the entries that it speaks of.

        Needs the admin permission.

        Raises:
            InvalidInput: it is no checkpoint.
            Tampered: it was changed or signed with another key, or entries were left out or changed since.
        """
        self._whole_home()
        return checkpoints.verify(self._engine, proof)

    # ------------------------------------------------------------------ reading

    def search(
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
        """The best items for a question, best first.

        Args:
            filters: fields with eq, ne, gt, gte, lt, lte, in, nin, contains, icontains, exists; nested AND, OR, NOT;
                metadata as `metadata.key`.
            subjects: several subjects at once, instead of ids; each hit says whose it is.
            top_k: exactly so many, if the scope holds as many, up to `limits.TOP_K`.
            threshold: leave out hits with a lower score (0 to 1).
            as_of: what was valid then.
            reference_time: what "yesterday" in the query counts from; default now.
            explain: each hit lists its signals.
        """
        scopes = self._scopes("search", _ids(user_id, agent_id, app_id, run_id), subjects)
        return recall.search(
            self._engine,
            self._principal,
            scopes,
            _query(query),
            filters=parse_filters(filters),
            top_k=_count("top_k", top_k, limits.TOP_K),
            threshold=_threshold(threshold),
            as_of=None if as_of is None else parse.parse_moment("as_of", as_of),
            reference_time=None if reference_time is None else parse.parse_moment("reference_time", reference_time),
            explain=explain,
        )

    def context(
        self,
        query: str,
        *,
        budget: int = 1_000,
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
        """A block for a prompt: the best items in time order, cited, fenced as data, at most `budget` tokens.

        Args:
            count_tokens: your model's tokenizer; the default is a cautious estimate.
        """
        scopes = self._scopes("context", _ids(user_id, agent_id, app_id, run_id), subjects)
        allowed = _count("budget", budget, limits.CONTEXT_BUDGET)
        result = recall.search(
            self._engine,
            self._principal,
            scopes,
            _query(query),
            filters=parse_filters(filters),
            top_k=CONTEXT_CANDIDATES,
            as_of=None if as_of is None else parse.parse_moment("as_of", as_of),
            reference_time=None if reference_time is None else parse.parse_moment("reference_time", reference_time),
            operation="context",
        )
        return prompt.render(result, budget=allowed, count_tokens=count_tokens)

    def get(
        self,
        id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Item:
        """One item. Raises NotFound, the same for somebody else's id and for one that never was."""
        scope = self._authorize(Permission.READ, "get", _ids(user_id, agent_id, app_id, run_id))
        return recall.get(self._engine, self._principal, scope, parse_id(id))

    def get_all(
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
        scope = self._authorize(Permission.READ, "get_all", _ids(user_id, agent_id, app_id, run_id))
        if order not in ("newest", "oldest"):
            raise InvalidInput('order is "newest" or "oldest"')
        return recall.get_all(
            self._engine,
            self._principal,
            scope,
            filters=parse_filters(filters),
            limit=_count("limit", limit, limits.PAGE_SIZE),
            cursor=cursor,
            order=order,
        )

    def history(
        self,
        id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> list[Change]:
        """Every change of an item with its time and actor, oldest first. Raises NotFound."""
        scope = self._authorize(Permission.READ, "history", _ids(user_id, agent_id, app_id, run_id))
        return recall.history(self._engine, self._principal, scope, parse_id(id))

    # ------------------------------------------------------------------ whole subjects

    def export(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """A header record, then every item of the scope, oldest first, ready for JSON Lines. It is plaintext."""
        scope = self._authorize(Permission.EXPORT, "export", _ids(user_id, agent_id, app_id, run_id))
        return inspect.export(self._engine, self._principal, scope)

    def salvage(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """What can still be read of a subject whose vault is refused as damaged: a header with what is lost, then items.

        For an operator who has no backup. Needs the admin permission. A lost event may have been a deletion, so this may
        tell more than it should; nothing is changed.
        """
        scope = self._whole_subject("salvage", _ids(user_id, agent_id, app_id, run_id))
        return salvage.salvage(self._engine, self._principal, scope)

    def isolate(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        dry_run: bool = False,
    ) -> IsolateReport:
        """Give up what is damaged in a subject's vault, so that the rest can be used again.

        For an operator who has no backup. A lost event may have been a hold, a freeze, a consent withdrawn or a newer version:
        consent is withdrawn by this, restrictions have to be set again. What is lost stays named in the log. The vault gets
        another key on the way. Needs the admin permission.

        Raises:
            InvalidInput: nothing is damaged, or nothing can be read.
            StoreError: somebody wrote meanwhile.
        """
        scope = self._whole_subject("isolate", _ids(user_id, agent_id, app_id, run_id))
        return isolation.isolate(self._engine, self._principal, scope, dry_run=dry_run)

    def repair(self, *, progress: Callable[[int, int | None], None] = inspect.no_progress) -> RepairReport:
        """Rebuild what is derived where it is not what the log says: snapshots. The log is never changed.

        Needs the admin permission. What it cannot mend is in the report's `problems`: see `salvage` and `isolate`.
        """
        self._whole_home()
        return isolation.repair(self._engine, self._principal, progress)

    def export_archive(
        self,
        path: str | os.PathLike[str],
        passphrase: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> ArchiveReport:
        """Write everything of a subject to a new file, sealed under a passphrase: versions, trust, vectors, history.

        Args:
            passphrase: at least 12 characters. Without it the file is noise; with it anybody can read it.

        Raises:
            InvalidInput: the file is there already, the passphrase is short, or nothing is known of the subject.
        """
        scope = self._authorize(Permission.EXPORT, "export_archive", _ids(user_id, agent_id, app_id, run_id))
        if len(scope.ids) > 1:
            raise InvalidInput("an archive holds a whole subject: give exactly one id")
        return archive.write(self._engine, self._principal, scope, Path(path), passphrase)

    def import_archive(self, path: str | os.PathLike[str], passphrase: str) -> ArchiveReport:
        """Replay an archive: the same vault again, with the same ids, versions, trust and times.

        Needs the admin permission, for an archive's word about trust is believed.

        Raises:
            InvalidInput: it is no archive.
            WrongKey: the passphrase is another one.
            Tampered: it was changed or cut off. Nothing was written.
            Conflict: something is known of its subject already.
        """
        self._usable()
        return archive.read(self._engine, self._principal, Path(path), passphrase)

    def import_(
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
        """Add the messages of a file. Streaming, resumable and idempotent: importing again adds nothing twice.

        Args:
            records: a path (OpenAI-style JSONL, ChatGPT export, LoCoMo, transcript, Tacita export) or parsed records.
            infer: draw facts from new messages with the language model, when all are in.
            progress: called with (records done, None).

        The ids given here go before those of the file.
        """
        self._usable()
        self._principal.require(Permission.WRITE)
        ids = _ids(user_id, agent_id, app_id, run_id)
        if infer and self._engine.model is None:
            raise InvalidInput("infer=True needs a language model, and none is configured; see docs/how-to/models.md")
        from tacita.importers import read  # loaded only by those who import files

        entries = read(Path(records)) if isinstance(records, str | os.PathLike) else records
        report, subjects = bring.import_records(self._engine, self._principal, entries, ids, progress, extract=infer)
        if not infer:
            return report
        if self._worker is not None:
            for scope in subjects:
                self._worker.wake(self._principal, scope)
            return structs.replace(report, extraction=Extraction(pending=report.added))
        extractions = [portray.draw(self._engine, self._principal, scope) for scope in subjects]
        return structs.replace(report, extraction=combined(extractions))

    def verify(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        deep: bool = False,
        progress: Callable[[int, int | None], None] = inspect.no_progress,
    ) -> VerifyReport:
        """Open every event, follow every chain, compare anchors and snapshots. Without ids: the whole home.

        With `deep`, what each snapshot holds is compared with what the log folds to, item by item.
        """
        scope = self._whole_or_scope("verify", _ids(user_id, agent_id, app_id, run_id))
        return inspect.verify(self._engine, scope, progress, deep=deep)

    def stats(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Stats:
        """Counts for a scope. Without ids: for the whole home, which opens every vault once."""
        scope = self._whole_or_scope("stats", _ids(user_id, agent_id, app_id, run_id))
        return inspect.stats(self._engine, scope)

    def reindex(self, *, progress: Callable[[int, int | None], None] = inspect.no_progress) -> int:
        """New vectors for all items whose vectors are of another model. Resumable. Returns how many were made.

        Under `exposed-vectors` the engine is then compared with the log and put right; its entries count as well.
        """
        self._usable()
        self._principal.require(Permission.ADMIN)
        made = inspect.reindex(self._engine, self._principal, progress)
        return made + vectors.put_right(self._engine, progress)

    def vectors(self, *, progress: Callable[[int, int | None], None] = inspect.no_progress) -> dict[str, Any]:
        """Where vectors are outside of this home, and how that place differs from the log. Opens every vault once."""
        self._whole_home()
        return vectors.status(self._engine, progress)

    def withdraw_vectors(self, *, abandon: bool = False) -> int:
        """Take all vectors of this home back from the engine outside, and read back that they are gone.

        This memory gives it nothing more; others have to be closed before. Returns how many vaults had vectors there.

        Args:
            abandon: the engine is gone, or nobody's any more: only forget that it was given any.

        Raises:
            InvalidInput: no vectors are outside.
            StoreError: the engine cannot be asked, or still holds some.
        """
        self._whole_home()
        return vectors.withdraw(self._engine, self._principal, abandon=abandon)

    def describe(self) -> dict[str, Any]:
        """What is sealed, where keys live, file modes, model state, and what would leave the machine (nothing)."""
        self._usable()
        self._principal.require(Permission.ADMIN)
        return self._parts.describe()

    # ------------------------------------------------------------------ life

    def telemetry_preview(self, operation: str = "search", outcome: str = "ok") -> bytes:
        """Exactly the bytes that a process would send in which this happened once, if telemetry were on."""
        self._usable()
        made = open_telemetry(self._parts, self._engine.keys.installation(), preview=True)
        assert made is not None
        return made.preview(operation, outcome)

    def close(self) -> None:
        """Write what waits (audit entries, snapshots) and let go. Closing a bound view closes only the view."""
        if self._closed:
            return
        if os.getpid() != self._pid:
            self._closed = True
            return
        self._closed = True
        if self._owner:
            try:
                if self._worker is not None:
                    self._worker.close()
                self._engine.close()
            finally:
                self._parts.close()
                if self._telemetry is not None:
                    self._telemetry.close()

    def __enter__(self) -> Self:
        self._usable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Memory {'closed' if self._closed else self._principal!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Memory holds keys and cannot be pickled; open it again from its home")

    # ------------------------------------------------------------------ checks

    def _usable(self) -> None:
        if self._closed:
            raise ConfigError("this Memory is closed")
        if os.getpid() != self._pid:
            raise ConfigError("this Memory was opened in another process; make a new Memory after fork")

    def _authorize(self, permission: Permission, operation: str, ids: Mapping[str, str | None]) -> Scope:
        self._usable()
        return self._engine.authorize(self._principal, permission, operation, ids)

    def _scopes(
        self, operation: str, ids: dict[str, str | None], subjects: Iterable[Mapping[str, str]] | None
    ) -> list[Scope]:
        if subjects is None:
            return [self._authorize(Permission.READ, operation, ids)]
        self._usable()
        if any(value is not None for value in ids.values()):
            raise InvalidInput("give either ids or subjects, not both")
        return self._engine.authorize_subjects(self._principal, Permission.READ, operation, subjects)

    def _whole_subject(self, operation: str, ids: dict[str, str | None]) -> Scope:
        scope = self._authorize(Permission.ADMIN, operation, ids)
        if len(scope.ids) > 1:
            raise InvalidInput(
                f"{operation} takes exactly one id: it is about a whole subject, labels do not narrow it"
            )
        return scope

    def _whole_or_scope(self, operation: str, ids: dict[str, str | None]) -> Scope | None:
        """A scope, or None for the whole home, which takes an unbound principal with the admin permission."""
        if any(value is not None for value in ids.values()) or self._principal.subjects is not None:
            return self._authorize(Permission.READ, operation, ids)
        self._whole_home()
        return None

    def _whole_home(self) -> None:
        """What is about everybody takes a view of everybody: one that is bound keeps its permissions, for its own."""
        self._usable()
        self._principal.require(Permission.ADMIN)
        if self._principal.subjects is not None:
            raise AccessDenied("this view is bound to its subjects; this is about the whole home")


def _ids(user_id: str | None, agent_id: str | None, app_id: str | None, run_id: str | None) -> dict[str, str | None]:
    return {"user_id": user_id, "agent_id": agent_id, "app_id": app_id, "run_id": run_id}


def _query(query: object) -> str:
    text = parse.check_text(query)
    if not text.strip():
        raise InvalidInput("the query is empty")
    if len(text.encode()) > limits.QUERY_BYTES:
        raise InvalidInput(f"a query has at most {limits.QUERY_BYTES} bytes")
    return text


def _reason(reason: object) -> str | None:
    if reason is None:
        return None
    text = parse.check_text(reason)
    if len(text) > limits.REASON_CHARS:
        raise InvalidInput(f"a reason has at most {limits.REASON_CHARS} characters")
    return text


def _count(name: str, value: object, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidInput(f"{name} must be a whole number from 1 to {most}")
    return value


def _threshold(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInput("threshold must be a number from 0 to 1")
    return float(value)
