"""Changes the code in small ways, one at a time, and runs the tests that cover the changed line: do they notice?

    python scripts/mutate.py [--sample 300] [--seed 1] [--module src/tacita/vault] [--state build/mutate] [--retry]

Needs coverage and pytest-cov. The first run measures in a scratch copy which test runs which line and how long it takes
(`--fresh` does so again, after tests were added); then every change is made there, never here. Results are JSON lines in
`--state`; a run that was cut short goes on where it ended, and `--retry` looks again at the changes that survived.

Not changed: text of messages and log entries, annotations, docstrings, asserts, patterns of `match`.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
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
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOWS = ("forget", "receipts", "rollback", "isolation", "salvage")
MODULES = [
    *("src/tacita/vault", "src/tacita/access", "src/tacita/privacy/disclose.py", "src/tacita/pipeline/facts.py"),
    *(f"src/tacita/flows/{name}.py" for name in FLOWS),
]
ATTACKS = (
    "at_rest bound_views deleted_is_gone deleted_then_reopened erase_resurrection expiry_erases quarantine salvage"
)
TESTS = [
    *(f"tests/attacks/test_{name}.py" for name in (*ATTACKS.split(), "tampering", "whole_rollback")),
    *("tests/contracts", "tests/fuzz/test_regressions.py", "tests/unit/privacy/test_disclose.py"),
    *(f"tests/unit/{name}" for name in ("vault", "access", "keys", "pipeline/test_facts.py")),
    *(f"tests/unit/test_{name}.py" for name in ("archive", "backup", "forgetting", "inference", "mentions")),
]
BUDGET = 60.0
"""Seconds of tests that one change is worth, the quickest first."""
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


def replacements(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may become; `ast.Pass` stands for a statement that is left out."""

    def with_(**fields: Any) -> ast.AST:
        made = copy.copy(node)
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    match node:
        case ast.Compare(ops=ops):
            for at, op in enumerate(ops):
                for other in _SWAPS[type(op)]:
                    yield with_(ops=[*ops[:at], other(), *ops[at + 1 :]])
        case ast.BoolOp(op=joined, values=values):
            yield with_(op=_SWAPS[type(joined)][0]())
            for at in range(len(values)):
                rest = [*values[:at], *values[at + 1 :]]
                yield rest[0] if len(rest) == 1 else with_(values=rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.BinOp(op=arithmetic) | ast.AugAssign(op=arithmetic):
            for other in _SWAPS.get(type(arithmetic), ()):
                yield with_(op=other())
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
            for at in range(len(keywords)):
                yield with_(keywords=[*keywords[:at], *keywords[at + 1 :]])
        case _:
            pass


def _looked_at(node: ast.AST) -> Iterator[ast.AST]:
    """A tree without what is not changed."""
    logs = isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("log.", "logging."))
    if isinstance(node, ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom | ast.pattern) or logs:
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    yield node
    if isinstance(node, ast.Raise):
        return
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list", "bases", "format_spec"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _looked_at(child)


def _lines(statement: ast.stmt) -> range:
    return range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)


def mutants(path: Path) -> list[Mutant]:
    """Every change of a file that still compiles."""
    source = path.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    tree, found = ast.parse(source), dict[str, Mutant]()
    begins = {line: each.lineno for each in ast.walk(tree) if isinstance(each, ast.stmt) for line in _lines(each)}
    for node in _looked_at(tree):
        if not isinstance(node, ast.expr | ast.stmt) or node.end_lineno is None or node.end_col_offset is None:
            continue
        # Of a statement with a body only the head is replaced: its test.
        at: ast.expr | ast.stmt = node.test if isinstance(node, ast.If | ast.While) else node
        start = starts[at.lineno - 1] + at.col_offset
        end = starts[(at.end_lineno or 0) - 1] + (at.end_col_offset or 0)
        for made in replacements(node):
            after = made.test if isinstance(made, ast.If | ast.While) else made
            new = ast.unparse(ast.fix_missing_locations(after))
            new = f"({new})" if isinstance(after, ast.expr) else new
            old = " ".join(source[start:end].decode().split())
            one = Mutant(str(path.relative_to(ROOT)), at.lineno, begins[at.lineno], start, end, old, new)
            with contextlib.suppress(SyntaxError):
                compile(changed(source, one), str(path), "exec", dont_inherit=True)
                found[one.key] = one
    return list(found.values())


def changed(source: bytes, mutant: Mutant) -> bytes:
    return source[: mutant.start] + mutant.new.encode() + source[mutant.end :]


class Chosen:
    """A pytest plugin: runs the chosen tests in their order, or all, and notes how long each took."""

    def __init__(self, wanted: Collection[str] | None, notes: Path) -> None:
        self.wanted = None if wanted is None else {test: place for place, test in enumerate(wanted)}
        self.notes = notes
        self.seconds: Counter[str] = Counter()
        self.failed: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.wanted is not None:
            items[:] = sorted((i for i in items if i.nodeid in self.wanted), key=lambda i: self.wanted[i.nodeid])  # type: ignore[index]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration  # type: ignore[assignment]
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self.notes.write_text(json.dumps({"seconds": self.seconds, "failed": self.failed}))


def run(tree: Path, arguments: list[str], plugin: Chosen, seconds: float) -> int | None:
    """pytest in a child that has imported nothing of ours yet; its exit code, None if it took too long."""
    plugin.notes.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(tree)
        output = os.open(plugin.notes.with_suffix(".out"), os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.path[:0] = [str(tree / "src"), str(tree)]
        os.environ["PYTHONPATH"] = os.pathsep.join([str(tree / "src"), os.environ.get("PYTHONPATH", "")])
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        sys.dont_write_bytecode = True
        os._exit(pytest.main(["-q", "-p", "no:cacheprovider", "-m", "not slow", *arguments], [plugin]))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def scratch_copy(tree: Path) -> None:
    """The files that git knows or would add, in a folder of their own."""
    shutil.rmtree(tree, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


def measure(tree: Path, state: Path, modules: list[str], tests: list[str]) -> None:
    """Which test runs which line, and how long it takes: `state`/covered.json. Stops when a test fails."""
    rc = state / "coveragerc"
    included = [f"{tree}/{name}" + ("" if name.endswith(".py") else "/*") for name in modules]
    rc.write_text(
        f"[run]\ndata_file = {state}/coverage.data\ninclude = {','.join(included)}\n[json]\nshow_contexts=1\n"
    )
    plugin = Chosen(None, state / "measured.json")
    options = ["-p", "pytest_cov", "--cov", f"--cov-config={rc}", "--cov-context=test", "--cov-report="]
    code = run(tree, [*options, *(test for test in tests if (tree / test).exists())], plugin, 3_600)
    if code != 0:
        raise SystemExit(f"the tests fail without any change ({code}): see {plugin.notes.with_suffix('.out')}")
    told = state / "coverage.json"
    asked = [sys.executable, "-m", "coverage", "json", "-q", f"--rcfile={rc}", "-o", str(told)]
    subprocess.run(asked, cwd=tree, check=True)
    lines = {
        os.path.relpath(tree / name, tree): {
            line: sorted({context.rsplit("|", 1)[0] for context in contexts if context})
            for line, contexts in file["contexts"].items()
        }
        for name, file in json.loads(told.read_text())["files"].items()
    }
    seconds = json.loads(plugin.notes.read_text())["seconds"]
    (state / "covered.json").write_text(json.dumps({"lines": lines, "seconds": seconds}))


def covering(mutant: Mutant, covered: Mapping[str, Any], killers: Counter[str]) -> tuple[list[str], float]:
    """The tests of the changed line, those first that found most and are quick, and how long they take.

    A line that runs on import is everybody's who uses the file.
    """
    lines = covered["lines"].get(mutant.path, {})
    tests = lines.get(str(mutant.line)) or lines.get(str(mutant.statement))
    tests = tests or sorted({test for each in lines.values() for test in each})
    seconds: Mapping[str, float] = covered["seconds"]
    chosen: list[str] = []
    total = 0.0
    for test in sorted(tests, key=lambda test: seconds.get(test, 0) / (1 + killers[test])):
        total += seconds.get(test, 0)
        if chosen and total > BUDGET:
            break
        chosen.append(test)
    return chosen, total


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sample", type=int, help="so many changes, chosen at random; without it, all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--module", action="append", help="a file or folder; may be repeated")
    parser.add_argument("--state", type=Path, default=ROOT / "build" / "mutate")
    parser.add_argument("--fresh", action="store_true", help="copy and measure again")
    parser.add_argument("--retry", action="store_true", help="only the changes that survived before")
    given = parser.parse_args()
    state, modules = given.state.resolve(), given.module or MODULES
    state.mkdir(parents=True, exist_ok=True)
    tree, results = state / "tree", state / "results.jsonl"
    if given.fresh or not (state / "covered.json").exists():
        scratch_copy(tree)
        measure(tree, state, MODULES, TESTS)
    covered = json.loads((state / "covered.json").read_text())
    known = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    last = {each["key"]: each for each in known}
    files = [
        path for name in modules for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).glob("**/*.py"))
    ]
    every = [one for path in sorted(files) for one in mutants(path)]
    wanted = random.Random(given.seed).sample(every, min(given.sample or len(every), len(every)))
    if given.retry:
        wanted = [one for one in every if last.get(one.key, {}).get("status") == "survived"]
    todo = wanted if given.retry else [one for one in wanted if one.key not in last]
    print(f"{len(every)} changes, {len(wanted)} chosen, {len(todo)} to do")
    killers: Counter[str] = Counter(each["by"] for each in known if each["by"])
    for number, one in enumerate(todo, 1):
        tests, expected = covering(one, covered, killers)
        target = tree / one.path
        original = (ROOT / one.path).read_bytes()
        plugin = Chosen(tests, state / "run.json")
        status, by = "uncovered", ""
        if tests:
            target.write_bytes(changed(original, one))
            code = run(tree, ["-x", *dict.fromkeys(test.split("::")[0] for test in tests)], plugin, 60 + 5 * expected)
            target.write_bytes(original)
            status = "timeout" if code is None else "survived" if code == 0 else "killed"
            if code in (4, 5):
                raise SystemExit(f"pytest found no tests to run for {one.key}")
            by = (json.loads(plugin.notes.read_text())["failed"] or [""])[0] if plugin.notes.exists() else ""
            killers[by] += bool(by)
        last[one.key] = {"key": one.key, **asdict(one), "status": status, "by": by, "tests": len(tests)}
        with results.open("a") as file:
            file.write(json.dumps(last[one.key]) + "\n")
        print(f"{number}/{len(todo)} {status} {one.key}", flush=True)
    found = Counter(last[one.key]["status"] for one in wanted if one.key in last)
    noticed = found["killed"] + found["timeout"]
    print(f"{dict(found)}: {100 * noticed / max(1, found.total()):.1f} % noticed. Not noticed:")
    for one in wanted:
        if last.get(one.key, {}).get("status") in ("survived", "uncovered"):
            print(f"  {one.key}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
