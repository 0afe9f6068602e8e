"""The one way to a model: policy, stand-ins, purpose and consent first, then the audit entry, then a `Disclosed`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

import msgspec

from tacita.disclosed import Disclosed, Picture
from tacita.errors import AccessDenied, Blocked
from tacita.privacy.detect import scan
from tacita.privacy.findings import Finding
from tacita.privacy.policy import Policy
from tacita.privacy.pseudonyms import Pseudonyms, defused

PiiAction = Literal["pseudonymise", "mask", "keep", "block"]


class Terms(msgspec.Struct, frozen=True):
    """What the operator allows towards models."""

    pii: PiiAction = "pseudonymise"
    """What happens to personal data with a form."""
    names: bool = False
    """Whether the names of known speakers are replaced as well."""
    purposes: tuple[str, ...] = ()
    """Purposes for which texts may leave; empty allows all, and a request without a purpose."""
    consent: Literal["assumed", "required"] = "assumed"
    """Whether a subject's recorded consent is needed. A withdrawn one is respected in either case."""
    pictures: bool = False
    """Whether pictures may leave. No policy can see what is on them."""


DEFAULT_TERMS: Final = Terms()


class Request(msgspec.Struct, frozen=True):
    """Who wants to tell a model what about whom."""

    provider: str
    operation: str
    purpose: str | None
    consent: bool | None
    """What the subject's vault says: given, withdrawn, or never asked."""
    names: frozenset[str] = frozenset()
    """Known speakers."""


def disclose(
    request: Request,
    texts: Sequence[str],
    *,
    instructions: str = "",
    policy: Policy,
    terms: Terms,
    pseudonyms: Pseudonyms,
    audit: Callable[[str, str, int], None],
    compose: Callable[[Sequence[str]], str] | None = None,
    find: Callable[[str], Sequence[Finding]] = scan,
    pictures: Sequence[Picture] = (),
) -> Disclosed:
    """The texts, and pictures as they are, as this provider may see them.

    Args:
        compose: makes one text of the prepared ones: labels and fences of ours, which no policy must touch.
        audit: writes (operation, outcome, number of texts and pictures) durably; what it raises stops the disclosure.

    Raises:
        AccessDenied: the purpose or pictures are not allowed, or consent is missing or withdrawn. Audited.
        Blocked: a text holds what the policy lets no model see. Audited.
    """
    refusal = _refusal(request, terms)
    if pictures and not terms.pictures:
        refusal = "pictures may not be told: no policy can see what is on them; see docs/how-to/facts.md"
    if refusal is not None:
        audit(request.operation, "denied", 0)
        raise AccessDenied(refusal)
    try:
        prepared = tuple(prepare(text, policy, terms, pseudonyms, request.names, find) for text in texts)
    except Blocked:
        audit(request.operation, "blocked", 0)
        raise
    audit(request.operation, "ok", len(prepared) + len(pictures))
    told = prepared if compose is None else (compose(prepared),)
    return Disclosed(request.provider, request.purpose, instructions, told, tuple(pictures))


def _refusal(request: Request, terms: Terms) -> str | None:
    if terms.purposes and request.purpose not in terms.purposes:
        return f"nothing may be told to {request.provider} for this purpose; allowed are {', '.join(terms.purposes)}"
    if request.consent is False:
        return f"this subject does not agree that anything is told to {request.provider}"
    if terms.consent == "required" and request.consent is not True:
        return f"this subject's consent to tell {request.provider} is not recorded"
    return None


def prepare(
    text: str,
    policy: Policy,
    terms: Terms,
    pseudonyms: Pseudonyms,
    names: Iterable[str] = (),
    find: Callable[[str], Sequence[Finding]] = scan,
) -> str:
    """One text after policy. Secrets never pass, whatever the policy keeps."""
    text = defused(text)
    pieces: list[str] = []
    end = 0
    for finding in find(text):
        pieces.append(_spoken(text[end : finding.start], terms, pseudonyms, names))
        value = text[finding.start : finding.end]
        end = finding.end
        action = "mask" if finding.kind == "secret" else _towards_models(policy.action(finding), terms.pii)
        if action == "block":
            raise Blocked(f"a {finding.type} may not be told to a model")
        if action == "keep":
            pieces.append(value)
        else:
            pieces.append(pseudonyms.stand_in(finding.type, value) if action == "pseudonymise" else f"[{finding.type}]")
    pieces.append(_spoken(text[end:], terms, pseudonyms, names))
    return "".join(pieces)


def _towards_models(at_rest: str, terms: PiiAction) -> PiiAction:
    # What may not even be kept is not told either, however generous the terms are.
    return terms if at_rest in ("keep", "pseudonymise") or terms == "block" else "mask"


def _spoken(text: str, terms: Terms, pseudonyms: Pseudonyms, names: Iterable[str]) -> str:
    return pseudonyms.people(text, names) if terms.names else text
