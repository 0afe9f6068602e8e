"""What is done with what was found: a policy names an action for each class and, where it differs, for each type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from tacita.errors import Blocked, ConfigError
from tacita.privacy.detect import scan
from tacita.privacy.findings import Finding

Action = Literal["keep", "mask", "drop", "block"]
"""Keep it (sealed, and labelled), put `[type]` in its place, put nothing there, or refuse the whole text."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Actions by class, and by type where they differ."""

    name: str
    for_secrets: Action
    for_pii: Action
    types: Mapping[str, Action] = field(default_factory=lambda: MappingProxyType({}))
    marks_instructions: bool = True
    """Whether text of untrusted channels that wants to instruct its reader goes to quarantine."""

    def action(self, finding: Finding) -> Action:
        """What this policy does with a finding."""
        return self.types.get(finding.type) or (self.for_secrets if finding.kind == "secret" else self.for_pii)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A text as a policy lets it pass."""

    text: str
    labels: tuple[str, ...]
    """Types that were found, whatever was done with them; sorted."""


_CARD: Final[Mapping[str, Action]] = MappingProxyType({"payment-card": "mask"})
PROFILES: Final[Mapping[str, Policy]] = MappingProxyType(
    {
        policy.name: policy
        for policy in (
            Policy("default", for_secrets="mask", for_pii="keep"),
            Policy("strict", for_secrets="block", for_pii="mask"),
            Policy("clinical", for_secrets="mask", for_pii="keep", types=_CARD),
            Policy("off", for_secrets="keep", for_pii="keep", marks_instructions=False),
        )
    }
)
"""Named policies. `default` masks secrets and keeps personal data, which is sealed, under labels."""


def profile(name: str) -> Policy:
    """The policy of a name. Raises ConfigError, naming the known ones."""
    if name not in PROFILES:
        raise ConfigError(f"unknown guard profile; known are {', '.join(PROFILES)}")
    return PROFILES[name]


def guard(policy: Policy, text: str, where: str = "") -> Guarded:
    """Apply a policy to a text. Raises Blocked, naming types and never content."""
    findings = scan(text)
    if not findings:
        return Guarded(text, ())
    pieces = []
    end = 0
    for finding in findings:
        action = policy.action(finding)
        if action == "block":
            raise Blocked(f"{where}the guard profile {policy.name} refuses a {finding.type}")
        if action != "keep":
            pieces += [text[end : finding.start], f"[{finding.type}]" if action == "mask" else ""]
            end = finding.end
    pieces.append(text[end:])
    return Guarded("".join(pieces), tuple(sorted({finding.type for finding in findings})))
