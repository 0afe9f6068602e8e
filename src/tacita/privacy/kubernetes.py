"""Values of a Kubernetes `Secret` manifest, which are base64 and named only by what stands around them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from tacita.patterns import lazy_pattern
from tacita.privacy.entropy import is_placeholder
from tacita.privacy.findings import Finding

_KIND: Final = lazy_pattern(
    r"^[ \t]*[\"']?kind[\"']?[ \t]*:[ \t]*[\"']?secret[\"']?[ \t]*$", re.IGNORECASE | re.MULTILINE
)
_DATA: Final = lazy_pattern(r"[ \t]*(?:string)?data:[ \t]*", re.IGNORECASE)
_ENTRY: Final = lazy_pattern(
    r"[ \t]+[\w.\-]+:[ \t]*[\"']?([A-Za-z0-9+/]{10,}={0,3})[\"']?[ \t]*|[ \t]+([A-Za-z0-9+/]{20,}={0,3})"
)
"""`key: value`, or a line of a block that follows `key: |`."""


def kubernetes(text: str) -> Iterator[Finding]:
    """Base64 values under `data:` of documents whose kind is Secret."""
    if "ecret" not in text or not _KIND.search(text):
        return
    depth: int | None = None
    start = 0
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\r\n")
        indent = len(body) - len(body.lstrip())
        if _DATA.fullmatch(body):
            depth = indent
        elif body.strip() and depth is not None:
            if indent <= depth:
                depth = None
            else:
                entry = _ENTRY.fullmatch(body)
                group = (1 if entry[1] else 2) if entry else 0
                if entry and _decodes(entry[group]) and not is_placeholder(entry[group]):
                    yield Finding("kubernetes-secret", "secret", start + entry.start(group), start + entry.end(group))
        start += len(line)


def _decodes(value: str) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) >= 6
    except (binascii.Error, ValueError):
        return False
