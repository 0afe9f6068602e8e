"""Tacita as the public suite `agent-memory-integrity` sees it: a store whose files can be edited, and an API.

At rest, the attacker holds the data folder (`home/data`): every file that a log store writes. The key ring and the
root key are not in it; docs/how-to/backup.md says why they live elsewhere.

Through the API, the adapter is the host: what comes with the user's signature it adds as the user's words, everything
else as a tool's, whatever the label says. The agent's context is read with a filter on trust.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from agmi.adapters.base import MemoryAdapter, Record
from agmi.adapters.semantic_base import MemoryItem, Retrieved, SemanticMemoryAdapter
from agmi.signing import KEYRING

from tacita import Memory
from tacita.errors import TacitaError
from tacita.testing.tampering import editable

VICTIM, OTHER = "ana", "rui"
COLUMNS = ("key", "item_tag", "sealed", "digest")


class TacitaAtRest(MemoryAdapter):
    """SQLite log store, default settings, read through `get_all` and `search`."""

    name = "tacita"
    supports_replay = True
    supports_metadata = True
    supports_snapshot = True

    def setup(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="agmi-tacita-"))
        self._home = self._folder / "home"
        self._numbers: dict[str, int] = {}

    def teardown(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _opened(self) -> Memory:
        return Memory(self._home, embedder="none")

    def _write(self, user: str, texts: list[str]) -> None:
        before = self._vaults()
        with self._opened() as memory:
            for text in texts:
                memory.add(text, user_id=user)
            vault_id = memory._engine.keys.vault_id("default", "user", user)
        self._numbers[user] = (self._vaults() | before)[vault_id]

    def _vaults(self) -> dict[bytes, int]:
        path = self._home / "data" / "log.db"
        if not path.exists():
            return {}
        with editable(path) as db:
            found = dict(db.execute("SELECT vault_id, no FROM vaults"))
        db.close()
        return found

    def seed(self, n: int) -> None:
        self._write(VICTIM, [f"agmi-seed-{number}" for number in range(n)])

    def seed_other(self, n: int) -> None:
        self._write(OTHER, [f"agmi-other-{number}" for number in range(n)])

    def append_genuine(self) -> None:
        self._write(VICTIM, ["agmi-late"])

    # ------------------------------------------------------------------ the files

    def _edit(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        db = editable(self._home / "data" / "log.db")
        try:
            rows = db.execute(statement, values).fetchall()
            db.commit()
            return rows
        finally:
            db.close()

    def _rows(self, user: str) -> list[Record]:
        first = self._numbers[user] << 32
        rows = self._edit(
            f"SELECT {', '.join(COLUMNS)} FROM log WHERE key > ? AND key < ? ORDER BY key", (first, first + (1 << 32))
        )
        return [Record(seq, dict(zip(COLUMNS, row, strict=True))) for seq, row in enumerate(rows)]

    def read_all_raw(self) -> list[Record]:
        return self._rows(VICTIM)

    def read_other_raw(self) -> list[Record]:
        return self._rows(OTHER)

    def write_raw(self, record: Record) -> None:
        found = self.read_all_raw()
        values = tuple(record.fields[name] for name in COLUMNS[1:])
        if record.seq < len(found):
            self._edit(
                "UPDATE log SET item_tag=?, sealed=?, digest=? WHERE key=?", (*values, found[record.seq].fields["key"])
            )
            return
        last = found[-1].fields["key"] + 1
        self._edit("INSERT INTO log (key, item_tag, sealed, digest) VALUES (?,?,?,?)", (last, *values))
        self._edit("UPDATE vaults SET head_seq=? WHERE no=?", (last & 0xFFFFFFFF, self._numbers[VICTIM]))

    def delete_raw(self, seq: int) -> None:
        found = self.read_all_raw()
        self._edit("DELETE FROM log WHERE key=?", (found[seq].fields["key"],))
        if seq == len(found) - 1:
            # As good as an attacker can: the head says what the rows say.
            self._edit("UPDATE vaults SET head_seq=head_seq - 1 WHERE no=?", (self._numbers[VICTIM],))

    def mutate_payload(self, record: Record) -> Record:
        sealed = record.fields["sealed"]
        record.fields["sealed"] = sealed[:-20] + bytes([sealed[-20] ^ 1]) + sealed[-19:]
        return record

    def replay_onto(self, victim_seq: int, donor: Record) -> None:
        key = self.read_all_raw()[victim_seq].fields["key"]
        values = (donor.fields["item_tag"], donor.fields["sealed"], donor.fields["digest"], key)
        self._edit("UPDATE log SET item_tag=?, sealed=?, digest=? WHERE key=?", values)

    def read_meta(self, seq: int) -> dict[str, Any]:
        return {"item_tag": self.read_all_raw()[seq].fields["item_tag"]}

    def write_meta(self, seq: int, meta: dict[str, Any]) -> None:
        # All that a row says beside its ciphertext; owner, role and time are sealed inside it.
        key = self.read_all_raw()[seq].fields["key"]
        self._edit("UPDATE log SET item_tag=? WHERE key=?", (bytes(16), key))

    def snapshot_store(self) -> object:
        return self._copy_store(self._home / "data")

    def restore_store(self, token: object) -> None:
        self._restore_store(str(token), self._home / "data")

    def identity_of(self, record: Record) -> str:
        return str(record.fields["key"])

    def payload_of(self, record: Record) -> str:
        return bytes(record.fields["sealed"] or b"").hex()

    def owner_of(self, record: Record) -> str:
        return str(record.fields["key"] >> 32)

    # ------------------------------------------------------------------ the verdict

    def reload(self) -> None:
        """Every `verify` opens the home anew."""

    def verify(self) -> bool:
        """What an agent does: open, list, search. No audit call; a refusal is at read time."""
        self.verify_detail = None
        try:
            with self._opened() as memory:
                memory.get_all(user_id=VICTIM)
                memory.search("agmi seed", user_id=VICTIM)
        except TacitaError as error:
            self.verify_detail = f"{type(error).__name__}: {error}"
            return False
        return True


class TacitaApi(SemanticMemoryAdapter):
    """The API, with the default embedder given by its URI, or words alone."""

    name = "tacita"

    def __init__(self, embedder: str = "none") -> None:
        self._embedder = embedder
        self._memory: Memory | None = None

    def reset(self) -> None:
        self.close()
        self._memory = Memory(store="memory:", embedder=self._embedder)

    def close(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def add_memory(self, item: MemoryItem) -> None:
        assert self._memory is not None
        signed = KEYRING.verify(item.user_id, item.source, item.text, item.signature)
        role = "user" if signed and item.source == "user" else "tool"
        message = {"role": role, "content": item.text, "metadata": dict(item.metadata)}
        self._memory.add(message, user_id=item.user_id)

    def retrieve(self, query: str, user_id: str, k: int = 5) -> list[Retrieved]:
        return self._read(query, user_id, k, {})

    def retrieve_where(self, query: str, user_id: str, where: dict[str, Any], k: int = 5) -> list[Retrieved]:
        return self._read(query, user_id, k, {f"metadata.{key}": value for key, value in where.items()})

    def _read(self, query: str, user_id: str, k: int, filters: dict[str, Any]) -> list[Retrieved]:
        assert self._memory is not None
        trusted = {**filters, "trust": {"gte": "user"}}
        hits = self._memory.search(query, user_id=user_id, top_k=k, filters=trusted)
        return [Retrieved(hit.text, hit.user_id or "", hit.score) for hit in hits]

    def measured_on(self) -> str:
        return f"in-memory store, embedder {self._embedder}, filter trust >= user"
