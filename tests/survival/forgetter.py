"""A process that the kill tests end at any moment while it forgets: `forgetter.py HOME HOW TOKEN`.

Lines on standard output: `ready`, then `+TEXT` for what was added durably and `-TEXT` (or `-USER`) for what is gone.
"""

from __future__ import annotations

import os
import sys

from tacita import Memory
from tacita.items import Scope


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main() -> None:
    home, how, token = sys.argv[1:]
    with Memory(home, embedder="none") as memory:
        say("ready")
        for number in range(1_000_000):
            user = f"{token}-{number}" if how == "erase" else "ana"
            texts = [f"{token}-{number}-{letter}" for letter in "abc"]
            messages = [{"role": "tool", "name": token, "content": text} for text in texts]
            ids = memory.add(messages, user_id=user).ids
            for text in texts:
                say(f"+{text}")
            if how == "erase":
                memory.erase(user_id=user)
                say(f"-{user}")
            elif how == "purge":
                memory.purge(f"tool:{token}", user_id=user)
                for text in texts:
                    say(f"-{text}")
            elif how == "delete":
                memory.delete(ids[1], user_id=user)
                say(f"-{texts[1]}")
            else:
                # Snapshots: the derived state is written anew after every few events, while it is being deleted from.
                memory._engine.find(Scope(tenant="default", user_id=user)).save_snapshot(after=1)  # type: ignore[union-attr]
                memory.delete(ids[0], user_id=user)
                say(f"-{texts[0]}")


if __name__ == "__main__":
    main()
