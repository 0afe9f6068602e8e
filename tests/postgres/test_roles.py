"""Who may do what: each role has rights on the rows of its half, and nothing falls back to anything."""

from __future__ import annotations

import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tacita.credentials import Credential
from tacita.errors import ConfigError, StoreError
from tacita.stores.postgres import PostgresLogStore
from tacita.stores.postgres_ring import PostgresKeyRing
from tacita.stores.postgres_setup import DATA, RING, main, migration_sql, roles_sql
from tacita.testing.log_contract import A, E, event
from tacita.testing.ring_contract import entry

PASSWORD = "a-password-of-tests-only"


def secret(value: str = PASSWORD) -> Any:
    return lambda option: Credential("env:TACITA_TEST_PASSWORD", lambda _: value)


def as_role(server: Any, role: str) -> Any:
    return psycopg.connect(
        host="127.0.0.1", port=server.port, user=role, password=PASSWORD, dbname="tacita", autocommit=True
    )


@pytest.mark.parametrize("layout", [DATA, RING], ids=["data", "ring"])
def test_a_role_has_rows_and_no_tables(server: Any, layout: Any) -> None:
    schema = server.schema(layout, f"rights_{layout.role}")
    with as_role(server, layout.role) as db:
        for table in layout.tables:
            for statement in ("DROP TABLE {}", "TRUNCATE {}", "ALTER TABLE {} ADD COLUMN x int", "VACUUM FULL {}"):
                if statement.startswith("VACUUM"):
                    continue  # refused with a warning, not an error
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    db.execute(statement.format(f"{schema}.{table}"))
            assert db.execute(f"SELECT count(*) FROM {schema}.{table}").fetchone() == (0,)
        for statement in (f"CREATE TABLE {schema}.mine (x int)", f"DROP SCHEMA {schema} CASCADE"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(statement)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute(f"UPDATE {schema}.layout SET version = 9")


def test_each_half_is_closed_to_the_other_halfs_role(server: Any) -> None:
    data, ring = server.schema(DATA, "closed_data"), server.schema(RING, "closed_ring")
    for schema, role, table in ((data, RING.role, "log"), (ring, DATA.role, "keys")):
        with as_role(server, role) as db, pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute(f"SELECT * FROM {schema}.{table}")
    with pytest.raises(StoreError, match=r"InsufficientPrivilege \(42501\); this role may not") as wrong:
        PostgresLogStore(server.uri(DATA, data, role=RING.role), secret())
    assert not wrong.value.retryable
    with pytest.raises(StoreError, match="42501"):
        PostgresKeyRing(server.uri(RING, ring, role=DATA.role), secret())


def test_a_right_that_is_taken_away_is_an_error_with_its_name(server: Any) -> None:
    store = server.log("revoked")
    store.append(A, 0, [event(1)], epoch=E)
    for privilege, use in (
        ("INSERT", lambda: store.append(A, 1, [event(2)], epoch=E)),
        ("UPDATE", lambda: store.append(A, 1, [event(2)], epoch=E)),
        ("SELECT", lambda: list(store.read(A))),
        ("DELETE", lambda: store.drop(A, epoch=E)),
    ):
        server.execute(f"REVOKE {privilege} ON {store._schema}.log FROM tacita_app")
        if privilege == "UPDATE":
            server.execute(f"REVOKE UPDATE ON {store._schema}.vaults FROM tacita_app")
        with pytest.raises(StoreError, match="42501") as failed:
            use()
        assert not failed.value.retryable
        assert "000002" not in "".join(traceback.format_exception(failed.value))
        server.execute(f"GRANT {privilege} ON {store._schema}.log, {store._schema}.vaults TO tacita_app")
    assert store.append(A, 1, [event(2)], epoch=E) == 2
    store.close()


def test_roles_that_may_do_too_much_are_refused_unless_told(server: Any) -> None:
    data, ring = server.schema(DATA, "too_much"), server.schema(RING, "too_much_keys")
    server.execute("CREATE ROLE twofold LOGIN PASSWORD '" + PASSWORD + "' IN ROLE tacita_app, tacita_keys")
    server.execute("CREATE ROLE owning LOGIN PASSWORD '" + PASSWORD + "' IN ROLE tacita_app_owner")
    server.execute("ALTER ROLE postgres PASSWORD '" + PASSWORD + "'")
    try:
        for role, complaint in (
            ("twofold", "data and keys"),
            ("owning", "drop or empty"),
            ("postgres", "drop or empty"),
        ):
            with pytest.raises(StoreError, match=complaint):
                PostgresLogStore(server.uri(DATA, data, role=role), secret())
        for role in ("twofold", "postgres"):
            with pytest.raises(StoreError, match="overprivileged=yes"):
                PostgresKeyRing(server.uri(RING, ring, role=role), secret())
            PostgresKeyRing(server.uri(RING, ring, role=role, overprivileged="yes"), secret()).close()
            PostgresLogStore(server.uri(DATA, data, role=role, overprivileged="yes"), secret()).close()
    finally:
        server.execute("DROP ROLE twofold; DROP ROLE owning")


def test_a_server_that_would_forget_is_refused(server: Any) -> None:
    schema = server.schema(DATA, "forgetful")
    server.execute("ALTER ROLE tacita_app SET synchronous_commit = off")
    try:
        with pytest.raises(StoreError, match="synchronous_commit is off"):
            PostgresLogStore(server.uri(DATA, schema), secret())
    finally:
        server.execute("ALTER ROLE tacita_app RESET synchronous_commit")
    store = PostgresLogStore(server.uri(DATA, schema), secret())
    # A connection keeps what was true when it was made.
    server.execute("ALTER SYSTEM SET synchronous_commit = off")
    server.execute("SELECT pg_reload_conf()")
    try:
        store.append(A, 0, [event(1)], epoch=E)
        with store._db.connection("look") as db:
            assert db.execute("SHOW synchronous_commit").fetchone() == ("on",)
    finally:
        server.execute("ALTER SYSTEM RESET synchronous_commit")
        server.execute("SELECT pg_reload_conf()")
    store.close()
    server.stop()
    server.start("-c", "fsync=off")
    try:
        with pytest.raises(StoreError, match="fsync is off"):
            PostgresLogStore(server.uri(DATA, schema), secret())
    finally:
        server.stop()
        server.start()


def test_tables_that_are_not_there_or_are_others(server: Any) -> None:
    with pytest.raises(StoreError, match="the tables are not there"):
        PostgresLogStore(server.uri(DATA, "nowhere"), secret())
    ring = server.schema(RING, "mixed_up")
    with pytest.raises(StoreError, match="42501"):
        PostgresLogStore(server.uri(DATA, ring), secret())
    with pytest.raises(StoreError, match="is not a Tacita log"):
        PostgresLogStore(server.uri(DATA, ring, role="tacita_keys", overprivileged="yes"), secret())
    newer = server.schema(DATA, "newer")
    server.execute(f"UPDATE {newer}.layout SET version = 99")
    with pytest.raises(StoreError, match="has layout 99"):
        PostgresLogStore(server.uri(DATA, newer), secret())
    with pytest.raises(psycopg.errors.RaiseException, match="newer Tacita"):
        server.execute(migration_sql(DATA, schema=newer))


def test_migrations_may_be_repeated_and_run_by_many_at_a_time(server: Any) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: server.execute(migration_sql(DATA, schema="many_makers")), range(6)))
        list(pool.map(lambda _: server.execute(roles_sql(DATA)), range(2)))
    store = PostgresLogStore(server.uri(DATA, "many_makers"), secret())
    store.append(A, 0, [event(1)], epoch=E)
    server.execute(migration_sql(DATA, schema="many_makers"))
    assert len(list(store.read(A))) == 1
    store.close()


def test_a_wrong_password_is_told_at_once_and_never_shown(server: Any) -> None:
    schema = server.schema(DATA, "wrong_password")
    wrong = "-".join(["a", "CANARY"])
    with pytest.raises(StoreError, match="password authentication failed") as failed:
        PostgresLogStore(server.uri(DATA, schema), secret(wrong))
    assert not failed.value.retryable
    store = server.log("reprs")
    ring = server.ring("reprs")
    ring.create(entry(A))
    with store._db.connection("look") as db:
        shown = repr(db) + repr(db.info) + db.info.dsn
    shown += "".join(traceback.format_exception(failed.value)) + repr(store) + repr(ring) + repr(store._db.address)
    assert wrong not in shown
    assert PASSWORD not in shown
    store.close()
    ring.close()


def test_the_environment_reroutes_nothing(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server.schema(DATA, "environment")
    for name, value in {
        "PGHOST": "127.0.0.2",
        "PGHOSTADDR": "127.0.0.2",
        "PGPORT": "1",
        "PGUSER": "postgres",
        "PGDATABASE": "postgres",
        "PGPASSWORD": "other",
        "PGOPTIONS": "-c synchronous_commit=off",
        "PGSSLMODE": "disable",
        "PGREQUIREAUTH": "none",
        "PGTARGETSESSIONATTRS": "standby",
        "PGSSLCERT": "/nowhere",
        "PGAPPNAME": "other",
    }.items():
        monkeypatch.setenv(name, value)
    store = PostgresLogStore(server.uri(DATA, "environment"), secret())
    store.append(A, 0, [event(1)], epoch=E)
    with store._db.connection("look") as db:
        found = db.execute("SELECT current_user, current_setting('application_name')").fetchone()
    assert found == ("tacita_app", "tacita")
    store.close()


def test_the_program_prints_what_it_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    for half in ("data", "ring"):
        for what in ("roles", "tables", "vacuum", "vacuum-full"):
            assert main([half, what]) == 0
    printed = capsys.readouterr().out
    assert "CREATE TABLE tacita.log" in printed
    assert "VACUUM (FULL) tacita_keys.keys;" in printed
    assert "PASSWORD" not in printed
    with pytest.raises(Exception, match="small letters"):
        main(["data", "--schema", 'x"; DROP SCHEMA y'])


def test_the_setup_of_the_how_to(server: Any) -> None:
    server.execute("CREATE DATABASE newcomer")
    psql = [server.programs / "psql", "-v", "ON_ERROR_STOP=1", "-h", server.folder, "-p", str(server.port)]
    for half in ("data", "ring"):
        for what in ("roles", "tables", "tables", "vacuum", "vacuum-full"):
            command = [sys.executable, "-m", "tacita.stores.postgres_setup", half, what]
            printed = subprocess.run(command, capture_output=True, check=True).stdout
            ran = subprocess.run(
                [*psql, "-U", "postgres", "-d", "newcomer"], input=printed, capture_output=True, check=False
            )
            assert ran.returncode == 0, ran.stderr.decode()
    at = f"127.0.0.1:{server.port}/newcomer?password=env:TACITA_TEST_PASSWORD"
    store = PostgresLogStore(f"postgres://tacita_app@{at}", secret())
    ring = PostgresKeyRing(f"postgresql://tacita_keys@{at}", secret())
    store.append(A, 0, [event(1)], epoch=E)
    ring.create(entry(A))
    store.close()
    ring.close()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from tacita import registry
    from tacita.stores import postgres_open

    def missing(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")

    monkeypatch.setattr(postgres_open, "import_module", missing)
    for role in ("stores", "rings"):
        for scheme in ("postgres", "postgresql"):
            with pytest.raises(ConfigError, match=r"pip install 'tacita\[postgres\]'"):
                registry.lookup(role, scheme)("postgres://a@b/c", secret())  # type: ignore[arg-type]
