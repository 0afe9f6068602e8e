"""Everything in a text that a policy may want to know of."""

from __future__ import annotations

from functools import cache
from typing import Any

import re2

from tacita.privacy.findings import Finding, without_overlaps
from tacita.privacy.personal import personal
from tacita.privacy.secrets import secrets


@cache
def _worth_a_look() -> Any:
    # Whatever the detectors find has a digit, one of these signs or one of these words; most of what people say has not.
    return re2.compile(r"(?i)[0-9@_=]|://|-----begin|passw|passphrase|token|secret|key|pwd|cred|login|auth|curl")


def scan(text: str) -> list[Finding]:
    """Secrets and personal data with a form, in the order of the text, without overlaps."""
    if _worth_a_look().search(text) is None:
        return []
    return without_overlaps([*secrets(text), *personal(text)])
