"""Real Redis servers, alone or as a cluster, and moto's DynamoDB: on loopback, in folders of their own, for the tests."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tacita.credentials import Credential
from tacita.errors import StoreError
from tacita.ports.log import LogStore

PASSWORD = "a-password-of-tests-only"


def secret(option: str) -> Credential:
    return Credential(f"env:{option}", lambda _: PASSWORD)


def program() -> str:
    """Redis, or Valkey: whichever is installed, or named by TACITA_TEST_REDIS."""
    for name in (os.environ.get("TACITA_TEST_REDIS", ""), "redis-server", "valkey-server"):
        if name and (found := shutil.which(name)):
            return found
    pytest.fail("these tests need a Redis or Valkey server: apt-get install redis-server (or valkey-server)")


def free_port(also: int = 0) -> int:
    """A port that is free, and so is the one `also` above it."""
    while True:
        with socket.socket() as sock, socket.socket() as other:
            sock.bind(("127.0.0.1", 0))
            port: int = sock.getsockname()[1]
            if port + also > 65_535:
                continue
            try:
                other.bind(("127.0.0.1", port + also if also else 0))
            except OSError:
                continue
            return port


def wait_for(ready: Callable[[], bool], what: str) -> None:
    for _ in range(400):
        if ready():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come up")


class RedisServer:
    """One server that is on disk before it answers. `options` are lines of its configuration."""

    def __init__(self, folder: Path, *options: str, cluster: bool = False) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True)
        self.port = free_port(10_000 if cluster else 0)
        lines = [
            *("bind 127.0.0.1", f"port {self.port}", f"dir {folder}", "save ''", "daemonize no"),
            *("appendonly yes", "appendfsync always", "no-appendfsync-on-rewrite no", "auto-aof-rewrite-percentage 0"),
            "rdbcompression no",  # tests look for bytes in the files
            *(f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", f"unixsocket {folder}/redis.sock"),
            *(("cluster-enabled yes", "cluster-node-timeout 2000") if cluster else ()),
            *options,
        ]
        (folder / "redis.conf").write_text("\n".join(lines) + "\n")
        self.start()

    def start(self) -> None:
        log = (self.folder / "out.log").open("ab")
        self.process = subprocess.Popen([program(), str(self.folder / "redis.conf")], stdout=log, stderr=log)
        log.close()
        wait_for(self._ready, "redis-server")

    def _ready(self) -> bool:
        assert self.process.poll() is None, (self.folder / "out.log").read_text()[-2000:]
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=PASSWORD, protocol=2)

    def kill(self) -> None:
        """As a power failure of the process: no chance to write anything more."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def uri(self, prefix: str = "tacita", **options: str) -> str:
        more = "".join(f"&{name}={value}" for name, value in options.items())
        return f"redis://127.0.0.1:{self.port}/0?password=env:REDIS_PASSWORD&prefix={prefix}{more}"

    def file_holds(self, needle: bytes) -> bool:
        while True:
            try:
                return any(needle in path.read_bytes() for path in (self.folder / "appendonlydir").iterdir())
            except FileNotFoundError:
                pass  # the server put a rewritten file in its place while this read


class RedisCluster:
    """Three masters that share the slots."""

    def __init__(self, folder: Path) -> None:
        self.servers = [RedisServer(folder / str(number), cluster=True) for number in range(3)]
        share = 16_384 // 3 + 1
        for number, server in enumerate(self.servers):
            with server.client() as client:
                first, last = number * share, min((number + 1) * share, 16_384) - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.servers[0].port)
        for server in self.servers:
            wait_for(lambda server=server: self._ok(server), "the cluster")  # type: ignore[misc]

    def _ok(self, server: RedisServer) -> bool:
        with server.client() as client:
            info = client.execute_command("CLUSTER", "INFO")
            text = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
            return (text["cluster_state"], text["cluster_known_nodes"]) == ("ok", "3")

    def uri(self, prefix: str = "tacita") -> str:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"redis+cluster://{hosts}?password=env:REDIS_PASSWORD&prefix={prefix}"

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


class MotoServer:
    """moto's server, which speaks DynamoDB over HTTP, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        self._log = folder / "out.log"
        log = self._log.open("ab")
        script = Path(__file__).with_name("moto_app.py")
        command = [sys.executable, "-W", "ignore", str(script), str(self.port)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=clean)
        log.close()
        wait_for(self._ready, "moto")

    def _ready(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()[-2000:]
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def uri(self, prefix: str, **options: str) -> str:
        more = "".join(f"&{name}={value}" for name, value in ({"create": "yes"} | options).items())
        where = f"region=eu-central-1@http://127.0.0.1:{self.port}"
        return f"dynamodb:{prefix}?{where}&key=env:AWS_KEY&secret=env:AWS_SECRET{more}"

    def forget(self) -> None:
        """Drop all tables. moto copies every one of them for each transaction."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/moto-api/reset", b"", method="POST")
        urllib.request.urlopen(request).close()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def named(folder: Path) -> str:
    """A name for what a test keeps, the same for the same folder."""
    return "t" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]


def refuses_a_forked_child(store: LogStore, vault_id: bytes) -> bool:
    """Whether a child that inherits the store is told so, instead of using its parent's connection."""
    child = os.fork()
    if child == 0:
        try:
            store.head(vault_id)
        except StoreError as error:
            store.close()
            os._exit(0 if "fork" in str(error) else 1)
        os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
