"""What may leave for a model provider. Made by `privacy.disclose` alone; the model port takes nothing else.

Imports nothing of ours, so that a provider that knows this type knows nothing more.
"""

from __future__ import annotations

from typing import Any, NoReturn, final


@final
class Picture:
    """The bytes of one picture."""

    __slots__ = ("data", "media_type")

    def __init__(self, media_type: str, data: bytes) -> None:
        self.media_type = media_type
        """Such as `image/png`."""
        self.data = data

    def __repr__(self) -> str:
        return f"<Picture {self.media_type}, {len(self.data)} bytes>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Picture is private and cannot be pickled or copied")


@final
class Disclosed:
    """Texts for one model call, after policy, with what the audit log knows of it."""

    __slots__ = ("instructions", "pictures", "provider", "purpose", "texts")

    def __init__(
        self,
        provider: str,
        purpose: str | None,
        instructions: str,
        texts: tuple[str, ...],
        pictures: tuple[Picture, ...] = (),
    ) -> None:
        self.provider = provider
        """Name of the model that it is meant for. Another one refuses it."""
        self.purpose = purpose
        self.instructions = instructions
        """Ours or the operator's. Never holds a word of what people said."""
        self.texts = texts
        """Data: a language model gets exactly one text, an embedder several."""
        self.pictures = pictures
        """What a language model gets to see beside its text."""

    def __repr__(self) -> str:
        return f"<Disclosed to {self.provider}: {len(self.texts)} texts>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Disclosed holds private text and cannot be pickled or copied")
