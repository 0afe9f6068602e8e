"""What is done with what was found: a policy names an action for each class and, where it differs, for each type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from tacita.errors import Blocked, ConfigError
from tacita.privacy.detect import scan
from tacita.privacy.findings import Finding

Action = Literal["keep", "mask", "pseudonymise", "drop", "quarantine", "block"]
"""Keep it (sealed, and labelled), put `[type]` in its place, or a stand-in that is the same each time, or nothing; put
the whole item into quarantine; or refuse it."""
StandIn = Callable[[str, str], str]
"""From type and value to what is put in its place. Nothing leads back."""


class Policy(msgspec.Struct, frozen=True):
    """Actions by class, and by type where they differ."""

    name: str
    for_secrets: Action
    for_pii: Action
    types: Mapping[str, Action] = msgspec.field(default_factory=lambda: MappingProxyType({}))
    channels: Mapping[str, Mapping[str, Action]] = msgspec.field(default_factory=lambda: MappingProxyType({}))
    """By channel (user, assistant, tool, import, ...): actions by type where they differ there."""
    marks_instructions: bool = True
    """Whether text of untrusted channels that wants to instruct its reader goes to quarantine."""

    def action(self, finding: Finding, channel: str = "") -> Action:
        """What this policy does with a finding. `secret` and `pii` stand for all types of a class."""
        for types in (self.channels.get(channel.partition(":")[0], {}), self.types):
            found = types.get(finding.type) or types.get(finding.kind)
            if found is not None:
                return found
        return self.for_secrets if finding.kind == "secret" else self.for_pii


class Guarded(msgspec.Struct, frozen=True):
    """A text as a policy lets it pass."""

    text: str
    labels: tuple[str, ...]
    """Types that were found, whatever was done with them; sorted."""
    held: bool = False
    """Whether it goes to quarantine."""


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


def guard(
    policy: Policy,
    text: str,
    where: str = "",
    *,
    channel: str = "",
    stand_in: StandIn | None = None,
    find: Callable[[str], Sequence[Finding]] = scan,
) -> Guarded:
    """Apply a policy to a text. Raises Blocked, naming types and never content.

    Args:
        channel: where it came from.
        stand_in: for `pseudonymise`; without one it is masked.
        find: what finds; the built-in detectors, or these and others.
    """
    findings = find(text)
    if not findings:
        return Guarded(text, ())
    pieces = []
    end = 0
    held = False
    for finding in findings:
        action = policy.action(finding, channel)
        if action == "block":
            raise Blocked(f"{where}the guard profile {policy.name} refuses a {finding.type}")
        held = held or action == "quarantine"
        if action not in ("keep", "quarantine"):
            put = "" if action == "drop" else f"[{finding.type}]"
            if action == "pseudonymise" and stand_in is not None:
                put = stand_in(finding.type, text[finding.start : finding.end])
            pieces += [text[end : finding.start], put]
            end = finding.end
    pieces.append(text[end:])
    return Guarded("".join(pieces), tuple(sorted({finding.type for finding in findings})), held)
