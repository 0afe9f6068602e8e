"""Write `src/tacita/_async.py` from `src/tacita/memory.py`: `AsyncMemory`, the same verbs on worker threads.

The core is written once, blocking. Two hand-written twins drift apart; a generated one cannot, and `--check` (run by
`make check`) fails when the committed file is not what this script writes.

How a method of `Memory` is carried over, by what it returns:

    Memory, Self         stays sync, gives an AsyncMemory on the same threads (`bind`)
    Iterator[X]          becomes an async iterator, pulled on a worker thread (`export`)
    anything else        becomes `async def`
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "tacita" / "memory.py"
TARGET = ROOT / "src" / "tacita" / "_async.py"

HEADER = '''\
# Written by scripts/generate_async.py from memory.py. Edit that one, then `make format`.
"""`AsyncMemory`: the verbs of `Memory` for asyncio, each run on a worker thread.

Nothing is decided here: a method hands its arguments to the same method of `Memory`.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast, final

from tacita.memory import Memory
'''

CLASS = '''
_P = ParamSpec("_P")
_T = TypeVar("_T")

_THREADS = 8
_END: Any = object()


class _Threads:
    """Threads of our own, shared by a memory and its views: work that waits for a disk must not fill the pool that
    the host's DNS look-ups use."""

    __slots__ = ("pool",)

    def __init__(self) -> None:
        self.pool: ThreadPoolExecutor | None = ThreadPoolExecutor(_THREADS, thread_name_prefix="tacita")

    def stop(self) -> None:
        # None is the loop's own pool: a call after `close` still reaches Memory, which says what is wrong.
        pool, self.pool = self.pool, None
        if pool is not None:
            pool.shutdown(wait=False)


@final
class AsyncMemory:
    """`Memory` for asyncio: the same verbs, arguments, results and errors.

    Making one opens the home before it returns, as `Memory()` does. Cancelling a call stops the waiting, not the
    work: an `add` that was under way may still be kept.
    """

    __slots__ = ("_memory", "_owner", "_threads")

    _memory: Memory
    _threads: _Threads
    _owner: bool

    # constructor

    @classmethod
    def _around(cls, memory: Memory, threads: _Threads | None) -> Self:
        self = cls.__new__(cls)
        self._adopt(memory, threads)
        return self

    def _adopt(self, memory: Memory, threads: _Threads | None) -> None:
        self._memory = memory
        self._owner = threads is None
        self._threads = threads or _Threads()

    async def _run(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        call = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads.pool, call)

    async def _stream(
        self, function: Callable[_P, Iterator[_T]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> AsyncIterator[_T]:
        iterator = await self._run(function, *args, **kwargs)
        try:
            while (value := await self._run(next, iterator, _END)) is not _END:
                yield value
        finally:
            # A generator that is left half-way holds a read open until it is closed.
            if (close := getattr(iterator, "close", None)) is not None:
                await self._run(close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Async{self._memory!r}"
'''


def generate(source: str) -> str:
    """The text of `_async.py` for the text of `memory.py`, formatted."""
    module = ast.parse(source)
    memory = next((node for node in module.body if isinstance(node, ast.ClassDef) and node.name == "Memory"), None)
    if memory is None:
        raise SystemExit(f"{SOURCE.name} has no class Memory")
    public = [n for n in memory.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
    constructor = next(n for n in memory.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    parts = [n for method in (constructor, *public) for n in (method.args, method.returns) if n is not None]
    used = {n.id for part in parts for n in ast.walk(part) if isinstance(n, ast.Name)}
    made = _text("def __init__", constructor, "None", [f"self._adopt(Memory({_arguments(constructor)}), None)"])
    return _ruff(
        HEADER + _imports(module, used) + CLASS.replace("    # constructor\n", made) + "".join(map(_method, public))
    )


def _method(node: ast.FunctionDef) -> str:
    name, returns = node.name, ast.unparse(node.returns) if node.returns else "None"
    decorators = {ast.unparse(d) for d in node.decorator_list}
    call = f"self._memory.{name}"
    passed = ", ".join(filter(None, (call, _arguments(node))))
    on_class = ", ".join(filter(None, (f"Memory.{name}", _arguments(node))))
    again = returns in ("Memory", "Self")
    stream = re.fullmatch(r"(?:Iterator|Generator)\[(.+?)(?:, None, None)?\]", returns)

    if decorators == {"property"}:
        return _text(f"def {name}", node, returns, [f"return {call}"])
    if decorators == {"classmethod"} and again:
        # On the loop's own pool: ours does not exist yet.
        return _text(
            f"async def {name}", node, "Self", [f"return cls._around(await asyncio.to_thread({on_class}), None)"]
        )
    if decorators:
        raise SystemExit(f"Memory.{name}: no rule for the decorators {sorted(decorators)}")
    if again:
        body = [f"return self._around({call}({_arguments(node)}), self._threads)"]
        return _text(f"def {name}", node, "Self", body)
    if stream:
        # Not `async def`: the caller gets the generator itself, so that `aclose()` reaches it and no wrapper.
        return _text(f"def {name}", node, f"AsyncIterator[{stream[1]}]", [f"return self._stream({passed})"])
    if name == "close":
        body = [f"await self._run({passed})", "if self._owner:", "    self._threads.stop()"]
        return _text("async def close", node, returns, body)
    run = f"await self._run({passed})"
    return _text(f"async def {name}", node, returns, [run if returns == "None" else f"return {run}"])


def _text(head: str, node: ast.FunctionDef, returns: str, body: list[str]) -> str:
    lines = [f"@{ast.unparse(d)}" for d in node.decorator_list]
    lines.append(f"{head}({ast.unparse(node.args)}) -> {returns}:")
    if doc := ast.get_docstring(node):
        summary = " ".join(doc.split("\n\n")[0].split())
        lines.append(f'    """{summary}"""')
    lines += [f"    {line}" for line in body]
    return "\n" + "".join(f"    {line}\n" for line in lines)


def _arguments(node: ast.FunctionDef) -> str:
    """The call that passes a method's own parameters on, without `self` or `cls`."""
    args = node.args
    positional = [a.arg for a in (*args.posonlyargs, *args.args)]
    parts = positional[1:]
    if args.vararg is not None:
        parts.append(f"*{args.vararg.arg}")
    parts += [f"{a.arg}={a.arg}" for a in args.kwonlyargs]
    if args.kwarg is not None:
        parts.append(f"**{args.kwarg.arg}")
    return ", ".join(parts)


def _imports(module: ast.Module, used: set[str]) -> str:
    """The import lines of `memory.py` that the signatures need; names that it defines itself come from it."""
    given = {a.asname or a.name for n in ast.walk(ast.parse(HEADER)) if isinstance(n, ast.ImportFrom) for a in n.names}
    plain: list[ast.stmt] = []
    typing_only: list[ast.stmt] = []
    for node in module.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            typing_only += _needed(node.body, used - given)
        else:
            plain += _needed([node], used - given)
    defined = [name for node in module.body for name in _defines(node) if name in used - given and name != "Memory"]
    text = "".join(ast.unparse(node) + "\n" for node in plain)
    if defined:
        text += f"from tacita.memory import {', '.join(sorted(defined))}\n"
    if typing_only:
        text += "if TYPE_CHECKING:\n" + "".join(f"    {ast.unparse(node)}\n" for node in typing_only)
    return text


def _needed(nodes: list[ast.stmt], used: set[str]) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [a for a in node.names if (a.asname or a.name.split(".")[0]) in used]
            if names:
                found.append(ast.Import(names))
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            names = [a for a in node.names if (a.asname or a.name) in used]
            if names:
                found.append(ast.ImportFrom(node.module, names, node.level))
    return found


def _defines(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [t.id for t in node.targets if isinstance(t, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def _ruff(text: str) -> str:
    for command in (
        ["check", "--quiet", "--fix-only", "--select", "I,F401,UP", "--stdin-filename", str(TARGET), "-"],
        ["format", "--quiet", "--stdin-filename", str(TARGET), "-"],
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *command], input=text, cwd=ROOT, capture_output=True, text=True, check=False
        )
        if ran.returncode != 0:
            raise SystemExit(ran.stderr)
        text = ran.stdout
    return text


def main() -> None:
    """Write the file, or with `--check` say whether it is current."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the file is not current")
    wanted = generate(SOURCE.read_text(encoding="utf-8"))
    if not parser.parse_args().check:
        TARGET.write_text(wanted, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != wanted:
        raise SystemExit(f"{TARGET.relative_to(ROOT)} is not what {SOURCE.name} gives: run `make format`")


if __name__ == "__main__":
    main()
