"""Every target by its name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fuzzing import callers, databases, files, models, sealed, settings, stored
from fuzzing.kit import Target

_MODULES: Final = (sealed, stored, databases, callers, files, models, settings)
TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {target.name: target for module in _MODULES for target in module.TARGETS}
)
