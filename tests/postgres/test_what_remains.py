"""Where the bytes of purged rows and shredded keys stay on the server, and what takes them away: as the how-to says."""

from __future__ import annotations

from typing import Any

import psycopg

from tacita.stores.postgres_setup import DATA, RING, vacuum_sql
from tacita.testing.log_contract import A, E, event
from tacita.testing.ring_contract import entry


def files_hold(server: Any, needle: bytes, part: str) -> bool:
    server.execute("CHECKPOINT")
    return any(needle in path.read_bytes() for path in (server.folder / "data" / part).rglob("*") if path.is_file())


def vacuum(server: Any, layout: Any, schema: str, *, full: bool) -> None:
    with server.admin() as db:
        for statement in vacuum_sql(layout, schema=schema, full=full):
            db.execute(statement)


def test_purged_bytes_are_out_of_reach_at_once_and_off_the_tables_after_a_full_vacuum(server: Any) -> None:
    store = server.log("what remains")
    store.append(A, 0, [event(313_131), event(424_242)], epoch=E)
    store.append(A, 2, [event(3)], purge=[1], epoch=E)
    with psycopg.connect(host=str(server.folder), port=server.port, user="postgres", dbname="tacita") as db:
        query = f"SELECT count(*) FROM {store._schema}.log WHERE position('\\x333133313331'::bytea in sealed) > 0"
        assert db.execute(query).fetchone() == (0,)
    assert files_hold(server, b"313131" * 8, "base"), "PostgreSQL keeps dead rows: if not, the how-to can promise more"
    vacuum(server, DATA, store._schema, full=True)
    assert not files_hold(server, b"313131" * 8, "base")
    assert files_hold(server, b"424242" * 8, "base")
    assert files_hold(server, b"313131" * 8, "pg_wal"), "and the write-ahead log keeps them until it is written over"
    store.close()


def test_a_shredded_key_is_off_the_tables_after_a_full_vacuum(server: Any) -> None:
    ring = server.ring("what remains")
    ring.create(entry(A, b"wrapped key that is to go away"))
    ring.shred(A)
    assert files_hold(server, b"wrapped key that is to go away", "base")
    vacuum(server, RING, ring._schema, full=True)
    assert not files_hold(server, b"wrapped key that is to go away", "base")
    ring.close()
