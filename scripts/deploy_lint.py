"""Hold deploy/ to what others' tools say: hadolint, compose-lint, Helm's own library, and the schemas of Kubernetes.

    python scripts/deploy_lint.py [--write]

Run by an interpreter that has what requirements/deploy.txt locks; nothing of it reaches the network. The chart is linted and
rendered with each set of values in deploy/helm/examples; the result must be what deploy/helm/rendered holds (`--write` puts it
there), for tests/deploy hold those files to what they promise, on machines without Helm too.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HELM = ROOT / "deploy" / "helm"
CHART = HELM / "tacita"
KUBERNETES = ("1.26", "1.30", "1.34", "1.37")
"""Releases whose schemas the manifests are held to, strictly: a field that they do not know is an error."""
HEADER = "# Written by scripts/deploy_lint.py --write: what Helm renders of the chart with ../examples/{name}. Do not edit.\n"

REFUSED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("no settings at all", {"settings": {"store": None, "ring": None, "keys": None}}),
    ("no root key", {"settings": {"keys": None}}),
    ("a literal password", {"settings": {"store": "postgres://tacita_app:hunter2@db/tacita"}}),
    ("a password that is no reference", {"settings": {"store": "postgres://tacita_app@db/tacita?password=envy"}}),
    ("databases anywhere", {"networkPolicy": {"database": {"to": []}}}),
    ("a key service nowhere", {"settings": {"keys": "awskms:arn:x?credentials=default"}}),
    ("a worker without an image", {"worker": {"enabled": True, "command": ["x"]}}),
    ("a worker without a command", {"worker": {"enabled": True, "image": "x"}}),
    ("a backup to nowhere", {"backup": {"enabled": True}}),
    ("a backup outside its volume", {"backup": {"enabled": True, "existingClaim": "x", "file": "../x"}}),
    ("an unknown value", {"sweeep": {"enabled": True}}),
    ("a digest that is none", {"image": {"digest": "latest"}}),
)
"""Values that the chart must refuse, put over the minimal example."""


def ran(*command: str | Path) -> list[str]:
    """What a tool objects to."""
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return [] if done.returncode == 0 else [f"{Path(command[0]).name}:\n{done.stdout}{done.stderr}"]


def over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """As Helm merges values; None takes one away."""
    merged = dict(below)
    for name, value in above.items():
        before = merged.get(name)
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = over(before, value) if isinstance(value, dict) and isinstance(before, dict) else value
    return merged


def rendered(chart: Any, values: dict[str, Any]) -> str:
    """All manifests in one file, without the notes."""
    found = chart.render(values, name="tacita", namespace="memory")
    return "\n".join(
        f"---\n# {name}\n{text.strip()}\n"
        for name, text in sorted(found.items())
        if not name.endswith((".txt", ".tpl")) and text.strip()
    )


def charts(write: bool) -> Iterator[str]:
    """What is wrong with the chart."""
    import helm_python as helm
    import kubernetes_validate
    import yaml

    minimal = yaml.safe_load((HELM / "examples" / "minimal.yaml").read_text(encoding="utf-8"))
    with helm.Chart.load(str(CHART)) as chart:
        for path in sorted((HELM / "examples").glob("*.yaml")):
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
            try:
                chart.validate_schema(values)
                made = HEADER.format(name=path.name) + rendered(chart, values)
            except helm.HelmError as error:
                yield f"{path.name}: {error}"
                continue
            for manifest in yaml.safe_load_all(made):
                for version in KUBERNETES:
                    try:
                        kubernetes_validate.validate(manifest, version, strict=True)
                    except kubernetes_validate.ValidationError as error:
                        yield f"{path.name}: {manifest['kind']}, Kubernetes {version}: {error.message}"
            golden = HELM / "rendered" / path.name
            if write:
                golden.parent.mkdir(exist_ok=True)
                golden.write_text(made, encoding="utf-8")
            elif not golden.exists() or golden.read_text(encoding="utf-8") != made:
                yield f"{golden.relative_to(ROOT)} is not what Helm renders: run this with --write"
        for what, change in REFUSED:
            values = over(minimal, change)
            try:
                chart.validate_schema(values)
                rendered(chart, values)
            except helm.HelmError:
                continue
            yield f"the chart takes {what}"
    found = helm.lint(str(CHART), minimal)
    yield from (f"helm lint: {each}" for each in messages(found))


def messages(found: Any) -> list[str]:
    """Warnings and errors of helm's linter; its advice about an icon is none."""
    listed = found.get("messages", []) if isinstance(found, dict) else found
    return [str(each) for each in listed if "icon is recommended" not in str(each)]


def main() -> int:
    """Say what is wrong, if anything."""
    programs = Path(sys.executable).parent
    wrong = [
        *ran(programs / "hadolint", ROOT / "deploy" / "Dockerfile"),
        *ran(programs / "compose-lint", ROOT / "deploy" / "compose.yaml"),
        *charts("--write" in sys.argv[1:]),
    ]
    print("\n".join(wrong) or f"deploy/: hadolint, compose-lint, Helm and Kubernetes {', '.join(KUBERNETES)} agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
