"""The DynamoDB key ring: a table of its own, best in another account than the data, at least under another role."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tacita.errors import Conflict, KeyUnavailable, StoreError, Tampered
from tacita.hazmat import random_bytes
from tacita.ports.keys import KeyRing, checked_vault_id
from tacita.sealed import VAULT_ID_BYTES, Anchor, RingEntry
from tacita.stores import _dynamo_table, _dynamo_uri
from tacita.stores._address import Secret
from tacita.stores._dynamo import Item, Refused, open_table
from tacita.stores._dynamo_head import update
from tacita.stores._dynamo_layout import key, shelf, shelves
from tacita.stores._dynamo_table import PLACE, under

_SETTINGS: Final = b"settings"
_AT_ONCE: Final = 50
_TRIES: Final = 8
_PRESENT: Final = ""
_NEXT: Final = "next"
_KEYS: Final = ("version", "provider", "wrapped", "label")


class DynamoKeyRing(KeyRing):
    """Wrapped keys and anchors in the table `PREFIX-ring`; the URI is that of `DynamoLogStore`.

    One item a vault, changed by conditional writes; every change is durable before it returns, anchors too. `rewrap` is one
    transaction for each 50 pairs. Keep no backups of this table for long: they hold keys of vaults that were erased since.
    """

    def __init__(self, uri: str, secret: Secret) -> None:
        """Raises ConfigError for an address that is not protected, StoreError for a table that is not as it must be."""
        parsed = _dynamo_uri.parse(uri)
        self._table = open_table(parsed, secret, f"{parsed.prefix}-ring")
        self.name = parsed.place(self._table.name)
        try:
            _dynamo_table.prepare(self._table, parsed)
        except BaseException:
            self._table.close()
            raise

    def _item(self, what: str, vault_id: bytes) -> Item:
        return self._table.get(what, _key(vault_id)) or {}

    def _change(self, what: str, vault_id: bytes, **change: Any) -> None:
        self._table.ask(what, "update_item", **update(_key(vault_id), **change))

    def setting(self, name: str) -> bytes | None:
        found = self._table.get("read setting", key(_SETTINGS, name.encode()))
        return None if found is None else bytes(found["body"]["B"])

    def put_setting_once(self, name: str, value: bytes) -> bytes:
        where = key(_SETTINGS, name.encode())
        request = update(where, when="attribute_not_exists(#body)", given={}, put={"body": {"B": value}})
        try:
            self._table.ask("put setting", "update_item", **request)
            return value
        except Refused:
            kept = self.setting(name)
        if kept is None:
            raise StoreError("dynamodb: a setting was dropped while it was put; try again", retryable=True)
        return kept

    def drop_setting(self, name: str) -> None:
        self._table.ask("drop setting", "delete_item", Key=key(_SETTINGS, name.encode()))

    def swap_setting(self, name: str, expected: bytes | None, value: bytes) -> bool:
        where = key(_SETTINGS, name.encode())
        when = "attribute_not_exists(#body)" if expected is None else "#body = :expected"
        given = {} if expected is None else {":expected": {"B": expected}}
        try:
            self._table.ask(
                "swap setting", "update_item", **update(where, when=when, given=given, put={"body": {"B": value}})
            )
        except Refused:
            # Another value; or ours already, when the answer to an earlier try was lost.
            return self.setting(name) == value
        return True

    def settings(self) -> Iterator[tuple[str, bytes]]:
        for item in under(self._table, "list settings", _SETTINGS):
            yield bytes(item[PLACE]["B"]).decode(), bytes(item["body"]["B"])

    def rewrap(self, pairs: Sequence[tuple[RingEntry, RingEntry]]) -> int:
        return sum(self._rewrap(pairs[start : start + _AT_ONCE]) for start in range(0, len(pairs), _AT_ONCE))

    def _rewrap(self, pairs: Sequence[tuple[RingEntry, RingEntry]]) -> int:
        asked = list(pairs)
        for _ in range(_TRIES):
            items = self._table.get_all("rewrap keys", [_key(old.vault_id) for old, _ in asked])
            kept = {bytes(item[PLACE]["B"]): item.get("wrapped", {}).get("B") for item in items}
            left = [(old, new) for old, new in asked if kept.get(old.vault_id) == old.wrapped]
            if not left:
                return 0
            changes = [
                update(
                    _key(old.vault_id),
                    when="#wrapped = :old",
                    given={":old": {"B": old.wrapped}},
                    put={"wrapped": {"B": new.wrapped}, "provider": {"S": new.provider}},
                )
                for old, new in left
            ]
            try:
                token = random_bytes(16)
                self._table.transact("rewrap keys", token, [{"Update": change} for change in changes])
                return len(left)
            except Refused as refused:
                if refused.uncertain and self._all_are(left):
                    return len(left)
        raise StoreError("dynamodb: the keys kept changing; try again", retryable=True)

    def _all_are(self, pairs: Sequence[tuple[RingEntry, RingEntry]]) -> bool:
        """Whether every pair's second entry is kept: then a transaction took effect whose answer was lost."""
        return all(self._item("rewrap keys", new.vault_id).get("wrapped") == {"B": new.wrapped} for _, new in pairs)

    def get(self, vault_id: bytes) -> RingEntry | None:
        return _entry(vault_id, self._item("get key", vault_id), _PRESENT)

    def shredded(self, vault_id: bytes) -> bool:
        return "shredded" in self._item("get key", vault_id)

    def create(self, entry: RingEntry) -> None:
        put = _said(entry, _PRESENT) | _anchored(entry.anchor) | {"by": {"B": (by := random_bytes(16))}}
        try:
            self._change(
                "create key",
                entry.vault_id,
                when="attribute_not_exists(#wrapped)",
                given={},
                put=put,
                remove=("shredded",),
            )
        except Refused as refused:
            if refused.uncertain and self._item("create key", entry.vault_id).get("by") == {"B": by}:
                return
            raise Conflict(f"vault {entry.vault_id.hex()[:12]} has a key already") from None

    def advance(self, vault_id: bytes, anchor: Anchor) -> None:
        when = "attribute_exists(#wrapped) AND #seq < :seq"
        try:
            given = {":seq": {"N": str(anchor.seq)}}
            self._change("advance anchor", vault_id, when=when, given=given, put=_anchored(anchor))
        except Refused:
            kept = self.get(vault_id)
            if kept is None:
                raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: it has no key, or its key was destroyed") from None
            if kept.anchor.seq == anchor.seq and kept.anchor.chain != anchor.chain:
                raise Tampered(
                    f"vault {vault_id.hex()[:12]} seq {anchor.seq}: two histories claim this place"
                ) from None

    def rewind(self, vault_id: bytes, anchor: Anchor) -> None:
        try:
            self._change("rewind anchor", vault_id, when="attribute_exists(#wrapped)", given={}, put=_anchored(anchor))
        except Refused:
            raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: it has no key, or its key was destroyed") from None

    def successor(self, vault_id: bytes) -> RingEntry | None:
        return _entry(vault_id, self._item("get successor", vault_id), _NEXT)

    def successors(self) -> Iterator[RingEntry]:
        return self._listed(_NEXT)

    def prepare(self, entry: RingEntry) -> RingEntry:
        when = "#version = :before AND attribute_exists(#wrapped) AND attribute_not_exists(#nextwrapped)"
        given = {":before": {"N": str(entry.key_version - 1)}}
        try:
            self._change("prepare key", entry.vault_id, when=when, given=given, put=_said(entry, _NEXT))
        except Refused:
            pass  # what is kept decides: another successor, or no key that one could follow
        item = self._item("prepare key", entry.vault_id)
        present, kept = _entry(entry.vault_id, item, _PRESENT), _entry(entry.vault_id, item, _NEXT)
        if present is None or kept is None or present.key_version != entry.key_version - 1:
            raise KeyUnavailable(f"vault {entry.vault_id.hex()[:12]}: no key that this one could follow")
        return kept

    def promote(self, vault_id: bytes, key_version: int, anchor: Anchor) -> bool:
        item = self._item("promote key", vault_id)
        present, successor = _entry(vault_id, item, _PRESENT), _entry(vault_id, item, _NEXT)
        if present is None or successor is None or successor.key_version != key_version:
            return False
        if anchor.seq <= present.anchor.seq:
            return False
        when = "attribute_exists(#wrapped) AND #nextwrapped = :wrapped AND #seq < :seq"
        given = {":wrapped": {"B": successor.wrapped}, ":seq": {"N": str(anchor.seq)}}
        put = _said(successor, _PRESENT) | _anchored(anchor)
        gone = tuple(_NEXT + name for name in _KEYS)
        try:
            self._change("promote key", vault_id, when=when, given=given, put=put, remove=gone)
        except Refused as refused:
            # Shredded, or already done: by us, when the answer was lost, or by another.
            now = self.get(vault_id)
            return bool(refused.uncertain and now is not None and now.wrapped == successor.wrapped)
        return True

    def shred(self, vault_id: bytes) -> bool:
        attempt = {"B": random_bytes(16)}
        gone = [*_KEYS, *(_NEXT + name for name in _KEYS), "seq", "chain", "by"]
        put = {"shredded": attempt}
        try:
            self._change("shred key", vault_id, when="attribute_exists(#wrapped)", given={}, put=put, remove=gone)
        except Refused as refused:
            return refused.uncertain and self._item("shred key", vault_id).get("shredded") == attempt
        return True

    def bury(self, vault_id: bytes) -> None:
        put = {"shredded": {"B": random_bytes(16)}}
        try:
            self._change("bury key", vault_id, when="attribute_not_exists(#wrapped)", given={}, put=put)
        except Refused:
            raise Conflict(f"vault {vault_id.hex()[:12]} has a key") from None

    def tombstones(self) -> Iterator[bytes]:
        return (vault_id for vault_id, item in self._items() if "shredded" in item)

    def entries(self) -> Iterator[RingEntry]:
        return self._listed(_PRESENT)

    def _listed(self, which: str) -> Iterator[RingEntry]:
        found = (_entry(vault_id, item, which) for vault_id, item in self._items())
        return (entry for entry in found if entry is not None)

    def _items(self) -> Iterator[tuple[bytes, Item]]:
        for each in shelves():
            for item in under(self._table, "list keys", each):
                vault_id = bytes(item[PLACE]["B"])
                if len(vault_id) == VAULT_ID_BYTES:
                    yield vault_id, item

    def close(self) -> None:
        self._table.close()


def _key(vault_id: bytes) -> Item:
    return key(shelf(checked_vault_id(vault_id)), vault_id)


def _said(entry: RingEntry, which: str) -> Item:
    values: Item = {"version": {"N": str(entry.key_version)}, "provider": {"S": entry.provider}}
    values |= {"wrapped": {"B": entry.wrapped}, "label": {"B": entry.label}}
    return {which + name: value for name, value in values.items()}


def _anchored(anchor: Anchor) -> Item:
    return {"seq": {"N": str(anchor.seq)}, "chain": {"B": anchor.chain}}


def _entry(vault_id: bytes, item: Item, which: str) -> RingEntry | None:
    if which + "wrapped" not in item:
        return None
    try:
        version, provider, wrapped, label = (item[which + name] for name in _KEYS)
        return RingEntry(
            vault_id,
            int(version["N"]),
            provider["S"],
            bytes(wrapped["B"]),
            bytes(label["B"]),
            Anchor(int(item["seq"]["N"]), bytes(item["chain"]["B"])),
        )
    except (KeyError, ValueError):
        raise Tampered("the key ring was changed: it holds values that were never written") from None
