"""Vault keys: made, wrapped, found again and destroyed. The ring keeps them wrapped; a provider opens them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import msgspec

from tacita import hazmat
from tacita.errors import Conflict, KeyUnavailable, Tampered, WrongKey
from tacita.hazmat import SecretKey
from tacita.ports.keys import KeyContext, KeyProvider, KeyRing
from tacita.sealed import VAULT_ID_BYTES, Anchor, RingEntry
from tacita.vault.format import VaultKeys, length_prefixed

_CATALOG = "catalog"
_CATALOG_CONTEXT = KeyContext(tenant="", vault_id=bytes(VAULT_ID_BYTES), version=0)
_KNOWN_IDS = 1_024
"""Most vault ids that are remembered; a keyed hash each time would be a tenth of a search."""
_label_decoder: msgspec.msgpack.Decoder[tuple[str, str, str]] = msgspec.msgpack.Decoder(tuple[str, str, str])


class Keys:
    """The key ring opened with its provider. Knows whose vault is whose; the store never does."""

    def __init__(self, ring: KeyRing, provider: KeyProvider) -> None:
        self.ring = ring
        self._provider = provider
        self.uses: Counter[str] = Counter()
        """How often a root key was used, `wrap` and `unwrap`."""
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

    def _wrap(self, key: SecretKey, context: KeyContext) -> bytes:
        self.uses["wrap"] += 1
        return self._provider.wrap(key, context)

    def _open_catalog(self) -> SecretKey:
        # After a rotation it is there once for each root key, until the old ones are let go of.
        wrapped = self.ring.setting(_rotated_catalog(self._provider)) or self.ring.setting(_CATALOG)
        if wrapped is None:
            fresh = self._wrap(SecretKey.generate(), _CATALOG_CONTEXT)
            wrapped = self.ring.put_setting_once(_CATALOG, fresh)
        return self._provider.unwrap(wrapped, _CATALOG_CONTEXT)

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

    def rewrapped(self, entry: RingEntry) -> RingEntry:
        """The entry under the present root key."""
        tenant, _, _ = self.whose(entry)
        context = KeyContext(tenant, entry.vault_id, entry.key_version)
        wrapped = self._wrap(self._opener(entry).unwrap(entry.wrapped, context), context)
        return replace(entry, wrapped=wrapped, provider=self._provider.id)

    def is_present(self, entry: RingEntry) -> bool:
        """Whether an entry is under the present root key."""
        return entry.provider == self._provider.id

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

    def pseudonym(self, value: str) -> str:
        """A keyed stand-in for an id in logs, 12 hex digits."""
        return self._pseudonyms.mac(value.encode()).hex()[:12]

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
        wrapped = self._wrap(SecretKey.generate(), KeyContext(tenant, vault_id, version))
        entry = replace(present, key_version=version, provider=self._provider.id, wrapped=wrapped)
        return self._unwrap(tenant, self.ring.prepare(entry))

    def create(self, tenant: str, kind: str, subject_id: str) -> tuple[VaultKeys, Anchor]:
        """A new vault key, durable in the ring before this returns. Whoever loses a race gets the winner's key."""
        vault_id = self.vault_id(tenant, kind, subject_id)
        version = 1
        key = SecretKey.generate()
        keys = VaultKeys.derive(key, tenant=tenant, vault_id=vault_id, version=version)
        anchor = Anchor(0, keys.genesis)
        wrapped = self._wrap(key, KeyContext(tenant, vault_id, version))
        label = hazmat.committed_seal(self._labels, vault_id, msgspec.msgpack.encode((tenant, kind, subject_id)))
        try:
            self.ring.create(RingEntry(vault_id, version, self._provider.id, wrapped, label, anchor))
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

    def _unwrap(self, tenant: str, entry: RingEntry) -> VaultKeys:
        key = self._opener(entry).unwrap(entry.wrapped, KeyContext(tenant, entry.vault_id, entry.key_version))
        return VaultKeys.derive(key, tenant=tenant, vault_id=entry.vault_id, version=entry.key_version)

    def _opener(self, entry: RingEntry) -> KeyProvider:
        """The provider under which an entry is: the present one, or one from before a rotation."""
        self.uses["unwrap"] += 1
        provider = self._provider.known_as(entry.provider)
        if provider is None:
            raise KeyUnavailable(
                f"vault {entry.vault_id.hex()[:12]} is sealed under key provider {entry.provider}, "
                f"this home uses {self._provider.id}"
            )
        return provider


def _rotated_catalog(provider: KeyProvider) -> str:
    return f"{_CATALOG}@{provider.id}"
