"""Principals and the one guard: which subjects and labels a caller may touch, and with which permissions.

A principal is bound when a `Memory` is made and can only be narrowed. Pure: no I/O, nothing looked up.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from tacita import limits
from tacita.discreet import Discreet
from tacita.errors import AccessDenied, InvalidInput
from tacita.items import ID_FIELDS, Scope, Subject, SubjectKind


class Permission(StrEnum):
    """What an operation needs."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    ERASE = "erase"
    EXPORT = "export"
    ADMIN = "admin"


ALL_PERMISSIONS = frozenset(Permission)
_KINDS = {field: kind for kind, field in ID_FIELDS}
_PLAIN = frozenset({str, type(None)})
"""Types of ids as they mostly come, all of which can be hashed."""


class Principal(Discreet, frozen=True):
    """Who is asking. `subjects` None means any subject of the tenant; `ids` are added to every request."""

    tenant: str
    actor: str = "local"
    subjects: frozenset[tuple[SubjectKind, str]] | None = None
    permissions: frozenset[Permission] = ALL_PERMISSIONS
    ids: tuple[tuple[str, str], ...] = ()
    purpose: str | None = None

    def __repr__(self) -> str:
        return f"<Principal {'bound' if self.subjects is not None else 'unbound'} {len(self.permissions)} permissions>"

    def narrow(
        self,
        ids: Mapping[str, str | None],
        *,
        subjects: Iterable[Mapping[str, str]] | None = None,
        permissions: Iterable[str] | None = None,
        actor: str | None = None,
        purpose: str | None = None,
    ) -> Principal:
        """A principal that may do at most what this one may. Raises AccessDenied where it would widen."""
        pinned = self._merged(ids)
        allowed = self.subjects
        if subjects is not None:
            entries = list(subjects)
            wanted = {(one.kind, one.id) for one in (self._named(entry) for entry in entries)}
            if any(len(_clean_ids(entry)) > 1 for entry in entries):
                raise InvalidInput("each of a view's subjects is one id: labels do not narrow it")
            allowed = frozenset(wanted)
        if pinned:
            subject = _subject(pinned)
            if subjects is None and pinned != dict(self.ids):
                allowed = frozenset({subject})
            elif allowed is not None and subject not in allowed:
                allowed = allowed | {subject}
            self._check_subject(subject)
        granted = self.permissions
        if permissions is not None:
            granted = frozenset(_permission(name) for name in permissions)
            if not granted <= self.permissions:
                raise AccessDenied("a bound view cannot have permissions that its parent lacks")
        return msgspec.structs.replace(
            self,
            subjects=allowed,
            permissions=granted,
            ids=tuple(pinned.items()),
            actor=self.actor if actor is None else clean_id("actor", actor),
            purpose=self.purpose if purpose is None else clean_id("purpose", purpose),
        )

    def require(self, permission: Permission) -> None:
        """Raises AccessDenied unless the permission is there."""
        if permission not in self.permissions:
            raise AccessDenied(f"this view lacks the permission {permission.value!r}")

    def scope(self, ids: Mapping[str, str | None]) -> Scope:
        """The scope of a request: what was asked for AND what is pinned.

        Raises InvalidInput for a malformed id or when nobody is named, AccessDenied outside what the principal may see.
        """
        # Every verb asks, and mostly the same: both are values, so that the answer stays true. A refusal is not kept.
        if _PLAIN.issuperset(map(type, ids.values())):
            return _scope(self, tuple(ids.items()))
        return self._scope(ids)

    def _scope(self, ids: Mapping[str, str | None]) -> Scope:
        merged = self._merged(ids)
        if not merged:
            raise InvalidInput("say whose memory it is: user_id, agent_id, app_id or run_id")
        self._check_subject(_subject(merged))
        return Scope(tenant=self.tenant, **merged)

    def scopes(self, subjects: Iterable[Mapping[str, str]]) -> list[Scope]:
        """One scope for each named subject, every one of them checked."""
        found = []
        for entry in subjects:
            if not isinstance(entry, Mapping):
                raise InvalidInput('subjects is a list of mappings such as {"user_id": "ana"}')
            subject = self._named(entry)
            pinned = dict(self.ids)
            same = pinned and _subject(pinned) == (subject.kind, subject.id)
            found.append(self.scope(entry) if same or not pinned else Scope(tenant=self.tenant, **_clean_ids(entry)))
        if not 0 < len(found) <= limits.SUBJECTS:
            raise InvalidInput(f"a search names 1 to {limits.SUBJECTS} subjects")
        return found

    def _named(self, entry: Mapping[str, str]) -> Subject:
        cleaned = _clean_ids(entry)
        if not cleaned:
            raise InvalidInput("each subject names a user_id, agent_id, app_id or run_id")
        kind, subject_id = _subject(cleaned)
        self._check_subject((kind, subject_id))
        return Subject(kind=kind, id=subject_id)

    def _merged(self, ids: Mapping[str, str | None]) -> dict[str, str]:
        merged = dict(self.ids)
        for field, value in _clean_ids(ids).items():
            if merged.setdefault(field, value) != value:
                raise AccessDenied(f"this view is bound to another {field}")
        return {field: merged[field] for _, field in ID_FIELDS if field in merged}

    def _check_subject(self, subject: tuple[SubjectKind, str]) -> None:
        if self.subjects is not None and subject not in self.subjects:
            raise AccessDenied(f"this view may not touch that {subject[0]}'s memory")


@functools.lru_cache(maxsize=1_024)
def _scope(principal: Principal, ids: tuple[tuple[str, str | None], ...]) -> Scope:
    return principal._scope(dict(ids))


def clean_id(field: str, value: object) -> str:
    """An opaque id: trimmed, 1-256 characters, no control characters. Nothing in it has a meaning."""
    if not isinstance(value, str):
        raise InvalidInput(f"{field} must be a string, not {type(value).__name__}")
    trimmed = value.strip()
    if not 0 < len(trimmed) <= limits.ID_CHARS:
        raise InvalidInput(f"{field} must have 1 to {limits.ID_CHARS} characters")
    # isprintable refuses controls, separators and lone surrogates, but also the plain space inside an id.
    if not trimmed.replace(" ", "").isprintable():
        raise InvalidInput(f"{field} must not hold control characters")
    return trimmed


def _clean_ids(ids: Mapping[str, str | None]) -> dict[str, str]:
    unknown = set(ids) - set(_KINDS)
    if unknown:
        raise InvalidInput(f"unknown ids ({len(unknown)}): use {', '.join(_KINDS)}")
    return {field: clean_id(field, ids[field]) for _, field in ID_FIELDS if ids.get(field) is not None}


def _subject(ids: Mapping[str, str]) -> tuple[SubjectKind, str]:
    return next((kind, ids[field]) for kind, field in ID_FIELDS if field in ids)


def _permission(name: str) -> Permission:
    try:
        return Permission(name)
    except ValueError:
        raise InvalidInput(f"unknown permission; known are {', '.join(Permission)}") from None
