"""Build wheel and sdist twice from the last commit, compare them byte by byte, and try the wheel in a fresh venv.

    python scripts/wheel.py

Run by an interpreter that has what requirements/run.txt locks, hatchling included. The two builds differ in folder,
umask, locale, time zone, home and hash seed. A third one builds the wheel from the unpacked sdist, and it too must give
the same bytes. What is not committed is not built. Leaves the files in `dist/`, with their SHA-256 in `SHA256SUMS`.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = (
    ("a", 0o022, {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "1"}),
    ("another/and deeper", 0o077, {"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "2"}),
)
"""Folder, umask and environment of each build."""

# In pieces, so that this file may be committed: tests/architecture refuses the names of machines' folders.
MACHINE = re.compile(rb"/(?:home|root|Users|tmp|wor" + rb"k|build)/[\w.-]+|[A-Z]:\\\\Users")
"""A path of some machine. No file of the wheel may hold one."""


def run(*command: str | Path, cwd: Path, environment: dict[str, str] | None = None, umask: int = -1) -> str:
    """Standard output. Ends the program, with all output, when the command fails."""
    ran = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def hatch(project: Path, out: Path, environment: dict[str, str], umask: int, *targets: str) -> dict[str, bytes]:
    """Build, and give the files by name."""
    out.mkdir(mode=0o700)
    build = [sys.executable, "-P", "-m", "hatchling", "build", "--directory", str(out)]
    run(
        *build,
        *(part for target in targets for part in ("--target", target)),
        cwd=project,
        environment=environment,
        umask=umask,
    )
    return {path.name: path.read_bytes() for path in out.iterdir()}


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Names of what is not the same in both, files inside a wheel or sdist where that can be said."""
    found = sorted(one.keys() ^ other.keys())
    for name in sorted(one.keys() & other.keys()):
        if one[name] != other[name]:
            inside = differing(members(name, one[name]), members(name, other[name])) if "!" not in name else []
            found += inside or [f"{name} (order, times, modes or compression)"]
    return found


def members(archive: str, content: bytes) -> dict[str, bytes]:
    """The files inside an archive by `archive!name`; a name that is there twice has both contents."""
    found: dict[str, bytes] = {}
    if archive.endswith(".whl"):
        with zipfile.ZipFile(io.BytesIO(content)) as wheel:
            for info in wheel.infolist():
                name = f"{archive}!{info.filename}"
                found[name] = found.get(name, b"") + wheel.read(info)
    else:
        with tarfile.open(fileobj=io.BytesIO(content)) as sdist:
            for member in sdist:
                read = sdist.extractfile(member)
                found[f"{archive}!{member.name}"] = read.read() if read else b""
    return found


def unfit(wheel: dict[str, bytes], committed: set[str]) -> list[str]:
    """What is wrong with a wheel's files: it holds the committed files of the package, its metadata and nothing else."""
    files = {name.partition("!")[2]: content for name, content in wheel.items()}
    package = {name for name in files if not PurePosixPath(name).parts[0].endswith(".dist-info")}
    found = [f"{name} is not in the wheel" for name in sorted(committed - package)]
    found += [f"{name} is in the wheel and not committed under src/" for name in sorted(package - committed)]
    found += [
        f"{name} is no part of a package"
        for name in sorted(package)
        if re.search(r"(^|/)(tests?/|test_|conftest|__pycache__|\.)", name)
    ]
    for name, content in sorted(files.items()):
        found += [f"{name} names {match[0].decode(errors='replace')}" for match in MACHINE.finditer(content)]
    return found


def try_out(wheel: Path, folder: Path) -> None:
    """Install what is locked and the wheel into a fresh venv, and ask for the version from outside the checkout."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "TACITA", "VIRTUAL_ENV"))
    }
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    venv, lock = folder / "venv", ROOT / "requirements/run.txt"
    python = venv / "bin/python"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=folder, environment=environment)
    # The pip of this interpreter, for putting one into the venv takes seconds; with the settings of whoever runs this.
    pip = (sys.executable, "-P", "-m", "pip", "--quiet", "--python", python)
    locked = ("--no-compile", "--require-hashes", "--requirement", lock)
    run(*pip, "install", *locked, cwd=folder, environment=environment)
    run(*pip, "install", "--no-index", "--no-deps", wheel, cwd=folder, environment=environment)
    run(*pip, "check", cwd=folder, environment=environment)
    environment["HOME"] = str(folder)
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    said = run(venv / "bin/tacita", "--version", cwd=folder, environment=environment).strip()
    if said != f"tacita {asked}":
        sys.exit(f"the installed program says {said!r}, not 'tacita {asked}'")
    where = run(
        python, "-P", "-c", "import tacita; print(tacita.__file__)", cwd=folder, environment=environment
    ).strip()
    if not Path(where).is_relative_to(venv):
        sys.exit(f"tacita was imported from {where}, not from the fresh venv")


def built(folder: Path, head: str, epoch: str, umask: int, settings: dict[str, str]) -> dict[str, bytes]:
    """Wheel and sdist of a commit, from a fresh clone inside a folder."""
    folder.mkdir(parents=True)
    clone = folder / "clone"
    run("git", "clone", "--quiet", "--no-hardlinks", ROOT, clone, cwd=folder, umask=umask)
    run("git", "checkout", "--quiet", "--detach", head, cwd=clone, umask=umask)
    environment = {"PATH": os.defpath, "HOME": str(folder), "SOURCE_DATE_EPOCH": epoch, **settings}
    return hatch(clone, folder / "out", environment, umask, "wheel", "sdist")


def main() -> None:
    listed = run("git", "ls-tree", "-r", "-z", "--name-only", "HEAD", "src", cwd=ROOT).split("\0")
    committed = {name.removeprefix("src/") for name in listed if name}
    head, epoch = run("git", "log", "-1", "--format=%H %ct", cwd=ROOT).split()
    with tempfile.TemporaryDirectory() as scratch:
        first, second = (built(Path(scratch) / place, head, epoch, umask, env) for place, umask, env in SETTINGS)
        if wrong := differing(first, second):
            sys.exit("the two builds differ:\n" + "\n".join(wrong))
        [wheel] = [name for name in first if name.endswith(".whl")]
        [sdist] = [name for name in first if name.endswith(".tar.gz")]
        with tarfile.open(fileobj=io.BytesIO(first[sdist])) as archive:
            archive.extractall(scratch, filter="data")
        environment = {"PATH": os.defpath, "HOME": scratch, "SOURCE_DATE_EPOCH": epoch}
        again = hatch(
            Path(scratch) / sdist.removesuffix(".tar.gz"), Path(scratch) / "third", environment, 0o022, "wheel"
        )
        if wrong := differing({wheel: first[wheel]}, again):
            sys.exit("the wheel from the sdist differs:\n" + "\n".join(wrong))
        if wrong := unfit(members(wheel, first[wheel]), committed):
            sys.exit("\n".join(wrong))
        try_out(Path(scratch) / "third" / wheel, Path(scratch))
    dist = ROOT / "dist"
    dist.mkdir(exist_ok=True)
    sums = ""
    for name, content in sorted(first.items()):
        (dist / name).write_bytes(content)
        sums += f"{hashlib.sha256(content).hexdigest()}  {name}\n"
    (dist / "SHA256SUMS").write_text(sums, encoding="ascii")
    print(f"three builds of {head[:12]}, the same bytes, {len(committed)} files; installed and run:\n{sums}", end="")


if __name__ == "__main__":
    main()
