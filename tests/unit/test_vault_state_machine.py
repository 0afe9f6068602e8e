"""Two writers over one home against a plain dict: whatever the order of steps, both always agree with it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from tacita import Conflict, Memory, NotFound

USERS = ["ana", "bob"]
WORDS = ["amber", "birch", "cedar", "dune", "ember"]
writers = st.integers(0, 1)
users = st.sampled_from(USERS)
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)


class TwoWriters(RuleBasedStateMachine):
    items = Bundle("items")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.home = self.folder / "home"
        self.memories = [self.open(), self.open()]
        self.model: dict[str, dict[str, list[str]]] = {user: {} for user in USERS}
        self.keys: dict[tuple[str, str], tuple[str, str]] = {}

    def open(self) -> Memory:
        return Memory(self.home, embedder="none")

    @rule(target=items, writer=writers, user=users, added=st.lists(texts, min_size=1, max_size=3))
    def add(self, writer: int, user: str, added: list[str]) -> object:
        results = self.memories[writer].add(added, user_id=user).results
        for result, text in zip(results, added, strict=True):
            self.model[user][result.id] = [text]
        return multiple(*((user, result.id) for result in results))

    @rule(writer=writers, user=users, key=st.sampled_from("kl"), text=texts)
    def add_once(self, writer: int, user: str, key: str, text: str) -> None:
        known = self.keys.get((user, key))
        if known is not None and known[1] != text:
            with pytest.raises(Conflict):
                self.memories[writer].add(text, user_id=user, idempotency_key=key)
            return
        result = self.memories[writer].add(text, user_id=user, idempotency_key=key).results[0]
        if known is None:
            assert result.event == "added"
            self.keys[user, key] = (result.id, text)
            self.model[user][result.id] = [text]
        else:
            assert (result.event, result.id) == ("unchanged", known[0])

    @rule(writer=writers, item=items, text=texts)
    def update(self, writer: int, item: tuple[str, str], text: str) -> None:
        user, item_id = item
        if item_id not in self.model[user]:
            with pytest.raises(NotFound):
                self.memories[writer].update(item_id, text, user_id=user)
            return
        self.model[user][item_id].append(text)
        updated = self.memories[writer].update(item_id, text, user_id=user)
        assert (updated.text, updated.version) == (text, len(self.model[user][item_id]))

    @rule(writer=writers, item=consumes(items))
    def delete(self, writer: int, item: tuple[str, str]) -> None:
        user, item_id = item
        versions = self.model[user].pop(item_id, None)
        if versions is None:
            with pytest.raises(NotFound):
                self.memories[writer].delete(item_id, user_id=user)
            return
        receipt = self.memories[writer].delete(item_id, user_id=user)
        assert receipt.events_purged == len(versions)

    @rule(writer=writers, user=users)
    def erase(self, writer: int, user: str) -> None:
        receipt = self.memories[writer].erase(user_id=user)
        assert (receipt.items or 0) == len(self.model[user])
        self.model[user] = {}
        self.keys = {key: value for key, value in self.keys.items() if key[0] != user}

    @rule(writer=writers, user=users, word=st.sampled_from(WORDS))
    def search(self, writer: int, user: str, word: str) -> None:
        hits = self.memories[writer].search(word, user_id=user, top_k=1000)
        found = {hit.item.id for hit in hits if word in hit.text.split()}
        assert found == {key for key, texts in self.model[user].items() if word in texts[-1].split()}

    @rule(writer=writers, item=items)
    def history(self, writer: int, item: tuple[str, str]) -> None:
        user, item_id = item
        if item_id in self.model[user]:
            changes = self.memories[writer].history(item_id, user_id=user)
            assert [change.text for change in changes] == self.model[user][item_id]

    @rule(writer=writers)
    def reopen(self, writer: int) -> None:
        self.memories[writer].close()
        self.memories[writer] = self.open()

    @rule(writer=writers)
    def verify(self, writer: int) -> None:
        report = self.memories[writer].verify()
        assert report.ok, report.problems

    @invariant()
    def both_agree_with_the_model(self) -> None:
        for memory in self.memories:
            for user in USERS:
                stored = {item.id: item.text for item in memory.get_all(user_id=user, limit=1000).items}
                assert stored == {key: texts[-1] for key, texts in self.model[user].items()}

    def teardown(self) -> None:
        for memory in self.memories:
            memory.close()
        shutil.rmtree(self.folder)


TwoWriters.TestCase.settings = settings(
    max_examples=12, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
TestTwoWriters = TwoWriters.TestCase
