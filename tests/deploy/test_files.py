"""What deploy/ promises: no root, nothing writable, no secret, and commands and settings that exist."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tacita import __version__
from tacita.config import Settings
from tacita.stores import postgres_setup
from tacita.surfaces.cli import app

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
EXAMPLES = sorted(path.name for path in (DEPLOY / "helm" / "examples").glob("*.yaml"))
REFERENCE = re.compile(r"(?:password|token|secret|key)=(?:env|file|keyring):|credentials=default")

# --- commands and settings are real ---


def parses(words: list[str]) -> None:
    """Raises for a command line that our program would not take. Runs nothing."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("tacita", list(words))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert name
        context = command.make_context(name, rest, parent=context)


def test_the_parser_is_the_real_one() -> None:
    parses(["backup", "data", "x.db", "--json"])
    for wrong in (["sweeep"], ["sweep", "--deep"], ["backup", "data"], ["backup", "dota", "x"]):
        # Typer carries a copy of click, whose errors are no other package's.
        with pytest.raises(Exception) as refused:
            parses(wrong)
        assert getattr(refused.value, "exit_code", None) == 2, wrong


def settings(tmp_path: Path, described: dict[str, Any]) -> Settings:
    return Settings.load(home=tmp_path, config=described)


# --- the image ---


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """Instructions with their arguments, continued lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.replace("\\\n", " ").splitlines() if line]


def test_every_base_is_pinned_by_digest(dockerfile: list[tuple[str, str]]) -> None:
    [image] = [value for name, value in dockerfile if name == "ARG" and value.startswith("PYTHON_IMAGE=")]
    assert re.fullmatch(r"PYTHON_IMAGE=docker\.io/library/python:3\.\d+-slim-\w+@sha256:[0-9a-f]{64}", image)
    bases = [value.split()[0] for name, value in dockerfile if name == "FROM"]
    assert bases == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}", "scratch"]


def test_everything_is_installed_from_hashed_locks(dockerfile: list[tuple[str, str]]) -> None:
    installs = [
        part
        for name, value in dockerfile
        if name == "RUN"
        for part in re.split(r"&&|;", value)
        if re.search(r"pip\b.*\binstall\b", part)
    ]
    assert len(installs) == 4
    for part in installs:
        if part.split()[-1] == ".":
            # What was copied here, built by what is there already.
            assert {"--no-build-isolation", "--no-deps", "--no-index"} <= set(part.split())
        else:
            assert {"--require-hashes", "--only-binary", "--requirement"} <= set(part.split())
    locks = {part.split()[-1].strip('"') for part in installs} - {"."}
    assert locks == {"requirements/run.txt", "requirements/extras/${extra}.txt", "requirements/model.txt"}
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert not re.search(r"\b(curl|wget|git clone|ADD)\b", text)


def test_what_only_building_needs_is_taken_out_again(dockerfile: list[tuple[str, str]]) -> None:
    from importlib.metadata import requires

    runs = " ".join(value for name, value in dockerfile if name == "RUN")
    [removed] = re.findall(r"uninstall --yes\s+([\w\s.-]+?)\s+&&", runs)
    locked = re.findall(r"(?m)^([\w.-]+)==", (ROOT / "requirements/run.txt").read_text(encoding="utf-8"))
    assert set(removed.split()) <= set(locked)
    assert "hatchling" in removed.split()
    # Nothing that stays asks for them.
    for name in set(locked) - set(removed.split()):
        try:
            asked = requires(name) or []
        except ModuleNotFoundError:
            continue  # of another Python or system
        needed = {re.split(r"[^\w.-]", each)[0].lower() for each in asked if "extra ==" not in each}
        assert not needed & set(removed.split()), name


def test_the_image_runs_as_nobody_special(dockerfile: list[tuple[str, str]]) -> None:
    last = dockerfile[max(i for i, (name, _) in enumerate(dockerfile) if name == "FROM") :]
    said = dict(last)
    assert said["USER"] == "10001:10001"
    assert json.loads(said["ENTRYPOINT"]) == ["tacita"]
    assert "org.opencontainers.image.version" in said["LABEL"]
    assert f"VERSION={__version__}" in [value for name, value in last if name == "ARG"]
    environment = dict(shlex.split(pair)[0].split("=", 1) for pair in said["ENV"].split())
    assert environment["TACITA_HOME"].startswith(environment["HOME"] + "/")
    check = json.loads(said["HEALTHCHECK"].partition("CMD ")[2])
    assert check[0] == "tacita"
    parses(check[1:])
    assert "RUN" not in said


def test_only_what_is_needed_reaches_the_build(dockerfile: list[tuple[str, str]]) -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    ignored = [line for line in lines if line and not line.startswith("#")]
    assert ignored[0] == "**"
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        word
        for name, value in dockerfile
        if name == "COPY" and "--from" not in value
        for word in value.split()[:-1]
        if not word.startswith("--")
    }
    assert copied == allowed
    assert {"**/*.key", "**/*.db", "**/.*"} <= set(ignored)


def test_extras_have_locks_that_agree_with_the_others() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "requirements" / "extras").glob("*.txt")}
    assert extras.keys() <= project["project"]["optional-dependencies"].keys()
    assert {"postgres", "redis", "dynamodb", "awskms", "gcpkms", "azurekms"} <= extras.keys()
    pins = dict(re.findall(r"(?m)^([\w.-]+)==([\w.!+]+)", (ROOT / "requirements/dev.txt").read_text(encoding="utf-8")))
    run = re.findall(r"(?m)^([\w.-]+)==", (ROOT / "requirements/run.txt").read_text(encoding="utf-8"))
    for name, text in extras.items():
        assert "://" not in text
        found = dict(re.findall(r"(?m)^([\w.-]+)==([\w.!+]+)", text))
        assert found
        assert text.count("==") >= len(found)
        for entry in re.split(r"\n(?=[a-z0-9])", text.partition("\n")[2].strip()):
            assert "--hash=sha256:" in entry, entry
        asked = {re.split(r"[^\w.-]", each)[0].lower() for each in project["project"]["optional-dependencies"][name]}
        assert asked <= found.keys()
        assert {each: pins[each] for each in found if each in pins and each not in run} == {
            each: version for each, version in found.items() if each in pins and each not in run
        }


# --- Compose ---


def service_names() -> list[str]:
    return list(yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"])


@pytest.mark.parametrize("name", service_names())
def test_each_service_has_as_little_as_it_can_do_with(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert "ports" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] in ("10001:10001", "999:999")
    assert {"mem_limit", "cpus", "pids_limit", "init"} <= service.keys()
    image = service["image"]
    assert re.search(r"@sha256:[0-9a-f]{64}$", image) or re.fullmatch(r"\$\{\w+:-tacita(-worker)?:[\d.]+\}", image)
    for volume in service.get("volumes", []):
        assert not volume.startswith(("/", "~"))
        assert "docker.sock" not in volume


def test_no_secret_stands_in_the_file(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            named = re.search(r"PASS|SECRET|KEY|TOKEN", variable)
            assert not named or str(value).startswith("/run/secrets/"), f"{name}: {variable}"
        for mounted in service.get("secrets", []):
            assert mounted["source"] in compose["secrets"]
    for secret in compose["secrets"].values():
        assert set(secret) == {"file"}
    ignored = (DEPLOY / ".gitignore").read_text(encoding="utf-8").split()
    assert "secrets/" in ignored
    assert all(secret["file"].startswith("./secrets/") for secret in compose["secrets"].values())


def test_who_sees_which_half(compose: dict[str, Any]) -> None:
    networks, services = compose["networks"], compose["services"]
    assert networks["data"] == {"internal": True}
    assert networks["keys"] == {"internal": True}
    assert services["db-data"]["networks"] == services["schema-data"]["networks"] == ["data"]
    assert services["db-keys"]["networks"] == services["schema-keys"]["networks"] == ["keys"]
    assert [name for name, each in services.items() if "outside" in each["networks"]] == ["worker"]
    # Administrators' passwords and servers' keys: each in the one place that needs it.
    seen = {name: {each["source"] for each in service.get("secrets", [])} for name, service in services.items()}

    def readers(secret: str) -> set[str]:
        return {name for name, sources in seen.items() if secret in sources}

    for half, schema in (("data", "schema-data"), ("keys", "schema-keys")):
        assert readers(f"{half}-admin-password") == {f"db-{half}"}
        assert readers(f"{half}-admin-password-app") == {schema}
        assert readers(f"db-{half}-key") == {f"db-{half}"}
    assert "root-key" not in seen["schema-data"] | seen["schema-keys"] | seen["backup-keys"]
    assert services["db-data"]["volumes"] != services["db-keys"]["volumes"]


def test_compose_names_commands_and_settings_that_exist(compose: dict[str, Any], tmp_path: Path) -> None:
    ours = 0
    for service in compose["services"].values():
        command = [*service.get("entrypoint", ["tacita"]), *service.get("command", [])]
        if service["user"] == "10001:10001" and command[0] == "tacita" and "command" in service:
            parses(command[1:])
            ours += 1
        check = service.get("healthcheck", {}).get("test", [])
        if check[1:2] == ["tacita"]:
            parses(check[2:])
            ours += 1
    assert ours == 5
    described = tomllib.loads((DEPLOY / "tacita.toml").read_text(encoding="utf-8"))
    loaded = settings(tmp_path, described)
    for uri in (loaded.store, loaded.ring):
        assert uri
        assert "sslrootcert=/run/secrets/ca.crt" in uri
        assert "password=file:/run/secrets/" in uri
        assert not re.search(r"insecure|overprivileged|sslmode", uri)
    assert loaded.keys == "file:/run/secrets/root.key"
    mounted = {f"/run/secrets/{each['target']}" for each in compose["services"]["worker"]["secrets"]}
    assert set(re.findall(r"/run/secrets/[\w.-]+", (DEPLOY / "tacita.toml").read_text(encoding="utf-8"))) == mounted


def test_there_is_no_sql_of_its_own() -> None:
    # The statements come from the program that docs/how-to/postgres.md shows, whatever it says tomorrow.
    text = (DEPLOY / "database" / "prepare.py").read_text(encoding="utf-8")
    assert not re.search(r"CREATE|GRANT|REVOKE|INSERT", text)
    assert {"roles_sql", "migration_sql"} <= set(re.findall(r"\w+", text))
    for layout, words in (
        (postgres_setup.DATA, "data db-data tacita"),
        (postgres_setup.RING, "ring db-keys tacita_keys"),
    ):
        half, host, database = words.split()
        assert postgres_setup.LAYOUTS[half] is layout
        rules = (DEPLOY / "database" / f"{host.removeprefix('db-')}.pg_hba.conf").read_text(encoding="utf-8")
        lines = [line.split() for line in rules.splitlines() if line and not line.startswith("#")]
        assert lines == [
            ["local", "all", "all", "scram-sha-256"],
            ["hostssl", database, layout.role, "all", "scram-sha-256"],
            ["hostssl", database, "postgres", "all", "scram-sha-256"],
        ]


# --- Helm: what its own library rendered (scripts/deploy_lint.py) ---


def manifests(name: str) -> list[dict[str, Any]]:
    text = (DEPLOY / "helm" / "rendered" / name).read_text(encoding="utf-8")
    return [each for each in yaml.safe_load_all(text) if each]


def pods(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for each in manifests(name):
        if each["kind"] == "CronJob":
            yield each["metadata"]["name"], each["spec"]["jobTemplate"]["spec"]["template"]
        elif each["kind"] == "Deployment":
            yield each["metadata"]["name"], each["spec"]["template"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_pods_run_as_nobody_and_write_nowhere(name: str) -> None:
    found = dict(pods(name))
    assert {"tacita-sweep", "tacita-verify"} <= found.keys()
    for pod in found.values():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert (
            spec["securityContext"].items()
            >= {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            }.items()
        )
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        [container] = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        assert "ports" not in container
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_secrets_are_references_and_settings_load(name: str, tmp_path: Path) -> None:
    assert not [each for each in manifests(name) if each["kind"] == "Secret"]
    [config] = [each for each in manifests(name) if each["kind"] == "ConfigMap"]
    described = json.loads(config["data"]["tacita.json"])
    loaded = settings(tmp_path, described)
    used = set(re.findall(r"env:(\w+)", json.dumps(described)))
    for uri in (loaded.store, loaded.ring):
        assert uri
        assert REFERENCE.search(uri)
        assert "sslrootcert=/etc/tacita-ca/" in uri
    for _, pod in pods(name):
        given = {each["name"]: each for each in pod["spec"]["containers"][0]["env"]}
        assert used <= given.keys()
        assert all("secretKeyRef" in given[each]["valueFrom"] for each in used)
        literal = {each for each, entry in given.items() if "value" in entry}
        assert literal == {"TACITA_CONFIG"}
        assert given["TACITA_CONFIG"]["value"] == "/etc/tacita/tacita.json"


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_chart_names_commands_that_exist(name: str) -> None:
    for where, pod in pods(name):
        [container] = pod["spec"]["containers"]
        if "command" not in container:
            parses(container["args"])
        for probe in ("livenessProbe", "readinessProbe"):
            if probe in container:
                [program, *words] = container[probe]["exec"]["command"]
                assert program == "tacita"
                parses(words)
        # What shows that the process lives must not depend on the database.
        if "livenessProbe" in container:
            assert container["livenessProbe"]["exec"]["command"] == ["tacita", "config", "path"], where


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_goes_in_and_only_what_is_named_goes_out(name: str) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in manifests(name) if each["kind"] == "NetworkPolicy"}
    deny = policies["tacita-deny"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & deny.keys()
    for _, pod in pods(name):
        assert deny["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    for spec in policies.values():
        assert "ingress" not in spec
        for rule in spec.get("egress", []):
            # An empty list would be everybody.
            assert rule["to"]
            assert rule["ports"]


def test_identities_of_the_clouds() -> None:
    accounts = {name: each for name in EXAMPLES for each in manifests(name) if each["kind"] == "ServiceAccount"}
    keys = {"eks.yaml": "eks.amazonaws.com/role-arn", "gke.yaml": "iam.gke.io/gcp-service-account"}
    keys |= {"aks.yaml": "azure.workload.identity/client-id"}
    for name, key in keys.items():
        assert key in accounts[name]["metadata"]["annotations"]
        [config] = [each for each in manifests(name) if each["kind"] == "ConfigMap"]
        assert json.loads(config["data"]["tacita.json"])["keys"].endswith("?credentials=default")
    for _, pod in pods("aks.yaml"):
        assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"


def test_a_worker_may_be_moved_one_at_a_time() -> None:
    [budget] = [each for each in manifests("eks.yaml") if each["kind"] == "PodDisruptionBudget"]
    assert budget["spec"]["maxUnavailable"] == 1
    [worker] = [pod for where, pod in pods("eks.yaml") if where.endswith("worker")]
    assert budget["spec"]["selector"]["matchLabels"].items() <= worker["metadata"]["labels"].items()
    assert "tacita-worker" not in dict(pods("minimal.yaml")), "off unless asked for"


def test_versions_agree() -> None:
    chart = yaml.safe_load((DEPLOY / "helm" / "tacita" / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == __version__
    assert f":-tacita:{__version__}}}" in (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
