"""Other keys for a home, under live reads and writes: another root key that every vault key is wrapped under, or other vault
keys that every log is sealed anew under.

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
from tacita.flows.moving import REKEYED
from tacita.hazmat import SecretKey
from tacita.items import RotateReport
from tacita.ports.keys import KeyContext, KeyProvider
from tacita.ports.log import LogStore
from tacita.sealed import RingEntry
from tacita.vault.keyring import Keys
from tacita.vault.rekey import rekey

_BATCH = 256
Progress = Callable[[int, int | None], None]


def rotate(
    settings: Settings,
    to: str | None,
    progress: Progress = lambda _done, _total: None,
    *,
    deep: bool = False,
    tenant: str | None = None,
    renew: bool = False,
) -> RotateReport:
    """Wrap every vault key under another root key; without `to`, finish the rotation and let go of the old one.

    With `deep`, every vault gets another key and its log is sealed anew under it, after that. One that was cut short goes
    on where it ended. Older copies of the data are noise from then on.

    Args:
        tenant: only this tenant's vaults, and under the root key that the settings name for it. Without it, tenants' own
            root keys are left alone, and what is under them.
        renew: put every key under the newest version of its root key, too.

    Raises:
        ConfigError: the home has no record of its root key, or the settings name one themselves.
        KeyUnavailable, WrongKey: a root key is not there, or does not open what it should.
    """
    if tenant is not None and (to is not None or tenant not in settings.tenants):
        raise ConfigError(
            f"a tenant's root key is in the settings: set tenants.{tenant}.keys, keep the old one in "
            f"tenants.{tenant}.previous, then rotate without another"
        )
    if settings.keys is not None and to is not None:
        raise ConfigError(
            "the settings name the root key (keys): take that out first, then rotate; the home records the new one"
        )
    if to is not None:
        _announce(settings, to)
    parts = build(settings, embedder="none")
    try:
        keys = Keys(parts.ring, parts.keys)
        concerned = _concerned(keys, tenant)
        # A key that waits to follow another may be under the old root key: first things first.
        resealable = _resealable(keys, tenant)
        for waiting in filter(resealable, list(parts.ring.successors())):
            _rekey(parts.store, keys, waiting)
        root = keys.provider_for(tenant)
        done = _rewrap(keys, root, concerned, progress, renew=renew)
        entries = filter(concerned, (*parts.ring.entries(), *parts.ring.successors()))
        left = sum(entry.provider != root.id for entry in entries)
        previous = _home.previous_keys(settings.home) if tenant is None else ()
        if to is None and tenant is None and not left:
            for each in previous:
                keys.take_catalog_from(each.provider)
            _home.record_end_of_rotation(settings.home)
            previous = ()
        resealed = _reseal(parts.store, keys, resealable, tenant, progress) if deep else 0
        audit = AuditLog(parts.store, keys, tenant or settings.tenant, system_clock)
        audit.record("local", "rotate", "begun" if previous or left else "ok", items=done)
        if deep:
            audit.record("local", "rotate_deep", items=resealed)
        audit.close()
        return RotateReport(
            provider=root.id,
            rewrapped=done,
            left=left,
            previous=tuple(each.keys for each in previous),
            resealed=resealed,
        )
    finally:
        parts.close()


def _concerned(keys: Keys, tenant: str | None) -> Callable[[RingEntry], bool]:
    """Which entries a rotation is about: one tenant's, or all but those that are tenants' own affair."""

    def concerned(entry: RingEntry) -> bool:
        return not keys.is_tenants(entry) if tenant is None else keys.is_of(entry, tenant)

    return concerned


def _resealable(keys: Keys, tenant: str | None) -> Callable[[RingEntry], bool]:
    """Which vaults may get another key: that goes under the tenant's own root key, if it has one."""
    concerned = _concerned(keys, tenant)
    return lambda entry: concerned(entry) and (tenant is not None or not keys.goes_to_tenant(entry))


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


def _rewrap(
    keys: Keys, root: KeyProvider, concerned: Callable[[RingEntry], bool], progress: Progress, *, renew: bool
) -> int:
    entries = (
        entry for entry in list(keys.ring.entries()) if (renew or entry.provider != root.id) and concerned(entry)
    )
    done = 0
    while batch := list(islice(entries, _BATCH)):
        done += keys.ring.rewrap([(entry, keys.rewrapped(entry, root)) for entry in batch])
        progress(done, None)
    return done


def _reseal(
    store: LogStore,
    keys: Keys,
    resealable: Callable[[RingEntry], bool],
    tenant: str | None,
    progress: Progress,
) -> int:
    setting = REKEYED if tenant is None else f"{REKEYED}@{tenant}"
    done_upto = keys.ring.setting(setting) or b""
    entries = [entry for entry in keys.ring.entries() if entry.vault_id > done_upto and resealable(entry)]
    done = 0
    for number, entry in enumerate(entries, 1):
        done += _rekey(store, keys, entry)
        if number % _BATCH == 0:
            # Between the two it is not known how far it had come: then it begins anew, which is harmless.
            keys.ring.drop_setting(setting)
            keys.ring.put_setting_once(setting, entry.vault_id)
        progress(number, len(entries))
    keys.ring.drop_setting(setting)
    return done


def _rekey(store: LogStore, keys: Keys, entry: RingEntry) -> bool:
    tenant, _, _ = keys.whose(entry)
    return rekey(store, keys, tenant, entry.vault_id, at=system_clock(), actor="local")
