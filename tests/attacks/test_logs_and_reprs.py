"""Neither logs nor errors nor anything printed carries what somebody said, asked, named or keyed."""

from __future__ import annotations

import contextlib
import copy
import importlib
import logging
import pickle
import pkgutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console
from rich.traceback import Traceback

import tacita
from tacita import Memory, TacitaError, limits
from tacita.testing.tampering import editable

PACKAGE = str(Path(tacita.__file__).parent)
CANARY = "canaryxylophone"
USER = f"{CANARY}user"
OPEN = Callable[..., Memory]


@pytest.fixture
def spoken(memory: Memory) -> Memory:
    memory.add({"content": f"{CANARY} text", "name": CANARY, "metadata": {CANARY: CANARY}}, user_id=USER)
    return memory


def failures(memory: Memory) -> Iterator[Callable[[], Any]]:
    """Calls that must fail, each with the canary in what was sent."""
    ids = {"user_id": USER}
    bound = memory.bind(user_id=f"{CANARY}other", permissions=["read"])
    memory.add(CANARY, idempotency_key=CANARY, **ids)
    yield lambda: memory.add(f"{CANARY} changed", idempotency_key=CANARY, **ids)
    yield lambda: memory.add({"role": CANARY, "content": CANARY}, **ids)
    yield lambda: memory.add({"role": "user", "content": CANARY, CANARY: 1}, **ids)
    yield lambda: memory.add(CANARY, metadata={CANARY: {CANARY}}, **ids)
    yield lambda: memory.add(CANARY, metadata={CANARY: float("nan")}, **ids)
    yield lambda: memory.add(CANARY, timestamp=CANARY, **ids)
    yield lambda: memory.add(CANARY + "\ud800", **ids)
    yield lambda: memory.add(CANARY, infer=True, **ids)
    yield lambda: memory.add(CANARY * limits.TEXT_BYTES, **ids)
    yield lambda: memory.add(CANARY, user_id=f"{CANARY}\nx")
    yield lambda: memory.get(CANARY, **ids)
    yield lambda: memory.update(CANARY, CANARY, **ids)
    yield lambda: memory.delete(CANARY, **ids)
    yield lambda: memory.history(CANARY, **ids)
    yield lambda: memory.search(CANARY * limits.QUERY_BYTES, **ids)
    yield lambda: memory.search(CANARY, top_k=0, **ids)
    yield lambda: memory.search(CANARY, as_of=CANARY, **ids)
    yield lambda: memory.search(CANARY, filters={CANARY: CANARY}, **ids)
    yield lambda: memory.search(CANARY, filters={"text": {CANARY: CANARY}}, **ids)
    yield lambda: memory.search(CANARY, filters={"timestamp": {"gt": CANARY}}, **ids)
    yield lambda: memory.get_all(cursor=CANARY, **ids)
    yield lambda: memory.get_all(order=CANARY, **ids)  # type: ignore[arg-type]
    yield lambda: memory.erase(run_id=CANARY, **ids)
    yield lambda: memory.bind(permissions=[CANARY])
    yield lambda: bound.search(CANARY, **ids)
    yield lambda: bound.add(CANARY)
    yield lambda: bound.search(CANARY, subjects=[{"user_id": USER}])


def test_errors_say_nothing_of_what_was_sent(spoken: Memory, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    number = 0
    for number, call in enumerate(failures(spoken)):
        with pytest.raises(TacitaError) as caught:
            call()
        for said in (str(caught.value), repr(caught.value), repr(caught.value.args)):
            assert CANARY not in said, f"failure {number}"
        chain = [caught.value, caught.value.__cause__, caught.value.__context__]
        frames = [frame for one in chain if one for frame, _ in traceback.walk_tb(one.__traceback__)]
        ours = [frame for frame in frames if frame.f_code.co_filename.startswith(PACKAGE)]
        assert ours, "the frame of the verb itself"
        for frame in ours:
            assert CANARY not in repr(frame.f_locals), f"failure {number} shows it in {frame.f_code.co_name}"
        plain = "".join(traceback.format_exception_only(caught.value))
        assert CANARY not in plain
    assert number > 20
    assert CANARY not in caplog.text


def test_every_verb_is_silent_at_debug(opened: OPEN, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    caplog.set_level(logging.DEBUG)
    memory = opened(embedder="none")
    ids = {"user_id": USER, "run_id": CANARY}
    view = memory.bind(actor=CANARY, purpose=CANARY)
    item = view.add(CANARY, metadata={CANARY: CANARY}, idempotency_key=CANARY, **ids).results[0].id
    view.update(item, f"{CANARY} again", **ids)
    view.get(item, **ids)
    view.get_all(filters={"text": {"contains": CANARY}}, **ids)
    view.search(CANARY, explain=True, **ids)
    view.context(CANARY, **ids)
    view.history(item, **ids)
    list(view.export(**ids))
    view.verify()
    view.stats()
    repr(view.describe())
    view.delete(item, **ids)
    view.erase(user_id=USER)
    memory.close()
    assert CANARY not in caplog.text
    assert all(CANARY not in repr(vars(record)) for record in caplog.records)
    assert CANARY not in "".join(capfd.readouterr())


def test_tampering_is_logged_without_content(opened: OPEN, database: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = opened()
    memory.add([f"{CANARY} {n}" for n in range(600)], user_id=USER)
    memory.close()
    with editable(database) as db:
        db.execute("UPDATE snapshots SET sealed=zeroblob(400)")
    db.close()
    caplog.set_level(logging.DEBUG)
    opened().search(CANARY, user_id=USER)
    assert "snapshot not usable" in caplog.text
    assert CANARY not in caplog.text


def results(memory: Memory) -> list[Any]:
    """One of everything that callers get or hold."""
    search = memory.search(CANARY, user_id=USER, explain=True)
    page = memory.get_all(user_id=USER)
    item = page.items[0]
    return [
        memory, memory.bind(user_id=USER), search, search.hits[0], search.hits[0].subject, page, item,
        memory.context(CANARY, user_id=USER), memory.history(item.id, user_id=USER), memory.stats(user_id=USER),
        memory.verify(), memory._engine, memory._principal, memory.bind(user_id=USER)._principal, memory._parts,
    ]  # fmt: skip


def test_reprs_show_no_content(spoken: Memory) -> None:
    for value in results(spoken):
        # `str` of a hit or a context block is its text, and meant to be.
        for shown in (repr(value), f"{value!r}", repr([value]), repr({"a": value}), f"{[value]}"):
            assert CANARY not in shown, type(value).__name__


def test_pretty_printer_shows_no_content(spoken: Memory) -> None:
    from rich.pretty import pretty_repr

    for value in results(spoken):
        assert CANARY not in pretty_repr(value), type(value).__name__


def test_what_hides_its_fields_hides_them_from_pretty_printers_too() -> None:
    for module in pkgutil.walk_packages(tacita.__path__, "tacita."):
        if not module.name.startswith(("tacita.testing", "tacita.vectors", "tacita.models.remote", "tacita.demo")):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)

    def below(kind: type) -> set[type]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    hidden = [
        kind
        for kind in below(msgspec.Struct) - {msgspec.Struct}
        if kind.__module__.startswith("tacita") and kind.__repr__ is not msgspec.Struct.__repr__
    ]
    assert len(hidden) > 20
    for kind in hidden:
        # msgspec's own one gives every field.
        assert kind.__rich_repr__ is not msgspec.Struct.__rich_repr__, kind


def test_pretty_traceback_of_a_host_shows_no_content(spoken: Memory) -> None:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    held = results(spoken)
    try:
        raise RuntimeError(str(len(held)))
    except RuntimeError:
        console.print(Traceback(show_locals=True, locals_max_length=100, locals_max_string=1_000))
    shown = console.export_text()
    console.file.close()
    assert "held" in shown
    assert "canaryxylophone" not in shown.replace("CANARY", "")


def test_keys_are_neither_shown_nor_pickled(spoken: Memory) -> None:
    search = spoken.search(CANARY, user_id=USER)
    vault = spoken._engine.vaults.find(spoken._principal.tenant, search.hits[0].subject)
    assert vault is not None
    key = vault.keys.seal
    for shown in (repr(key), str(key), repr(vault.keys), repr(vault), repr(spoken._engine.keys)):
        assert key._material.hex() not in shown
        assert repr(key._material) not in shown
    for secret in (key, spoken, spoken.bind(user_id=USER)):
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                attempt(secret)
