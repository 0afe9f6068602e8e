"""Runs single inputs without a fuzzer: `python tests/fuzz/replay.py TARGET FILE ...`. Ends with the error, if there is one."""

from __future__ import annotations

import sys
from pathlib import Path

from fuzzing.targets import TARGETS


def main() -> None:
    """Run each file."""
    target = TARGETS[sys.argv[1]]
    for name in sys.argv[2:]:
        target.run(Path(name).read_bytes())
        print(f"{name}: holds")


if __name__ == "__main__":
    main()
