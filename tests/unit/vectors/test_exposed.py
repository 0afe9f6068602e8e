"""The profile `exposed-vectors`: what it finds, what leaves, and what happens when the engine lags, lies or is gone."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tacita import Memory
from tacita.errors import ConfigError, InvalidInput, StoreError
from tacita.retrieval import outside
from tacita.rotating import rotate
from tacita.testing.embedder import HashEmbedder

WORDS = [f"word{number:03d}" for number in range(400)]


def texts(seed: int, count: int) -> list[str]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        parts = [" ".join(rng.choice(WORDS, int(rng.integers(5, 14)))) for _ in range(int(rng.choice([1, 1, 1, 3])))]
        made.append(". ".join(parts) + ".")
    return made


def fill(memory: Memory, said: list[str], user: str = "ana", **more: Any) -> list[str]:
    ids = []
    for start in range(0, len(said), 500):
        batch = [
            {"role": "user" if at % 2 else "assistant", "content": text, "timestamp": 1_700_000_000 + 60 * at}
            for at, text in enumerate(said[start : start + 500], start)
        ]
        ids += [one.id for one in memory.add(batch, user_id=user, **more)]
    return ids


def found(memory: Memory, query: str, user: str = "ana", **more: Any) -> list[tuple[str, float]]:
    return [(hit.item.text, round(hit.score, 4)) for hit in memory.search(query, user_id=user, **more)]


@pytest.mark.slow
def test_it_finds_what_the_sealed_profile_finds(opened: Callable[..., Memory], index: Any, tmp_path: Path) -> None:
    said = texts(1, 4_000)
    exposed = opened()
    with Memory(tmp_path / "sealed", embedder=HashEmbedder(64)) as sealed:
        for memory in (exposed, sealed):
            fill(memory, said)
        rng = np.random.default_rng(2)
        queries = [" ".join(rng.choice(said[int(rng.integers(len(said)))].split(), 4)) for _ in range(40)]
        queries += [" ".join(rng.choice(WORDS, 6)) for _ in range(20)] + ["nothing of it at all", "?"]
        hits = total = 0
        for query in queries:
            for more in ({}, {"top_k": 50}, {"filters": {"role": "user"}}):
                wanted = found(sealed, query, **more)
                got = found(exposed, query, **more)
                assert len(got) == len(wanted)
                hits += len({text for text, _ in wanted} & {text for text, _ in got})
                total += len(wanted)
        assert hits / total >= 0.99
    assert index.calls.count("search") >= len(queries)
    assert sum(held.nbytes for vault in index.held.values() for held in vault.values()) > 0


def test_no_vector_stays_in_ram(opened: Callable[..., Memory]) -> None:
    memory = opened()
    fill(memory, texts(1, 300))
    memory.search("word001", user_id="ana")
    (slot,) = memory._engine.vaults._slots.values()
    vault = slot.living()
    assert vault is not None
    assert [len(space.messages) + len(space.parts) for space in vault.state.index.spaces] == [0]


def test_the_engine_gets_keyed_names_and_vectors_and_nothing_else(opened: Callable[..., Memory], index: Any) -> None:
    memory = opened()
    (item,) = memory.add("Ana's secret garden", user_id="ana", metadata={"colour": "green"}).results
    fill(memory, texts(1, 300))
    memory.search("secret garden", user_id="ana")
    names = set()
    for sent in index.sent:
        if isinstance(sent, tuple):
            vault, tags, vectors = sent
            assert vectors.dtype == np.float32
            names |= {vault, *tags}
        else:
            assert sent.dtype == np.float32
    assert {(type(name), len(name)) for name in names} == {(bytes, 16)}
    everything = b"".join(names)
    for word in (b"ana", b"secret", b"green", item.id.encode(), bytes.fromhex(item.id.replace("-", ""))):
        assert word not in everything
    store = memory._engine.store
    known = {row.item_tag for head in store.vaults() for row in store.read(head.vault_id)}
    assert not known & names, "nobody who sees both can say which row a vector belongs to"


def test_a_filter_never_starves(opened: Callable[..., Memory], index: Any) -> None:
    memory = opened()
    fill(memory, ["alpha beta gamma"] * 900)
    fill(memory, [f"delta {word}" for word in WORDS[:300]], agent_id="coach")
    memory.add("alpha beta gamma delta", user_id="ana", run_id="r1")
    assert found(memory, "alpha beta gamma", run_id="r1") == [("alpha beta gamma delta", pytest.approx(0.9, abs=0.5))]
    assert len(found(memory, "alpha beta gamma", agent_id="coach", top_k=300)) == 300
    assert len(found(memory, "alpha beta gamma", filters={"text": {"contains": "delta"}}, top_k=20)) == 20
    assert "search" in index.calls


def test_five_items_beside_five_thousand_are_all_found(opened: Callable[..., Memory], index: Any) -> None:
    memory = opened()
    fill(memory, texts(3, 1_000), user="bo")
    fill(memory, texts(4, 5))
    assert len(found(memory, texts(3, 1)[0])) == 5
    assert len(index.held) == 2


def test_the_ugly_name_is_needed_and_nothing_less(opened: Callable[..., Memory], index: Any, home: Path) -> None:
    for config, message in (
        ({"profile": "sealed", "vectors": "faiss:"}, 'profile = "exposed-vectors"'),
        ({"profile": "exposed-vectors", "vectors": None}, "needs vectors"),
        ({"profile": "exposed"}, "profile"),
    ):
        with pytest.raises(ConfigError, match=message):
            opened(config=config)
    with pytest.raises(ConfigError, match="exposed-vectors"):
        Memory(home, vectors=index, embedder=HashEmbedder(64))
    assert index.calls == []


def test_turning_it_on_is_said_once_audited_and_shown(
    opened: Callable[..., Memory], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tacita.vectors"):
        memory = opened()
        memory.close()
        again = opened()
    said = [record for record in caplog.records if "learns" in record.message]
    assert len(said) == 1
    assert "words can be guessed" in said[0].message
    assert [entry["operation"] for entry in again.audit()].count("expose_vectors:ram:test") == 1
    described = again.describe()
    assert described["profile"] == "exposed-vectors"
    assert "every vector in plain" in described["visible_to_vector_index"]
    assert [entry["role"] for entry in described["egress"]] == ["vectors"]


def test_deleted_vectors_are_gone_before_the_receipt(opened: Callable[..., Memory], index: Any) -> None:
    memory = opened()
    ids = fill(memory, texts(1, 50))
    (held,) = index.held.values()
    before = len(held)
    receipt = memory.delete(ids[7], user_id="ana")
    facts = receipt.proof.facts
    assert facts["after"]["vectors"] == 0
    assert facts["before"]["vectors"] == before - len(held) > 0
    index.deaf = True
    with pytest.raises(StoreError, match="still"):
        memory.delete(ids[8], user_id="ana")
    index.deaf = False
    memory.reindex()
    assert memory.vectors() | {"extra": 0, "missing": 0} == memory.vectors()


def test_nothing_is_deleted_while_the_engine_is_down(opened: Callable[..., Memory], index: Any) -> None:
    memory = opened(config={"vectors_fallback": "sealed"})
    ids = fill(memory, texts(1, 20))
    index.down = True
    with pytest.raises(StoreError):
        memory.delete(ids[3], user_id="ana")
    assert memory.get(ids[3], user_id="ana").id == ids[3]
    index.down = False
    memory.delete(ids[3], user_id="ana")
    assert memory.vectors()["missing"] == 0


def test_an_erased_vault_leaves_nothing_there(opened: Callable[..., Memory], index: Any) -> None:
    memory = opened()
    fill(memory, texts(1, 30))
    fill(memory, texts(2, 30), user="bo")
    facts = memory.erase(user_id="ana").proof.facts
    assert (facts["before"]["vectors"] > 0, facts["after"]["vectors"]) == (True, 0)
    assert len([held for held in index.held.values() if held]) == 1
    index.down = True
    with pytest.raises(StoreError, match="erase again"):
        memory.erase(user_id="bo")
    index.down = False
    assert memory.erase(user_id="bo").proof.facts["after"]["vectors"] == 0
    assert not any(index.held.values())


def test_what_is_left_of_an_erased_vault_is_never_found_and_goes(
    opened: Callable[..., Memory], index: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = opened()
    fill(memory, texts(1, 300))
    (vault,) = index.held
    left = dict(index.held[vault])
    memory.erase(user_id="ana")
    index.held[vault].update(left)
    fill(memory, texts(2, 300))
    assert vault in index.held, "the same name: what is left can be dropped by it"
    assert not {text for text, _ in found(memory, texts(1, 1)[0], top_k=300)} & set(texts(1, 300))
    index.held[vault].update(left)
    assert memory.vectors()["extra"] == len(left)
    assert memory.reindex() == len(left)
    memory.erase(user_id="ana")
    index.held[vault].update(left)
    index.held[b"n" * 16] = dict(left)
    memory.reindex()
    assert vault not in index.held
    assert index.held[b"n" * 16], "of another home"


def test_down_is_an_error_or_the_sealed_search_never_less(opened: Callable[..., Memory], index: Any) -> None:
    memory = opened()
    said = texts(1, 400)
    fill(memory, said)
    wanted = found(memory, said[0])
    index.down = True
    with pytest.raises(StoreError, match="ram:test") as caught:
        memory.search(said[0], user_id="ana")
    assert caught.value.retryable
    memory.close()
    careful = opened(config={"vectors_fallback": "sealed"})
    result = careful.search(said[0], user_id="ana")
    assert [(hit.item.text, round(hit.score, 4)) for hit in result.hits] == wanted
    assert "complete, but slow" in result.warnings[0]


def test_what_was_added_while_it_was_down_is_found_and_given_later(
    opened: Callable[..., Memory], index: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = opened()
    fill(memory, texts(1, 400))
    index.down = True
    with caplog.at_level(logging.WARNING, "tacita.vectors"):
        memory.add("a purple elephant at last", user_id="ana")
    assert "behind the log" in caplog.text
    assert "elephant" not in caplog.text
    index.down = False
    result = memory.search("purple elephant", user_id="ana")
    assert result.hits[0].item.text == "a purple elephant at last"
    assert "1 items are not in the vector index" in result.warnings[0]
    assert memory.vectors()["missing"] == 1
    assert memory.reindex() == 1
    assert memory.search("purple elephant", user_id="ana").warnings == ()


def test_entries_that_vanish_are_noticed_when_a_vault_is_opened(opened: Callable[..., Memory], index: Any) -> None:
    memory = opened()
    said = texts(1, 400)
    fill(memory, said)
    wanted = found(memory, said[5])
    memory.close()
    (held,) = index.held.values()
    for tag in list(held)[:50]:
        del held[tag]
    again = opened()
    assert found(again, said[5]) == wanted
    assert again.search(said[5], user_id="ana").warnings
    assert again.reindex() >= 50
    assert found(again, said[5]) == wanted


def test_foreign_entries_and_scores_decide_nothing(opened: Callable[..., Memory], index: Any) -> None:
    memory = opened()
    said = texts(1, 400)
    fill(memory, said)
    wanted = found(memory, said[5])
    (held,) = index.held.values()
    # Whoever runs the engine may put anything there: what is not named in the log is nobody's.
    held.update({bytes([number]) * 16: next(iter(held.values())) for number in range(100)})
    assert found(memory, said[5]) == wanted


def test_another_vault_key_gives_all_entries_new_names(opened: Callable[..., Memory], index: Any, home: Path) -> None:
    memory = opened()
    said = texts(1, 400)
    fill(memory, said)
    wanted = found(memory, said[5])
    before = {tag for held in index.held.values() for tag in held}
    memory.close()
    rotate(_settings(home), None, deep=True)
    again = opened()
    assert found(again, said[5]) == wanted
    again.reindex()
    after = {tag for held in index.held.values() for tag in held}
    assert len(after) == len(before)
    assert not after & before
    assert found(again, said[5]) == wanted


def _settings(home: Path) -> Any:
    from tacita.config import Settings

    return Settings.load(config={"home": str(home)})


def test_off_again_refuses_to_forget_what_is_outside(opened: Callable[..., Memory], index: Any) -> None:
    memory = opened()
    ids = fill(memory, texts(1, 10))
    memory.close()
    sealed = opened(config={"profile": "sealed"})
    assert len(found(sealed, "word001")) == 10
    for call in (lambda: sealed.delete(ids[0], user_id="ana"), lambda: sealed.erase(user_id="ana")):
        with pytest.raises(ConfigError, match="withdraw"):
            call()
    sealed.close()
    on = opened()
    assert on.withdraw_vectors() == 1
    assert not any(index.held.values())
    assert "withdraw_vectors:ram:test" in [entry["operation"] for entry in on.audit()]
    with pytest.raises(InvalidInput):
        on.withdraw_vectors()
    on.close()
    assert opened(config={"profile": "sealed"}).delete(ids[0], user_id="ana").proof.facts["after"]["items"] == 0


def test_a_process_without_an_embedder_still_removes(opened: Callable[..., Memory], index: Any) -> None:
    memory = opened()
    ids = fill(memory, texts(1, 10))
    memory.close()
    bare = opened(embedder="none")
    assert bare.delete(ids[0], user_id="ana").proof.facts["before"]["vectors"] > 0
    assert bare.erase(user_id="ana").proof.facts["after"]["vectors"] == 0


def test_updates_expiry_and_redaction_reach_the_engine(opened: Callable[..., Memory], index: Any) -> None:
    now = 1_800_000_000_000_000
    memory = opened(clock=lambda: now)
    kept = memory.add("Zora likes tea", user_id="ana").results[0].id
    memory.add("gone tomorrow", user_id="ana", expires_at=now // 1_000_000 + 10)
    (held,) = index.held.values()
    assert len(held) == 2
    memory.update(kept, user_id="ana", text="Zora likes coffee")
    assert len(held) == 3, "the older version stays for searches of the past"
    now += 60_000_000
    memory.search("tea", user_id="ana")
    assert len(held) == 2
    before = set(held)
    memory.redact("Zora", user_id="ana")
    assert len(held) == 1
    assert not before & set(held)


def test_two_processes_share_one_engine(opened: Callable[..., Memory], index: Any) -> None:
    one, two = opened(), opened()
    fill(one, texts(1, 300))
    fill(two, texts(2, 300))
    for memory in (one, two):
        assert found(memory, texts(2, 1)[0])[0][0] == texts(2, 1)[0]
        assert found(memory, texts(1, 1)[0])[0][0] == texts(1, 1)[0]
    victim = one.search(texts(1, 1)[0], user_id="ana").hits[0].item.id
    two.delete(victim, user_id="ana")
    assert texts(1, 1)[0] not in {text for text, _ in found(one, texts(1, 1)[0], top_k=600)}
    assert one.vectors() | {"missing": 0, "extra": 0} == one.vectors()


def test_more_candidates_than_one_search_opens_is_said(
    opened: Callable[..., Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "MOST", 64)
    memory = opened()
    fill(memory, ["the same words again"] * 700)
    result = memory.search("the same words again", user_id="ana", top_k=5)
    assert len(result.hits) == 5


def test_explaining_works(opened: Callable[..., Memory]) -> None:
    memory = opened()
    said = texts(1, 400)
    fill(memory, said)
    hit = memory.search(said[3], user_id="ana", explain=True).hits[0]
    assert hit.item.text == said[3]
    dense = next(signal for signal in hit.signals if signal.name == "dense")
    assert dense.rank == 1
    assert sum(signal.contribution for signal in hit.signals) == pytest.approx(hit.score, abs=1e-4)
    assert json.dumps(memory.vectors())
