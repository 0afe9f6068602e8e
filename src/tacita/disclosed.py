"""What may leave for a model provider. Made by `privacy.disclose` alone; the model port takes nothing else.

Imports nothing of ours, so that a provider that knows this type knows nothing more.
"""

from __future__ import annotations

from typing import Any, NoReturn, final


@final
class Disclosed:
    """Texts for one model call, after policy, with what the audit log knows of it."""

    __slots__ = ("instructions", "provider", "purpose", "texts")

    def __init__(self, provider: str, purpose: str | None, instructions: str, texts: tuple[str, ...]) -> None:
        self.provider = provider
        """Name of the model that it is meant for. Another one refuses it."""
        self.purpose = purpose
        self.instructions = instructions
        """Ours or the operator's. Never holds a word of what people said."""
        self.texts = texts
        """Data: a language model gets exactly one text, an embedder several."""

    def __repr__(self) -> str:
        return f"<Disclosed to {self.provider}: {len(self.texts)} texts>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Disclosed holds private text and cannot be pickled or copied")
