"""PostgreSQL with pgvector, by `psycopg`: `pgvector:TABLE@postgresql://USER@HOST:5432/DATABASE?password=env:NAME`.

One table for a home, partitioned by the vault's hash, with row-level security: a statement sees the one vault that its
transaction names, even if its condition were lost. Searches are exact: the vault's rows are read and compared.
`pgvector:TABLE?socket=FOLDER&user=USER&dbname=DATABASE` is a server on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

from tacita.addresses import is_loopback
from tacita.errors import ConfigError
from tacita.ports.vectors import Floats, VectorIndex
from tacita.vectors._place import Secrets, parse

T = TypeVar("T")

_PARTITIONS = 16
_IDLE = 8
"""Most connections that are kept for the next use."""


class PgvectorIndex(VectorIndex):
    """A table of PostgreSQL."""

    scheme = "pgvector"
    most = 100_000
    batch = 1_000

    def __init__(self, uri: str, secret: Secrets, dimensions: int) -> None:
        super().__init__(dimensions)
        known = frozenset({"password", "socket", "user", "dbname", "sslrootcert"})
        self._place = place = parse(uri, known, schemes=("postgresql", "postgres"))
        self._socket = place.options.get("socket")
        if bool(self._socket) == bool(place.host):
            raise ConfigError(
                "vectors pgvector: give an address, as in pgvector:tacita@postgresql://USER@HOST/DATABASE"
            )
        self.name = place.name + (f"@{self._socket}" if self._socket else "")
        self.hosts = place.hosts
        self._table = place.collection.lower()
        self._secret = secret
        self._idle: list[Any] = []
        self._lock = Lock()

    def _connect(self) -> Any:
        import psycopg
        from pgvector.psycopg import register_vector

        place = self._place
        here = self._socket is not None or is_loopback(place.host) or place.options.get("insecure") == "yes"
        connection = psycopg.connect(
            host=self._socket or place.host,
            # Named, even where it says nothing: what is not named is taken from the environment.
            hostaddr="",
            port=place.port or 5432,
            dbname=place.options.get("dbname") or place.path.strip("/") or "postgres",
            user=place.options.get("user") or place.user or "postgres",
            password=self._secret("password").reveal() if "password" in place.options else "",
            sslmode="prefer" if here else "verify-full",
            sslrootcert=place.options.get("sslrootcert", "" if here else "system"),
            options="-c row_security=on",
            connect_timeout=int(min(place.seconds, 10)),
            autocommit=True,
        )
        try:
            connection.execute("SELECT set_config('statement_timeout', %s, false)", [f"{int(place.seconds * 1000)}"])
            if self._opened:
                register_vector(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open(self) -> None:
        from pgvector.psycopg import register_vector

        connection = self._connect()
        try:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"tacita/{self._table}"])
                if connection.execute("SELECT to_regclass(%s)", [self._table]).fetchone()[0] is None:
                    self._make(connection)
            size = connection.execute(
                "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = 'embedding'",
                [self._table],
            ).fetchone()
            if size is None or size[0] != self.dimensions:
                raise self._wrong_dimensions(None if size is None else size[0])
            register_vector(connection)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _make(self, connection: Any) -> None:
        table = self._table
        if connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone() is None:
            connection.execute("CREATE EXTENSION vector")
        connection.execute(
            f"CREATE TABLE {table} (vault bytea NOT NULL, tag bytea NOT NULL, embedding vector({self.dimensions}) NOT NULL,"
            " PRIMARY KEY (vault, tag)) PARTITION BY HASH (vault)"
        )
        parts = [f"{table}_p{number}" for number in range(_PARTITIONS)]
        for number, part in enumerate(parts):
            connection.execute(
                f"CREATE TABLE {part} PARTITION OF {table} FOR VALUES WITH (MODULUS {_PARTITIONS}, REMAINDER {number})"
            )
        for each in (table, *parts):
            # A partition has no policy of its own: whoever asks it directly sees nothing.
            connection.execute(f"ALTER TABLE {each} ENABLE ROW LEVEL SECURITY")
            connection.execute(f"ALTER TABLE {each} FORCE ROW LEVEL SECURITY")
        connection.execute(
            f"CREATE POLICY one_vault ON {table}"
            " USING (encode(vault, 'hex') = current_setting('tacita.vault', true)"
            " OR current_setting('tacita.vault', true) = 'names of all')"
            " WITH CHECK (encode(vault, 'hex') = current_setting('tacita.vault', true))"
        )

    @contextmanager
    def _transaction(self, vault: str) -> Iterator[Any]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._connect()
        try:
            with connection.transaction():
                connection.execute("SELECT set_config('tacita.vault', %s, true)", [vault])
                yield connection
        except BaseException:
            # It may be broken, or in the middle of something.
            connection.close()
            raise
        with self._lock:
            kept = len(self._idle) < _IDLE and not self._closed
            if kept:
                self._idle.append(connection)
        if not kept:
            connection.close()

    def _steadily(self, vault: str, work: Callable[[Any], T]) -> T:
        """A kept connection may have died meanwhile, with the server or by its time limit: then once more on a new one."""
        import psycopg

        with self._lock:
            kept = len(self._idle)
        for _ in range(kept):
            try:
                with self._transaction(vault) as connection:
                    return work(connection)
            except psycopg.OperationalError:
                continue
        with self._transaction(vault) as connection:
            return work(connection)

    def _upsert(self, vault: bytes, tags: Sequence[bytes], vectors: Floats) -> None:
        def work(connection: Any) -> None:
            with connection.cursor() as cursor:
                cursor.executemany(
                    f"INSERT INTO {self._table} VALUES (%s, %s, %s)"
                    " ON CONFLICT (vault, tag) DO UPDATE SET embedding = EXCLUDED.embedding",
                    [(vault, tag, vector) for tag, vector in zip(tags, vectors, strict=True)],
                )

        self._steadily(vault.hex(), work)

    def _delete(self, vault: bytes, tags: Sequence[bytes]) -> None:
        statement = f"DELETE FROM {self._table} WHERE vault = %s AND tag = ANY(%s)"
        self._steadily(vault.hex(), lambda connection: connection.execute(statement, [vault, list(tags)]))

    def _drop(self, vault: bytes) -> None:
        statement = f"DELETE FROM {self._table} WHERE vault = %s"
        self._steadily(vault.hex(), lambda connection: connection.execute(statement, [vault]))

    def _rows(self, vault: bytes, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        def work(connection: Any) -> list[tuple[Any, ...]]:
            found: list[tuple[Any, ...]] = connection.execute(statement, values, binary=True).fetchall()
            return found

        return self._steadily(vault.hex(), work)

    def _search(self, vault: bytes, vector: Floats, k: int) -> list[tuple[bytes, float]]:
        statement = (
            f"SELECT tag, -(embedding <#> %s) FROM {self._table} WHERE vault = %s ORDER BY embedding <#> %s LIMIT %s"
        )
        return [(tag, float(score)) for tag, score in self._rows(vault, statement, vector, vault, vector, k)]

    def _present(self, vault: bytes, tags: Sequence[bytes]) -> list[bytes]:
        statement = f"SELECT tag FROM {self._table} WHERE vault = %s AND tag = ANY(%s)"
        return [row[0] for row in self._rows(vault, statement, vault, list(tags))]

    def _tags(self, vault: bytes) -> Iterator[bytes]:
        return (row[0] for row in self._rows(vault, f"SELECT tag FROM {self._table} WHERE vault = %s", vault))

    def _count(self, vault: bytes) -> int:
        [(count,)] = self._rows(vault, f"SELECT count(*) FROM {self._table} WHERE vault = %s", vault)
        return int(count)

    def _vaults(self) -> Iterator[bytes]:
        def work(connection: Any) -> list[bytes]:
            return [row[0] for row in connection.execute(f"SELECT DISTINCT vault FROM {self._table}").fetchall()]

        return iter(self._steadily("names of all", work))

    def _close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _transient(self, error: Exception) -> bool:
        import psycopg

        return isinstance(error, psycopg.OperationalError) or super()._transient(error)
