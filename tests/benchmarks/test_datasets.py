"""Loaders, on small files in the official forms; the synthetic set; definitions of others that ours are held to."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from benchmarks.retrieval import datasets, definitions, scores, synthetic
from benchmarks.retrieval.cases import DataSet
from tests.benchmarks import sets


def test_longmemeval_keeps_what_users_said(lme_file: Path) -> None:
    data = datasets.longmemeval(lme_file, "LongMemEval-S")
    # The assistant's answer and the abstention are left out, as by the official script.
    assert [question.id for question in data.questions] == ["q1", "q4"]
    assert sorted(data.notes) == ["1 abstention left out", "1 questions that only an assistant answers left out"]
    question = data.questions[0]
    assert (question.category, question.answer) == ("multi-session", "17")
    assert question.gold == {"answer_a#0", "answer_b#1"}
    assert question.gold_sessions == {"answer_a", "answer_b"}
    assert question.when == datetime(2023, 5, 30, 23, 40, tzinfo=UTC)
    turns = question.haystack.turns
    assert [turn.id for turn in turns] == ["answer_a#0", "other#0", "answer_b#0", "answer_b#1"]
    assert {turn.role for turn in turns} == {"user"}
    assert turns[0].when == datetime(2023, 5, 20, 2, 21, tzinfo=UTC)
    # Session ids give the evidence away: no system may read them as text.
    assert not any("answer_" in turn.spoken for turn in turns)


def test_longmemeval_keeps_both_sides_when_asked_to(lme_file: Path) -> None:
    data = datasets.longmemeval(lme_file, "LongMemEval-S", "full")
    assert [question.id for question in data.questions] == ["q1", "q2", "q4"]
    assert data.questions[1].gold == {"answer_c#1"}
    assert len(data.questions[0].haystack.turns) == 6


def test_longmemeval_needs_its_three_lists_to_agree(lme_file: Path) -> None:
    entries = json.loads(lme_file.read_text())
    entries[0]["haystack_dates"].pop()
    lme_file.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match="zip"):
        datasets.longmemeval(lme_file, "LongMemEval-S")


def test_locomo_reads_evidence_however_it_is_typed(locomo_file: Path) -> None:
    data = datasets.locomo(locomo_file)
    flew, both, adversarial = data.questions
    assert (flew.gold, flew.gold_sessions, flew.counted) == ({"D2:1"}, {"2"}, True)
    assert (both.gold, both.gold_sessions, both.answer) == ({"D2:1", "D10:1"}, {"2", "10"}, "2")
    assert (adversarial.counted, adversarial.answer) == (False, None)
    assert data.notes == ["1 questions without evidence left out"]
    turns = flew.haystack.turns
    # Sessions by number, not by name.
    assert [turn.id for turn in turns] == ["D2:1", "D2:2", "D10:1"]
    assert turns[0].spoken == "Ana: Look! [shared photo: a red kite]"
    assert turns[2].when == datetime(2023, 5, 8, 13, 56, tzinfo=UTC)


def test_beam_reads_ids_out_of_whatever_holds_them(beam_folder: Path) -> None:
    data = datasets.beam(beam_folder, "100K")
    update, summary = data.questions
    assert (update.gold, update.answer, update.gold_sessions) == ({0, 2}, "yes", frozenset())
    assert (summary.gold, summary.answer) == ({0, 1}, "a garden")
    assert sorted(data.notes) == [
        "1 abstention left out",
        "1 conversations without a chat file left out",
        "1 questions without evidence left out",
    ]
    turns = update.haystack.turns
    assert [turn.text for turn in turns] == ["I plan a garden.", "Good.", "The garden has a pond now."]
    # A turn without a date has that of the one before.
    assert [turn.when.month for turn in turns if turn.when] == [3, 3, 4]


def test_friendsqa_joins_scenes_and_words(tmp_path: Path) -> None:
    data = datasets.friendsqa(sets.friendsqa(tmp_path / "dat"))
    (haystack,) = {each.haystack.key: each.haystack for each in data.questions}.values()
    assert [(turn.id, turn.spoken) for turn in haystack.turns] == [
        (("s01_e01", 0), "Ana Lima and Bo: It's ' fine '."),
        (("s02_e01", 0), "Ana Lima: You're gon na go, aren't you?"),
        (("s02_e01", 1), "( Bo leaves )"),
    ]
    assert [(each.text, each.category, set(each.gold)) for each in data.questions] == [
        ("Is it Ana's?", "other", {("s01_e01", 0)}),
        ("What is fine?", "what", {("s01_e01", 0)}),
        ("Who leaves?", "who", {("s02_e01", 1)}),
    ]


def test_the_synthetic_set_is_the_same_everywhere() -> None:
    data = synthetic.data_set()
    told = [
        (question.text, question.answer, sorted(map(str, question.gold)), [t.text for t in question.haystack.turns])
        for question in data.questions
    ]
    digest = hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()
    assert digest[:16] == "ca071dd2833a9c6f"
    assert len(data.questions) == synthetic.PEOPLE * len(synthetic.TOPICS)


def test_the_evidence_of_the_synthetic_set_holds_its_answers() -> None:
    data = synthetic.data_set()
    assert len({question.id for question in data.questions}) == len(data.questions)
    held = Counter[str]()
    for question in data.questions:
        turns = {turn.id: turn for turn in question.haystack.turns}
        assert len(turns) == len(question.haystack.turns)
        said = " ".join(turns[each].text for each in question.gold)
        assert question.answer
        assert "{" not in said + question.text + question.answer
        if question.category in ("fact", "exact", "update", "multi-hop", "assistant"):
            name = question.answer.removesuffix(" euros").removeprefix("the ")
            held[question.category] += name in said
        if question.category == "temporal":
            (only,) = question.gold
            when = turns[only].when
            assert when is not None
            assert question.answer == f"{when:%d %B %Y}"
    counts = Counter(question.category for question in data.questions)
    assert all(held[category] == counts[category] for category in ("fact", "exact", "update", "multi-hop", "assistant"))


def theirs(path: Path, *, gold: str = "{'D2:1'}", k: int = 10) -> Path:
    """Somebody else's definitions, agreeing with ours unless they are told not to."""
    path.write_text(
        f"""
class Case:
    def __init__(self, hay, query, gold, cat, qid, extra):
        self.hay, self.query, self.gold, self.cat, self.qid, self.extra = hay, query, gold, cat, qid, extra
class Doc:
    def __init__(self, id, text):
        self.id, self.text = id, text
def load_locomo(args):
    hay = [Doc('D2:1', 'Ana: Look! [shared photo: a red kite]'), Doc('D2:2', 'Rui: Nice.'),
           Doc('D10:1', 'Rui: I sold the boat.')]
    return [Case(hay, 'What flew?', {gold}, '4 single-hop', 'conv-1#0', False),
            Case(hay, 'What and who?', {{'D2:1', 'D10:1'}}, '1 multi-hop', 'conv-1#1', False),
            Case(hay, 'What did Ana sell?', {{'D10:1'}}, '5 adversarial', 'conv-1#3', True)], {{}}
def score(ranked, gold):
    from benchmarks.retrieval import scores
    return {{**scores.score(ranked, gold), 'recall@10': len(gold & set(ranked[:{k}])) / len(gold), 'more': 1.0}}
"""
    )
    return path


def test_definitions_that_agree_are_used(tmp_path: Path, locomo_file: Path) -> None:
    module = definitions.load(theirs(tmp_path / "theirs.py"))
    data = datasets.locomo(locomo_file)
    definitions.check_cases(data, definitions.their_cases(module, data, locomo_file, "user"))
    assert definitions.checked_score(module)(["a", "b"], {"b"})["more"] == 1.0


def test_definitions_that_differ_stop_the_run(tmp_path: Path, locomo_file: Path) -> None:
    data = datasets.locomo(locomo_file)
    other = definitions.load(theirs(tmp_path / "evidence.py", gold="{'D2:2'}"))
    with pytest.raises(definitions.Differs, match="conv-1#0 is not the same"):
        definitions.check_cases(data, definitions.their_cases(other, data, locomo_file, "user"))
    fewer = DataSet("LoCoMo", data.questions[:2])
    with pytest.raises(definitions.Differs, match="1 questions are in one loader only"):
        definitions.check_cases(fewer, definitions.their_cases(other, data, locomo_file, "user"))
    shallow = definitions.checked_score(definitions.load(theirs(tmp_path / "score.py", k=1)))
    assert shallow(["b"], {"b"})["recall@10"] == 1.0
    with pytest.raises(definitions.Differs, match="recall@10"):
        shallow(["a", "b"], {"b"})
    assert scores.score(["a", "b"], {"b"})["recall@10"] == 1.0
