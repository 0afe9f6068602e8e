"""A language model that answers from a script, and remembers what it was told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock

from tacita.disclosed import Disclosed, Picture
from tacita.errors import ModelError


class ScriptedModel:
    """Answers in turn, or by a function of (instructions, data). An exception in the script is raised."""

    def __init__(
        self,
        answers: Iterable[str | Exception] | Callable[[str, str], str],
        *,
        name: str = "scripted",
        hosts: tuple[str, ...] = (),
    ) -> None:
        self._function = answers if callable(answers) else None
        self._answers = iter(()) if callable(answers) else iter(answers)
        self._lock = Lock()
        self.name = name
        self.hosts = hosts
        self.told: list[tuple[str, str]] = []
        """(instructions, data) of every call, oldest first."""
        self.seen: list[tuple[Picture, ...]] = []
        """The pictures of every call."""

    def complete(self, prompt: Disclosed, /) -> str:
        """The next answer. Raises ModelError when the script is over."""
        if type(prompt) is not Disclosed:
            raise TypeError("a model takes Disclosed and nothing else")
        (data,) = prompt.texts
        with self._lock:
            self.told.append((prompt.instructions, data))
            self.seen.append(prompt.pictures)
            answer: str | Exception | None = None if self._function is not None else next(self._answers, None)
        if self._function is not None:
            return self._function(prompt.instructions, data)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            raise ModelError("the script has no more answers")
        return answer
