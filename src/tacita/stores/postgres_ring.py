"""The PostgreSQL key ring: wrapped keys and anchors in a schema of their own, away from the data and its role.

A deleted key is out of reach for queries at once. Its bytes, which open nothing without the root key, stay in the server's
files until those are written over: docs/how-to/postgres.md says where and for how long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from tacita.errors import Conflict, KeyUnavailable, Tampered
from tacita.ports.keys import KeyRing, checked_vault_id
from tacita.sealed import Anchor, RingEntry
from tacita.stores._postgres import Database
from tacita.stores._postgres_pool import Secret
from tacita.stores._postgres_session import Connection
from tacita.stores.postgres_setup import RING

_COLUMNS: Final = "vault_id, key_version, provider, wrapped, label"


class PostgresKeyRing(KeyRing):
    """A key ring in a PostgreSQL schema that `postgres_setup` made: `postgres://ROLE@HOST/DATABASE?password=env:NAME`.

    Everything but an anchor that moves forward is on the server's disk before it returns. Such an anchor is committed
    without waiting for the disk: a crash or a failover may take back the last ones. That is safe. A ring that lags behind
    the data only fails to notice a rollback to one of these last moments; a key that is lost is a vault that is lost.

    Raises StoreError when the database cannot be used (see `Database`), ConfigError for the URI.
    """

    def __init__(self, uri: str, secrets: Callable[[str], Secret]) -> None:
        self._db = Database(uri, secrets, RING)
        self._schema = self._db.address.schema
        self.name = self._db.address.name
        of_schema = f"FROM {self._schema}.%s AS k JOIN {self._schema}.anchors USING (vault_id)"
        self._select = f"SELECT {_COLUMNS}, seq, chain {of_schema}"

    def __repr__(self) -> str:
        return f"<PostgresKeyRing {self._db.address.name}>"

    def setting(self, name: str) -> bytes | None:
        query = f"SELECT value FROM {self._schema}.settings WHERE name = %s"
        found = self._db.row("read setting", query, (name,))
        return None if found is None else found[0]

    def put_setting_once(self, name: str, value: bytes) -> bytes:
        def work(db: Connection) -> bytes:
            insert = f"INSERT INTO {self._schema}.settings (name, value) VALUES (%s, %b) ON CONFLICT DO NOTHING"
            db.execute(insert, (name, value))
            query = f"SELECT value FROM {self._schema}.settings WHERE name = %s"
            kept: bytes = _first(db.execute(query, (name,), binary=True).fetchone())
            return kept

        return self._db.write("put setting", work)

    def drop_setting(self, name: str) -> None:
        query = f"DELETE FROM {self._schema}.settings WHERE name = %s"
        self._db.write("drop setting", lambda db: db.execute(query, (name,)).rowcount)

    def swap_setting(self, name: str, expected: bytes | None, value: bytes) -> bool:
        query = f"SELECT value FROM {self._schema}.settings WHERE name = %s"

        def kept(db: Connection) -> bytes | None:
            found = db.execute(query, (name,), binary=True).fetchone()
            return None if found is None else found[0]

        def work(db: Connection) -> bool:
            # One statement each: two who swap at a time wait for each other, and the second finds another value.
            if expected is None:
                change = f"INSERT INTO {self._schema}.settings (name, value) VALUES (%s, %b) ON CONFLICT DO NOTHING"
                done = db.execute(change, (name, value)).rowcount
            else:
                change = f"UPDATE {self._schema}.settings SET value = %b WHERE name = %s AND value = %b"
                done = db.execute(change, (value, name, expected)).rowcount
            return bool(done) or kept(db) == value

        return self._db.write("swap setting", work, lambda db: True if kept(db) == value else None)

    def settings(self) -> Iterator[tuple[str, bytes]]:
        found = self._db.rows("list settings", f"SELECT name, value FROM {self._schema}.settings", ())
        # Sorted here: the server's order of texts is its own.
        return iter(sorted((str(name), bytes(value)) for name, value in found))

    def rewrap(self, pairs: Sequence[tuple[RingEntry, RingEntry]]) -> int:
        query = f"UPDATE {self._schema}.keys SET wrapped = %b, provider = %s WHERE vault_id = %b AND wrapped = %b"
        values = [(new.wrapped, new.provider, checked_vault_id(old.vault_id), old.wrapped) for old, new in pairs]
        # In order of vault id, so that two who rewrap at a time wait for each other and never in a circle.
        values.sort(key=lambda each: each[2])

        def work(db: Connection) -> int:
            with db.cursor() as cursor:
                cursor.executemany(query, values)
                return cursor.rowcount

        def settled(db: Connection) -> int | None:
            # All or nothing: one that is there shows that all were done. None is there if others did them meanwhile.
            query = f"SELECT 1 FROM {self._schema}.keys WHERE vault_id = %b AND wrapped = %b"
            done = sum(db.execute(query, (each[2], each[0])).fetchone() is not None for each in values)
            return done or None

        return self._db.write("rewrap keys", work, settled) if values else 0

    def _find(self, db: Connection, table: str, vault_id: bytes) -> RingEntry | None:
        query = f"{self._select % table} WHERE vault_id = %b"
        found = db.execute(query, (vault_id,), binary=True).fetchone()
        return None if found is None else _entry(found)

    def get(self, vault_id: bytes) -> RingEntry | None:
        checked_vault_id(vault_id)
        return self._db.read("get key", lambda db: self._find(db, "keys", vault_id))

    def shredded(self, vault_id: bytes) -> bool:
        query = f"SELECT EXISTS (SELECT 1 FROM {self._schema}.tombstones WHERE vault_id = %b)"
        checked_vault_id(vault_id)
        return bool(_first(self._db.row("get key", query, (vault_id,))))

    def _insert(self, db: Connection, table: str, entry: RingEntry) -> bool:
        query = f"INSERT INTO {self._schema}.{table} ({_COLUMNS}) VALUES (%b, %s, %s, %b, %b) ON CONFLICT DO NOTHING"
        values = (entry.vault_id, entry.key_version, entry.provider, entry.wrapped, entry.label)
        return db.execute(query, values).rowcount > 0

    def create(self, entry: RingEntry) -> None:
        vault_id = checked_vault_id(entry.vault_id)

        def work(db: Connection) -> bool:
            # First, for it waits for an erasure that is under way; what follows sees what that one left.
            if not self._insert(db, "keys", entry):
                raise Conflict(f"vault {vault_id.hex()[:12]} has a key already")
            db.execute(f"DELETE FROM {self._schema}.tombstones WHERE vault_id = %b", (vault_id,))
            query = f"INSERT INTO {self._schema}.anchors (vault_id, seq, chain) VALUES (%b, %s, %b)"
            db.execute(query, (vault_id, entry.anchor.seq, entry.anchor.chain))
            return True

        def settled(db: Connection) -> bool | None:
            kept = self._find(db, "keys", vault_id)
            return True if kept is not None and kept.wrapped == entry.wrapped else None

        self._db.write("create key", work, settled)

    def advance(self, vault_id: bytes, anchor: Anchor) -> None:
        checked_vault_id(vault_id)
        # The setting counts for this transaction, which is this statement: one round trip, and none to the disk.
        update = f"""UPDATE {self._schema}.anchors SET seq = %s, chain = %b
                     WHERE vault_id = %b AND seq < %s AND set_config('synchronous_commit', 'off', true) = 'off'"""
        values = (anchor.seq, anchor.chain, vault_id, anchor.seq)

        def work(db: Connection) -> tuple[Any, ...] | None:
            if db.execute(update, values).rowcount:
                return (anchor.seq, anchor.chain)
            query = f"SELECT seq, chain FROM {self._schema}.anchors WHERE vault_id = %b"
            kept = db.execute(query, (vault_id,), binary=True).fetchone()
            if kept is None:
                raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: it has no key, or its key was destroyed")
            return kept

        kept = self._db.write("advance anchor", work, work, single=True)
        if kept is not None and kept[0] == anchor.seq and kept[1] != anchor.chain:
            raise Tampered(f"vault {vault_id.hex()[:12]} seq {anchor.seq}: two histories claim this place")

    def rewind(self, vault_id: bytes, anchor: Anchor) -> None:
        query = f"UPDATE {self._schema}.anchors SET seq = %s, chain = %b WHERE vault_id = %b"
        values = (anchor.seq, anchor.chain, checked_vault_id(vault_id))
        if not self._db.write("rewind anchor", lambda db: db.execute(query, values).rowcount):
            raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: it has no key, or its key was destroyed")

    def successor(self, vault_id: bytes) -> RingEntry | None:
        checked_vault_id(vault_id)
        return self._db.read("get successor", lambda db: self._find(db, "successors", vault_id))

    def successors(self) -> Iterator[RingEntry]:
        return map(_entry, self._db.pages("list successors", self._select % "successors"))

    def _lock(self, db: Connection, vault_id: bytes) -> int | None:
        """The version of the vault's present key, whose row nobody changes until this transaction ends."""
        query = f"SELECT key_version FROM {self._schema}.keys WHERE vault_id = %b FOR UPDATE"
        found = db.execute(query, (vault_id,)).fetchone()
        return None if found is None else found[0]

    def prepare(self, entry: RingEntry) -> RingEntry:
        vault_id = checked_vault_id(entry.vault_id)

        def work(db: Connection) -> RingEntry:
            if self._lock(db, vault_id) != entry.key_version - 1:
                raise KeyUnavailable(f"vault {vault_id.hex()[:12]}: no key that this one could follow")
            self._insert(db, "successors", entry)
            kept = self._find(db, "successors", vault_id)
            assert kept is not None
            return kept

        return self._db.write("prepare key", work)

    def promote(self, vault_id: bytes, key_version: int, anchor: Anchor) -> bool:
        checked_vault_id(vault_id)

        def work(db: Connection) -> bool:
            present = self._lock(db, vault_id)
            successor = self._find(db, "successors", vault_id)
            if present is None or successor is None or successor.key_version != key_version:
                return False
            update = f"UPDATE {self._schema}.anchors SET seq = %s, chain = %b WHERE vault_id = %b AND seq < %s"
            if not db.execute(update, (anchor.seq, anchor.chain, vault_id, anchor.seq)).rowcount:
                return False
            for table in ("keys", "successors"):
                db.execute(f"DELETE FROM {self._schema}.{table} WHERE vault_id = %b", (vault_id,))
            self._insert(db, "keys", successor)
            return True

        def settled(db: Connection) -> bool | None:
            kept = self._find(db, "keys", vault_id)
            return True if kept is not None and kept.key_version == key_version else None

        return self._db.write("promote key", work, settled)

    def shred(self, vault_id: bytes) -> bool:
        checked_vault_id(vault_id)

        def work(db: Connection) -> bool:
            if not db.execute(f"DELETE FROM {self._schema}.keys WHERE vault_id = %b", (vault_id,)).rowcount:
                return False
            for table in ("successors", "anchors"):
                db.execute(f"DELETE FROM {self._schema}.{table} WHERE vault_id = %b", (vault_id,))
            db.execute(f"INSERT INTO {self._schema}.tombstones (vault_id) VALUES (%b)", (vault_id,))
            return True

        def settled(db: Connection) -> bool | None:
            query = f"SELECT 1 FROM {self._schema}.tombstones WHERE vault_id = %b"
            return True if db.execute(query, (vault_id,)).fetchone() is not None else None

        return self._db.write("shred key", work, settled)

    def bury(self, vault_id: bytes) -> None:
        checked_vault_id(vault_id)

        def work(db: Connection) -> bool:
            if self._lock(db, vault_id) is not None:
                raise Conflict(f"vault {vault_id.hex()[:12]} has a key")
            query = f"INSERT INTO {self._schema}.tombstones (vault_id) VALUES (%b) ON CONFLICT DO NOTHING"
            db.execute(query, (vault_id,))
            return True

        self._db.write("bury key", work)

    def tombstones(self) -> Iterator[bytes]:
        return (row[0] for row in self._db.pages("list tombstones", f"SELECT vault_id FROM {self._schema}.tombstones"))

    def entries(self) -> Iterator[RingEntry]:
        return map(_entry, self._db.pages("list keys", self._select % "keys"))

    def close(self) -> None:
        self._db.close()


def _entry(row: tuple[Any, ...]) -> RingEntry:
    vault_id, key_version, provider, wrapped, label, seq, chain = row
    return RingEntry(vault_id, key_version, provider, wrapped, label, Anchor(seq, chain))


def _first(row: tuple[Any, ...] | None) -> Any:
    assert row is not None
    return row[0]
