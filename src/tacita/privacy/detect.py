"""Everything in a text that a policy may want to know of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tacita.patterns import lazy_pattern
from tacita.ports.detectors import Detector, checked_detect
from tacita.privacy.findings import Finding, without_overlaps
from tacita.privacy.matching import Text
from tacita.privacy.personal import personal
from tacita.privacy.secrets import secrets

# Whatever the detectors find has a digit, one of these signs or one of these words; most of what people say has not.
_SIGNS: Final = lazy_pattern(r"[0-9@_=]")


def _worth_a_look(text: str) -> bool:
    said = text.casefold()
    # Spelled out: a loop over the words takes as long as everything else that an add does with a text here.
    return (
        _SIGNS.search(text) is not None
        or "pass" in said or "key" in said or "token" in said or "secret" in said or "pwd" in said or "cred" in said
        or "login" in said or "auth" in said or "curl" in said or "://" in said or "-----begin" in said
    )  # fmt: skip


def scanner(detectors: Sequence[Detector]) -> Callable[[str], list[Finding]]:
    """The built-in detectors together with the operator's own."""
    if not detectors:
        return scan

    def find(text: str) -> list[Finding]:
        found = scan(text)
        for detector in detectors:
            found += [Finding(kind, "pii", start, end) for kind, start, end in checked_detect(detector, text)]
        return without_overlaps(found)

    return find


def scan(text: str) -> list[Finding]:
    """Secrets and personal data with a form, in the order of the text, without overlaps."""
    if not _worth_a_look(text):
        return []
    searched = Text(text)
    return without_overlaps([*secrets(searched), *personal(searched)])
