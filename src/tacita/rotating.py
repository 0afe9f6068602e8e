"""Another root key for a home, under live reads and writes: every vault key is wrapped anew, the data stay as they are.

The new key is recorded first, so that whatever is made from then on is under it, and both keys open what there is. A rotation
that was cut short goes on where it ended. The old key is let go of in a second step, when no process uses it any more.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from tacita import _home, registry
from tacita.access.audit import AuditLog
from tacita.config import Settings, build
from tacita.config.providers import open_keys
from tacita.errors import ConfigError, WrongKey
from tacita.flows.engine import system_clock
from tacita.hazmat import SecretKey
from tacita.items import RotateReport
from tacita.ports.keys import KeyContext, KeyProvider
from tacita.vault.keyring import Keys

_BATCH = 256
Progress = Callable[[int, int | None], None]


def rotate(settings: Settings, to: str | None, progress: Progress = lambda _done, _total: None) -> RotateReport:
    """Wrap every vault key under another root key; without `to`, finish the rotation and let go of the old one.

    Raises:
        ConfigError: the home has no record of its root key, or the settings name one themselves.
        KeyUnavailable, WrongKey: a root key is not there, or does not open what it should.
    """
    if settings.keys is not None and to is not None:
        raise ConfigError(
            "the settings name the root key (keys): take that out first, then rotate; the home records the new one"
        )
    if to is not None:
        _announce(settings, to)
    parts = build(settings, embedder="none")
    try:
        keys = Keys(parts.ring, parts.keys)
        done = _rewrap(keys, progress)
        left = sum(not keys.is_present(entry) for entry in parts.ring.entries())
        previous = _home.previous_keys(settings.home)
        if to is None and not left:
            for root in previous:
                keys.take_catalog_from(root.provider)
            _home.record_end_of_rotation(settings.home)
            previous = ()
        audit = AuditLog(parts.store, keys, settings.tenant, system_clock)
        audit.record("local", "rotate", "begun" if previous else "ok", items=done)
        audit.close()
        return RotateReport(
            provider=parts.keys.id, rewrapped=done, left=left, previous=tuple(root.keys for root in previous)
        )
    finally:
        parts.close()


def _announce(settings: Settings, to: str) -> None:
    """Open the new root key, let it open the catalog, and record it as the home's."""
    scheme, rest = registry.split(to)
    if scheme == "file":
        _home.make_key_file(settings.keys_folder / rest)
    parts = build(settings, embedder="none")
    try:
        new = open_keys(settings, to)
        try:
            if new.id == parts.keys.id:
                return
            _self_test(new)
            Keys(parts.ring, parts.keys).hand_catalog_to(new)
            _home.record_rotation(settings.home, to, new.id)
        finally:
            new.close()
    finally:
        parts.close()


def _self_test(provider: KeyProvider) -> None:
    key, context = SecretKey.generate(), KeyContext("", bytes(32), 0)
    if not provider.unwrap(provider.wrap(key, context), context).equals(key):
        raise WrongKey(f"key provider {provider.id} does not give back what it wraps")


def _rewrap(keys: Keys, progress: Progress) -> int:
    entries = (entry for entry in list(keys.ring.entries()) if not keys.is_present(entry))
    done = 0
    while batch := list(islice(entries, _BATCH)):
        done += keys.ring.rewrap([(entry, keys.rewrapped(entry)) for entry in batch])
        progress(done, None)
    return done
