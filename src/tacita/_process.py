"""What this process leaves behind when it crashes."""

from __future__ import annotations

import resource


def leave_no_core_file() -> None:
    """From now on a crash writes no core file, here and in what this process starts: it would hold what vaults are open.

    Only the soft limit is lowered. Collectors such as systemd-coredump keep to it as well.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
