"""A PostgreSQL server of the benchmarks' own on loopback, on a real disk, with durable commits; and memories over it.

Its programs are this machine's. Nothing in it outlives the benchmark.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

import speed
from tacita import Memory
from tacita.config import Settings
from tacita.stores.postgres_setup import DATA, RING, Layout, migration_sql, roles_sql

PASSWORD = "a-password-of-benchmarks-only"
PARTS = ("main", "few", "many")
os.environ.setdefault("TACITA_BENCH_PASSWORD", PASSWORD)


@dataclass(frozen=True)
class Database:
    """Where it is."""

    folder: Path
    port: int
    part: str = "main"
    """Another home with tables of its own on the same server."""

    def uri(self, layout: Layout) -> str:
        """One half, as a user would write it."""
        address = f"{layout.role}@127.0.0.1:{self.port}/tacita?password=env:TACITA_BENCH_PASSWORD"
        return f"postgres://{address}&schema={layout.schema}_{self.part}"

    def settings(self, cache_bytes: int = 1 << 30) -> Settings:
        """Of a memory over it."""
        config = {
            "home": str(self.folder / f"home-{self.part}"),
            "embedder": "none",
            "cache_bytes": cache_bytes,
            "cache_wait": 60,
        }
        return Settings.load(config={**config, "store": self.uri(DATA), "ring": self.uri(RING)})

    def memory(self, cache_bytes: int = 1 << 30) -> Memory:
        """A memory over it, whose embedder costs nothing."""
        return Memory(settings=self.settings(cache_bytes), embedder=speed.FreeEmbedder())


def programs() -> Path:
    """The folder with `initdb` and `postgres`. Exits when there is none."""
    on_path = shutil.which("initdb")
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    for folder in [*map(Path, found), *([Path(on_path).resolve().parent] if on_path else [])]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    sys.exit("this benchmark needs a PostgreSQL server: apt-get install postgresql")


def account() -> dict[str, Any]:
    """As whom the server runs: it refuses to be root."""
    if os.getuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def running(where: Path | None = None) -> Iterator[Database]:
    """A server with both halves set up, in a new folder in `where`, which must not be RAM."""
    folder = Path(tempfile.mkdtemp(prefix="tacita-bench-", dir=where))
    if _kind(folder) in ("tmpfs", "ramfs"):
        folder.rmdir()
        sys.exit(f"{folder.parent} is in RAM, where nothing is durable: name a folder on a disk with --folder")
    who, found = account(), programs()
    if who:
        os.chown(folder, who["user"], who["group"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    made = [found / "initdb", "--pgdata", data, "--username=postgres", "--encoding=UTF8", "--no-locale"]
    subprocess.run(
        [*made, "--auth-local=trust", "--auth-host=scram-sha-256"], check=True, capture_output=True, cwd=folder, **who
    )
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(
            f"port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{folder}'\n"
            "max_connections = 200\nshared_buffers = 512MB\nmax_wal_size = 4GB\n"
        )
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen([found / "postgres", "-D", data], stdout=log, stderr=log, cwd=folder, **who)
        try:
            _set_up(folder, port)
            yield Database(folder, port)
        finally:
            server.send_signal(signal.SIGINT)  # without waiting for those who are still connected
            server.wait(60)
            shutil.rmtree(folder, ignore_errors=True)


def _set_up(folder: Path, port: int) -> None:
    def connect(database: str) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(host=str(folder), port=port, user="postgres", dbname=database, autocommit=True)

    deadline = time.monotonic() + 60
    while True:
        try:
            with connect("postgres") as db:
                db.execute("CREATE DATABASE tacita")
            break
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    with connect("tacita") as db:
        for layout in (DATA, RING):
            db.execute(roles_sql(layout).encode())
            db.execute(f"ALTER ROLE {layout.role} PASSWORD '{PASSWORD}'".encode())
            for part in PARTS:
                db.execute(migration_sql(layout, schema=f"{layout.schema}_{part}").encode())


def _kind(folder: Path) -> str:
    mounts = [each for each in psutil.disk_partitions(all=True) if folder.is_relative_to(each.mountpoint)]
    return max(mounts, key=lambda each: len(each.mountpoint)).fstype if mounts else ""
