"""The schema of the PostgreSQL log and key ring, who may do what with it, and its upkeep: for the owner of the tables.

`python -m tacita.stores.postgres_setup data | psql ...` prints the statements instead, for people who run their own. They
may be repeated and run at the same time by several; what is there already is left as it is.
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

import msgspec

from tacita.errors import InvalidInput
from tacita.patterns import lazy_pattern

_NAME: Final = lazy_pattern(r"[a-z_][a-z0-9_]{0,62}")
_MIGRATIONS_LOCK: Final = 0x7461636974
"""Held while a schema is made or changed; nothing but migrations ever takes it."""


class Layout(msgspec.Struct, frozen=True):
    """One half of a memory as PostgreSQL keeps it."""

    kind: str
    """What `layout.kind` and the comment of the schema say."""
    schema: str
    """Where it is unless the URI says otherwise."""
    role: str
    """Who uses it unless told otherwise."""
    tables: tuple[str, ...]
    migrations: tuple[str, ...]
    """What makes version 1 of nothing, version 2 of version 1, and so on."""

    @property
    def version(self) -> int:
        """What this program writes and reads."""
        return len(self.migrations)


DATA = Layout(
    kind="Tacita log",
    schema="tacita",
    role="tacita_app",
    tables=("vaults", "log", "snapshots"),
    migrations=(
        # Ciphertext does not compress: EXTERNAL does not try, and a row up to half a page stays in its page.
        """CREATE TABLE {schema}.vaults (
    vault_id bytea PRIMARY KEY CHECK (octet_length(vault_id) = 32), format integer NOT NULL,
    head_seq bigint NOT NULL CHECK (head_seq BETWEEN 1 AND 4294967295),
    epoch bytea NOT NULL CHECK (octet_length(epoch) = 16), purged_seq bigint NOT NULL DEFAULT 0,
    snapshot bytea, snapshot_seq bigint) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE {schema}.log (
    vault_id bytea NOT NULL, seq bigint NOT NULL, item_tag bytea NOT NULL, sealed bytea, digest bytea NOT NULL,
    PRIMARY KEY (vault_id, seq)
) WITH (toast_tuple_target = 4080, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE TABLE {schema}.snapshots (
    vault_id bytea NOT NULL, writing bytea NOT NULL, part integer NOT NULL, sealed bytea NOT NULL,
    PRIMARY KEY (vault_id, writing, part)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE {schema}.log ALTER COLUMN sealed SET STORAGE EXTERNAL;
ALTER TABLE {schema}.snapshots ALTER COLUMN sealed SET STORAGE EXTERNAL;""",
    ),
)
RING = Layout(
    kind="Tacita key ring",
    schema="tacita_keys",
    role="tacita_keys",
    tables=("keys", "successors", "anchors", "tombstones", "settings"),
    migrations=(
        # Anchors are apart, for they change all the time and keys never do. Any dead key is reason enough to vacuum.
        """CREATE TABLE {schema}.keys (
    vault_id bytea PRIMARY KEY CHECK (octet_length(vault_id) = 32), key_version integer NOT NULL, provider text NOT NULL,
    wrapped bytea NOT NULL, label bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0);
CREATE TABLE {schema}.successors (
    vault_id bytea PRIMARY KEY, key_version integer NOT NULL, provider text NOT NULL, wrapped bytea NOT NULL,
    label bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0);
CREATE TABLE {schema}.anchors (
    vault_id bytea PRIMARY KEY, seq bigint NOT NULL, chain bytea NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE {schema}.tombstones (vault_id bytea PRIMARY KEY);
CREATE TABLE {schema}.settings (name text PRIMARY KEY, value bytea NOT NULL)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0);""",
    ),
)
LAYOUTS: Final = {"data": DATA, "ring": RING}


def roles_sql(layout: Layout, *, role: str | None = None, owner: str | None = None) -> str:
    """The owner of the tables, who cannot log in, and the role that uses them, which has no password yet.

    For whoever may make roles; that one may act as the owner afterwards, and the owner may make schemas in this database.
    """
    user = _checked(role or layout.role)
    holder = _checked(owner or f"{user}_owner")
    made = "\n".join(
        f"""    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{name}') THEN
        CREATE ROLE {name} {kind} NOSUPERUSER NOCREATEDB NOCREATEROLE;
    END IF;"""
        for name, kind in ((holder, "NOLOGIN"), (user, "LOGIN"))
    )
    return f"""DO $$ BEGIN
    PERFORM pg_advisory_xact_lock({_MIGRATIONS_LOCK});
{made}
    EXECUTE format('GRANT CREATE ON DATABASE %I TO {holder}', current_database());
END $$;
GRANT {holder} TO CURRENT_USER;
"""


def migration_sql(
    layout: Layout, *, schema: str | None = None, role: str | None = None, owner: str | None = None
) -> str:
    """What makes the schema or brings it up to date, in one transaction, and grants `role` its rows.

    For whoever may act as the owner, to whom everything belongs afterwards.
    """
    named, user = _checked(schema or layout.schema), _checked(role or layout.role)
    steps = "\n".join(
        _step(number, text.format(schema=named), named) for number, text in enumerate(layout.migrations, 1)
    )
    tables = ", ".join(f"{named}.{table}" for table in layout.tables)
    return f"""BEGIN;
SET LOCAL ROLE {_checked(owner or f"{user}_owner")};
SELECT pg_advisory_xact_lock({_MIGRATIONS_LOCK});
CREATE SCHEMA IF NOT EXISTS {named};
COMMENT ON SCHEMA {named} IS '{layout.kind}';
CREATE TABLE IF NOT EXISTS {named}.layout (kind text PRIMARY KEY, version integer NOT NULL);
INSERT INTO {named}.layout VALUES ('{layout.kind}', 0) ON CONFLICT DO NOTHING;
DO $$ BEGIN
    IF (SELECT version FROM {named}.layout WHERE kind = '{layout.kind}') > {layout.version}
        OR (SELECT count(*) FROM {named}.layout) <> 1
    THEN RAISE EXCEPTION 'schema {named} belongs to something else, or to a newer Tacita'; END IF;
END $$;
{steps}
REVOKE ALL ON SCHEMA {named} FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA {named} FROM PUBLIC, {user};
GRANT USAGE ON SCHEMA {named} TO {user};
GRANT SELECT ON {named}.layout TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {user};
COMMIT;
"""


def vacuum_sql(layout: Layout, *, schema: str | None = None, owner: str | None = None, full: bool = False) -> list[str]:
    """One statement a table, none of which may run inside a transaction. For whoever may act as the owner.

    A plain one lets the space of dead rows be written over, beside readers and writers. A full one writes each table
    anew without them, and nobody else can use the table meanwhile.
    """
    named = _checked(schema or layout.schema)
    vacuums = [f"VACUUM {'(FULL) ' if full else ''}{named}.{table};" for table in layout.tables]
    return [f"SET ROLE {_checked(owner or f'{layout.role}_owner')};", *vacuums, "RESET ROLE;"]


def _step(number: int, statements: str, schema: str) -> str:
    return f"""DO $$ BEGIN IF (SELECT version FROM {schema}.layout) = {number - 1} THEN
{statements}
UPDATE {schema}.layout SET version = {number};
END IF; END $$;"""


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidInput("schemas and roles are named with small letters, digits and _")
    return name


def main(arguments: list[str] | None = None) -> int:
    """Print the statements that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tacita.stores.postgres_setup", description=main.__doc__)
    parser.add_argument("half", choices=sorted(LAYOUTS), help="the log (data), or the key ring (ring)")
    parser.add_argument("what", choices=("roles", "tables", "vacuum", "vacuum-full"), nargs="?", default="tables")
    parser.add_argument("--schema", help="where the tables are; default: tacita, or tacita_keys for the ring")
    parser.add_argument("--role", help="who uses them; default: tacita_app, or tacita_keys for the ring")
    parser.add_argument("--owner", help="to whom they belong; default: the role's name and _owner")
    asked = parser.parse_args(arguments)
    layout = LAYOUTS[asked.half]
    if asked.what == "roles":
        text = roles_sql(layout, role=asked.role, owner=asked.owner)
    elif asked.what == "tables":
        text = migration_sql(layout, schema=asked.schema, role=asked.role, owner=asked.owner)
    else:
        full = asked.what == "vacuum-full"
        text = "\n".join(vacuum_sql(layout, schema=asked.schema, owner=asked.owner, full=full))
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
