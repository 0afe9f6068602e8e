"""A language model that is a function of the caller's."""

from __future__ import annotations

from collections.abc import Callable

from tacita.disclosed import Disclosed
from tacita.errors import ConfigError


class CalledModel:
    """Wraps `(instructions, data) -> answer`. What the function does with the words is its author's business."""

    hosts: tuple[str, ...] = ()

    def __init__(self, function: Callable[[str, str], str]) -> None:
        self._function = function
        self.name = f"function:{getattr(function, '__name__', type(function).__name__)}"[:128]

    def complete(self, prompt: Disclosed, /) -> str:
        """What the function answers. Raises ConfigError for pictures."""
        if prompt.pictures:
            raise ConfigError("a function of texts cannot see pictures; name a model with images.model")
        (data,) = prompt.texts
        return self._function(prompt.instructions, data)
