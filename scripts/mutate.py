"""Changes the code in small ways, one at a time, and runs the tests that cover the changed line: do they notice?

    python scripts/mutate.py [--sample 300] [--seed 1] [--module src/tacita/vault] [--state build/mutate] [--retry]

Needs coverage and pytest-cov. First it measures, in a scratch copy, which test runs which line and how long it takes (again
with `--fresh`, for tests that came since); every change is made there, never here. Results are JSON lines in `--state`: what
was cut short goes on where it ended, and `--retry` looks again at what survived.
Not changed: text of messages and log entries, annotations, docstrings, asserts, patterns of `match`.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import gc
import inspect
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOWS = "forget receipts rollback isolation salvage".split()
MODULES = [
    *("src/tacita/vault", "src/tacita/access", "src/tacita/privacy/disclose.py", "src/tacita/pipeline/facts.py"),
    *(f"src/tacita/flows/{name}.py" for name in FLOWS),
]
ATTACKS = (
    "deleted_is_gone deleted_then_reopened erase_resurrection expiry_erases quarantine salvage tampering whole_rollback"
)
TESTS = [
    *(f"tests/attacks/test_{name}.py" for name in ATTACKS.split()),
    *("tests/contracts", "tests/unit/privacy/test_disclose.py"),
    *(f"tests/unit/{name}" for name in ("vault", "access", "keys", "pipeline/test_facts.py")),
    *(f"tests/unit/test_{name}.py" for name in ("archive", "backup", "forgetting", "inference", "mentions")),
]
LONG = (
    "tests/unit/pipeline/test_facts.py::test_no_label_ever_rises_over_fifty_thousand_derivations",
    "tests/unit/test_archive.py::test_any_history_comes_back_equal",
)
"""Half a minute each, and nothing that others do not cover."""
OPTIONS = ["-q", "-p", "no:cacheprovider", "-m", "not slow"]
_SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,), ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.FloorDiv,), ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Add,), ast.LShift: (ast.RShift,), ast.RShift: (ast.LShift,), ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,), ast.BitXor: (ast.BitOr,), ast.And: (ast.Or,), ast.Or: (ast.And,),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the bytes from `start` to `end` of a file become `new`."""

    path: str
    line: int
    statement: int
    """The line on which its statement begins."""
    start: int
    end: int
    old: str
    new: str

    @property
    def key(self) -> str:
        return f"{self.path}:{self.line}:{self.start}: {self.old} -> {self.new}"

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]


def replacements(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may become; `ast.Pass` stands for a statement that is left out."""

    def with_(**fields: Any) -> ast.AST:
        made = copy.copy(node)
        vars(made).update(fields)
        return made

    match node:
        case ast.Compare(ops=ops):
            for at, op in enumerate(ops):
                yield from (with_(ops=[*ops[:at], other(), *ops[at + 1 :]]) for other in _SWAPS[type(op)])
        case ast.BoolOp(op=joined, values=values):
            yield with_(op=_SWAPS[type(joined)][0]())
            for at in range(len(values)):
                rest = [*values[:at], *values[at + 1 :]]
                yield rest[0] if len(rest) == 1 else with_(values=rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.BinOp(op=arithmetic) | ast.AugAssign(op=arithmetic):
            yield from (with_(op=other()) for other in _SWAPS.get(type(arithmetic), ()))
            if isinstance(node, ast.AugAssign):
                yield ast.Pass()
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr):
                yield with_(test=ast.UnaryOp(ast.Not(), test))
        case ast.Constant(value=bool() as truth):
            yield ast.Constant(not truth)
        case ast.Constant(value=int() | float() as number):
            yield ast.Constant(number + 1)
        case ast.Constant(value=bytes() | str() as words):
            yield ast.Constant(words + b"!" if isinstance(words, bytes) else words + "!")
        case ast.Return(value=value) if value is not None and not (isinstance(value, ast.Constant) and not value.value):
            yield ast.Return(ast.Constant(None))
        case ast.Raise() | ast.Delete() | ast.Continue() | ast.Break() | ast.Expr(value=ast.Call() | ast.Yield()):
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Call(keywords=keywords):
            yield from (with_(keywords=[*keywords[:at], *keywords[at + 1 :]]) for at in range(len(keywords)))
        case _:
            pass


def _looked_at(node: ast.AST) -> Iterator[ast.AST]:
    """A tree without what is not changed."""
    logs = isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log.")
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom | ast.pattern) or logs or docstring:
        return
    yield node
    for name, value in () if isinstance(node, ast.Raise) else ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list", "bases", "format_spec"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _looked_at(child)


def mutants(path: Path) -> list[Mutant]:
    """Every change of a file that still compiles."""
    source = path.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    tree, found = ast.parse(source), dict[str, Mutant]()
    statements = [each for each in ast.walk(tree) if isinstance(each, ast.stmt)]
    begins = {line: each.lineno for each in statements for line in range(each.lineno, (each.end_lineno or 0) + 1)}
    for node in _looked_at(tree):
        if not isinstance(node, ast.expr | ast.stmt):
            continue
        # Of a statement with a body only the head is replaced: its test.
        at: ast.expr | ast.stmt = node.test if isinstance(node, ast.If | ast.While) else node
        start = starts[at.lineno - 1] + at.col_offset
        end = starts[(at.end_lineno or 0) - 1] + (at.end_col_offset or 0)
        for made in replacements(node):
            after = made.test if isinstance(made, ast.If | ast.While) else made
            new = ast.unparse(ast.fix_missing_locations(after))
            old = " ".join(source[start:end].decode().split())
            place = str(path.relative_to(ROOT)), at.lineno, begins[at.lineno]
            one = Mutant(*place, start, end, old, f"({new})" if isinstance(after, ast.expr) else new)
            with contextlib.suppress(SyntaxError):
                compile(one.applied(source), str(path), "exec", dont_inherit=True)
                found[one.key] = one
    return list(found.values())


class Chosen:
    """A pytest plugin: runs the chosen tests in their order, or all, and notes how long each took."""

    def __init__(self, wanted: Collection[str] | None, notes: Path) -> None:
        self.order = None if wanted is None else {test: place for place, test in enumerate(wanted)}
        self.notes, self.seconds, self.failed = notes, dict[str, float](), list[str]()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if (order := self.order) is not None:
            items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration
        self.failed += [report.nodeid] if report.failed else []

    def pytest_sessionfinish(self) -> None:
        self.notes.write_text(json.dumps({"seconds": self.seconds, "failed": self.failed}))


Patch = dict[tuple[str, int], CodeType]
"""Functions by qualified name and first line, and what they are to do instead."""


def _functions(code: CodeType) -> Iterator[CodeType]:
    """The functions of a module and of its classes, in order."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from (each,) if each.co_flags & inspect.CO_OPTIMIZED else _functions(each)


def _shell(code: CodeType) -> tuple[Any, ...]:
    """What a module and its classes do when they are imported, without the functions in them."""
    parts = (
        each for each in code.co_consts if not isinstance(each, CodeType) or not each.co_flags & inspect.CO_OPTIMIZED
    )
    consts = tuple(_shell(each) if isinstance(each, CodeType) else repr(each) for each in parts)
    return code.co_code, code.co_names, consts


def patch_of(source: bytes, mutant: Mutant, path: Path) -> Patch | None:
    """The functions that a change is in; None if it is about what is done on import."""
    old, new = (compile(text, str(path), "exec", dont_inherit=True) for text in (source, mutant.applied(source)))
    if _shell(old) != _shell(new):
        return None
    pairs = zip(_functions(old), _functions(new), strict=True)
    return {(before.co_qualname, before.co_firstlineno): after for before, after in pairs if before != after}


def _put(patch: Patch | None, path: Path) -> None:
    """Into what is imported already, in a child; without a patch all is imported again."""
    for each in gc.get_objects() if patch is not None else ():
        if type(each) is FunctionType and each.__code__.co_filename == str(path):
            code = each.__code__
            each.__code__ = (patch or {}).get((code.co_qualname, code.co_firstlineno), code)
    for name in [name for name in sys.modules if name.split(".")[0] in ("tacita", "tests")] if patch is None else ():
        del sys.modules[name]


def warm(tree: Path) -> None:
    """Import the tests and all that they test, once: a child that runs them begins with a copy."""
    os.chdir(tree)
    sys.path[:0] = [str(tree / "src"), str(tree)]
    sys.dont_write_bytecode = True
    os.environ["PYTHONPATH"] = os.pathsep.join([str(tree / "src"), os.environ.get("PYTHONPATH", "")])
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*OPTIONS, "--collect-only", *TESTS])


def run(
    arguments: list[str], plugin: Chosen, seconds: float, patch: Patch | None = None, path: Path = ROOT
) -> int | None:
    """pytest in a child with a patch of what is at `path`; its exit code, None if it took too long."""
    plugin.notes.unlink(missing_ok=True)
    if (child := os.fork()) == 0:
        os.setsid()
        output = os.open(plugin.notes.with_suffix(".out"), os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            _put(patch, path)
        except ValueError:  # other variables of the function around it: only an import gets that right
            _put(None, path)
        os._exit(pytest.main([*OPTIONS, *arguments], [plugin]))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def measure(tree: Path, state: Path) -> None:
    """Copy what git knows or would add, and note in `state`/covered.json which test runs which line, and how long."""
    shutil.rmtree(tree, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    rc, told, plugin = state / "coveragerc", state / "coverage.json", Chosen(None, state / "measured.json")
    included = ",".join(f"{tree}/{name}" + ("" if name.endswith(".py") else "/*") for name in MODULES)
    rc.write_text(f"[run]\ndata_file = {state}/coverage.data\ninclude = {included}\n[json]\nshow_contexts=1\n")
    options = ["-p", "pytest_cov", "--cov", f"--cov-config={rc}", "--cov-context=test", "--cov-report="]
    options += [f"--deselect={test}" for test in LONG]
    warm(tree)
    if (code := run([*options, *TESTS], plugin, 3_600)) != 0:
        raise SystemExit(f"the tests fail without any change ({code}): see {plugin.notes.with_suffix('.out')}")
    asked = [sys.executable, "-m", "coverage", "json", "-q", f"--rcfile={rc}", "-o", str(told)]
    subprocess.run(asked, cwd=tree, check=True)
    lines: dict[str, dict[str, list[str]]] = {}
    for name, file in json.loads(told.read_text())["files"].items():
        tests = {line: {each.rsplit("|", 1)[0] for each in found if each} for line, found in file["contexts"].items()}
        lines[os.path.relpath(tree / name, tree)] = {line: sorted(each) for line, each in tests.items()}
    seconds = json.loads(plugin.notes.read_text())["seconds"]
    (state / "covered.json").write_text(json.dumps({"lines": lines, "seconds": seconds}))


def covering(
    mutant: Mutant, covered: Mapping[str, Any], killers: Counter[str], budget: float, *, whole: bool
) -> tuple[list[str], float]:
    """The tests of the changed line, first those that are quick and found most, and how long they take.

    A line that runs on import is everybody's who uses the file. `whole`: with all others of the same test files, for what
    a test module does on import is no test's.
    """
    lines, seconds = covered["lines"].get(mutant.path, {}), covered["seconds"]
    tests = lines.get(str(mutant.line)) or lines.get(str(mutant.statement))
    tests = tests or sorted({test for each in lines.values() for test in each})
    if whole:
        files = {test.split("::")[0] for test in tests}
        tests = [test for test in seconds if test.split("::")[0] in files]
    chosen, total = sorted(tests, key=lambda test: seconds.get(test, 0) / (1 + killers[test])), 0.0
    for number, test in enumerate(chosen):
        total += seconds.get(test, 0)
        if number and total > budget:
            return chosen[:number], total
    return chosen, total


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sample", type=int, help="so many changes, chosen at random; without it, all")
    parser.add_argument("--budget", type=float, default=60, help="seconds of tests that one change is worth")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--module", action="append", help="a file or folder; may be repeated")
    parser.add_argument("--state", type=Path, default=ROOT / "build" / "mutate")
    parser.add_argument("--fresh", action="store_true", help="copy and measure again")
    parser.add_argument("--retry", action="store_true", help="only the changes that survived before")
    given = parser.parse_args()
    state = given.state.resolve()
    state.mkdir(parents=True, exist_ok=True)
    tree, results = state / "tree", state / "results.jsonl"
    if given.fresh or not (state / "covered.json").exists():
        measure(tree, state)
    else:
        warm(tree)
    covered = json.loads((state / "covered.json").read_text())
    known = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    last: dict[str, dict[str, Any]] = {each["key"]: each for each in known}
    paths = [path for name in given.module or MODULES for path in (ROOT / name, *(ROOT / name).glob("**/*.py"))]
    every = [one for path in sorted(paths) if path.is_file() for one in mutants(path)]
    wanted = random.Random(given.seed).sample(every, min(given.sample or len(every), len(every)))
    if given.retry:
        wanted = [one for one in every if last.get(one.key, {}).get("status") == "survived"]
    todo = wanted if given.retry else [one for one in wanted if one.key not in last]
    print(f"{len(every)} changes, {len(wanted)} chosen, {len(todo)} to do")
    killers: Counter[str] = Counter(each["by"] for each in known if each["by"])
    for number, one in enumerate(todo, 1):
        tests, expected = covering(one, covered, killers, given.budget, whole=given.retry)
        plugin, original = Chosen(tests, state / "run.json"), (ROOT / one.path).read_bytes()
        (tree / one.path).write_bytes(one.applied(original))
        files = dict.fromkeys(test.split("::")[0] for test in tests)
        # What tests make when they are imported is made with the change only if all is imported again.
        patch = None if given.retry else patch_of(original, one, tree / one.path)
        code = run(["-x", *files], plugin, 20 + 4 * expected, patch, tree / one.path)
        (tree / one.path).write_bytes(original)
        if code == 5:
            raise SystemExit(f"pytest found no tests to run for {one.key}")
        status = "timeout" if code is None else "survived" if code == 0 else "killed"
        by = (json.loads(plugin.notes.read_text())["failed"] or [""])[0] if plugin.notes.exists() else ""
        killers[by] += bool(by)
        last[one.key] = {"key": one.key, **asdict(one), "status": status, "by": by, "tests": len(tests)}
        with results.open("a") as file:
            file.write(json.dumps(last[one.key]) + "\n")
        print(f"{number}/{len(todo)} {status} {one.key}", flush=True)
    found = Counter(last[one.key]["status"] for one in wanted if one.key in last)
    noticed = 100 * (found["killed"] + found["timeout"]) / max(1, found.total())
    print(f"{dict(found)}: {noticed:.1f} % noticed. Not noticed:")
    print("\n".join(f"  {one.key}" for one in wanted if last.get(one.key, {}).get("status") == "survived"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
