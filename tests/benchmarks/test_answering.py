"""Question answering with scripted models: who is believed, what is counted, what a model gets to see."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from benchmarks.answering import scripted
from benchmarks.answering.adversary import TRICKS, Fooled, check, trials
from benchmarks.answering.asking import Spent, Unclear, ask, context, judge, prompt, question_data
from benchmarks.answering.measuring import EVIDENCE, NOTHING, Terms, answerable, measure, records, try_judge
from benchmarks.retrieval import datasets, synthetic
from benchmarks.retrieval.cases import DataSet, Turn
from benchmarks.retrieval.rankers import Tacita

from tacita.errors import ModelError
from tacita.testing.embedder import HashEmbedder
from tacita.testing.model import ScriptedModel

TERMS = Terms(repeats=2, trials=10, price_in=2.0, price_out=8.0, threads=2)


def some() -> DataSet:
    """One person of the synthetic set."""
    data = synthetic.data_set()
    first = data.questions[0].haystack.key
    return DataSet(data.name, [question for question in data.questions if question.haystack.key == first])


def test_only_counted_questions_with_an_answer_are_asked(locomo_file: Path) -> None:
    assert [question.text for question in answerable(datasets.locomo(locomo_file))] == ["What flew?", "What and who?"]


def test_a_judge_that_accepts_everything_is_refused() -> None:
    with pytest.raises(Fooled, match="wrong answers right: another answer, does not know"):
        try_judge(some(), scripted.gullible(), TERMS, "v")


def test_a_judge_that_refuses_everything_is_refused() -> None:
    with pytest.raises(Fooled, match="only 0 of 10 right"):
        try_judge(some(), ScriptedModel(lambda _, data: "WRONG"), TERMS, "v")


@pytest.mark.parametrize("kind", ["speaks to the judge", "does not know", "hedges"])
def test_a_judge_that_falls_for_one_trick_is_refused(kind: str) -> None:
    data = some()
    start = TRICKS[kind].split("{")[0]
    fair = scripted.reader(data.questions)

    def fooled(instructions: str, told: str) -> str:
        given = told.partition("GIVEN ANSWER\n")[2]
        return "RIGHT" if given.startswith(start) else fair._function(instructions, told)  # type: ignore[misc]

    with pytest.raises(Fooled, match=kind):
        try_judge(data, ScriptedModel(fooled), TERMS, "v")


def test_trials_are_wrong_where_they_say_so() -> None:
    data = some()
    tried = list(trials(answerable(data), 15))
    assert {trial.kind for trial in tried} == {"right", "another answer", *TRICKS}
    for trial in tried:
        own = (trial.question.answer or "").casefold()
        assert trial.right == (trial.given.casefold() == own)
    assert tried == list(trials(answerable(data), 15))
    with pytest.raises(Fooled, match="nothing to try"):
        check(lambda trial: trial.right, [])


def test_the_same_prompts_reach_the_model_for_every_system(tmp_path: Path) -> None:
    data = some()
    model = scripted.reader(data.questions)
    tacita = Tacita(HashEmbedder(), tmp_path)
    outcomes = {each.name: each for each in measure(data, [tacita], model, model, TERMS, lambda _: None)}
    tacita.close()
    assert list(outcomes) == ["tacita", NOTHING, EVIDENCE]
    assert {instructions for instructions, _ in model.told} == {prompt("answer"), prompt("judge")}
    # Three systems, two repeats, an answer and a verdict.
    assert len(model.told) == 3 * 2 * 2 * len(data.questions)
    # The script answers when all of the evidence is there: never without excerpts, always with the evidence.
    assert all(not any(verdicts) for verdicts in outcomes[NOTHING].right)
    assert all(all(verdicts) for verdicts in outcomes[EVIDENCE].right)
    found = sum(all(verdicts) for verdicts in outcomes["tacita"].right)
    assert 0 < found < len(data.questions)


def test_tokens_and_cost_are_counted(tmp_path: Path) -> None:
    data = some()
    model = scripted.reader(data.questions)
    outcomes = measure(data, [], model, model, TERMS, lambda _: None)
    spent = outcomes[0].spent
    told = [(instructions, text) for instructions, text in model.told if instructions == prompt("answer")]
    # Nothing and evidence were told the same number of times; the texts without excerpts are those of `nothing`.
    bare = [len(instructions) + len(text) for instructions, text in told if "EXCERPTS\n(none)" in text]
    assert (spent.calls, spent.told) == (len(bare), pytest.approx(sum(bare) / 4))
    assert spent.cost(2.0, 8.0) == pytest.approx((spent.told * 2 + spent.said * 8) / 1e6)
    made = {(one.system, one.measure): one for one in records(data, outcomes, model, TERMS) if not one.category}
    per_question = made[NOTHING, "cost of 1,000 questions"].value
    assert per_question == pytest.approx(1_000 * spent.cost(2.0, 8.0) / len(bare), rel=1e-3)
    assert made[EVIDENCE, "right"].value == 100
    assert made[NOTHING, "tokens of context"].value == 0
    assert made[EVIDENCE, "questions whose repeats differ"].value == 0


def test_answers_that_differ_between_repeats_are_seen() -> None:
    data = DataSet("s", some().questions[:1])
    right = data.questions[0].answer or ""
    # nothing: right then wrong; evidence: wrong twice.
    said = iter([right, "x", "x", "x"])
    fair = scripted.reader(data.questions)

    def model(instructions: str, told: str) -> str:
        if instructions == prompt("judge"):
            return fair._function(instructions, told)  # type: ignore[misc]
        return next(said)

    scripted_model = ScriptedModel(model)
    nothing, evidence = measure(data, [], scripted_model, scripted_model, TERMS, lambda _: None)
    assert (nothing.right, evidence.right) == ([[True, False]], [[False, False]])
    made = {(one.system, one.measure): one.value for one in records(data, [nothing], scripted_model, TERMS)}
    assert (made[NOTHING, "right"], made[NOTHING, "questions whose repeats differ"]) == (50, 100)


def test_the_context_is_the_best_that_fits_in_order_of_time() -> None:
    day = datetime(2025, 1, 2, tzinfo=UTC)
    best = Turn(1, "the best", "s", when=day.replace(day=9))
    second = Turn(2, "the second", "s", speaker="Ana", when=day)
    long = Turn(3, "x" * 500, "s", when=day)
    text, used = context([best, second, long, Turn(4, "after", "s")], budget=100)
    assert text.splitlines() == ["[2025-01-02 00:00] Ana: the second", "[2025-01-09 00:00] user: the best"]
    assert used == pytest.approx(sum(len(line) for line in text.splitlines()) / 4)
    assert context([], 100) == ("", 0)


def test_a_question_says_when_it_was_asked(lme_file: Path) -> None:
    question = datasets.longmemeval(lme_file, "LongMemEval-S").questions[0]
    assert "ASKED ON 2023-05-30\nHow many fish" in question_data(question, "")


@pytest.mark.parametrize(("said", "right"), [("RIGHT", True), ("wrong.", False), ("Verdict: RIGHT\n", True)])
def test_verdicts(said: str, right: bool) -> None:
    assert judge(ScriptedModel([said]), "q", "a", "b", Spent()) is right


@pytest.mark.parametrize("said", ["", "maybe", "RIGHT or WRONG"])
def test_no_verdict_is_no_verdict(said: str) -> None:
    with pytest.raises(Unclear):
        judge(ScriptedModel([said]), "q", "a", "b", Spent())


def test_a_model_that_fails_stops_the_run() -> None:
    data = some()
    with pytest.raises(ModelError):
        measure(data, [], ScriptedModel([]), ScriptedModel([]), TERMS, lambda _: None)


def test_secrets_do_not_reach_a_model() -> None:
    model = ScriptedModel(["fine"])
    ask(model, "i", "my key is AKIAIOSFODNN7EXAMPLQ and that is all", Spent())
    assert "AKIAIOSFODNN7" not in model.told[0][1]
