"""`import tacita` opens no socket, writes no file, starts nothing and reads no setting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROBE = """
import os, sys
def guard(event, args):
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "sqlite3.")):
        raise SystemExit(f"{event} {args!r}")
    if event == "open":
        path, mode, flags = args
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        if (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & writes:
            raise SystemExit(f"opened for writing: {path!r}")
    if event in ("os.mkdir", "os.rename", "os.remove", "os.chmod", "os.link", "os.symlink", "os.truncate"):
        raise SystemExit(f"{event} {args!r}")
    if event == "_thread.start_new_thread":
        raise SystemExit("started a thread")
# What the interpreter itself needs (it would write .pyc files) is off by -B.
sys.addaudithook(guard)
import tacita
for name in tacita.__all__:
    getattr(tacita, name)
print(sorted(m for m in sys.modules if m.split(".")[0] in {heavy!r}))
"""


def run(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )


def test_import_touches_nothing(tmp_path: Path) -> None:
    ran = run(PROBE.replace("{heavy!r}", "set()"), tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert list(tmp_path.glob("**/*.*")) == []


def test_import_leaves_the_heavy_libraries_alone(tmp_path: Path) -> None:
    """Models, dates, the CLI and the key ring load when first used: most programs need some of them never."""
    heavy = {"onnxruntime", "onnx", "tokenizers", "dateparser", "keyring", "typer", "rich", "pydantic", "asyncio"}
    ran = run(PROBE.replace("{heavy!r}", repr(heavy - {"asyncio"})), tmp_path)
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr
