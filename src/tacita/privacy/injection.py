"""Signs that a text wants to instruct the model that reads it.

They mark, and nothing rests on them: in public studies such detectors stop little of what is new. What holds is the label
lattice, under which untrusted text can change nothing that is trusted.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import re2


class Sign(NamedTuple):
    """One kind of sign."""

    name: str
    pattern: str
    """RE2, on the text in lower case with white space made single."""


SIGNS: Final = (
    Sign(
        "override",
        r"\b(?:ignor\w*|disregard\w*|forget|overrid\w+|bypass|skip|discard|neglect)\b[ ,](?:all |any "
        r"|every(?:thing)? |of |the |your |my |these |those |other |usual |current )*(?:previous|prior|above"
        r"|preceding|earlier|before|past|initial|original|system|safety|(?:instruction|direction|rule|prompt"
        r"|guideline|command|guidance|input|context|polic|training|programming|message|directive))",
    ),
    Sign(
        "override",
        r"\b(?:ignore|disregard|forget)\b[^.!?]{0,40}\b(?:instruction|direction|rule|prompt|guideline|command"
        r"|guidance|input|context|polic|training|programming|message|directive)",
    ),
    Sign("override", r"\b(?:ignore|forget|disregard) (?:everything|all|anything)\b"),
    Sign(
        "persona",
        r"\byou (?:are|will) now\b|\bfrom now on,? (?:you|on|your|act|i)\b|\byou are (?:going to|about to) (?:act"
        r"|play|be|pretend|immerse)",
    ),
    Sign(
        "persona",
        r"\b(?:pretend|act|roleplay|role-play|imagine|behave|respond|answer|reply|simulate)\w* (?:to be|that you"
        r"|as if|as an?|as the|as my|like a)\b[^.]{0,80}\b(?:ai|bot|gpt|model|terminal|without|unfiltered"
        r"|no (?:rules|restrictions|limits)|character|assistant|chatbot|persona|machine|human|evil)",
    ),
    Sign(
        "persona",
        r"\b(?:dan|jailbreak\w*|developer mode|god mode|dev mode|do anything now|stay in character|unfiltered"
        r"|uncensored|amoral|without (?:any )?(?:restrictions|limitations|filters)|no (?:ethical"
        r"|moral)[^.]{0,20}(?:guidelines|restrictions|limits|boundaries)|free of all (?:restrictions|filters)"
        r"|ethical guidelines|content polic(?:y|ies))\b",
    ),
    Sign(
        "persona",
        r"\b(?:chatgpt|gpt-?[34]|openai|claude|language model|ai model|ai assistant|chatbot)\b[^.]{0,120}\b(?:you"
        r"|will|must|respond|answer|pretend|act|rules?)\b",
    ),
    Sign(
        "persona",
        r"\byou (?:must|will|should|can|have to) (?:never|always|not|only|no longer)\b[^.]{0,60}\b(?:refuse"
        r"|reject|break|respond|answer|reply|say|warn|apolog)",
    ),
    Sign(
        "extract",
        r"\b(?:repeat|print|output|reveal|show|tell|give|display|leak|share|translate|summari[sz]e|recite|list"
        r"|describe|what (?:are|is|were)|write)\b[^.?!]{0,60}\b(?:system|initial|starting|original|hidden|secret"
        r"|internal|your|above|exact|first)\b[^.?!]{0,30}\b(?:(?:instruction|direction|rule|prompt|guideline"
        r"|command|guidance|input|context|polic|training|programming|message|directive))",
    ),
    Sign(
        "role",
        r"\[/?(?:system|inst|assistant|admin)\]|<\|?(?:im_start|im_end|system|endoftext)|<<sys>>|(?:^"
        r"|[\n#>])\s*#{0,4}\s*(?:system|assistant|developer)\s*(?:prompt|message|instructions?)?\s*:|"
        r"\bsystem (?:override|note|message|chain of thought|prompt)\b|#begin\b|\[end of (?:document|prompt"
        r"|context)\]|begin new (?:session|instructions)",
    ),
    Sign(
        "role",
        r"\b(?:new|updated|additional|following|important|custom|special) (?:instructions?|directives?"
        r"|system prompt)\b|\bnote to (?:the |any )?(?:ai|automated|llm|language|assistant|model|bot|grader"
        r"|system)|\b(?:invisible to humans|visible to llm|automated screening|pre-?verified by|override manual)\b",
    ),
    Sign(
        "steer",
        r"\b(?:in|to|into|at|within|of|for) (?:your|the) (?:\w+ )?(?:response|reply|answer|output|solution|code"
        r"|implementation|responses|replies)\b",
    ),
    Sign(
        "steer",
        r"\b(?:append|insert|include|embed|incorporate|integrate|add|attach|inject|employ|upgrade|enhance"
        r"|supplement|weave|blend|harmoni[sz]e|infuse|merge)\b[^.\n]{0,80}\b(?:code|snippet|excerpt|sentence"
        r"|phrase|link|following|text)\b",
    ),
    Sign(
        "steer",
        r"\b(?:reply|respond|answer|write|output|print|say|speak)\b[^.\n]{0,30}\b(?:only|exactly|just|solely"
        r"|nothing but|every prompt|each (?:word|letter|sentence)|all (?:questions|prompts)|in (?:reverse|binary"
        r"|morse|base64|rot13|pig latin|capital|uppercase|emoji))",
    ),
    Sign(
        "steer",
        r"\b(?:replace|convert|substitute|encode|encrypt|reverse|translate|capitali[sz]e|scramble|group|swap"
        r"|shift|randomi[sz]e)\b[^.\n]{0,40}\b(?:vowels?|letters?|words?|characters?|text|sentences?|alphabet"
        r"|base ?64|cipher|binary|emoji|symbols?)",
    ),
    Sign(
        "steer",
        r"\bhaha pwned\b|\b(?:visit|download|click|go to)\b[^.\n]{0,40}\b(?:www\.|https?://|\.com"
        r"\b)[^.\n]{0,60}(?:your|users?|bank|details|now|boost|free|sketch)",
    ),
    Sign("steer", r"!\[[^\]]{0,40}\]\(https?://[^)]{0,200}[?&=]"),
    Sign(
        "code",
        r"subprocess\.(?:call|run|popen|check_output)|os\.(?:system|popen)\(|socket\.socket\(\)|requests\.(?:post"
        r"""|get)\([\"']https?://|psutil\.|\bnc -e\b|curl [^\n]{0,60}\|\s*(?:ba)?sh|rm -rf /""",
    ),
    Sign("hidden", r"[\x{E0020}-\x{E007F}]{4}|[\x{200B}-\x{200D}\x{2060}\x{FEFF}]{6}"),
)
"""Kinds of signs. Several patterns may share a name."""

_WEAK: Final = frozenset({"steer", "persona", "extract", "code"})
"""People say such things to their own assistants, and often: alone they mark what comes from elsewhere only."""


@cache
def _compiled() -> Any:
    # One automaton for all of them: one pass over the text.
    options = re2.Options()
    # Out of memory, it would find nothing and say nothing.
    options.max_mem = 64 << 20
    found = re2.Set.SearchSet(options)
    for sign in SIGNS:
        found.Add(sign.pattern)
    found.Compile()
    return found


def signs(text: str) -> tuple[str, ...]:
    """Names of the signs in a text, each once, in the order of `SIGNS`. Linear in the length of the text."""
    folded = " ".join(text.lower().replace("\n", " \u23ce ").split()).replace("\u23ce", "\n")
    return tuple(dict.fromkeys(SIGNS[number].name for number in sorted(_compiled().Match(folded) or ())))


def suspicious(found: tuple[str, ...], *, trusted: bool) -> bool:
    """Whether the signs call for a look. What the user says to the own assistant gets more benefit of the doubt."""
    if not trusted:
        return bool(found)
    return any(name not in _WEAK for name in found) or len(found) > 1
