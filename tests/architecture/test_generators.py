"""The generators on a small input: what they carry over, and that the made class behaves."""

from __future__ import annotations

import asyncio
import contextvars
import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

MEMORY = '''
"""A small Memory."""
from __future__ import annotations
import contextvars
import threading
from collections.abc import Iterator
from typing import Self

BATCH = 3
WHO = contextvars.ContextVar("who", default="nobody")

class Memory:
    """Remembers."""

    def __init__(self, home: str = "x", *, size: int = BATCH) -> None:
        """Open `home`.

        Second paragraph.
        """
        self.home, self.size, self.open, self.left = home, size, True, False

    @classmethod
    def from_config(cls, home: str) -> Self:
        """From a file."""
        return cls(home)

    def bind(self, *, user_id: str) -> Memory:
        """Narrower."""
        return Memory(user_id)

    def add(self, text: str, *rest: str, top: int = BATCH, **labels: str) -> tuple[object, ...]:
        """Add."""
        return text, rest, top, labels, WHO.get(), threading.current_thread().name

    def export(self, count: int = 2) -> Iterator[int]:
        """Lines."""
        try:
            yield from range(count)
        finally:
            self.left = True

    def fail(self) -> None:
        """Raises."""
        raise KeyError("x")

    def close(self) -> None:
        """Close."""
        self.open = False

    def _private(self) -> None: ...
'''


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that the generator makes of MEMORY."""
    text = load("generate_async", SCRIPTS / "generate_async.py").generate(MEMORY)
    (tmp_path / "memory.py").write_text(MEMORY)
    (tmp_path / "made.py").write_text(text)
    monkeypatch.setitem(sys.modules, "tacita.memory", load("tacita.memory", tmp_path / "memory.py"))
    return load("made", tmp_path / "made.py")


def test_same_public_methods_and_nothing_private(made: ModuleType) -> None:
    public = {name for name in vars(made.AsyncMemory) if not name.startswith("_")}
    assert public == {"from_config", "bind", "add", "export", "fail", "close"}
    assert made.AsyncMemory.__init__.__doc__ == "Open `home`."


def test_arguments_results_errors_and_context_pass_through(made: ModuleType) -> None:
    who = sys.modules["tacita.memory"].WHO

    async def main() -> None:
        who.set("ana")
        async with made.AsyncMemory(size=4) as memory:
            *result, thread = await memory.add("a", "b", top=2, color="red")
            assert result == ["a", ("b",), 2, {"color": "red"}, "ana"]
            assert thread != threading.current_thread().name
            assert (await memory.add("a"))[2] == 3
            with pytest.raises(KeyError):
                await memory.fail()
            inner = memory._memory
        assert not inner.open

    contextvars.copy_context().run(asyncio.run, main())


def test_iterators_are_pulled_on_threads_and_closed_when_left(made: ModuleType) -> None:
    async def main() -> None:
        async with made.AsyncMemory() as memory:
            assert [n async for n in memory.export(3)] == [0, 1, 2]
            memory._memory.left = False
            stream = memory.export(3)
            assert await anext(stream) == 0
            await stream.aclose()
            assert memory._memory.left

    asyncio.run(main())


def test_a_bound_view_shares_threads_and_does_not_stop_them(made: ModuleType) -> None:
    async def main() -> None:
        memory = await made.AsyncMemory.from_config("y")
        view = memory.bind(user_id="ana")
        assert type(view) is made.AsyncMemory
        await view.close()
        await view.close()
        assert (await memory.add("still works"))[0] == "still works"
        await memory.close()
        await memory.close()
        # The small Memory does not mind; the real one answers with its own error.
        assert (await memory.add("after"))[0] == (await view.add("after"))[0] == "after"

    asyncio.run(main())


def test_an_unknown_decorator_is_refused() -> None:
    generator = load("generate_async", SCRIPTS / "generate_async.py")
    source = MEMORY.replace("    def fail(", "    @functools.cache\n    def fail(")
    with pytest.raises(SystemExit, match=r"Memory\.fail: no rule"):
        generator.generate(source)


def test_the_reference_writes_calls_and_sections() -> None:
    import ast

    reference = load("generate_reference", SCRIPTS / "generate_reference.py")
    node = ast.parse("def f(self, a: int, /, b=1, *c: str, d: str = 'x', **e) -> int: ...").body[0]
    assert reference.parameters(node) == ["a: int", "/", "b = 1", "*c: str", "d: str = 'x'", "**e"]
    assert reference.prose("Does.\n\nArgs:\n    a: one\n        more\n    b: two") == (
        "Does.\n\n**Args**\n\n- `a`: one\n  more\n- `b`: two"
    )
