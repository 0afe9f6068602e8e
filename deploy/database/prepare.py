"""Make or bring up to date roles and tables of one half, as the administrator of its database, and set its role's password.

    python prepare.py data HOST DATABASE --admin FILE --password FILE --ca FILE

The statements are those that `python -m tacita.stores.postgres_setup` prints (docs/how-to/postgres.md). It may be run again at
any time: it leaves alone what is there, and sets the password to what the file says.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import psycopg
from psycopg import sql

from tacita.stores.postgres_setup import LAYOUTS, migration_sql, roles_sql


def line(path: Path) -> str:
    """The first line of a file."""
    return path.read_text(encoding="utf-8").partition("\n")[0]


def main(arguments: list[str] | None = None) -> None:
    """Prepare one half."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("half", choices=sorted(LAYOUTS))
    parser.add_argument("host")
    parser.add_argument("database")
    parser.add_argument("--port", type=int, default=5432)
    parser.add_argument("--admin", type=Path, required=True, help="the administrator's password")
    parser.add_argument("--password", type=Path, required=True, help="the password that the role is to have")
    parser.add_argument("--ca", type=Path, required=True, help="the authority that signed the server's certificate")
    asked = parser.parse_args(arguments)
    layout = LAYOUTS[asked.half]
    with psycopg.connect(
        host=asked.host,
        port=asked.port,
        dbname=asked.database,
        user="postgres",
        password=line(asked.admin),
        sslmode="verify-full",
        sslrootcert=str(asked.ca),
        require_auth="scram-sha-256",
        connect_timeout=10,
        autocommit=True,
    ) as db:
        db.execute(roles_sql(layout))
        db.execute(migration_sql(layout))
        # What proves the password and not the password itself, so that no log of the server can ever hold it.
        proof = db.pgconn.encrypt_password(line(asked.password).encode(), layout.role.encode(), b"scram-sha-256")
        db.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(layout.role), sql.Literal(proof.decode()))
        )
    print(f"{layout.kind}: roles and tables are ready in {asked.database} on {asked.host}")


if __name__ == "__main__":
    main()
