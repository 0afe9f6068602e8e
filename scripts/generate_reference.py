"""Write `docs/reference` from signatures and docstrings, so that the reference cannot differ from the code.

The source is read, not run; only the command line's page asks the program itself for its help. `--check` (run by
`make check`) fails when a page is not what the code gives, or when a public name is on no page.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "tacita"
TARGET = ROOT / "docs" / "reference"
SUPPORT = "support.md"
"""Written by scripts/support_table.py, from what tests reported."""
NOTE = "<!-- Written by scripts/generate_reference.py. Edit the docstrings, then `make format`. -->\n\n"

PAGES: dict[str, tuple[str, str, list[str]]] = {
    # file: (title, what it is for, modules whose public classes and functions it shows, or `module:some,of,them`)
    "memory.md": (
        "Memory",
        "The public face. `AsyncMemory` has the same verbs, arguments and results: `await` them, and walk iterators "
        "with `async for`.",
        ["memory"],
    ),
    "values.md": ("Values", "What the verbs take and give.", ["items"]),
    "settings.md": (
        "Settings",
        "What a config file or a dict for `Memory.from_config` may hold, and who goes first.",
        [
            "config.settings:Settings,GuardSettings,Disclosure,ExtractionSettings,ImageSettings,TelemetrySettings,TenantSettings,Plugins"
        ],
    ),
    "ports.md": (
        "Ports",
        "What a provider of stores, keys or models writes. `tacita.testing` has the contract that it must pass.",
        ["ports.log", "ports.keys", "ports.models", "sealed"],
    ),
}


def module(name: str) -> ast.Module:
    """The parsed source of `tacita.<name>`."""
    path = SOURCE.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def public_names() -> list[str]:
    """`tacita.__all__`."""
    for node in module("__init__").body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            return list(ast.literal_eval(getattr(node, "value")))  # noqa: B009  the union has no common type
    raise SystemExit("tacita/__init__.py has no __all__")


def documented(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Public statements with their docstring; for an assignment that is the string on the next line."""
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("_"):
                yield node, ast.get_docstring(node) or ""
        elif name := assigned(node):
            string = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            text = after.value.value if string else ""  # type: ignore[union-attr]
            if not name.startswith("_"):
                yield node, inspect.cleandoc(text) if isinstance(text, str) else ""


def assigned(node: ast.stmt) -> str:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return ""


def prose(docstring: str) -> str:
    """A docstring as Markdown: `Args:` and the like become lists."""
    out: list[str] = []
    inside = False
    for line in docstring.split("\n"):
        if re.fullmatch(r"(Args|Returns|Raises|Yields):", line):
            out += [f"**{line[:-1]}**", ""]
            inside = True
        elif inside and (entry := re.fullmatch(r"    (\w[\w.*]*(?:, \w+)*): (.*)", line)):
            names = ", ".join(f"`{name}`" for name in entry[1].split(", "))
            out.append(f"- {names}: {entry[2]}")
        elif inside and line.startswith("    "):
            out.append("  " + line.strip())
        else:
            inside = inside and not line.strip()
            out.append(line)
    return "\n".join(out).strip()


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The parameters as text, without `self` and `cls`."""
    args = node.args
    positional = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(args.defaults))
    pieces = [written(a, d) for a, d in zip(positional, [*defaults, *args.defaults], strict=True)]
    if args.posonlyargs:
        pieces.insert(len(args.posonlyargs), "/")
    if args.vararg:
        pieces.append("*" + written(args.vararg, None))
    elif args.kwonlyargs:
        pieces.append("*")
    pieces += [written(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    if args.kwarg:
        pieces.append("**" + written(args.kwarg, None))
    return pieces[1:] if pieces and pieces[0] in ("self", "cls") else pieces


def written(arg: ast.arg, default: ast.expr | None) -> str:
    text = arg.arg + (f": {ast.unparse(arg.annotation)}" if arg.annotation else "")
    return text if default is None else f"{text} = {ast.unparse(default)}"


def fenced(text: str) -> str:
    # Not a Python block: every Python block of the documents is executed by the tests, and this is no program.
    return f"```text\n{text}\n```\n\n"


def function(node: ast.FunctionDef | ast.AsyncFunctionDef, heading: str, docstring: str) -> str:
    """One function or method: heading, call, docstring."""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    pieces = parameters(node)
    line = f"{node.name}({', '.join(pieces)}){returns}"
    if len(line) > 100:
        line = f"{node.name}(\n" + "".join(f"    {piece},\n" for piece in pieces) + f"){returns}"
    return f"{heading} `{node.name}`\n\n{fenced(line)}{prose(docstring)}\n\n"


def klass(node: ast.ClassDef, docstring: str) -> str:
    """One class: what it is, its fields as a table, its constructor and its methods."""
    text = f"## `{node.name}`\n\n{prose(docstring)}\n\n"
    body = list(documented(node.body))
    rows = [(assigned(n), kind(n), d) for n, d in body if assigned(n)]
    rows += [(n.name, kind(n), d) for n, d in body if isinstance(n, ast.FunctionDef) and is_property(n)]
    if rows:
        text += "| field | type | |\n|---|---|---|\n"
        text += "".join(f"| `{name}` | `{cell(what)}` | {cell(doc)} |\n" for name, what, doc in rows) + "\n"
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            renamed = ast.parse(ast.unparse(method)).body[0]
            assert isinstance(renamed, ast.FunctionDef)
            renamed.name, renamed.returns = node.name, None
            text += function(renamed, "### Making one:", ast.get_docstring(method) or "")
    # Ports say in their underscored methods what a provider writes.
    abstract = [
        n
        for n in node.body
        if isinstance(n, ast.FunctionDef)
        and n.name.startswith("_")
        and "abstractmethod" in {ast.unparse(d) for d in n.decorator_list}
    ]
    for method, doc in body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not is_property(method):
            text += function(method, "###", doc)
    if abstract:
        calls = "\n".join(
            f"{n.name}({', '.join(parameters(n))})" + (f" -> {ast.unparse(n.returns)}" if n.returns else "")
            for n in abstract
        )
        text += f"### What a provider writes\n\n{fenced(calls)}"
    return text


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return "property" in {ast.unparse(d) for d in node.decorator_list}


def kind(node: ast.stmt) -> str:
    """The type of a field or property and its default; only the value in an enumeration."""
    what = getattr(node, "annotation", None) or getattr(node, "returns", None)
    value = getattr(node, "value", None)
    parts = [ast.unparse(part) for part in (what, value) if isinstance(part, ast.AST)]
    return " = ".join(parts)


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def page(title: str, purpose: str, modules: list[str]) -> str:
    """A page for the public classes and functions of some modules."""
    text = f"# {title}\n\n{purpose}\n\n"
    for entry in modules:
        name, _, some = entry.partition(":")
        for node, docstring in documented(module(name).body):
            if some and getattr(node, "name", None) not in some.split(","):
                continue
            if isinstance(node, ast.ClassDef):
                text += klass(node, docstring)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                text += function(node, "##", docstring)
    return text


def errors_page() -> str:
    """The error tree as one table."""
    tree = module("errors")
    text = (
        f"# Errors\n\n{prose(ast.get_docstring(tree) or '')}\n\n| error | is a | code | meaning |\n|---|---|---|---|\n"
    )
    for node, docstring in documented(tree.body):
        if isinstance(node, ast.ClassDef):
            codes = [
                ast.literal_eval(n.value) for n in node.body if isinstance(n, ast.Assign) and assigned(n) == "code"
            ]
            bases = ", ".join(f"`{ast.unparse(base)}`" for base in node.bases)
            text += f"| `{node.name}` | {bases} | `{''.join(codes)}` | {cell(docstring)} |\n"
    return text


def limits_page() -> str:
    """Every limit as one table; values are computed, the rest is read."""
    from tacita import limits

    text = "# Limits\n\nBeyond one of these a call raises `InvalidInput` and writes nothing.\n\n"
    text += "| limit | value | |\n|---|---|---|\n"
    for node, docstring in documented(module("limits").body):
        if name := assigned(node):
            text += f"| `{name}` | {getattr(limits, name):,} | {cell(docstring)} |\n"
    return text


def cli_page() -> str:
    """Every command with its arguments and options, as the program itself would print them."""
    import typer

    from tacita.surfaces.cli import app

    def lines(name: str, command: Any) -> Iterator[str]:
        yield f"## `{name}`\n\n{inspect.cleandoc(command.help or '')}\n\n"
        rows = [(spelled(p), cell(getattr(p, "help", None) or "")) for p in command.params if p.name != "help"]
        if rows:
            yield "| | |\n|---|---|\n" + "".join(f"| {left} | {right} |\n" for left, right in rows) + "\n"
        for child, inner in getattr(command, "commands", {}).items():
            if not inner.hidden:
                yield from lines(f"{name} {child}", inner)

    def spelled(parameter: Any) -> str:
        if parameter.param_type_name == "argument":
            name = (parameter.metavar or parameter.name).strip("[]").upper()
            return f"`{name}`" if parameter.required else f"`[{name}]`"
        return ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))

    return "# Command line\n\nThe program's own help, `tacita COMMAND --help`, says the same.\n\n" + "".join(
        lines("tacita", typer.main.get_command(app))
    )


def pages() -> dict[str, str]:
    """Every page by file name."""
    made = {file: page(*what) for file, what in PAGES.items()}
    made["errors.md"] = errors_page()
    made["limits.md"] = limits_page()
    made["cli.md"] = cli_page()
    everything = "\n".join(made.values())
    if missing := [n for n in public_names() if not n.startswith("_") and f"`{n}`" not in everything]:
        raise SystemExit(f"public but on no page of the reference: {', '.join(missing)}")
    index = "# Reference\n\nMade from the docstrings and signatures of the code.\n\n"
    for file, text in sorted(made.items()):
        index += f"- [{text.removeprefix('# ').split(chr(10))[0]}]({file})\n"
    index += f"- [What works with what, and how that was verified]({SUPPORT})\n"
    made["README.md"] = index
    return {file: NOTE + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n" for file, text in made.items()}


def main() -> None:
    """Write the pages, or with `--check` say whether they are current."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is not current")
    wanted = pages()
    present = (
        {p.name: p.read_text(encoding="utf-8") for p in TARGET.glob("*.md") if p.name != SUPPORT}
        if TARGET.is_dir()
        else {}
    )
    if parser.parse_args().check:
        stale = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
        if stale:
            raise SystemExit(f"docs/reference is not what the code gives ({', '.join(stale)}): run `make format`")
        return
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in present.keys() - wanted.keys():
        (TARGET / name).unlink()
    for name, text in wanted.items():
        (TARGET / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
