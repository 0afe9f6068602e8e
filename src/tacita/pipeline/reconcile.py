"""What a checked fact does to the facts that are known: nothing, join them, or take the place of one.

Trust decides what may happen at all: an untrusted fact changes nothing that is trusted, whatever a model says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from tacita.items import Trust
from tacita.patterns import lazy_pattern
from tacita.pipeline.facts import Fact, Known, Relation, normal
from tacita.retrieval.text import analyse

_NEAR: Final = 0.9
"""Share of stems that two statements of one thing have in common."""
_NUMBER: Final = lazy_pattern(r"\d+")
_NEGATIONS: Final = frozenset(
    "no not never none nor without don't doesn't didn't isn't aren't wasn't weren't can't won't stopped quit former"
    " nicht kein keine nie non jamais pas ne sin nunca jamas nao mai niet geen".split()
)


class Decision(msgspec.Struct, frozen=True):
    """What to do with one fact."""

    fact: Fact
    action: Literal["add", "skip"]
    replaces: Known | None = None
    """The known fact that it takes the place of."""
    replaced_by: Known | None = None
    """The known fact that already took its place: the news is older than what is known."""
    reason: Relation = "new"


def reconcile(facts: Sequence[Fact], known: Sequence[Known]) -> tuple[list[Decision], Counter[str]]:
    """One decision for each fact, and how often a model wanted what trust forbids (`outranked`)."""
    decisions: list[Decision] = []
    refused: Counter[str] = Counter()
    gone: set[bytes] = set()
    stated = [(Statement.of(each.text), each) for each in known]
    for fact in facts:
        says = Statement.of(fact.text)
        same = next((each for statement, each in stated if says.same(statement)), None)
        if same is not None and may_replace(same.trust, fact.source.trust):
            decisions.append(Decision(fact, "skip", reason="duplicate"))
            continue
        target = fact.of
        if target is None or fact.relation == "new":
            decisions.append(Decision(fact, "add"))
        elif not may_replace(fact.source.trust, target.trust):
            refused["outranked"] += 1
            decisions.append(Decision(fact, "add"))
        elif fact.relation == "duplicate":
            decisions.append(Decision(fact, "skip", reason="duplicate"))
        elif target.id in gone:
            decisions.append(Decision(fact, "add"))
        elif fact.source.said_at < target.said_at and fact.relation != "refines":
            decisions.append(Decision(fact, "add", replaced_by=target, reason=fact.relation))
        else:
            gone.add(target.id)
            decisions.append(Decision(fact, "add", replaces=target, reason=fact.relation))
    return decisions, refused


def may_replace(new: Trust, old: Trust) -> bool:
    """Whether a fact of one trust may change a fact of another: untrusted ones change nothing but each other."""
    return new >= old if new > Trust.UNTRUSTED else old == Trust.UNTRUSTED


def derived_trust(parents: Sequence[Trust]) -> Trust:
    """The trust of what was derived: the least of its parents'; without parents, none."""
    return min(parents, default=Trust.UNTRUSTED)


class Statement(msgspec.Struct, frozen=True):
    """What decides whether two texts say the same."""

    words: str
    numbers: tuple[str, ...]
    negations: frozenset[str]
    stems: tuple[str, ...]
    distinct: frozenset[str]

    @classmethod
    def of(cls, text: str) -> Statement:
        """Read a text once, for many comparisons."""
        stems = tuple(analyse(text)[0])
        negations = frozenset(text.casefold().replace("\u2019", "'").split()) & _NEGATIONS
        return cls(normal(text), tuple(_NUMBER.findall(text)), negations, stems, frozenset(stems))

    def same(self, other: Statement) -> bool:
        """Equal but for wording that carries no meaning: nearly the same stems, the same numbers and negations."""
        if self.words == other.words:
            return True
        if self.numbers != other.numbers or self.negations != other.negations or not self.stems or not other.stems:
            return False
        both = self.distinct & other.distinct
        if len(both) < _NEAR * len(self.distinct | other.distinct):
            return False
        # Order carries meaning ("Ana owes Rui"): it must be the same for what both hold.
        return [stem for stem in self.stems if stem in both] == [stem for stem in other.stems if stem in both]


def same_statement(one: str, other: str) -> bool:
    """Whether two texts say the same."""
    return Statement.of(one).same(Statement.of(other))
