"""Every target by its name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fuzzing import callers, files, models, sealed, settings, stored
from fuzzing.kit import Target

TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {target.name: target for module in (sealed, stored, callers, files, models, settings) for target in module.TARGETS}
)
