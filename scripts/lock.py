"""Resolve the dependencies and write `requirements/*.txt`: every version pinned, every file by its hash.

Requirements files and not `uv.lock`, because that one records which registry answered, and where a package was
fetched from is the business of whoever installs it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Written by `make lock`. Python 3.11 to 3.13 on Linux, macOS and Windows. Do not edit.\n"


def resolve(output: str, groups: list[str], *, constraint: str | None = None) -> None:
    """Write one lock file for the project and the named dependency groups."""
    path = ROOT / "requirements" / output
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header"),
        *("--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--upgrade", "--python-version", "3.11"),
        # Only wheels from the registry count: a local wheel folder of this machine must not win.
        *("--no-config", "--output-file", str(path), "pyproject.toml"),
    ]
    for group in groups:
        command += ["--group", group]
    if constraint is not None:
        command += ["--constraint", str(ROOT / "requirements" / constraint)]
    subprocess.run(command, cwd=ROOT, check=True)
    text = path.read_text(encoding="utf-8")
    if re.search(r"https?://|file:|--(extra-)?index|--find-links", text):
        path.unlink()
        sys.exit(f"{output} would name where its files came from: not written")
    path.write_text(HEADER + text, encoding="utf-8")


if __name__ == "__main__":
    resolve("run.txt", ["build"])
    resolve("dev.txt", ["build", "dev"], constraint="run.txt")
