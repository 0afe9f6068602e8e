"""The whole way from a data set to records, with an embedder that needs no model."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from pathlib import Path

import pytest
from benchmarks.records import read
from benchmarks.retrieval import datasets, scores, synthetic
from benchmarks.retrieval.__main__ import main, run, started
from benchmarks.retrieval.cases import DataSet
from benchmarks.retrieval.measuring import BUDGET, measure, records
from benchmarks.retrieval.peers import Ended, Peer
from benchmarks.retrieval.rankers import Cosine, Fused, Ranker, Tacita

from tacita import Memory
from tacita.testing.embedder import HashEmbedder


def two() -> DataSet:
    """Two people of the synthetic set."""
    data = synthetic.data_set()
    keys = list(dict.fromkeys(question.haystack.key for question in data.questions))[:2]
    return DataSet("Synthetic", [question for question in data.questions if question.haystack.key in keys])


@pytest.mark.slow
def test_every_ranker_meets_the_same_questions(tmp_path: Path) -> None:
    data = two()
    cosine = Cosine(HashEmbedder(), "hash")
    tacita = Tacita(HashEmbedder(), tmp_path)
    rankers: list[Ranker] = [tacita, cosine, Fused([cosine], constant=60)]
    steps: dict[str, list[int]] = {}

    def step(name: str, turns: int, questions: int) -> None:
        told = steps.setdefault(name, [0, 0])
        told[0] += turns
        told[1] += questions

    tallies = measure(data, rankers, scores.score, step)
    tacita.close()
    turns = sum(len(h.turns) for h in {q.haystack.key: q.haystack for q in data.questions}.values())
    assert steps == {name: [turns, len(data.questions)] for name in ("tacita", "hash", "rrf60")}
    made = records(data, tallies)
    assert len({record.place for record in made}) == len(made)
    of = {(record.system, record.measure, record.category): record for record in made}
    for system in ("tacita", "hash", "rrf60"):
        total = of[system, "recall@10", ""]
        assert total.n == len(data.questions)
        assert total.value is not None
        assert total.low is not None
        assert total.high is not None
        assert 0 < total.low <= total.value <= total.high <= 100
        at = [of[system, f"recall@{k}", ""].value or 0.0 for k in scores.KS]
        assert at == sorted(at)
        parts = [record for (who, what, part), record in of.items() if who == system and what == "recall@10" and part]
        assert sum(record.n or 0 for record in parts) == total.n
        assert (of[system, BUDGET, ""].value or 0) > 0
        assert of[system, "session recall@10", ""].n == len(data.questions)
    # A fusion of one ranking is that ranking.
    assert of["rrf60", "ndcg@10", ""].value == of["hash", "ndcg@10", ""].value


def test_tacita_beats_chance_by_far_and_keeps_haystacks_apart(tmp_path: Path, lme_file: Path) -> None:
    tacita = Tacita(HashEmbedder(), tmp_path)
    for question in datasets.longmemeval(lme_file, "LongMemEval-S").questions:
        tacita.open(question.haystack, lambda _: None)
        ranked = tacita.rank(question, 50)
        # All of this haystack and nothing of the one before.
        assert sorted(map(str, ranked)) == sorted(str(turn.id) for turn in question.haystack.turns)
        assert ranked[0] in question.gold
    tacita.close()


def test_bm25_ranks_what_shares_a_word(locomo_file: Path) -> None:
    pytest.importorskip("bm25s")
    from benchmarks.retrieval.rankers import Bm25

    bm25 = Bm25()
    question = next(each for each in datasets.locomo(locomo_file).questions if each.text == "What did Ana sell?")
    bm25.open(question.haystack, lambda _: None)
    assert list(bm25.rank(question, 10)) == ["D2:1"]


@pytest.mark.slow
def test_the_command_writes_records_and_stops_where_definitions_differ(
    tmp_path: Path, lme_file: Path, locomo_file: Path, beam_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("bm25s")
    out = tmp_path / "out.jsonl"
    sets = [f"--lme-s={lme_file}", f"--locomo={locomo_file}", f"--beam={beam_folder}"]
    assert main([*sets, f"--json={out}"]) == 0
    (written,) = read(out)
    assert {record.case for record in written.records} == {"LongMemEval-S", "LoCoMo", "BEAM 100K"}
    assert {record.system for record in written.records} == {"tacita", "bm25", "minilm", "rrf60", "rrf5"}
    assert "LoCoMo: 2 questions" in capsys.readouterr().out
    other = tmp_path / "other.py"
    other.write_text("def load_lme(args): return [], {}\ndef score(ranked, gold): return {}\n")
    assert main([f"--lme-s={lme_file}", f"--metrics={other}"]) == 1
    assert "2 questions are in one loader only" in capsys.readouterr().err


@pytest.mark.slow
def test_a_peer_ranks_in_a_process_of_its_own_as_it_would_here(tmp_path: Path) -> None:
    """Tacita stands in for one: it is installed, and says the same without names, roles and times."""
    data = two()
    questions = data.questions[::5]
    memory = Memory(tmp_path, store="memory:", keys="ephemeral:", embedder=HashEmbedder())
    peer = Peer("tacita", sys.executable, HashEmbedder())
    assert peer.missing is None
    turn_of: dict[str, Hashable] = {}
    try:
        for question in questions:
            haystack = question.haystack
            peer.open(haystack, lambda _: None)
            if not set(turn_of.values()) & {turn.id for turn in haystack.turns}:
                added = memory.add([turn.spoken for turn in haystack.turns], user_id=haystack.key)
                turn_of |= zip(added.ids, (turn.id for turn in haystack.turns), strict=True)
            found = memory.search(question.text, user_id=haystack.key, top_k=10)
            assert peer.rank(question, 10) == [turn_of[hit.id] for hit in found]
            assert set(peer.rank(question, 50)) <= {turn.id for turn in haystack.turns}
        peer._process.kill()
        with pytest.raises(Ended, match=r"^tacita: "):
            peer.rank(questions[0], 3)
    finally:
        peer.close()
        memory.close()


def test_peers_that_are_not_there_are_left_out_and_say_why(capsys: pytest.CaptureFixture[str]) -> None:
    with started(["letta"], sys.executable, HashEmbedder()) as peers:
        assert peers == []
    assert "letta is left out: not run" in capsys.readouterr().err
    with pytest.raises(Ended, match="nosuch: KeyError"), started(["nosuch"], sys.executable, HashEmbedder()):
        pass


def test_a_run_closes_what_it_opened(tmp_path: Path) -> None:
    data = DataSet("Synthetic", two().questions[:3])
    tacita = Tacita(HashEmbedder())
    made = run(data, [tacita], scores.score)
    assert {record.case for record in made} == {"Synthetic"}
    with pytest.raises(Exception, match="closed"):
        tacita.rank(data.questions[0], 5)
