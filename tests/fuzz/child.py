"""One target under atheris: `child.py TARGET FINDINGS [libFuzzer's arguments]`. Started by `run.py`.

It goes on after a finding, so that one run shows every kind of failure: each is kept once, by the place it came from.
Hangs and memory are libFuzzer's to notice; they end the process.
"""

from __future__ import annotations

import hashlib
import logging
import random
import sys
import traceback
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tacita"]):
    from fuzzing.targets import TARGETS

from fuzzing.kit import Broken
from fuzzing.mutate import deepened, mutated


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    logging.disable()
    target = TARGETS[sys.argv[1]]
    findings = Path(sys.argv[2])
    # The last argument is the corpus: it begins with valid inputs, which the target makes.
    for number, seed in enumerate(target.seeds()):
        Path(sys.argv[-1], f"seed-{number}").write_bytes(seed)
    seen: set[str] = set()

    def one(data: bytes) -> None:
        try:
            target.run(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001  whatever comes out is a finding, and the run goes on
            keep(error, data)

    def keep(error: BaseException, data: bytes) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "/tacita/" in frame.filename] or frames
        words = str(error) if isinstance(error, Broken) else ""
        kind = f"{type(error).__name__} {words} {ours[-1].filename}:{ours[-1].lineno}"
        name = hashlib.sha256(kind.encode()).hexdigest()[:12]
        if name not in seen:
            seen.add(name)
            (findings / f"{name}.input").write_bytes(data)
            (findings / f"{name}.txt").write_text("".join(traceback.format_exception(error))[-8_000:])

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)
        kind = chance.randrange(16)
        if target.codec == "raw" or kind < 4:
            return bytes(atheris.Mutate(data, max_size))
        made = deepened(data, target.codec, chance) if kind == 4 else mutated(data, target.codec, chance)
        return bytes(atheris.Mutate(data, max_size)) if made is None else made[:max_size]

    atheris.Setup(
        [sys.argv[0], f"-max_len={target.max_len}", *sys.argv[3:]],
        one,
        custom_mutator=mutate,
        enable_python_coverage=True,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
