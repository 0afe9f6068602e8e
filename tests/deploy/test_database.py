"""The databases of compose.yaml for real: its script's certificates and passwords, its options, its commands, no container."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

pytestmark = pytest.mark.slow
HALVES = {"db-data": ("tacita", "tacita_app"), "db-keys": ("tacita_keys", "tacita_keys")}


@dataclass
class Deployed:
    """Two servers as compose.yaml starts them, and what stands in for the mounts of its services."""

    folder: Path
    compose: dict[str, Any]
    deploy: Path
    programs: Path
    account: dict[str, Any]
    ports: dict[str, int]

    def translated(self, service: str, words: list[str]) -> list[str]:
        """A command of a service, with the paths and hosts of this machine for those of the container."""
        found = self.compose["services"][service]
        places = {
            f"/run/secrets/{each['target']}": self.folder / "secrets" / Path(self.source("secrets", each)).name
            for each in found.get("secrets", [])
        } | {each["target"]: self.deploy / self.source("configs", each) for each in found.get("configs", [])}
        # The longest first: one name may begin another.
        for place in sorted(places, key=len, reverse=True):
            words = [word.replace(place, str(places[place])) for word in words]
        return words

    def source(self, kind: str, mounted: dict[str, str]) -> str:
        return str(self.compose[kind][mounted["source"]]["file"])

    def settings(self, service: str, *, host: str = "localhost") -> dict[str, Any]:
        """deploy/tacita.toml as this service would read it."""
        text = (self.deploy / "tacita.toml").read_text(encoding="utf-8")
        [text] = self.translated(service, [text])
        for name, port in self.ports.items():
            text = text.replace(f"@{name}/", f"@{host}:{port}/")
        return tomllib.loads(text)

    def tacita(
        self, service: str, *more: str, home: str = "home", keys: str | None = ""
    ) -> subprocess.CompletedProcess[str]:
        """What a service of ours runs, with another command behind its entrypoint if `more` is given.

        `keys` stands in for that setting; with None it is left out.
        """
        found = self.compose["services"][service]
        entrypoint = found.get("entrypoint", ["tacita"])
        command = [*entrypoint, *(more or found["command"])]
        assert command[0] == "tacita"
        config = self.folder / f"{service}.json"
        settings = self.settings(service)
        if keys != "":
            settings = {name: value for name, value in settings.items() if name != "keys"} | (
                {"keys": keys} if keys else {}
            )
        config.write_text(json.dumps(settings))
        return subprocess.run(
            [str(Path(sys.executable).with_name("tacita")), *command[1:]],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], "TACITA_CONFIG": str(config), "TACITA_HOME": str(self.folder / home)},
        )

    def prepare(self, service: str) -> subprocess.CompletedProcess[str]:
        """Run a schema job."""
        found = self.compose["services"][service]
        words = self.translated(service, [*found["entrypoint"], *found["command"]])
        host = words[3]
        words[3] = "localhost"
        assert words[0] == "python"
        return subprocess.run(
            [sys.executable, *words[1:], "--port", str(self.ports[host])], capture_output=True, text=True, check=False
        )

    def connect(self, server: str, user: str, secret: str, database: str, **more: str) -> psycopg.Connection[Any]:
        """A connection of somebody who knows a password, with TLS unless told otherwise."""
        told = {"sslmode": "verify-full", "sslrootcert": str(self.folder / "secrets" / "ca.crt"), **more}
        return psycopg.connect(
            **{"host": "localhost", **told},
            port=self.ports[server],
            user=user,
            dbname=database,
            password=(self.folder / "secrets" / secret).read_text().strip(),
        )


def make_secrets(deploy: Path, folder: Path, account: dict[str, Any]) -> str:
    """Run the script, for this machine's users."""
    if shutil.which("openssl") is None:
        pytest.fail("these tests need openssl")
    done = subprocess.run(
        ["sh", deploy / "make-secrets.sh", folder / "secrets"],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "TACITA_UID": str(os.getuid()),
            "POSTGRES_UID": str(account.get("user", os.getuid())),
            "DATA_HOST": "localhost",
            "KEYS_HOST": "localhost",
        },
    )
    assert done.returncode == 0, done.stderr
    # In a container these files are mounted one by one; here the server's user walks through the folder.
    (folder / "secrets").chmod(0o711)
    return done.stdout


def started(it: Deployed, name: str) -> subprocess.Popen[bytes]:
    """A server with exactly the options of compose.yaml, made as the image's entry point makes it."""
    service = it.compose["services"][name]
    home = it.folder / name
    home.mkdir()
    if it.account:
        os.chown(home, it.account["user"], it.account["group"])
    environment = service["environment"]
    [password] = it.translated(name, [environment["POSTGRES_PASSWORD_FILE"]])
    init = [it.programs / "initdb", "-D", home / "data", "--username=postgres", f"--pwfile={password}", "--no-sync"]
    subprocess.run(
        [*init, *environment["POSTGRES_INITDB_ARGS"].split()], check=True, capture_output=True, cwd=home, **it.account
    )
    words = it.translated(name, service["command"])
    assert words[0] == "postgres"
    port = it.ports[name]
    command = [
        it.programs / "postgres",
        *words[1:],
        "-D",
        home / "data",
        "-p",
        str(port),
        "-k",
        home,
        "-h",
        "127.0.0.1",
    ]
    with (it.folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([str(each) for each in command], stdout=log, stderr=log, cwd=home, **it.account)
    deadline = time.monotonic() + 60
    secret = Path(password).name
    while True:
        try:
            db = it.connect(name, "postgres", secret, "postgres", host=str(home), sslmode="disable", sslrootcert="")
        except psycopg.OperationalError:
            assert process.poll() is None, (it.folder / f"{name}.log").read_text()
            assert time.monotonic() < deadline, (it.folder / f"{name}.log").read_text()
            time.sleep(0.1)
            continue
        db.autocommit = True
        db.execute(f"CREATE DATABASE {environment['POSTGRES_DB']}")
        db.close()
        return process


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def deployed(compose: dict[str, Any], deploy: Path, postgres_tools: ModuleType) -> Iterator[Deployed]:
    """Both servers, with their schemas prepared."""
    # Not under pytest's folder, which every other run of pytest shuts again while the server's user walks through it.
    folder = Path(tempfile.mkdtemp(prefix="tacita-deploy-"))
    account = postgres_tools.account()
    programs = postgres_tools.within_reach(postgres_tools.find_programs(), account, folder)
    made = make_secrets(deploy, folder, account)
    assert made == ""
    folder.chmod(0o711)
    config = folder / "deploy"
    shutil.copytree(deploy, config, ignore=shutil.ignore_patterns("secrets", "backups", "helm"))
    subprocess.run(["chmod", "-R", "a+rX", config], check=True)
    it = Deployed(folder, compose, config, programs, account, {name: free_port() for name in HALVES})
    running = []
    try:
        for name in HALVES:
            running.append(started(it, name))
        for service in ("schema-data", "schema-keys"):
            done = it.prepare(service)
            assert done.returncode == 0, done.stderr
            assert "are ready" in done.stdout
        yield it
    finally:
        for process in running:
            process.terminate()
            process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def test_secrets_are_their_readers_alone_and_never_written_over(
    deployed: Deployed, deploy: Path, compose: dict[str, Any]
) -> None:
    folder = deployed.folder / "secrets"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    said = make_secrets(deploy, deployed.folder, deployed.account)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert said.count("is there already and stays") == 11
    for path in folder.iterdir():
        if path.suffix == ".crt":
            assert path.stat().st_mode & 0o222 == 0
        else:
            assert path.stat().st_mode & 0o077 == 0, path
    assert len({before[name] for name in before if "password" in name and not name.endswith(".app")}) == 4
    for name in before:
        owner = (
            deployed.account.get("user", os.getuid())
            if name in ("db-data.key", "db-keys.key", "data-admin-password", "keys-admin-password", "keys.pgpass")
            else os.getuid()
        )
        assert (folder / name).stat().st_uid == owner, name
    # Nothing else is mounted anywhere, and the authority's key nowhere.
    mounted = {Path(each["file"]).name for each in compose["secrets"].values()}
    assert mounted | {"ca.key"} == set(before)
    assert "ca.key" not in mounted


def test_the_certificates_are_for_one_name_and_for_servers(deployed: Deployed) -> None:
    from cryptography import x509

    for name in HALVES:
        certificate = x509.load_pem_x509_certificate((deployed.folder / "secrets" / f"{name}.crt").read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["localhost"]
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        days = (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days
        assert days == 397


@pytest.mark.parametrize("name", HALVES)
def test_the_network_is_entered_over_verified_tls_by_those_who_belong_there(deployed: Deployed, name: str) -> None:
    database, role = HALVES[name]
    secret = "data-password" if role == "tacita_app" else "keys-password"
    with deployed.connect(name, role, secret, database) as db:
        assert db.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (
            True,
            "TLSv1.3",
        )
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        deployed.connect(name, role, secret, database, sslmode="disable", sslrootcert="")
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        deployed.connect(name, role, secret, database, host="127.0.0.1")
    with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
        deployed.connect(name, role, secret, "postgres")
    # The role of one half is unknown to the other server.
    other = "keys-password" if role == "tacita_app" else "data-password"
    stranger = "tacita_keys" if role == "tacita_app" else "tacita_app"
    with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
        deployed.connect(name, stranger, other, database)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        deployed.connect(name, role, other, database)


def test_set_up_may_be_repeated_and_follows_a_new_password(deployed: Deployed) -> None:
    secret = deployed.folder / "secrets" / "data-password"
    before = secret.read_text()
    try:
        secret.chmod(0o600)
        secret.write_text("another-password\n")
        assert deployed.prepare("schema-data").returncode == 0
        deployed.connect("db-data", "tacita_app", "data-password", "tacita").close()
    finally:
        secret.write_text(before)
        secret.chmod(0o400)
        assert deployed.prepare("schema-data").returncode == 0
    deployed.connect("db-data", "tacita_app", "data-password", "tacita").close()


def test_memories_live_there_and_every_job_runs(deployed: Deployed) -> None:
    added = deployed.tacita("worker", "--embedder", "none", "add", "Ana plays the cello.", "-u", "ana")
    assert added.returncode == 0, added.stderr
    # Another container has another, empty home, and the settings name the root key: it finds the same memory.
    for service, home in (("doctor", "home"), ("doctor", "second"), ("sweep", "third"), ("verify", "fourth")):
        done = deployed.tacita(service, home=home)
        assert done.returncode == 0, done.stderr
    probed = deployed.compose["services"]["worker"]["healthcheck"]["test"]
    assert probed[:2] == ["CMD", "tacita"]
    assert deployed.tacita("worker", *probed[2:], home="fifth").returncode == 0
    found = deployed.tacita("worker", "--embedder", "none", "search", "cello", "-u", "ana", "--json", home="sixth")
    assert "Ana plays the cello." in found.stdout
    verified = json.loads(deployed.tacita("verify").stdout)
    assert verified["ok"]
    # Nothing of it is in a home: what a container loses when it ends is nothing.
    assert not list((deployed.folder / "sixth").rglob("*.db"))


def test_backups_keys_first_data_second(deployed: Deployed) -> None:
    assert deployed.tacita("worker", "--embedder", "none", "add", "Bo likes figs.", "-u", "bo").returncode == 0
    service = deployed.compose["services"]["backup-keys"]
    dump = deployed.folder / "db-keys" / "keys.dump"
    words = deployed.translated("backup-keys", [*service["entrypoint"], *service["command"]])
    words = [
        word.replace("/backups/keys.dump", str(dump)).replace("--host=db-keys", "--host=localhost") for word in words
    ]
    environment = deployed.translated("backup-keys", list(service["environment"].values()))
    done = subprocess.run(
        [str(deployed.programs / words[0]), *words[1:]],
        env=dict(zip(service["environment"], environment, strict=True)) | {"PGPORT": str(deployed.ports["db-keys"])},
        capture_output=True,
        text=True,
        check=False,
        cwd=deployed.folder / "db-keys",
        **deployed.account,
    )
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        [deployed.programs / "pg_restore", "--list", dump], capture_output=True, text=True, check=True, cwd=dump.parent
    ).stdout
    for table in ("keys", "successors", "anchors", "tombstones", "settings", "layout"):
        assert f"TABLE DATA tacita_keys {table} " in listed
    copy = deployed.folder / "data.db"
    done = deployed.tacita("backup-data", str(copy))
    assert done.returncode == 0, done.stderr
    assert copy.stat().st_mode & 0o077 == 0
    assert b"figs" not in copy.read_bytes()
    assert deployed.tacita("backup-data", str(copy)).returncode != 0, "a backup never writes over a file"


def test_the_root_key_moves_in_one_container_whose_home_lasts_as_long(deployed: Deployed) -> None:
    # As docs/how-to/deploy.md tells it: all other homes are empty at each start and know only what the settings say.
    assert deployed.tacita("worker", "--embedder", "none", "add", "Cy sails.", "-u", "cy").returncode == 0
    old = str(deployed.settings("worker")["keys"])
    new = f"file:{deployed.folder / 'secrets' / 'root-2.key'}"
    # A root key that is simply the wrong one opens nothing, even where no home remembers the right one.
    wrong = deployed.folder / "wrong.key"
    wrong.write_text(base64.b64encode(os.urandom(32)).decode())
    wrong.chmod(0o400)
    refused = deployed.tacita("doctor", "doctor", home="before", keys=f"file:{wrong}")
    assert refused.returncode != 0
    assert "wrong" in refused.stderr.lower()
    assert deployed.tacita("worker", "init", home="moving").returncode == 0
    for words in (["rotate", "--to", new], ["rotate"]):
        done = deployed.tacita("worker", *words, home="moving", keys=None)
        assert done.returncode == 0, done.stderr
    found = deployed.tacita("worker", "--embedder", "none", "search", "sails", "-u", "cy", home="after", keys=new)
    assert "Cy sails." in found.stdout
    # And back, for the tests that come.
    assert deployed.tacita("worker", "init", home="back", keys=new).returncode == 0
    for words in (["rotate", "--to", old], ["rotate"]):
        assert deployed.tacita("worker", *words, home="back", keys=None).returncode == 0


def test_a_home_in_a_folder_that_others_may_enter_is_shut_itself(deployed: Deployed) -> None:
    # As Kubernetes makes an emptyDir: for everybody, and with a group's bit where the pod has an fsGroup.
    volume = deployed.folder / "empty-dir"
    volume.mkdir()
    volume.chmod(0o2777)
    done = deployed.tacita("doctor", "doctor", "--json", home="empty-dir/home")
    assert done.returncode == 0, done.stderr
    assert (volume / "home").stat().st_mode & 0o077 == 0


def test_no_password_is_in_the_servers_logs(deployed: Deployed) -> None:
    for path in (deployed.folder / "secrets").iterdir():
        if "password" in path.name:
            for name in HALVES:
                assert path.read_text().strip() not in (deployed.folder / f"{name}.log").read_text()
