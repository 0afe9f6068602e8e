"""`make bench`: the speed table and, on data that you name, the retrieval table.

    python -m benchmarks [--quick] [--metrics EVAL_RETRIEVAL.py --locomo FILE --beam DIR]

`make bench METRICS=... LOCOMO=... BEAM=...` hands the paths over. The data sets belong to others and are not bundled.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Run both benchmarks with the local model. The exit code is not 0 when one of them fails to run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller vaults")
    for name in ("metrics", "locomo", "beam"):
        parser.add_argument(f"--{name}", default="", help="see benchmarks/retrieval.py")
    given = parser.parse_args()
    status = _run("speed.py", "--embedder", "local:minilm", *(["--quick"] if given.quick else []))
    if not given.metrics or not (given.locomo or given.beam):
        print("Retrieval is measured on data that you name: make bench METRICS=... LOCOMO=... BEAM=...")
        return status
    sets = [f"--{name}={path}" for name in ("metrics", "locomo", "beam") if (path := getattr(given, name))]
    return status or _run("retrieval.py", *sets)


def _run(script: str, *arguments: str) -> int:
    return subprocess.run([sys.executable, str(HERE / script), *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
