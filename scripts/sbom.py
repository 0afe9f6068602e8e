"""Write `dist/sbom.cdx.json`: what `requirements/run.txt` locks, as CycloneDX 1.6, with hashes and licences.

    python scripts/sbom.py

The same lock, commit and platform give the same bytes. It ends with an error on a licence that nobody allowed or found, and on
a document that the schema refuses. Packages that only building needs are in the lock too, and are marked `excluded`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements/run.txt"

ALLOWED = frozenset(
    "0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause CC0-1.0 CNRI-Python ISC MIT MIT-0 MPL-2.0 PSF-2.0 Zlib".split()
)
"""Licences that an Apache-2.0 project may ask its users to accept. Another one is a decision, not an entry."""

CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""Classifiers that mean one licence. "BSD License" is several."""

READ = {
    "backports-tarfile": "MIT",
    "colorama": "BSD-3-Clause",
    "google-re2": "BSD-3-Clause",
    "httpx2-jsfetch": "BSD-3-Clause",
    "importlib-metadata": "Apache-2.0",
    "jeepney": "MIT",
    "lazy-importer": "Apache-2.0",
    "protobuf": "BSD-3-Clause",
    "pystemmer": "MIT AND BSD-3-Clause",
    "python-dateutil": "BSD-3-Clause",
    "pywin32-ctypes": "BSD-3-Clause",
    "secretstorage": "BSD-3-Clause",
    "tzdata": "Apache-2.0",
    "zipp": "MIT",
}
"""Read in the licence files: of packages whose metadata do not say it, or that are not installed on every machine."""


@dataclass(frozen=True)
class Locked:
    """One entry of the lock."""

    name: str
    version: str
    where: str
    hashes: tuple[str, ...]

    @property
    def ref(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def locked(text: str) -> list[Locked]:
    """The entries of a lock file, a package once for each version."""
    found = []
    for entry in re.split(r"\n(?=\w)", re.sub(r"(?m)^#.*\n", "", text).strip()):
        head, *rest = entry.split(" \\\n")
        pinned, _, where = head.partition(" ; ")
        name, _, version = pinned.partition("==")
        hashes = tuple(line.strip().removeprefix("--hash=sha256:") for line in rest)
        if not version or not hashes or not all(re.fullmatch(r"[0-9a-f]{64}", one) for one in hashes):
            sys.exit(f"not a pinned and hashed entry: {head}")
        found.append(Locked(name, version, where, hashes))
    return found


def licence(name: str) -> str:
    """The SPDX expression of a package. Ends the program where none is known, or one that is not allowed."""
    said = _said(name)
    stated = READ.get(name)
    if stated and said and stated != said:
        sys.exit(f"{name}: its metadata say {said}, scripts/sbom.py says {stated}")
    chosen = stated or said
    if not chosen:
        sys.exit(f"{name}: neither its metadata nor scripts/sbom.py know its licence")
    refused = [one for one in re.split(r" (?:AND|OR) |[()]", chosen) if one and one not in ALLOWED]
    if refused:
        sys.exit(f"{name}: {chosen} is not a licence that is allowed")
    return chosen


def _said(name: str) -> str | None:
    """What the metadata of an installed package say, where it is a licence and not just a word."""
    try:
        facts = metadata(name)
    except PackageNotFoundError:
        return None
    expression, field = (str((facts.get_all(key) or [""])[0]) for key in ("License-Expression", "License"))
    if expression:
        return expression
    if all(one in ALLOWED for one in field.split(" AND ")):
        return field
    classifiers = [each.rpartition(" :: ")[2] for each in facts.get_all("Classifier") or [] if "License ::" in each]
    return CLASSIFIERS.get(classifiers[0]) if len(classifiers) == 1 else None


def normal(requirement: str) -> str:
    """The name in a requirement, as locks write it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~;\[(]", requirement, maxsplit=1)[0]).lower()


def needs(names: Iterable[str]) -> dict[str, set[str]]:
    """For each locked package, the locked packages that it asks for without an extra, as installed here."""
    names = set(names)
    found: dict[str, set[str]] = {}
    for name in names:
        try:
            asked = requires(name) or []
        except PackageNotFoundError:
            asked = []
        found[name] = {normal(each) for each in asked if "extra ==" not in each} & names
    return found


def reached(roots: Iterable[str], edges: dict[str, set[str]]) -> set[str]:
    """Everything that the roots need, themselves included."""
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += edges[name]
    return seen


def made(text: str, commit: datetime) -> str:
    """The document for a lock file's text. Checked against the schema."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entries = locked(text)
    edges = needs(entry.name for entry in entries)
    roots = {normal(each) for each in project["dependencies"]}
    running = reached(roots, edges)
    licences = LicenseFactory()
    components = {
        entry: Component(
            name=entry.name,
            version=entry.version,
            bom_ref=entry.ref,
            purl=PackageURL("pypi", name=entry.name, version=entry.version),
            # A package that is installed elsewhere only has nothing to be followed from: what is locked for a platform runs.
            scope=ComponentScope.REQUIRED if entry.name in running or entry.where else ComponentScope.EXCLUDED,
            licenses=[licences.make_from_string(licence(entry.name))],
            # One hash for each file of the release: wheels and source.
            external_references=[
                ExternalReference(
                    type=ExternalReferenceType.DISTRIBUTION,
                    url=XsUri(entry.ref),
                    hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one) for one in entry.hashes],
                )
            ],
            properties=[Property(name="tacita:where", value=entry.where)] if entry.where else [],
        )
        for entry in entries
    }
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"tacita {project['version']} {text}"), components=components.values())
    bom.metadata.timestamp = commit
    bom.metadata.tools.tools.clear()
    bom.metadata.tools.components.clear()
    tacita = bom.metadata.component = Component(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        bom_ref="tacita",
        purl=PackageURL("pypi", name=project["name"], version=project["version"]),
        licenses=[licences.make_from_string(project["license"])],
    )
    bom.register_dependency(tacita, [part for entry, part in components.items() if entry.name in roots])
    for entry, part in components.items():
        bom.register_dependency(part, [other for e, other in components.items() if e.name in edges[entry.name]])
    document = JsonV1Dot6(bom).output_as_string(indent=1)
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(document)
    if error is not None:
        sys.exit(f"the document does not fit its schema: {error}")
    return document + "\n"


def main() -> None:
    seconds = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    text = made(LOCK.read_text(encoding="utf-8"), datetime.fromtimestamp(int(seconds.stdout), UTC))
    path = ROOT / "dist/sbom.cdx.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {len(json.loads(text)['components'])} packages")


if __name__ == "__main__":
    main()
