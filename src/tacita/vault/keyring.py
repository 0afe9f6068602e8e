"""Vault keys: made, wrapped, found again and destroyed. The ring keeps them wrapped; a provider opens them."""

from __future__ import annotations

import time

import msgspec
from msgspec import structs

from tacita import hazmat
from tacita.errors import Conflict, KeyUnavailable, TacitaError, Tampered, WrongKey
from tacita.hazmat import SecretKey
from tacita.ports.keys import KeyContext, KeyProvider, KeyRing
from tacita.sealed import VAULT_ID_BYTES, Anchor, RingEntry
from tacita.vault.format import VaultKeys, length_prefixed
from tacita.vault.leases import KEY_CACHE, Clock, Lease, Tally

_CATALOG = "catalog"
_CATALOG_CONTEXT = KeyContext(tenant="", vault_id=bytes(VAULT_ID_BYTES), version=0)
_OF_THE_HOME = frozenset({"audit"})
"""Kinds of vaults that are under the home's root key whoever's they are: what was done must stay readable, and be written
down, when a tenant revokes its key."""
_KNOWN_IDS = 1_024
"""Most vault ids that are remembered; a keyed hash each time would be a tenth of a search."""
_label_decoder: msgspec.msgpack.Decoder[tuple[str, str, str]] = msgspec.msgpack.Decoder(tuple[str, str, str])


class Keys:
    """The key ring opened with its provider. Knows whose vault is whose; the store never does."""

    def __init__(
        self, ring: KeyRing, provider: KeyProvider, *, key_cache: float = KEY_CACHE, clock: Clock = time.monotonic
    ) -> None:
        """`key_cache`: seconds after which a provider elsewhere is asked again for a vault key that is in RAM."""
        self.ring = ring
        self.key_cache = key_cache
        self.clock = clock
        self._provider = provider
        self.uses = Tally()
        catalog = self._open_catalog()
        self._vault_ids = catalog.derive(b"tacita/v1/vault-id")
        self._labels = catalog.derive(b"tacita/v1/label")
        self._installation = catalog.derive(b"tacita/v1/installation")
        self._known_ids: dict[tuple[str, str, str], bytes] = {}
        self._pseudonyms = catalog.derive(b"tacita/v1/pseudonym")
        self._partitions = catalog.derive(b"tacita/v1/vector-partition")
        self._home = self._partitions.mac(b"home")[:4]
        self.anchors = catalog.derive(b"tacita/v1/anchors")
        """Under which anchors are remembered elsewhere."""
        self.receipts = hazmat.SigningKey(catalog.derive(b"tacita/v1/receipt"))
        """Signs what was deleted. Its public half may be given to anybody."""

    def _wrap(self, provider: KeyProvider, key: SecretKey, context: KeyContext) -> bytes:
        uses = self.uses.count(provider.id, "wrap")
        try:
            return provider.wrap(key, context)
        except TacitaError:
            uses.failures += 1
            raise

    def _open_catalog(self) -> SecretKey:
        wrapped = self._wrapped_catalog()
        if wrapped is None and self._is_used():
            # Another process may have begun to use an empty ring, or ended a rotation, since we looked.
            wrapped = self._wrapped_catalog()
            if wrapped is None:
                # With a new catalog everything that is kept would look as if it had never been there.
                raise WrongKey(
                    f"the key ring is in use, and root key {self._provider.id} does not open it: was it rotated away? "
                    "Name the present root key"
                )
        if wrapped is None:
            fresh = self._wrap(self._provider, SecretKey.generate(), _CATALOG_CONTEXT)
            wrapped = self.ring.put_setting_once(_CATALOG, fresh)
        return self._provider.unwrap(wrapped, _CATALOG_CONTEXT)

    def _wrapped_catalog(self) -> bytes | None:
        # After a rotation it is there once for each root key, until the old ones are let go of.
        return self.ring.setting(_rotated_catalog(self._provider)) or self.ring.setting(_CATALOG)

    def _is_used(self) -> bool:
        """Whether the ring has a catalog under whatever root key, or a vault."""
        catalogs = (name for name, _ in self.ring.settings() if name.partition("@")[0] == _CATALOG)
        return next(catalogs, None) is not None or next(iter(self.ring.entries()), None) is not None

    def hand_catalog_to(self, provider: KeyProvider) -> None:
        """Let another root key open the catalog as well."""
        wrapped = provider.wrap(self._open_catalog(), _CATALOG_CONTEXT)
        self.ring.put_setting_once(_rotated_catalog(provider), wrapped)

    def take_catalog_from(self, provider_id: str) -> None:
        """Let an old root key open the catalog no longer. Only when the present one does."""
        if self.ring.setting(_rotated_catalog(self._provider)) is None:
            raise KeyUnavailable("the catalog was not handed to the present root key")
        self.ring.drop_setting(_CATALOG)
        self.ring.drop_setting(f"{_CATALOG}@{provider_id}")

    # ------------------------------------------------------------------ under which root key

    def _wrapping(self, tenant: str, kind: str) -> KeyProvider:
        """The provider under which a new key of a vault goes."""
        own = kind not in _OF_THE_HOME and self._provider.keeps_own(tenant)
        return self._provider.of_tenant(tenant) if own else self._provider

    def is_tenants(self, entry: RingEntry) -> bool:
        """Whether an entry is a tenant's own affair: under, or on its way to, a root key that is not the home's."""
        tenant, kind, _ = self.whose(entry)
        if kind in _OF_THE_HOME or not self._provider.knows(tenant):
            return False
        return self._provider.known_as(entry.provider) is None

    def goes_to_tenant(self, entry: RingEntry) -> bool:
        """Whether the next key of a vault goes under a root key of its tenant's own."""
        tenant, kind, _ = self.whose(entry)
        return kind not in _OF_THE_HOME and self._provider.keeps_own(tenant)

    def is_of(self, entry: RingEntry, tenant: str) -> bool:
        """Whether an entry is of a vault of this tenant that goes under the tenant's root key."""
        owner, kind, _ = self.whose(entry)
        return owner == tenant and kind not in _OF_THE_HOME

    def provider_for(self, tenant: str | None) -> KeyProvider:
        """The root key of a tenant at present; of the home for None."""
        return self._provider if tenant is None else self._wrapping(tenant, "")

    def rewrapped(self, entry: RingEntry, provider: KeyProvider) -> RingEntry:
        """The entry under another root key, or under the newest version of the same one."""
        tenant, _, _ = self.whose(entry)
        context = KeyContext(tenant, entry.vault_id, entry.key_version)
        if entry.provider == provider.id:
            self.uses.count(provider.id, "unwrap")
            self.uses.count(provider.id, "wrap")
            return structs.replace(entry, wrapped=provider.renewed(entry.wrapped, context))
        wrapped = self._wrap(provider, self._unwrapped(tenant, entry)[0], context)
        return structs.replace(entry, wrapped=wrapped, provider=provider.id)

    # ------------------------------------------------------------------ names

    def vault_id(self, tenant: str, kind: str, subject_id: str) -> bytes:
        """The store's name for a vault: keyed, so that nobody without the ring can test a guess."""
        known = self._known_ids.get((tenant, kind, subject_id))
        if known is None:
            known = self._vault_ids.mac(length_prefixed(tenant.encode(), kind.encode(), subject_id.encode()))
            if len(self._known_ids) >= _KNOWN_IDS:
                self._known_ids.clear()
            self._known_ids[tenant, kind, subject_id] = known
        return known

    def vector_partition(self, vault_id: bytes) -> bytes:
        """What an engine outside calls a vault, 16 bytes: the first 4 are the same for all of this home.

        Made from the catalog key and not from the vault's, so that what is left of an erased vault can still be named.
        """
        return self._home + self._partitions.mac(length_prefixed(b"vault", vault_id))[:12]

    def is_partition_of_ours(self, partition: bytes) -> bool:
        """Whether a name of a vault in an engine outside was given by this home."""
        return partition.startswith(self._home)

    def stand_in_tag(self, vault_id: bytes, value: bytes) -> bytes:
        """A keyed tag of a value in one vault, which need not exist yet. Two vaults have different ones."""
        return self._pseudonyms.mac(length_prefixed(b"stand-in", vault_id, value))

    def installation(self) -> str:
        """A pseudonym of this installation that says nothing about it: keyed, 32 hex digits."""
        return self._installation.mac(b"telemetry").hex()[:32]

    def find(self, tenant: str, vault_id: bytes) -> tuple[VaultKeys, Anchor] | None:
        """The vault's keys and anchor, or None if it has none (never made, or shredded)."""
        entry = self.ring.get(vault_id)
        return None if entry is None else (self._unwrap(tenant, entry), entry.anchor)

    def successor(self, tenant: str, vault_id: bytes) -> VaultKeys | None:
        """The keys that are to follow the vault's present ones, or None."""
        entry = self.ring.successor(vault_id)
        return None if entry is None else self._unwrap(tenant, entry)

    def prepare_successor(self, tenant: str, vault_id: bytes, version: int) -> VaultKeys:
        """Keys to follow those of the version before: the ones that are kept for it already, or new ones, durable.

        Raises KeyUnavailable when the vault has no keys of the version before.
        """
        present = self.ring.get(vault_id)
        if present is None or present.key_version != version - 1:
            raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: it has no key of version {version - 1}")
        provider = self._wrapping(tenant, self.whose(present)[1])
        wrapped = self._wrap(provider, SecretKey.generate(), KeyContext(tenant, vault_id, version))
        entry = structs.replace(present, key_version=version, provider=provider.id, wrapped=wrapped)
        return self._unwrap(tenant, self.ring.prepare(entry))

    def create(self, tenant: str, kind: str, subject_id: str) -> tuple[VaultKeys, Anchor]:
        """A new vault key, durable in the ring before this returns. Whoever loses a race gets the winner's key."""
        vault_id = self.vault_id(tenant, kind, subject_id)
        version = 1
        key = SecretKey.generate()
        provider, asked_at = self._wrapping(tenant, kind), self.clock()
        wrapped = self._wrap(provider, key, KeyContext(tenant, vault_id, version))
        lease = self._lease(provider, asked_at)
        keys = VaultKeys.derive(key, tenant=tenant, vault_id=vault_id, version=version, lease=lease)
        anchor = Anchor(0, keys.genesis)
        label = hazmat.committed_seal(self._labels, vault_id, msgspec.msgpack.encode((tenant, kind, subject_id)))
        try:
            self.ring.create(RingEntry(vault_id, version, provider.id, wrapped, label, anchor))
        except Conflict:
            found = self.find(tenant, vault_id)
            if found is None:
                raise KeyUnavailable(f"vault {keys.name}: erased while it was being made; try again") from None
            return found
        return keys, anchor

    def whose(self, entry: RingEntry) -> tuple[str, str, str]:
        """(tenant, kind, subject id) of a ring entry. Raises Tampered if its label does not belong to it."""
        try:
            label = _label_decoder.decode(hazmat.committed_open(self._labels, entry.vault_id, entry.label))
        except WrongKey:
            raise Tampered(f"key ring entry {entry.vault_id.hex()[:12]}: its label was changed") from None
        except (ValueError, RecursionError):
            raise Tampered(f"key ring entry {entry.vault_id.hex()[:12]}: its label is of no known form") from None
        return label

    def confirm(self, keys: VaultKeys) -> bool:
        """Ask the provider of a vault key in RAM whether it still opens it; False when the vault is not what it was.

        Raises KeyUnavailable, WrongKey.
        """
        entry = self.ring.get(keys.vault_id)
        if entry is None or keys.lease is None:
            return False
        fresh = self._unwrap(keys.tenant, entry)
        if fresh.version == keys.version and not fresh.chain.equals(keys.chain):
            return False
        if fresh.lease is None:
            keys.lease.end()
        else:
            keys.lease.renew(fresh.lease.asked_at)
        return True

    def _unwrap(self, tenant: str, entry: RingEntry) -> VaultKeys:
        key, lease = self._unwrapped(tenant, entry)
        return VaultKeys.derive(key, tenant=tenant, vault_id=entry.vault_id, version=entry.key_version, lease=lease)

    def _unwrapped(self, tenant: str, entry: RingEntry) -> tuple[SecretKey, Lease | None]:
        asked_at = self.clock()
        provider = self._opener(tenant, entry)
        uses = self.uses.count(provider.id, "unwrap")
        try:
            key = provider.unwrap(entry.wrapped, KeyContext(tenant, entry.vault_id, entry.key_version))
        except TacitaError:
            uses.failures += 1
            raise
        return key, self._lease(provider, asked_at)

    def _lease(self, provider: KeyProvider, asked_at: float) -> Lease | None:
        if not provider.elsewhere:
            return None
        return Lease(provider.id, self.uses.of[provider.id], asked_at, self.key_cache)

    def _opener(self, tenant: str, entry: RingEntry) -> KeyProvider:
        """The provider under which an entry is: the home's or the tenant's, the present one or one from before."""
        provider = self._provider.known_as(entry.provider)
        if provider is None and self._provider.knows(tenant):
            # Only root keys that the settings name are ever asked: an entry says which, not where.
            provider = self._provider.of_tenant(tenant).known_as(entry.provider)
        if provider is None:
            raise KeyUnavailable(
                f"vault {entry.vault_id.hex()[:12]} is sealed under key provider {entry.provider}, "
                f"which neither this home ({self._provider.id}) nor its tenant names; if it is the tenant's from before, "
                "add it to tenants.NAME.previous"
            )
        return provider


def _rotated_catalog(provider: KeyProvider) -> str:
    return f"{_CATALOG}@{provider.id}"
