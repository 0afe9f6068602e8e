"""Which rows the server reads for a statement that every search makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tacita.stores import _postgres_rows as rows
from tacita.testing.log_contract import A, E, event


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def test_a_head_is_found_without_reading_its_log_beside_many_small_vaults(server: Any) -> None:
    # The planner takes every vault for an average one, of a single event here, and thinks reading all of its log is cheap.
    store = server.log("plans")
    store.append(A, 0, [event(number) for number in range(500)], epoch=E)
    schema = store._schema
    new_id = "sha256(n::text::bytea)"
    with server.admin() as db:
        for table, columns, others in (
            ("vaults", "format, head_seq, epoch, purged_seq", "format, 1, epoch, 0"),
            ("log", "seq, item_tag, sealed, digest", "1, item_tag, sealed, digest"),
        ):
            db.execute(
                f"INSERT INTO {schema}.{table} (vault_id, {columns}) SELECT {new_id}, {others} "
                f"FROM generate_series(1, 20000) AS n, (SELECT * FROM {schema}.{table} LIMIT 1) AS one"
            )
            db.execute(f"ANALYZE {schema}.{table}")
        db.execute("SET plan_cache_mode = force_generic_plan")
        db.execute(f"PREPARE head (bytea) AS {rows.HEAD.format(schema=schema).replace('%b', '$1')}")
        found = db.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE head ('\\x{A.hex()}')").fetchone()
    assert found is not None
    read = {each["Node Type"]: each["Actual Rows"] for each in nodes(found[0][0]["Plan"])}
    assert read, "a plan has nodes"
    assert all(count <= 1 for count in read.values()), read
    head = store.head(A)
    assert head is not None
    assert (head.seq, head.digest) == (500, event(499).digest)
    store.close()
