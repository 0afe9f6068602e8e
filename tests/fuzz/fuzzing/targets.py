"""Every target by its name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fuzzing import addresses, callers, databases, elsewhere, files, models, sealed, settings, stored
from fuzzing.kit import Target

_MODULES: Final = (sealed, stored, databases, callers, files, models, settings, addresses, elsewhere)
TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {target.name: target for module in _MODULES for target in module.TARGETS}
)
