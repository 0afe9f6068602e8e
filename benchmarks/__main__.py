"""`make bench`: the speed table, and how to get the retrieval table.

python -m benchmarks [--quick]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Run the speed benchmark with the local model; arguments go on to it."""
    arguments = sys.argv[1:] or ["--embedder", "local:minilm"]
    status = subprocess.run([sys.executable, str(HERE / "speed.py"), *arguments], check=False).returncode
    print("Retrieval is measured on data that you name: python benchmarks/retrieval.py --help")
    return status


if __name__ == "__main__":
    sys.exit(main())
