"""Rules about the source that import contracts cannot state: the text of `src/` is read, nothing is run."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        path.read_text(encoding="utf-8"), str(path)
    )
    for path in sorted(SOURCE.rglob("*.py"))
}


def under(module: str, *packages: str) -> bool:
    return any(module == p or module.startswith(p + ".") for p in packages)


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every dotted name that is imported, wherever the import statement stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of attributes on a name, else the empty string."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def uses(tree: ast.AST, names: set[str]) -> Iterator[tuple[str, int]]:
    """Where one of the dotted `names` is imported or spelled out."""
    for name, line in imported(tree):
        if name in names:
            yield name, line
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and dotted(node) in names:
            yield dotted(node), node.lineno


def calls(tree: ast.AST, name: str) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == name:
                yield node.lineno


def offences(found: Iterator[str]) -> None:
    listed = sorted(found)
    assert not listed, "\n" + "\n".join(listed)


def test_there_is_source_to_read() -> None:
    assert "tacita.hazmat" in MODULES


def test_only_hazmat_touches_primitives_and_randomness() -> None:
    roots = {"cryptography", "hmac", "hashlib", "secrets", "_hashlib", "_hmac", "_random"}
    randomness = {"os.urandom", "os.getrandom", "numpy.random", "np.random"} | {f"uuid.uuid{n}" for n in (1, 3, 4, 5)}
    # `random.uniform` may choose how long to wait; nothing else of that module has a use here.
    randomness |= {f"random.{name}" for name in dir(random) if name != "uniform"}
    offences(
        f"{module}:{line} {name}"
        for module, tree in MODULES.items()
        if module != "tacita.hazmat"
        for name, line in [*((n, i) for n, i in imported(tree) if n.split(".")[0] in roots), *uses(tree, randomness)]
    )


def test_only_config_reads_the_environment_and_the_home() -> None:
    names = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.path.expanduser", "os.path.expandvars"}
    names |= {"Path.home", "pathlib.Path.home", "getpass.getuser", "platformdirs"}
    offences(
        f"{module}:{line} {name}"
        for module, tree in MODULES.items()
        if not under(module, "tacita.config")
        for name, line in [*uses(tree, names), *(("expanduser", line) for line in calls(tree, "expanduser"))]
    )


def broad(handler: ast.expr | None) -> bool:
    if handler is None:
        return True
    named = handler.elts if isinstance(handler, ast.Tuple) else [handler]
    return any(dotted(n).split(".")[-1] in ("Exception", "BaseException") for n in named)


def reraises(handler: ast.ExceptHandler) -> bool:
    """The handler's last act is a bare `raise`: it cleans up and hides nothing."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_nothing_swallows_errors_it_did_not_name() -> None:
    # Ports may: they turn whatever a provider throws into our errors, once, at the seam.
    def found() -> Iterator[str]:
        for module, tree in MODULES.items():
            if under(module, "tacita.ports"):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.ExceptHandler) and broad(node.type) and not reraises(node):
                    yield f"{module}:{node.lineno} broad except"
                suppresses = isinstance(node, ast.Call) and dotted(node.func) in ("suppress", "contextlib.suppress")
                if isinstance(node, ast.Call) and suppresses and any(map(broad, node.args)):
                    yield f"{module}:{node.lineno} suppress(Exception)"

    offences(found())


REACHING = (
    *("tacita.models.fetch", "tacita.models.pictures", "tacita.models.remote"),
    *("tacita.telemetry", "tacita.stores.anchor_http", "tacita.stores._dynamo"),
    *("tacita.vectors.chroma", "tacita.vectors._chroma_api", "tacita.vectors.weaviate"),
    *("tacita.keys.awskms", "tacita.keys.azurekv", "tacita.keys.gcpkms", "tacita.keys.transit"),
    *("tacita.testing.loopback", "tacita.testing.servers"),
)


def test_only_named_modules_can_reach_the_network() -> None:
    roots = {
        *("socket", "ssl", "http", "ftplib", "smtplib", "xmlrpc", "socketserver", "asyncio.streams", "urllib3"),
        *("urllib.request", "requests", "httpx", "httpx2", "aiohttp", "huggingface_hub", "webbrowser"),
        *("boto3", "botocore", "azure", "msal", "google.auth", "google.cloud", "grpc", "hvac"),
    }
    offences(
        f"{module}:{line} {name}"
        for module, tree in MODULES.items()
        if not under(module, *REACHING)
        for name, line in imported(tree)
        if any(name == root or name.startswith(root + ".") for root in roots)
    )


def test_nothing_unpickles_or_evaluates() -> None:
    roots = {"pickle", "marshal", "shelve", "dill", "joblib"}
    offences(
        f"{module}:{line} {name}"
        for module, tree in MODULES.items()
        for name, line in [
            *((n, i) for n, i in imported(tree) if n.split(".")[0] in roots),
            *((n, i) for n in ("eval", "exec", "compile") for i in builtin_calls(tree, n)),
        ]
    )


def builtin_calls(tree: ast.AST, name: str) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node.lineno


@pytest.mark.parametrize(
    ("maker", "allowed"),
    [
        # Door 1 of DESIGN section 3: whoever can make one can hand anything to a store.
        ("SealedEvent", ("tacita.vault.format", "tacita.sealed", "tacita.testing.log_load")),
        # What came out of a store, and goes into a copy of it.
        ("moved", ("tacita.stores.following",)),
        ("SealedPart", ("tacita.vault", "tacita.stores", "tacita.testing.log_contract", "tacita.testing.log_load")),
        # The cleartext of a key: only those who keep or wrap it.
        ("reveal_for_storage", ("tacita.keys", "tacita.testing")),
        ("Disclosed", ("tacita.privacy.disclose",)),
        ("_seal_with_salt", ("tacita.hazmat",)),
    ],
)
def test_dangerous_calls_stay_where_they_are_allowed(maker: str, allowed: tuple[str, ...]) -> None:
    offences(
        f"{module}:{line} calls {maker}"
        for module, tree in MODULES.items()
        if not under(module, *allowed)
        for line in calls(tree, maker)
    )


def test_every_module_says_what_lives_in_it() -> None:
    offences(module for module, tree in MODULES.items() if not ast.get_docstring(tree))


def test_the_public_face_is_documented() -> None:
    """Public names of public modules have a docstring: the reference is made from them."""

    def undocumented(prefix: str, body: list[ast.stmt]) -> Iterator[str]:
        for node in body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                continue
            # A name says enough when there is nothing to pass.
            bare = not isinstance(node, ast.ClassDef) and [a.arg for a in node.args.args] == ["self"]
            if not ast.get_docstring(node) and not (bare and not node.args.kwonlyargs):
                yield f"{prefix}.{node.name}"
            if isinstance(node, ast.ClassDef):
                yield from undocumented(f"{prefix}.{node.name}", node.body)

    public = ("tacita.errors", "tacita.items", "tacita.memory", "tacita.ports.keys", "tacita.ports.models")
    offences(name for module in public if module in MODULES for name in undocumented(module, MODULES[module].body))
