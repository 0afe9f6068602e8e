"""What a test says about the support of a system: declared beside a contract's subclass, recorded in the test report.

`supports` is an attribute of a test class or of a module: one `Support`, or a function that makes one of pytest's request.
`scripts/support_table.py` makes docs/reference/support.md of what was recorded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

Role = Literal["stores", "rings", "keys", "embedders", "models", "rerankers", "vectors", "pictures", "anchors"]


def _of_nobody(_request: Any) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Support:
    """Which system a test ran against, and how."""

    role: Role
    """As in the registry."""
    schemes: tuple[str, ...]
    system: str
    how: Literal["live", "protocol", "by hand"]
    """live: a real server or engine, started here. protocol: the vendor's client, or ours, against a server on loopback that
    speaks the vendor's protocol. by hand: somewhere else, started by somebody."""
    packages: tuple[str, ...] = ()
    """Distributions whose versions matter."""
    version: Callable[[Any], str] = _of_nobody
    """Of the system, of pytest's request: asked when the test is over and the server still there."""

    def record(self, request: Any) -> str:
        """As it stands in the report."""
        versions = [f"{name} {found}" for name in self.packages if (found := _version(name))]
        own = self.version(request)
        return json.dumps(
            {
                "role": self.role,
                "schemes": self.schemes,
                "system": f"{self.system} {own}".strip(),
                "how": self.how,
                "versions": versions,
            }
        )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
