"""A writer that the crash tests kill: adds until it dies, and says each add on standard output once it is durable.

`writer.py HOME USER TOKEN COUNT`: lines are `ready`, then `TOKEN-n` for each acknowledged add.
"""

from __future__ import annotations

import os
import sys

from tacita import Memory


def main() -> None:
    home, user, token, count = sys.argv[1:]
    with Memory(home, embedder="none") as memory:
        os.write(1, b"ready\n")
        for number in range(int(count)):
            memory.add(f"{token}-{number}", user_id=user)
            os.write(1, f"{token}-{number}\n".encode())


if __name__ == "__main__":
    main()
